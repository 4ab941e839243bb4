package policy

import (
	"fmt"
	"slices"
)

// link is a position that somebody can come to hold.
type link struct {
	position
	// by is the link whose holder grants it, while the toggles stand so; nil: it is held at
	// the start.
	by      *link
	toggles map[string]bool
	asker   asker
	holders []*Holder
}

// disproveGranted follows the grants that can be made after one another by people who hold none
// of the roles `only_by` at the start.
//
// Whoever may grant a role may do so through one assignment, and anybody who holds nothing yet
// can be granted a role. So it is enough to look at subjects with one assignment each; and at one
// scope of each type, because who holds a role in a scope grants in that scope only, and who
// holds it in the tenant grants in all scopes of a type or in none.
func (p *prover) disproveGranted(g *granting) (*Counterexample, error) {
	p.next(roleType + ":" + grantAction)
	grant := p.catalog.resourceTypes[roleType].actions[grantAction]
	toggles, err := p.togglesOf(grant)
	if err != nil {
		return nil, err
	}
	var links []*link
	reached := map[position]bool{}
	reach := func(at position, by *link, set map[string]bool) *link {
		l := &link{position: at, by: by, toggles: set}
		var held []position
		if at.role != nil {
			held = []position{at}
		}
		l.asker, _ = carry(held, fmt.Sprintf(":%d", len(links)+1)) // somebody can hold any role
		l.holders = l.asker.holders(p.catalog)
		reached[at] = true
		links = append(links, l)
		return l
	}
	if d := p.catalog.defaultRole; d == nil || !g.onlyBy[d] {
		reach(position{}, nil, nil)
	}
	var targets []position
	for _, r := range p.catalog.roles {
		if r == p.catalog.defaultRole || len(r.holders) == 0 {
			continue
		}
		for _, at := range r.positions(firstScope) {
			if targets = append(targets, at); !g.onlyBy[r] {
				reach(at, nil, nil)
			}
		}
	}
	for i := 0; i < len(links); i++ {
		from := links[i]
		if from.role != nil && !slices.ContainsFunc(grant.rules[from.role.index], rule.allows) {
			continue
		}
		for _, changed := range byCount(len(toggles)) {
			table := p.table(toggles, changed)
			actor := Actor{Holders: from.holders, Subject: from.asker.subject, Groups: from.asker.groups}
			for _, at := range targets {
				if reached[at] && !g.roles[at.role] {
					continue
				}
				if err := p.spend(1); err != nil {
					return nil, err
				}
				if !table.may(actor, grantAction, at.role, at.scope).Allow {
					continue
				}
				next := reach(at, from, toggled(toggles, changed))
				if g.roles[at.role] {
					return next.counterexample(), nil
				}
			}
		}
	}
	return nil, nil
}

// togglesOf returns the toggles that rules about some permissions look at and that can be set.
func (p *prover) togglesOf(permissions ...*permission) ([]*toggle, error) {
	var k refutation
	for _, permission := range permissions {
		for _, rules := range permission.rules {
			for _, r := range rules {
				k.noteGate(r.gate)
				if r.widening != nil {
					k.noteGate(r.widening.gate)
				}
			}
		}
	}
	if len(k.toggles) > maxToggles {
		return nil, &TooManyCasesError{Permission: p.about}
	}
	return k.toggles, nil
}

// counterexample tells the chain of grants that ends with a link.
func (l *link) counterexample() *Counterexample {
	found := &Counterexample{Toggles: l.toggles, Request: Request{
		Subject:  l.by.asker.subject,
		Action:   grantAction,
		Resource: Resource{Type: roleType, ID: l.role.name},
	}, Groups: l.by.asker.groups, Allow: true}
	if l.scope != "" {
		found.Request.Resource.Scopes = []string{l.scope}
	}
	for ; l != nil; l = l.by {
		for _, held := range l.asker.roles() {
			if l.by != nil {
				held.By, held.ByGroups, held.Toggles = l.by.asker.subject, l.by.asker.groups, l.toggles
			}
			found.Held = append(found.Held, held)
		}
	}
	slices.Reverse(found.Held)
	return found
}
