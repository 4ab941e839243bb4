package policy

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/usher-pdp/usher/store"
)

// position is a role and where it is held; "" is the tenant.
type position struct {
	role  *role
	scope string
}

// The ids of the scopes that counterexamples name. Scopes of one type are alike but for what
// is held in them: "other" is where nothing is held.
const (
	firstScope = ":one"
	otherScope = ":other"
)

// anyone is the id of who asks in counterexamples.
const anyone = ":ann"

// positions returns where a role can be held: in the tenant, and in a scope of each type.
func (r *role) positions(scopeID string) []position {
	all := []position{{role: r}}
	for _, scopeType := range slices.Sorted(maps.Keys(r.heldIn)) {
		all = append(all, position{r, scopeType + scopeID})
	}
	return all
}

// holdings visits the ways of holding roles that a counterexample can need for a permission.
//
// One assignment is enough to break a never: what allows is one rule through one assignment,
// or the default role. Without the others less is forbidden, and no more is in a scope that
// is held; where the resource has to be in such a scope, the assignment in that one scope
// will do, because whatever a role covers, it covers through any scope of the resource in
// which it is held. So it is for an always of one role: either a rule forbids, through one
// assignment, or none allows, and with fewer assignments none does either. For a likeness
// one assignment may allow the one, and a second one forbid the other; one scope of each type
// is enough for the two.
func (p *prover) holdings(s *statement, permission *permission) iter.Seq[[]position] {
	return func(yield func([]position) bool) {
		roles := p.catalog.roles
		if s.role != nil {
			roles = []*role{s.role}
		}
		standard := p.catalog.defaultRole
		if standard != nil && !s.except[standard] && slices.Contains(roles, standard) && !yield(nil) {
			return
		}
		var singles []position
		for _, r := range roles {
			if r != standard && !s.except[r] && p.concerns(s, r, permission) && len(r.holders) > 0 {
				singles = append(singles, r.positions(firstScope)...)
			}
		}
		for _, a := range singles {
			if p.counts(s, a) && !yield([]position{a}) {
				return
			}
		}
		if s.alike == nil {
			return
		}
		for _, a := range singles {
			for _, r := range roles {
				if r == standard || s.except[r] || !p.forbids(r, s.alike.permission) && !p.forbids(r, s.alike.as) {
					continue
				}
				for _, b := range r.positions(firstScope) {
					if a == b || !p.counts(s, a, b) {
						continue
					}
					if _, ok := carry([]position{a, b}, anyone); ok && !yield([]position{a, b}) {
						return
					}
				}
			}
		}
	}
}

// concerns reports whether the role has a rule that what is stated depends on.
func (p *prover) concerns(s *statement, r *role, permission *permission) bool {
	switch {
	case len(s.always) > 0:
		return true
	case s.alike != nil:
		return len(s.alike.permission.rules[r.index])+len(s.alike.as.rules[r.index]) > 0
	}
	return slices.ContainsFunc(permission.rules[r.index], rule.allows)
}

func (p *prover) forbids(r *role, permission *permission) bool {
	return slices.ContainsFunc(permission.rules[r.index], func(rule rule) bool { return rule.forbid })
}

// counts reports whether a statement is about whoever holds that: the default role counts
// where no role that is held allows anything. What one role gives by itself is not what the
// default role gives beside it.
func (p *prover) counts(s *statement, held ...position) bool {
	if slices.ContainsFunc(held, func(h position) bool { return h.role.allows }) {
		return true
	}
	return s.role == nil && !s.except[p.catalog.defaultRole]
}

// asker is who asks in a counterexample, and what the asker and groups of the asker hold.
type asker struct {
	subject     string
	groups      []string
	assignments []store.Assignment
}

// carry finds a subject, of an id, that can hold all of the positions at once, some of them
// through groups. Whether a role is held by the subject or by a group is the same to decisions. It
// reports false if nobody can.
func carry(positions []position, id string) (asker, bool) {
	types := []string{userType}
	for _, held := range positions {
		for _, t := range slices.Sorted(maps.Keys(held.role.holders)) {
			if t != groupType && !slices.Contains(types, t) {
				types = append(types, t)
			}
		}
	}
	for _, t := range types {
		a := asker{subject: t + id}
		if a.carryAll(positions, t, nil) {
			return a, true
		}
	}
	return asker{}, false
}

// carryAll gives each position to the subject, or else to a group of its own.
func (a *asker) carryAll(positions []position, subjectType string, exclusive *role) bool {
	if len(positions) == 0 {
		return true
	}
	held := positions[0]
	conflict := held.role.exclusive && exclusive != nil && exclusive != held.role
	before := *a
	if held.role.holders[subjectType] && !conflict {
		now := exclusive
		if held.role.exclusive {
			now = held.role
		}
		a.hold(a.subject, held)
		if a.carryAll(positions[1:], subjectType, now) {
			return true
		}
		*a = before
	}
	if !held.role.holders[groupType] {
		return false
	}
	_, id, _ := strings.Cut(a.subject, ":")
	group := groupType + ":" + id + "-" + held.role.name
	if !slices.Contains(a.groups, group) {
		a.groups = append(slices.Clone(a.groups), group)
	}
	a.hold(group, held)
	if a.carryAll(positions[1:], subjectType, exclusive) {
		return true
	}
	*a = before
	return false
}

func (a *asker) hold(holder string, held position) {
	given := store.Assignment{AssignmentKey: store.AssignmentKey{Subject: holder, Role: held.role.name, Scope: held.scope}}
	a.assignments = append(slices.Clone(a.assignments), given)
}

// holders returns what decisions are made with.
func (a *asker) holders(c *Catalog) []*Holder {
	all := []*Holder{a.holder(c, a.subject)}
	for _, group := range a.groups {
		all = append(all, a.holder(c, group))
	}
	return all
}

func (a *asker) holder(c *Catalog, name string) *Holder {
	others := func(given store.Assignment) bool { return given.Subject != name }
	h, err := NewHolder(c, name, slices.DeleteFunc(slices.Clone(a.assignments), others), time.Time{})
	if err != nil {
		panic(err) // the roles are those of the catalog
	}
	return h
}

// roles tells what is held, granted by the operator.
func (a *asker) roles() []CounterexampleRole {
	var all []CounterexampleRole
	for _, given := range a.assignments {
		all = append(all, CounterexampleRole{Subject: given.Subject, Role: given.Role, Scope: given.Scope})
	}
	return all
}

// scopes returns those in which something is held.
func scopesOf(positions []position) []string {
	var all []string
	for _, held := range positions {
		if held.scope != "" && !slices.Contains(all, held.scope) {
			all = append(all, held.scope)
		}
	}
	return all
}

// anyTypes adds the scope type of a reach to a list, if it has one.
func anyTypes(list []string, r reach) []string {
	if t := strings.TrimSuffix(r.prefix, ":"); r.kind == reachAnyScope && !slices.Contains(list, t) {
		list = append(list, t)
	}
	return list
}
