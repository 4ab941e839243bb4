package policy

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Filter says on which resources of a type a subject may do an action: on those that some
// alternative of Allow matches and none of Forbid does. It agrees with Decide for every
// resource.
type Filter struct {
	Allow, Forbid []Alternative
	// RecheckBy is the next start or end among the assignments that were looked at, or zero if
	// there is none.
	RecheckBy time.Time
}

// Alternative covers the resources in its reach that lie in one of the scopes LimitedTo, if
// there are any, and meet its condition, if there is one. In Allow the condition is met if it is
// true, in Forbid if it is true or undecided.
type Alternative struct {
	Reach AlternativeReach
	// Scopes are those of ReachScopes, in byte order.
	Scopes []string
	// ScopeType is that of ReachAnyScope.
	ScopeType string
	// LimitedTo are scopes in byte order.
	LimitedTo []string
	// Condition is the text of the condition as the catalog has it, or empty, and Expression
	// what it means, or nil.
	Condition  string
	Expression *Expression
}

// AlternativeReach is a way to say which resources an Alternative reaches.
type AlternativeReach uint8

// The reaches.
const (
	ReachTenant   AlternativeReach = iota + 1 // all of the tenant
	ReachScopes                               // those in one of some scopes
	ReachAnyScope                             // those in some scope of a type
	ReachOwn                                  // those that the subject owns
)

// Filter returns the filter for the resources of a type on which the subject (the first
// Holder) and its groups may do an action. Every Holder has to be current. The error is an
// *UnknownNameError.
func (t *Table) Filter(holders []*Holder, subject, action, resourceType string) (Filter, error) {
	of := t.catalog.resourceTypes[resourceType]
	if of == nil {
		return Filter{}, unknownName("resource_type", "RESOURCE_TYPE", resourceType, keys(t.catalog.resourceTypes))
	}
	p := of.actions[action]
	if p == nil {
		return Filter{}, unknownName("action", "ACTION", action, keys(of.actions))
	}
	c := covering{
		table: t, permission: p, ownsNothing: isOfType(subject, groupType),
		allow: coverages{}, forbid: coverages{},
	}
	useDefault := t.catalog.defaultRole != nil
	for _, h := range holders {
		for i := range h.active {
			c.add(&h.holdings[i])
		}
		useDefault = useDefault && !h.endsDefault
	}
	if useDefault {
		c.add(&t.catalog.defaultHolding)
	}
	return Filter{
		Allow:     c.allow.alternatives(),
		Forbid:    c.forbid.alternatives(),
		RecheckBy: recheckBy(holders),
	}, nil
}

// covering collects what the rules about a permission cover.
type covering struct {
	table         *Table
	permission    *permission
	ownsNothing   bool // who asks is a group
	allow, forbid coverages
}

// add adds the rules of a holding whose toggles let them hold.
func (c *covering) add(h *holding) {
	rules := c.permission.rules[h.role.index]
	for i := range rules {
		r := &rules[i]
		if !c.table.open(r.gate) {
			continue
		}
		all := c.allow
		if r.forbid {
			all = c.forbid
		}
		to := all.under(r.condition)
		c.addReach(to, r.reach, h)
		if w := r.widening; w != nil && c.table.open(w.gate) {
			c.addReach(to, w.reach, h)
		}
	}
}

// addReach adds a reach of a rule. An administrative permission that is held in scopes reaches
// what lies in one of them only.
func (c *covering) addReach(to *coverage, reach reach, h *holding) {
	limited := c.permission.of.administrative && h.scopes[0] != ""
	switch reach.kind {
	case reachTenant:
		if limited {
			to.scopes = append(to.scopes, h.scopes...)
		} else {
			to.tenant = true
		}
	case reachAssigned:
		held := h.scopes
		if held[0] == "" {
			held = held[1:]
		}
		to.scopes = append(to.scopes, held...)
	case reachOwn:
		switch {
		case c.ownsNothing:
		case limited:
			to.limit(wide{kind: ReachOwn}, h.scopes)
		default:
			to.wide = append(to.wide, wide{kind: ReachOwn})
		}
	case reachAnyScope:
		any := wide{ReachAnyScope, typeOf(reach.prefix)}
		if limited {
			// What lies in a scope of the type does lie in some scope of the type.
			of, others := split(h.scopes, any.scopeType)
			to.scopes = append(to.scopes, of...)
			to.limit(any, others)
		} else {
			to.wide = append(to.wide, any)
		}
	}
}

// split returns the scopes of a type, and the others.
func split(scopes []string, scopeType string) (of, others []string) {
	for _, s := range scopes {
		if isOfType(s, scopeType) {
			of = append(of, s)
		} else {
			others = append(others, s)
		}
	}
	return of, others
}

// coverages are what is covered under each condition, by its text; "" is none.
type coverages map[string]*coverage

// coverage is what is covered under one condition; nil is none.
type coverage struct {
	condition *condition
	tenant    bool
	scopes    []string
	wide      []wide
	limited   []limitedCoverage
}

// wide is a reach that names no scopes.
type wide struct {
	kind      AlternativeReach // ReachOwn or ReachAnyScope
	scopeType string
}

func (w wide) compare(x wide) int {
	return cmp.Or(cmp.Compare(w.kind, x.kind), cmp.Compare(w.scopeType, x.scopeType))
}

// limitedCoverage is what a wide reach covers within some scopes.
type limitedCoverage struct {
	wide
	to []string
}

// under returns the coverage under a condition.
func (all coverages) under(c *condition) *coverage {
	text := ""
	if c != nil {
		text = c.text
	}
	if all[text] == nil {
		all[text] = &coverage{condition: c}
	}
	return all[text]
}

// limit adds a reach within scopes.
func (c *coverage) limit(reach wide, to []string) {
	i := slices.IndexFunc(c.limited, func(l limitedCoverage) bool { return l.wide == reach })
	if i < 0 {
		i, c.limited = len(c.limited), append(c.limited, limitedCoverage{wide: reach})
	}
	c.limited[i].to = append(c.limited[i].to, to...)
}

// alternatives returns the alternatives, first those without a condition, then in the order of
// the conditions' texts. What another one of them covers is left out.
func (all coverages) alternatives() (alternatives []Alternative) {
	none := all.under(nil)
	for _, text := range slices.Sorted(maps.Keys(all)) {
		c := all[text]
		c.order()
		c.leaveOut(none)
		alternatives = append(alternatives, c.alternatives()...)
	}
	return alternatives
}

// order puts each list in order, and leaves out what is there twice.
func (c *coverage) order() {
	c.scopes = ordered(c.scopes)
	slices.SortFunc(c.wide, wide.compare)
	c.wide = slices.Compact(c.wide)
	slices.SortFunc(c.limited, func(a, b limitedCoverage) int { return a.compare(b.wide) })
	for i := range c.limited {
		c.limited[i].to = ordered(c.limited[i].to)
	}
}

func ordered(scopes []string) []string {
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// leaveOut leaves out what something else of the coverage, or of that without a condition,
// covers. Both are in order.
func (c *coverage) leaveOut(none *coverage) {
	if c.tenant || none.tenant {
		*c = coverage{condition: c.condition, tenant: c == none || !none.tenant}
		return
	}
	other := none
	if c == none {
		other = &coverage{} // nothing is left out because of itself
	}
	covers := func(w wide) bool { return contains(other.wide, w) }
	c.wide = slices.DeleteFunc(c.wide, covers)
	ofType := func(scope string) bool {
		any := wide{ReachAnyScope, typeOf(scope)}
		return contains(c.wide, any) || covers(any)
	}
	c.scopes = slices.DeleteFunc(c.scopes, func(scope string) bool { return ofType(scope) || inOrdered(other.scopes, scope) })
	for i, l := range c.limited {
		if contains(c.wide, l.wide) || covers(l.wide) {
			c.limited[i].to = nil
			continue
		}
		k := slices.IndexFunc(other.limited, func(o limitedCoverage) bool { return o.wide == l.wide })
		c.limited[i].to = slices.DeleteFunc(l.to, func(scope string) bool {
			return inOrdered(c.scopes, scope) || k >= 0 && inOrdered(other.limited[k].to, scope) || inOrdered(other.scopes, scope) || ofType(scope)
		})
	}
}

func inOrdered(scopes []string, scope string) bool {
	_, found := slices.BinarySearch(scopes, scope)
	return found
}

func contains(all []wide, w wide) bool {
	_, found := slices.BinarySearchFunc(all, w, wide.compare)
	return found
}

// alternatives returns what the coverage says, the widest first.
func (c *coverage) alternatives() (all []Alternative) {
	add := func(a Alternative) {
		if c.condition != nil {
			a.Condition, a.Expression = c.condition.text, c.condition.root.expression()
		}
		all = append(all, a)
	}
	if c.tenant {
		add(Alternative{Reach: ReachTenant})
	}
	if len(c.scopes) > 0 {
		add(Alternative{Reach: ReachScopes, Scopes: c.scopes})
	}
	for _, w := range c.wide {
		add(Alternative{Reach: w.kind, ScopeType: w.scopeType})
	}
	for _, l := range c.limited {
		if len(l.to) > 0 {
			add(Alternative{Reach: l.kind, ScopeType: l.scopeType, LimitedTo: l.to})
		}
	}
	return all
}
