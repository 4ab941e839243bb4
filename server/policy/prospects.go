package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Prospects are which actions on a resource a subject could come to be allowed without
// another role: for some other state of the toggles that are not locked, and of the scopes,
// owner and attributes of the resource. Its type and id stay. They are not for several
// goroutines.
type Prospects struct {
	table    *Table
	subject  string
	resource *Resource
	of       *resourceType
	// without are the actions for which no way has been found yet.
	without map[string]bool
	// shapes are what has been considered.
	shapes map[string]bool
}

// NewProspects is for some actions of the resource's type, and the names in the resource have
// to be those of the table's catalog.
func NewProspects(t *Table, subject string, r *Resource, actions []string) *Prospects {
	p := &Prospects{table: t, subject: subject, resource: r, of: t.catalog.resourceTypes[r.Type]}
	p.without, p.shapes = map[string]bool{}, map[string]bool{}
	for _, action := range actions {
		p.without[action] = true
	}
	return p
}

// Possible reports whether an action could be allowed by what has been considered. If there are
// so many cases that it can't be found out, that counts as possible.
func (p *Prospects) Possible(action string) bool { return !p.without[action] }

// Consider adds what the subject (first) and its groups hold, at the moment for which the
// Holders are current.
func (p *Prospects) Consider(holders []*Holder) {
	s := &shape{holders: [2]*Holder{holders[0], holders[0]}}
	s.hold(before, p.table.catalog, holders...)
	s.classify()
	if s.setKey(); p.shapes[s.key] {
		return
	}
	p.shapes[s.key] = true
	maps.DeleteFunc(p.without, func(action string, _ bool) bool { return p.could(action, s, holders) })
}

// Held is all that a subject or group holds, in force or not.
type Held struct {
	Name        string
	Assignments []store.Assignment
}

// maxLater bounds how many assignments are looked at for later moments, counted each time.
const maxLater = 1 << 18

// ConsiderLater adds what the subject (first) and its groups hold after each instant from now on
// at which something starts or ends.
func (p *Prospects) ConsiderLater(held []Held, now time.Time) error {
	var instants []time.Time
	count := 0
	for _, h := range held {
		count += len(h.Assignments)
		for _, a := range h.Assignments {
			for _, t := range []time.Time{a.Start, a.End} {
				if t.After(now) {
					instants = append(instants, t)
				}
			}
		}
	}
	slices.SortFunc(instants, time.Time.Compare)
	instants = slices.CompactFunc(instants, time.Time.Equal)
	for i, t := range instants {
		if len(p.without) == 0 {
			return nil
		}
		holders := make([]*Holder, len(held))
		for k, h := range held {
			var err error
			if holders[k], err = NewHolder(p.table.catalog, h.Name, h.Assignments, t); err != nil {
				return err
			}
		}
		if (i+1)*count > maxLater {
			p.assume(holders)
			return nil
		}
		p.Consider(holders)
	}
	return nil
}

// assume takes for possible what some role allows that is held at any time, or by default.
func (p *Prospects) assume(holders []*Holder) {
	held := map[*role]bool{p.table.catalog.defaultRole: true}
	for _, h := range holders {
		for _, holding := range h.holdings {
			held[holding.role] = true
		}
	}
	maps.DeleteFunc(p.without, func(action string, _ bool) bool {
		rules := p.of.actions[action].rules
		for r := range held {
			if r != nil && slices.ContainsFunc(rules[r.index], rule.allows) {
				return true
			}
		}
		return false
	})
}

// maxProspects bounds in how many cases an action is decided for one shape.
const maxProspects = 1 << 14

// could reports whether an action is allowed in some case, or may be for all that can be
// found out.
func (p *Prospects) could(action string, s *shape, holders []*Holder) bool {
	asked := p.of.actions[action]
	rules := p.table.catalog.rulesWith(asked, p.table.canOpen)
	compared := &comparedPermission{name: asked.name, administrative: p.of.administrative}
	compared.sides[before] = permissionSide{permission: asked, rules: rules}
	k := casesOf([2]*Table{p.table, p.table}, compared, s)
	var toggles []*toggle
	allows := false
	for _, slot := range s.slots {
		for _, r := range rules[slot.role.name].rules {
			allows = allows || !r.forbid
			toggles = appendToggle(toggles, r.gate)
			if r.widening != nil {
				toggles = appendToggle(toggles, r.widening.gate)
			}
		}
	}
	if !allows {
		return false
	}
	unknowns := slices.DeleteFunc(unknownsOf(k.conditions), func(u unknown) bool { return u.name == idAttribute })
	var ok bool
	if k.facts, ok = factsOf(facts{id: p.resource.ID}, k.conditions, unknowns); !ok || k.count() > maxProspects>>len(toggles) {
		return true
	}
	return p.allowedInSome(k, toggles, holders)
}

// canOpen reports whether a gate is open or can be opened.
func (t *Table) canOpen(g gate) bool { return t.open(g) || !g.toggle.locked }

// appendToggle adds the toggle of a gate if it can be set and is not there yet.
func appendToggle(toggles []*toggle, g gate) []*toggle {
	if g.toggle == nil || g.toggle.locked || slices.Contains(toggles, g.toggle) {
		return toggles
	}
	return append(toggles, g.toggle)
}

// allowedInSome decides the cases with all states of some toggles, until one is allowed.
func (p *Prospects) allowedInSome(k *cases, toggles []*toggle, holders []*Holder) (found bool) {
	table := &Table{catalog: p.table.catalog, on: slices.Clone(p.table.on)}
	q := Question{table: table, holders: holders, subject: p.subject, permission: k.permission.sides[before].permission}
	for state := range 1 << len(toggles) {
		for i, t := range toggles {
			table.on[t.index] = state>>i&1 == 1
		}
		k.eachSet(func(groups []int) {
			for f := 0; f < len(k.facts) && !found; f++ {
				q.resource = k.facts[f].resource()
				for _, g := range groups {
					q.resource.Scopes = append(q.resource.Scopes, k.groups[g].scopes[before]...)
				}
				for _, q.resource.Owner = range []string{nobodyElse, p.subject} {
					found = found || q.best().rank == rankGranted
				}
			}
		})
		if found {
			return true
		}
	}
	return false
}
