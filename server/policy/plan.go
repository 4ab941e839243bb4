package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Actor is on whose behalf something is administered.
type Actor struct {
	// Operator is whether it is the staff of the installation, who needs no
	// permission. The other fields are then not looked at.
	Operator bool
	// Holders are what the actor (first) and the actor's groups hold, current now.
	Holders []*Holder
	// Subject and Groups are their names.
	Subject string
	Groups  []string
}

// Subject is whose assignments are administered, and what has to be known of them.
type Subject struct {
	// Tenant is the tenant.
	Tenant store.TenantID
	// Name is the subject, type:id.
	Name string
	// Held are all of its assignments, ended ones included.
	Held []store.Assignment
	// OthersKeep is whether another subject keeps the protected role. It is looked
	// at only if the administered role is the protected one.
	OthersKeep bool
}

// MaxAssignments is how many assignments that have not ended a subject may have in a
// tenant. Ended ones are removed when they take the room of a new one.
const MaxAssignments = 10_000

// PlanGrant answers what has to be written so that the subject has the assignment. No
// changes mean that all is so already. The error is a *Refusal.
func (t *Table) PlanGrant(actor Actor, s Subject, grant store.Assignment, now time.Time) ([]store.Change, error) {
	r := t.catalog.rolesByName[grant.Role]
	live := s.live(now)
	old, exists := find(live, grant.AssignmentKey)
	shortens := exists && !grant.CoversFrom(now, old.Interval)

	if err := t.authorize(actor, grantAction, r, grant.Scope); err != nil {
		return nil, err
	}
	if shortens {
		if err := t.authorizeRevoke(actor, r, []store.Assignment{old}); err != nil {
			return nil, err
		}
	}
	if err := t.checkAssignable(actor, s, r, grant.Scope); err != nil {
		return nil, err
	}
	if shortens {
		if err := t.checkTakingAway(actor, r); err != nil {
			return nil, err
		}
	}
	if err := t.checkExclusive(actor, live, r, grant); err != nil {
		return nil, err
	}
	if exists && old.Interval.Equal(grant.Interval) {
		return nil, nil
	}
	if t.keeps(old, now) && !t.keeps(grant, now) && !s.OthersKeep {
		return nil, t.lastHolder(s.Name)
	}
	if !exists && len(live) >= MaxAssignments {
		return nil, tooManyAssignments(s.Name)
	}
	changes := []store.Change{store.SetAssignment{Tenant: s.Tenant, Assignment: grant}}
	if len(s.Held) >= MaxAssignments {
		changes = append(changes, s.clearEnded(grant.AssignmentKey, now)...)
	}
	return changes, nil
}

// clearEnded removes the assignments that have ended, to make room; not the one that is
// granted anew.
func (s Subject) clearEnded(granted store.AssignmentKey, now time.Time) []store.Change {
	var changes []store.Change
	for _, a := range s.Held {
		if a.Ended(now) && a.AssignmentKey != granted {
			changes = append(changes, store.RemoveAssignment{Tenant: s.Tenant, Key: a.AssignmentKey})
		}
	}
	return changes
}

// PlanRevoke answers what has to be written so that the subject no longer holds the
// role, in one scope ("" is the tenant) or everywhere. No changes mean that all is so
// already. The error is a *Refusal.
func (t *Table) PlanRevoke(actor Actor, s Subject, roleName, scope string, everywhere bool, now time.Time) ([]store.Change, error) {
	r := t.catalog.rolesByName[roleName]
	held := slices.DeleteFunc(s.live(now), func(a store.Assignment) bool { return a.Role != roleName })
	var taken []store.Assignment
	for _, a := range held {
		if everywhere || a.Scope == scope {
			taken = append(taken, a)
		}
	}
	// Without anything to take, the actor still has to be one who might.
	needed := taken
	if len(needed) == 0 {
		needed = []store.Assignment{{AssignmentKey: store.AssignmentKey{Subject: s.Name, Role: roleName, Scope: scope}}}
	}
	if err := t.authorizeRevoke(actor, r, needed); err != nil {
		return nil, err
	}
	if err := checkOwnRoles(actor, s.Name); err != nil {
		return nil, err
	}
	if len(taken) == 0 {
		if scope == "" && len(held) > 0 {
			return nil, heldInScopes(s.Name, held)
		}
		return nil, nil
	}
	if err := t.checkTakingAway(actor, r); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(taken, func(a store.Assignment) bool { return t.keeps(a, now) }) && !s.OthersKeep {
		return nil, t.lastHolder(s.Name)
	}
	changes := make([]store.Change, len(taken))
	for i, a := range taken {
		changes[i] = store.RemoveAssignment{Tenant: s.Tenant, Key: a.AssignmentKey}
	}
	return changes, nil
}

// PlanToggle answers what has to be written so that the toggle stands as asked. No
// changes mean that it does already. The error is a *Refusal.
func (t *Table) PlanToggle(actor Actor, tenant store.TenantID, name string, on bool) ([]store.Change, error) {
	toggle := t.catalog.togglesByName[name]
	if !actor.Operator {
		d := t.mustDecide(actor, setAction, Resource{Type: toggleType, ID: name})
		if !d.Allow {
			return nil, notAllowed(actor, fmt.Sprintf("set the toggle %q", name), d.Reason)
		}
	}
	switch {
	case t.on[toggle.index] == on:
		return nil, nil
	case toggle.locked:
		return nil, toggleLocked(toggle)
	}
	return []store.Change{store.SetToggle{Tenant: tenant, Toggle: name, On: on}}, nil
}

// PlanFirstAdministrator answers with the assignment of a new tenant's first
// administrator, whose tenant is 0: the one that is created with it. The error is a
// *Refusal.
func (c *Catalog) PlanFirstAdministrator(subject string) (store.Change, error) {
	r := c.protectedRole
	if !r.holders[typeOf(subject)] || typeOf(subject) != userType {
		return nil, notAssignableToHolder(r, subject, []string{userType})
	}
	return store.SetAssignment{Assignment: store.Assignment{
		AssignmentKey: store.AssignmentKey{Subject: subject, Role: r.name},
	}}, nil
}

// Keeps reports whether an assignment counts for the rule that a tenant keeps a holder
// of the protected role: of a user, in the tenant, in force now, without an end.
func (c *Catalog) Keeps(a store.Assignment, now time.Time) bool {
	return a.Role == c.protectedRole.name && a.Scope == "" && typeOf(a.Subject) == userType &&
		a.Contains(now) && a.End.IsZero()
}

func (t *Table) keeps(a store.Assignment, now time.Time) bool { return t.catalog.Keeps(a, now) }

// live returns a copy of the assignments that have not ended.
func (s Subject) live(now time.Time) []store.Assignment {
	return slices.DeleteFunc(slices.Clone(s.Held), func(a store.Assignment) bool { return a.Ended(now) })
}

func find(assignments []store.Assignment, key store.AssignmentKey) (store.Assignment, bool) {
	i := slices.IndexFunc(assignments, func(a store.Assignment) bool { return a.AssignmentKey == key })
	if i < 0 {
		return store.Assignment{}, false
	}
	return assignments[i], true
}

// authorize asks whether the actor may grant or revoke a role in a scope.
func (t *Table) authorize(actor Actor, action string, r *role, scope string) error {
	if actor.Operator {
		return nil
	}
	d := t.may(actor, action, r, scope)
	if d.Allow {
		return nil
	}
	return notAllowed(actor, fmt.Sprintf("%s the role %q%s", action, r.name, inScope(scope)), d.Reason)
}

// authorizeRevoke asks whether the actor may revoke each of the assignments of a role.
// Where the actor may not, but may revoke other roles, a rule that lets nobody in the
// tenant do it is the better answer.
func (t *Table) authorizeRevoke(actor Actor, r *role, assignments []store.Assignment) error {
	for _, a := range assignments {
		err := t.authorize(actor, revokeAction, r, a.Scope)
		if err == nil {
			continue
		}
		mayOthers := slices.ContainsFunc(t.catalog.roles, func(other *role) bool {
			return t.may(actor, revokeAction, other, a.Scope).Allow
		})
		if refusal := t.checkTakingAway(actor, r); mayOthers && refusal != nil {
			return refusal
		}
		return err
	}
	return nil
}

func (t *Table) may(actor Actor, action string, r *role, scope string) Decision {
	resource := Resource{Type: roleType, ID: r.name}
	if scope != "" {
		resource.Scopes = []string{scope}
	}
	return t.mustDecide(actor, action, resource)
}

// mustDecide decides about a resource whose names the catalog has.
func (t *Table) mustDecide(actor Actor, action string, resource Resource) Decision {
	d, err := t.Decide(actor.Holders, &Request{Subject: actor.Subject, Action: action, Resource: resource})
	if err != nil {
		return Decision{Reason: Reason{Code: RoleLacksPermission}} // a scope of an unknown type: deny
	}
	return d
}

// checkOwnRoles refuses that actors change what they hold themselves.
func checkOwnRoles(actor Actor, subject string) error {
	if !actor.Operator && (subject == actor.Subject || slices.Contains(actor.Groups, subject)) {
		return ownRoles(subject)
	}
	return nil
}

// checkAssignable refuses what the catalog lets nobody hold.
func (t *Table) checkAssignable(actor Actor, s Subject, r *role, scope string) error {
	if err := checkOwnRoles(actor, s.Name); err != nil {
		return err
	}
	switch {
	case r == t.catalog.defaultRole:
		return notAssignable(r)
	case !r.holders[typeOf(s.Name)]:
		return notAssignableToHolder(r, s.Name, keys(r.holders))
	case scope != "" && !r.heldIn[typeOf(scope)]:
		return notAssignableInScope(r, scope)
	}
	return nil
}

// checkTakingAway refuses to take a role away from somebody where a transition from it
// to any other role, or none, is refused.
func (t *Table) checkTakingAway(actor Actor, r *role) error {
	for _, transition := range t.catalog.transitions {
		if transition.from == r && transition.to == nil && transition.binds(actor) {
			return transitionRefused(transition, nil)
		}
	}
	return nil
}

// checkExclusive refuses a second exclusive role at the same time.
func (t *Table) checkExclusive(actor Actor, live []store.Assignment, r *role, grant store.Assignment) error {
	if !r.exclusive {
		return nil
	}
	for _, a := range live {
		other := t.catalog.rolesByName[a.Role]
		if other == nil || !other.exclusive || other == r || !a.Overlaps(grant.Interval) {
			continue
		}
		for _, transition := range t.catalog.transitions {
			if transition.from == other && (transition.to == nil || transition.to == r) && transition.binds(actor) {
				return transitionRefused(transition, r)
			}
		}
		return oneRoleOnly(r, a)
	}
	return nil
}

func (tr transition) binds(actor Actor) bool { return !actor.Operator || !tr.operatorMay }
