package policy

import (
	"maps"
	"math/bits"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"
)

// refutation is a search for a counterexample. It goes through all states and requests that the
// rules about a permission, or about two that are answered alike, tell apart for one way of
// holding roles.
type refutation struct {
	prover     *prover
	statement  *statement
	permission *permission
	asker      asker
	holders    []*Holder
	// assigned are the scopes in which something is held.
	assigned []string
	toggles  []*toggle
	scopes   []string
	owns     bool
	facts    []facts
}

// stateCase is a state and a request.
type stateCase struct {
	table  *Table
	scopes []string
	own    bool
	facts  facts
}

// refute returns a counterexample for one way of holding roles, or nil.
func (p *prover) refute(s *statement, positions []position, permission *permission) (*Counterexample, error) {
	who, ok := carry(positions, anyone)
	if !ok {
		return nil, nil
	}
	k := &refutation{prover: p, statement: s, permission: permission, asker: who, assigned: scopesOf(positions)}
	k.holders = who.holders(p.catalog)
	if !k.prepare(positions) {
		return nil, &TooManyCasesError{Permission: permission.name}
	}
	return k.run()
}

// prepare finds what the rules look at.
func (k *refutation) prepare(positions []position) bool {
	rules := k.rulesOf(positions, k.permission)
	conditions := conditionsOf(rules)
	for _, limit := range []map[*resourceType]*condition{k.statement.where, k.statement.unless} {
		if c := limit[k.permission.of]; c != nil {
			conditions = append(conditions, c)
		}
	}
	if alike := k.statement.alike; alike != nil {
		others := k.rulesOf(positions, alike.as)
		rules = append(rules, others...)
		for _, c := range conditionsOf(others) {
			conditions = append(conditions, c.withID(alike.of))
		}
	}
	k.noteGate(k.statement.gate)
	var types []string
	note := func(r reach) {
		types = anyTypes(types, r)
		k.owns = k.owns || r.kind == reachOwn
	}
	note(k.statement.within)
	note(k.statement.beyond)
	for _, r := range rules {
		k.noteGate(r.gate)
		note(r.reach)
		if r.widening != nil {
			k.noteGate(r.widening.gate)
			note(r.widening.reach)
		}
	}
	k.scopes = slices.Clone(k.assigned)
	for _, t := range types {
		k.scopes = append(k.scopes, t+otherScope)
	}
	return len(k.toggles) <= maxToggles && k.findFacts(conditions)
}

// findFacts finds facts for each way in which the conditions come out together.
func (k *refutation) findFacts(conditions []*condition) bool {
	if !k.permission.of.administrative {
		var ok bool
		k.facts, ok = factsOf(facts{}, conditions, unknownsOf(conditions))
		return ok
	}
	for _, id := range append([]string{""}, k.prover.catalog.namesOf(k.permission.of)...) {
		// The other permission may look at attributes; the id of this one is settled.
		settled := slices.Clone(conditions)
		for i, c := range settled {
			settled[i] = c.withID(id)
		}
		all, ok := factsOf(facts{}, settled, unknownsOf(settled))
		if !ok {
			return false
		}
		for _, f := range all {
			f.id = id
			k.facts = append(k.facts, f)
		}
	}
	return true
}

// rulesOf returns the rules about a permission of roles that are held, and of the default
// role.
func (k *refutation) rulesOf(positions []position, p *permission) []rule {
	roles := map[*role]bool{}
	if standard := k.prover.catalog.defaultRole; standard != nil {
		roles[standard] = true
	}
	for _, held := range positions {
		roles[held.role] = true
	}
	var rules []rule
	for i, r := range k.prover.catalog.roles {
		if roles[r] {
			rules = append(rules, p.rules[i]...)
		}
	}
	return rules
}

func conditionsOf(rules []rule) []*condition {
	var all []*condition
	for _, r := range rules {
		if r.condition != nil && !slices.Contains(all, r.condition) {
			all = append(all, r.condition)
		}
	}
	return all
}

func (k *refutation) noteGate(g gate) {
	if g.toggle != nil && !g.toggle.locked && !slices.Contains(k.toggles, g.toggle) {
		k.toggles = append(k.toggles, g.toggle)
	}
}

// maxToggles bounds how many toggles the rules about one permission look at.
const maxToggles = 16

// most is in how many scopes a resource has to lie at most: what allows needs two of them (an
// assigned one, and one of some type), so does what forbids, and the limit of the statement may
// need one more. Only a likeness needs what allows and what forbids.
func (s *statement) most() int {
	if s.alike != nil {
		return 5
	}
	return 3
}

// run decides the cases, those first that are the easiest to read.
func (k *refutation) run() (*Counterexample, error) {
	owners := []bool{false, true}
	if !k.owns {
		owners = owners[:1]
	}
	sets := setsOf(k.scopes, k.statement.most())
	for _, changed := range byCount(len(k.toggles)) {
		table := k.prover.table(k.toggles, changed)
		if !table.open(k.statement.gate) {
			continue
		}
		for _, set := range sets {
			for _, own := range owners {
				if err := k.prover.spend(2 * len(k.facts)); err != nil {
					return nil, err
				}
				for _, f := range k.facts {
					if c := (stateCase{table, set, own, f}); k.breaks(c) {
						return k.counterexample(k.simplest(c), changed), nil
					}
				}
			}
		}
	}
	return nil, nil
}

// byCount returns all sets of so many things as bits, small sets first.
func byCount(n int) []uint {
	all := make([]uint, 1<<n)
	for i := range all {
		all[i] = uint(i)
	}
	slices.SortStableFunc(all, func(a, b uint) int { return bits.OnesCount(a) - bits.OnesCount(b) })
	return all
}

// setsOf returns all sets of at most so many of the scopes, small ones first.
func setsOf(scopes []string, most int) [][]string {
	all := [][]string{nil}
	for from, size := 0, 0; size < min(most, len(scopes)); size++ {
		upTo := len(all)
		for _, set := range all[from:upTo] {
			next := 0
			if len(set) > 0 {
				next = slices.Index(scopes, set[len(set)-1]) + 1
			}
			for _, s := range scopes[next:] {
				all = append(all, append(slices.Clone(set), s))
			}
		}
		from = upTo
	}
	return all
}

// table returns the table in which some toggles do not stand as they start.
func (p *prover) table(toggles []*toggle, changed uint) *Table {
	return NewTable(p.catalog, toggled(toggles, changed))
}

// toggled returns how the toggles stand that do not stand as they start.
func toggled(toggles []*toggle, changed uint) map[string]bool {
	var set map[string]bool
	for i, t := range toggles {
		if changed&(1<<i) != 0 {
			if set == nil {
				set = map[string]bool{}
			}
			set[t.name] = !t.startsOn
		}
	}
	return set
}

// breaks reports whether the statement is about a case, and does not hold in it.
func (k *refutation) breaks(c stateCase) bool {
	s, r := k.statement, k.resource(c)
	if s.within.kind != reachNothing && !k.covered(s.within, r) || k.covered(s.beyond, r) {
		return false
	}
	if where := s.where[k.permission.of]; where != nil && where.holds(r) != isTrue {
		return false
	}
	if unless := s.unless[k.permission.of]; unless != nil && unless.holds(r) == isTrue {
		return false
	}
	allowed := k.allowed(c, r, k.permission)
	switch {
	case len(s.always) > 0:
		return !allowed
	case s.alike == nil:
		return allowed
	}
	return allowed != k.allowed(c, k.other(c), s.alike.as)
}

func (k *refutation) allowed(c stateCase, r *Resource, p *permission) bool {
	q := Question{table: c.table, holders: k.holders, subject: k.asker.subject, resource: r, permission: p}
	return q.best().rank == rankGranted
}

// covered reports whether a reach of the statement covers a resource.
func (k *refutation) covered(r reach, on *Resource) bool {
	switch r.kind {
	case reachTenant:
		return true
	case reachOwn:
		return on.Owner == k.asker.subject
	case reachAnyScope:
		return hasPrefix(on.Scopes, r.prefix)
	case reachAssigned:
		return slices.ContainsFunc(on.Scopes, func(s string) bool { return slices.Contains(k.assigned, s) })
	}
	return false
}

// resource is what is acted upon in a case.
func (k *refutation) resource(c stateCase) *Resource {
	r := &Resource{Type: k.permission.of.name, ID: c.facts.id, Scopes: c.scopes, Attributes: c.facts.attributes}
	if c.own {
		r.Owner = k.asker.subject
	}
	return r
}

// other is what the other one of two permissions is about.
func (k *refutation) other(c stateCase) *Resource {
	r := k.resource(c)
	r.Type = k.statement.alike.as.of.name
	if of := k.statement.alike.of; of != "" {
		r.ID = of
	}
	return r
}

// simplest leaves out of a case what does not matter, and takes values that are easy to read
// where it can.
func (k *refutation) simplest(c stateCase) stateCase {
	try := func(f facts) bool {
		next := c
		next.facts = f
		if k.breaks(next) {
			c = next
			return true
		}
		return false
	}
	if !k.permission.of.administrative && !try(facts{"", c.facts.attributes}) {
		try(facts{"1", c.facts.attributes})
	}
	for _, name := range slices.Sorted(maps.Keys(c.facts.attributes)) {
		f := c.facts.with(name, nil)
		delete(f.attributes, name)
		if try(f) {
			continue
		}
		for _, v := range []any{true, false, 1, 0, 1.5, "other"} {
			readable, err := structpb.NewValue(v)
			if err == nil && try(c.facts.with(name, readable)) {
				break
			}
		}
	}
	return c
}

func (k *refutation) counterexample(c stateCase, changed uint) *Counterexample {
	r := k.resource(c)
	ask := func(r *Resource, p *permission) Request {
		return Request{Subject: k.asker.subject, Action: p.action(), Resource: *r}
	}
	found := &Counterexample{
		Toggles: toggled(k.toggles, changed),
		Held:    k.asker.roles(),
		Request: ask(r, k.permission),
		Groups:  k.asker.groups,
		Allow:   k.allowed(c, r, k.permission),
	}
	if k.statement.alike != nil {
		other := ask(k.other(c), k.statement.alike.as)
		found.Other = &other
	}
	return found
}

// action is the permission's name without the resource type.
func (p *permission) action() string { return p.name[len(p.of.name)+1:] }

// withID returns the condition as it is for resources with that id; "" is none known, and
// changes nothing.
func (c *condition) withID(id string) *condition {
	if id == "" {
		return c
	}
	return &condition{text: c.text, root: c.root.withID(&Resource{ID: id})}
}

func (n *node) withID(r *Resource) *node {
	switch {
	case n == nil || n.op == opConstant:
		return n
	case n.op == opAnd || n.op == opOr || n.op == opNot:
		return &node{op: n.op, left: n.left.withID(r), right: n.right.withID(r)}
	case n.attribute.name != idAttribute:
		return n
	}
	return &node{op: opConstant, constant: value{b: n.eval(r) == isTrue}}
}
