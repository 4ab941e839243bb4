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
	// at only if the subject keeps it itself, and an assignment of it is taken away or
	// gets another interval.
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
	held := byKey(live)
	given := []store.Assignment{grant}
	shortened := shortenedBy(given, held, now)

	if err := t.authorize(actor, grantAction, r, grant.Scope); err != nil {
		return nil, err
	}
	if err := t.authorizeRevoke(actor, r, shortened); err != nil {
		return nil, err
	}
	if err := checkOwnRoles(actor, s.Name); err != nil {
		return nil, err
	}
	if err := r.checkAssignable(s.Name, grant.Scope); err != nil {
		return nil, err
	}
	if err := t.checkShortened(actor, r, shortened); err != nil {
		return nil, err
	}
	if err := t.checkExclusive(actor, live, r, grant.Interval); err != nil {
		return nil, err
	}
	return t.exchange(s, held, nil, given, now)
}

// PlanRevoke answers what has to be written so that the subject no longer holds the
// role, in one scope ("" is the tenant) or everywhere. No changes mean that all is so
// already. The error is a *Refusal.
func (t *Table) PlanRevoke(actor Actor, s Subject, roleName, scope string, everywhere bool, now time.Time) ([]store.Change, error) {
	r := t.catalog.rolesByName[roleName]
	live := s.live(now)
	var ofRole, taken []store.Assignment
	for _, a := range live {
		if a.Role != roleName {
			continue
		}
		ofRole = append(ofRole, a)
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
		if scope == "" && len(ofRole) > 0 {
			return nil, heldInScopes(s.Name, ofRole)
		}
		return nil, nil
	}
	if err := t.checkTransition(actor, r, nil); err != nil {
		return nil, err
	}
	return t.exchange(s, byKey(live), taken, nil, now)
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

// live returns a copy of the assignments that have not ended.
func (s Subject) live(now time.Time) []store.Assignment {
	return slices.DeleteFunc(slices.Clone(s.Held), func(a store.Assignment) bool { return a.Ended(now) })
}

func byKey(assignments []store.Assignment) map[store.AssignmentKey]store.Interval {
	all := make(map[store.AssignmentKey]store.Interval, len(assignments))
	for _, a := range assignments {
		all[a.AssignmentKey] = a.Interval
	}
	return all
}

// shortenedBy returns those of the held assignments of which something that is left from
// now on would be lost, because the given ones replace their intervals.
func shortenedBy(given []store.Assignment, held map[store.AssignmentKey]store.Interval, now time.Time) []store.Assignment {
	var shortened []store.Assignment
	for _, a := range given {
		if old, exists := held[a.AssignmentKey]; exists && !a.CoversFrom(now, old) {
			shortened = append(shortened, a)
		}
	}
	return shortened
}

// exchange answers with the changes by which the subject loses some of what it holds and
// is given something else, or other intervals. It checks the rules about what there is in
// the end, and it changes held, which are the subject's assignments that have not ended.
func (t *Table) exchange(s Subject, held map[store.AssignmentKey]store.Interval, taken, given []store.Assignment, now time.Time) ([]store.Change, error) {
	before, kept := len(held), t.keepsOne(held, now)
	var changes []store.Change
	for _, a := range taken {
		delete(held, a.AssignmentKey)
		changes = append(changes, store.RemoveAssignment{Tenant: s.Tenant, Key: a.AssignmentKey})
	}
	for _, a := range given {
		if old, exists := held[a.AssignmentKey]; exists && old.Equal(a.Interval) {
			continue
		}
		held[a.AssignmentKey] = a.Interval
		changes = append(changes, store.SetAssignment{Tenant: s.Tenant, Assignment: a})
	}
	switch ended := len(s.Held) - before; {
	case len(changes) == 0:
		return nil, nil
	case kept && !t.keepsOne(held, now) && !s.OthersKeep:
		return nil, t.lastHolder(s.Name)
	case len(held) > max(before, MaxAssignments):
		return nil, tooManyAssignments(s.Name)
	case len(held)+ended > MaxAssignments:
		changes = append(changes, s.clearEnded(held, now)...)
	}
	return changes, nil
}

// keepsOne reports whether one of a subject's assignments keeps the protected role.
func (t *Table) keepsOne(held map[store.AssignmentKey]store.Interval, now time.Time) bool {
	for key, interval := range held {
		if t.catalog.Keeps(store.Assignment{AssignmentKey: key, Interval: interval}, now) {
			return true
		}
	}
	return false
}

// clearEnded removes the assignments that have ended, to make room; not one that is
// granted anew.
func (s Subject) clearEnded(held map[store.AssignmentKey]store.Interval, now time.Time) []store.Change {
	var changes []store.Change
	for _, a := range s.Held {
		if _, again := held[a.AssignmentKey]; a.Ended(now) && !again {
			changes = append(changes, store.RemoveAssignment{Tenant: s.Tenant, Key: a.AssignmentKey, Cleared: true})
		}
	}
	return changes
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
	return notAllowedFor(actor, action, r, scope, d.Reason)
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
		if refusal := t.checkTransition(actor, r, nil); mayOthers && refusal != nil {
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
func (r *role) checkAssignable(subject, scope string) error {
	switch {
	case r == r.catalog.defaultRole:
		return notAssignable(r)
	case !r.holders[typeOf(subject)]:
		return notAssignableToHolder(r, subject, keys(r.holders))
	case scope != "" && !r.heldIn[typeOf(scope)]:
		return notAssignableInScope(r, scope)
	}
	return nil
}

// checkTransition refuses to take a role away from somebody who is to have another one
// instead (nil, or the role itself: none) where the catalog refuses that transition.
func (t *Table) checkTransition(actor Actor, from, to *role) error {
	if to == from {
		to = nil
	}
	for _, transition := range t.catalog.transitions {
		if transition.from == from && (transition.to == nil || transition.to == to) && transition.binds(actor) {
			return transitionRefused(transition, to)
		}
	}
	return nil
}

// checkShortened refuses to shorten assignments of a role that can't be taken away.
func (t *Table) checkShortened(actor Actor, r *role, shortened []store.Assignment) error {
	if len(shortened) == 0 {
		return nil
	}
	return t.checkTransition(actor, r, nil)
}

// checkExclusive refuses a second exclusive role at the same time.
func (t *Table) checkExclusive(actor Actor, live []store.Assignment, r *role, interval store.Interval) error {
	if !r.exclusive {
		return nil
	}
	for _, a := range live {
		other := t.catalog.rolesByName[a.Role]
		if other == nil || !other.exclusive || other == r || !a.Overlaps(interval) {
			continue
		}
		if err := t.checkTransition(actor, other, r); err != nil {
			return err
		}
		return oneRoleOnly(r, a)
	}
	return nil
}

func (tr transition) binds(actor Actor) bool {
	return !actor.Operator || !tr.source.GetOperatorMay()
}
