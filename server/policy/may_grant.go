package policy

import (
	"maps"
	"slices"
)

// MayGrant answers whether the actor may grant a role to some subject: everywhere in the
// tenant, or else in some of the scopes in which the actor or the actor's groups hold their
// roles (in byte order). If not everywhere, the refusal is why not in the tenant. Rules
// about the subject, such as one role only, can still stand against a grant.
func (t *Table) MayGrant(actor Actor, roleName string) (everywhere bool, scopes []string, refusal *Refusal) {
	r := t.catalog.rolesByName[roleName]
	switch {
	case r == t.catalog.defaultRole:
		return false, nil, notAssignable(r)
	case actor.Operator:
		return true, nil, nil
	}
	d := t.may(actor, grantAction, r, "")
	if d.Allow {
		return true, nil, nil
	}
	for _, scope := range t.scopesOf(actor, grantAction) {
		if r.heldIn[typeOf(scope)] && t.may(actor, grantAction, r, scope).Allow {
			scopes = append(scopes, scope)
		}
	}
	return false, scopes, notAllowedFor(actor, grantAction, r, "", d.Reason)
}

// scopesOf returns the scopes in which the actor, or a group of theirs, now holds a role
// that has rules about granting or revoking, in byte order.
func (t *Table) scopesOf(actor Actor, action string) []string {
	rules := t.catalog.resourceTypes[roleType].actions[action].rules
	scopes := map[string]bool{}
	for _, h := range actor.Holders {
		for _, held := range h.holdings[:h.active] {
			if len(rules[held.role.index]) == 0 {
				continue
			}
			for _, scope := range held.scopes {
				scopes[scope] = true
			}
		}
	}
	delete(scopes, "") // the tenant
	return slices.Sorted(maps.Keys(scopes))
}
