package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/usher-pdp/usher/store"
)

// PlanChangeRole answers what has to be written so that the subject has the role `to`
// instead of the role `from`, which it loses wherever it is held: in the given scopes, or
// in the tenant if there are none. With both alike, the role is moved: where it is held and
// to be held, it gets the interval. No changes mean that all is so already. The error is a
// *Refusal.
func (t *Table) PlanChangeRole(actor Actor, s Subject, from, to string, scopes []string, interval store.Interval, now time.Time) ([]store.Change, error) {
	old, r := t.catalog.rolesByName[from], t.catalog.rolesByName[to]
	live := s.live(now)
	held := byKey(live)
	given := s.inScopes(to, scopes, interval)
	stays := byKey(given)
	var taken, remaining []store.Assignment
	for _, a := range live {
		if _, moved := stays[a.AssignmentKey]; a.Role == from && !moved {
			taken = append(taken, a)
		} else {
			remaining = append(remaining, a)
		}
	}
	shortened := shortenedBy(given, held, now)

	holdsOld := slices.ContainsFunc(live, func(a store.Assignment) bool { return a.Role == from })
	needed := taken
	if !holdsOld {
		// Without anything to take, the actor still has to be one who might.
		needed = s.inScopes(from, scopes, interval)
	}
	if err := t.authorizeRevoke(actor, old, needed); err != nil {
		return nil, err
	}
	for _, a := range given {
		if err := t.authorize(actor, grantAction, r, a.Scope); err != nil {
			return nil, err
		}
	}
	if err := t.authorizeRevoke(actor, r, shortened); err != nil {
		return nil, err
	}
	if err := checkOwnRoles(actor, s.Name); err != nil {
		return nil, err
	}
	if !holdsOld && !containsAll(held, given) {
		return nil, notHeld(s.Name, old)
	}
	for _, a := range given {
		if err := r.checkAssignable(s.Name, a.Scope); err != nil {
			return nil, err
		}
	}
	if len(taken) > 0 {
		if err := t.checkTransition(actor, old, r); err != nil {
			return nil, err
		}
	}
	if err := t.checkShortened(actor, r, shortened); err != nil {
		return nil, err
	}
	if err := t.checkExclusive(actor, remaining, r, interval); err != nil {
		return nil, err
	}
	return t.exchange(s, held, taken, given, now)
}

// PlanRemoveSubject answers what has to be written so that the subject holds nothing in
// the tenant, neither now nor later. No changes mean that all is so already. The error is
// a *Refusal, unless the catalog lacks one of the roles.
func (t *Table) PlanRemoveSubject(actor Actor, s Subject, now time.Time) ([]store.Change, error) {
	live := s.live(now)
	for _, a := range live {
		r := t.catalog.rolesByName[a.Role]
		if r == nil {
			return nil, fmt.Errorf("%s holds the role %q, which %v does not have", s.Name, a.Role, t.catalog.Ref())
		}
		if err := t.authorizeRevoke(actor, r, []store.Assignment{a}); err != nil {
			return nil, err
		}
	}
	if len(live) == 0 && !t.mayRevokeSome(actor) {
		return nil, notAllowed(actor, "revoke any role", Reason{})
	}
	if err := checkOwnRoles(actor, s.Name); err != nil {
		return nil, err
	}
	for _, a := range live {
		if err := t.checkTransition(actor, t.catalog.rolesByName[a.Role], nil); err != nil {
			return nil, err
		}
	}
	return t.exchange(s, byKey(live), live, nil, now)
}

// inScopes returns assignments of a role to the subject in each of the scopes, or in the
// tenant if there are none, in their order.
func (s Subject) inScopes(role string, scopes []string, interval store.Interval) []store.Assignment {
	if len(scopes) == 0 {
		scopes = []string{""}
	}
	scopes = slices.Clone(scopes)
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	all := make([]store.Assignment, len(scopes))
	for i, scope := range scopes {
		all[i] = store.Assignment{
			AssignmentKey: store.AssignmentKey{Subject: s.Name, Role: role, Scope: scope},
			Interval:      interval,
		}
	}
	return all
}

// containsAll reports whether all of the assignments are held, with their intervals.
func containsAll(held map[store.AssignmentKey]store.Interval, assignments []store.Assignment) bool {
	return !slices.ContainsFunc(assignments, func(a store.Assignment) bool {
		interval, exists := held[a.AssignmentKey]
		return !exists || !interval.Equal(a.Interval)
	})
}

// mayRevokeSome asks whether the actor may revoke some role somewhere.
func (t *Table) mayRevokeSome(actor Actor) bool {
	if actor.Operator {
		return true
	}
	scopes := append([]string{""}, t.scopesOf(actor, revokeAction)...)
	return slices.ContainsFunc(t.catalog.roles, func(r *role) bool {
		return slices.ContainsFunc(scopes, func(scope string) bool { return t.may(actor, revokeAction, r, scope).Allow })
	})
}
