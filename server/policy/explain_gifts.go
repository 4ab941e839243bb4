package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/usher-pdp/usher/store"
)

// gift is a role that may be given in one place.
type gift struct {
	subject int // of the subjects
	role    *role
	place   string // "" is the tenant
	// given is the assignment: one that is to start now, or a new one.
	given  store.Assignment
	starts bool
}

// gifts are the roles that could allow the request: those that are to start later come first,
// then those that may be granted, the least powerful ones first, and of the same role those in
// scopes before the one in the tenant.
func (s *search) gifts(at state) []gift {
	catalog := at.table.catalog
	var all []gift
	for i, subject := range at.subjects {
		for _, a := range subject.live(s.now) {
			if r := catalog.rolesByName[a.Role]; r != nil && !a.Contains(s.now) && s.allows(r) {
				all = append(all, gift{i, r, a.Scope, store.Assignment{AssignmentKey: a.AssignmentKey, Interval: store.Interval{End: a.End}}, true})
			}
		}
	}
	places := append(slices.Sorted(slices.Values(at.resource.Scopes)), "")
	for _, r := range catalog.roles {
		if r == catalog.defaultRole || !s.allows(r) {
			continue
		}
		for _, place := range slices.Compact(slices.Clone(places)) {
			key := store.AssignmentKey{Subject: at.subjects[0].Name, Role: r.name, Scope: place}
			if r.checkAssignable(key.Subject, place) == nil {
				all = append(all, gift{0, r, place, store.Assignment{AssignmentKey: key}, false})
			}
		}
	}
	slices.SortStableFunc(all, func(g, h gift) int {
		switch {
		case g.starts != h.starts && g.starts:
			return -1
		case g.starts != h.starts:
			return 1
		}
		return cmp.Or(cmp.Compare(len(s.givenBy(g.role)), len(s.givenBy(h.role))), cmp.Compare(g.role.index, h.role.index))
	})
	return all
}

// allows reports whether a role has an allow rule about the permission.
func (s *search) allows(r *role) bool {
	return slices.ContainsFunc(s.permission.rules[r.index], rule.allows)
}

// givenBy are the permissions that a role has allow rules about.
func (s *search) givenBy(r *role) map[*permission]bool {
	gives, known := s.gives[r]
	if known {
		return gives
	}
	gives = map[*permission]bool{}
	for _, t := range r.catalog.resourceTypes {
		for _, p := range t.actions {
			if slices.ContainsFunc(p.rules[r.index], rule.allows) {
				gives[p] = true
			}
		}
	}
	s.gives[r] = gives
	return gives
}

// exceeds reports whether a gift gives more than a lesser one, in the same place or in a wider
// one.
func (s *search) exceeds(g, lesser gift) bool {
	if g.subject != lesser.subject || g.place != lesser.place && g.place != "" {
		return false
	}
	if g.role == lesser.role {
		return true
	}
	more, less := s.givenBy(g.role), s.givenBy(lesser.role)
	if len(more) <= len(less) {
		return false
	}
	for p := range less {
		if !more[p] {
			return false
		}
	}
	return true
}

// giving are the steps that give one of the roles and are enough.
func (s *search) giving(at state, gifts []gift) (steps []Step) {
	var given []gift
	for _, g := range gifts {
		if s.left < 0 {
			return nil
		}
		if slices.ContainsFunc(given, func(lesser gift) bool { return s.exceeds(g, lesser) }) {
			continue
		}
		if step, _, ok := s.give(at, g, s.allowed); ok {
			given, steps = append(given, g), append(steps, step)
		}
	}
	return steps
}

// give finds the step by which the role is given and that leads to a useful state: a grant, or
// a change from another role if only one of the two may be held.
func (s *search) give(at state, g gift, useful func(state) bool) (Step, state, bool) {
	step := Step{
		Kind: StepGrant, Subject: g.given.Subject, Role: g.role.name,
		Scopes: scopesAt([]string{g.place}), Interval: g.given.Interval, Early: g.starts,
	}
	// What it would come to, but for the rules of administration.
	alone, err := NewHolder(at.table.catalog, g.given.Subject, []store.Assignment{g.given}, s.now)
	if err != nil {
		return step, at, false
	}
	s.left -= 4
	more := at
	more.holders = append(slices.Clip(at.holders), alone)
	if useful(more) {
		after, refused, ok := s.perform(at, step)
		if ok {
			return step, after, useful(after)
		}
		if refused != OneRoleOnly && refused != TransitionRefused {
			return step, at, false
		}
	} else if !g.role.exclusive {
		return step, at, false
	}
	step.Kind = StepChangeRole
	for _, from := range at.subjects[g.subject].exclusives(at.table.catalog, g.role, s.now) {
		step.From, step.Scopes = from.name, scopesAt(at.subjects[g.subject].placesAfter(from, g, s.now))
		if after, _, ok := s.perform(at, step); ok && useful(after) {
			return step, after, true
		}
	}
	return step, at, false
}

// placesAfter are where a subject is to hold the role of a gift when it takes the place of
// another one: where it is given, and, unless that is the tenant, wherever the other one is held
// now without an end.
func (s Subject) placesAfter(from *role, g gift, now time.Time) []string {
	places := []string{g.place}
	for _, a := range s.Held {
		if g.place != "" && a.Role == from.name && g.role.heldIn[typeOf(a.Scope)] && a.Contains(now) && a.End.IsZero() {
			places = append(places, a.Scope)
		}
	}
	slices.Sort(places)
	return slices.Compact(places)
}
