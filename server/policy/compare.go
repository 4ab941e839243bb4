package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Effect is what a change means for one subject and one permission: some requests that
// were denied are allowed (gained), or the other way round (lost).
type Effect struct {
	// Permission is what is gained or lost, such as "ticket:view".
	Permission string
	// Gained is whether it is gained. Otherwise it is lost.
	Gained bool
	// Area is where.
	Area Area
	// Condition is the condition of the rule by which it is allowed, then or until then,
	// as the catalog writes it. What does not meet it is not gained or lost by this
	// Effect. Empty: none.
	Condition string
	// Role is the role through which it is allowed, then or until then.
	Role string
}

// Area says on which resources a permission is gained or lost. Not each of them need
// change: there may be some on which it was allowed before, or is still. Where only several
// things together bring it about, such as two scopes, the Area names one of them.
type Area struct {
	Kind AreaKind
	// Name is the scope, the type of scope or the id of the resource, if the kind has one.
	Name string
}

// AreaKind is a way to say on which resources.
type AreaKind uint8

// The kinds.
const (
	AreaTenant   AreaKind = iota + 1 // all of the tenant
	AreaAnyScope                     // those in some scope of a type
	AreaOwn                          // those that the subject owns
	AreaScope                        // those in one scope
	AreaResource                     // the role or toggle of that name
)

// TooManyCasesError is returned where the rules about a permission depend on so many
// attributes, toggles and scopes that it can't be found out what a change means, or whether
// a statement holds.
type TooManyCasesError struct {
	// Permission is what the rules are about.
	Permission string
}

func (e *TooManyCasesError) Error() string {
	return fmt.Sprintf("the rules about %s tell too many cases apart to go through them all: use fewer attributes in their conditions, or fewer toggles", e.Permission)
}

// Comparison finds what a change of toggles, of the catalog or of what is held means for
// subjects. It remembers what it has found for subjects that hold the same in other
// scopes, so that one Comparison is best used for all subjects of a tenant. It is not for
// several goroutines.
//
// What only one of the catalogs has, a permission or the name of a role or toggle, is
// denied by the other one. A scope of a type that only one of them has does not count for
// the other one.
type Comparison struct {
	tables      [2]*Table
	permissions []comparedPermission // in byte order
	// altered are the roles with a rule that holds otherwise in the two tables.
	altered map[string]bool
	shapes  map[string][]shapeEffect
}

// The two sides of a Comparison.
const (
	before = iota
	after
)

// comparedPermission is a permission that some role has a rule about on some side.
type comparedPermission struct {
	name string
	// administrative is whether it is about roles or toggles.
	administrative bool
	sides          [2]permissionSide
}

type permissionSide struct {
	permission *permission        // nil if the catalog does not have it
	rules      map[string]ruleSet // by the name of the role
	ids        []string           // of the roles or toggles that there are
}

// ruleSet is the rules of a role about a permission whose toggles let them hold.
type ruleSet struct {
	rules []openRule
	// text is the same for rules that mean the same.
	text string
}

// openRule is a rule with the reaches that it has as the toggles stand.
type openRule struct {
	*rule
	reaches []reach
}

// NewComparison compares what is decided by two tables.
func NewComparison(held, will *Table) *Comparison { return newComparison(held, will, "") }

// newComparison compares what is decided about one permission, or about all if its name is
// empty.
func newComparison(held, will *Table, only string) *Comparison {
	c := &Comparison{tables: [2]*Table{held, will}, altered: map[string]bool{}, shapes: map[string][]shapeEffect{}}
	byName := map[string]*comparedPermission{}
	for side, table := range c.tables {
		for _, t := range table.catalog.resourceTypes {
			for _, p := range t.actions {
				if only != "" && p.name != only {
					continue
				}
				compared := byName[p.name]
				if compared == nil {
					compared = &comparedPermission{name: p.name, administrative: t.administrative}
					byName[p.name] = compared
				}
				compared.sides[side] = permissionSide{p, table.catalog.rulesWith(p, table.open), table.catalog.namesOf(t)}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p := byName[name]
		for _, side := range p.sides {
			for role := range side.rules {
				if p.differsFor(role) {
					c.altered[role] = true
				}
			}
		}
		if len(p.sides[before].rules)+len(p.sides[after].rules) > 0 {
			c.permissions = append(c.permissions, *p)
		}
	}
	return c
}

// namesOf returns the ids that resources of an administrative type may have.
func (c *Catalog) namesOf(t *resourceType) []string {
	switch t.name {
	case roleType:
		return slices.Sorted(maps.Keys(c.rolesByName))
	case toggleType:
		return slices.Sorted(maps.Keys(c.togglesByName))
	}
	return nil
}

// rulesWith returns the rules about a permission that may hold with some gates open, by the
// name of their role.
func (c *Catalog) rulesWith(p *permission, open func(gate) bool) map[string]ruleSet {
	sets := map[string]ruleSet{}
	for i, rules := range p.rules {
		var set ruleSet
		var text strings.Builder
		for k := range rules {
			r := openRule{&rules[k], []reach{rules[k].reach}}
			if !open(r.gate) {
				continue
			}
			if w := r.widening; w != nil && open(w.gate) {
				r.reaches = append(r.reaches, w.reach)
			}
			set.rules = append(set.rules, r)
			fmt.Fprint(&text, r.forbid, r.reaches)
			if r.condition != nil {
				fmt.Fprintf(&text, "%q%v", r.condition.text, r.condition.mentioned)
			}
		}
		if len(set.rules) > 0 {
			// The same rule means something else where other ids can be asked about.
			fmt.Fprint(&text, c.namesOf(p.of))
			set.text = text.String()
			sets[c.roles[i].name] = set
		}
	}
	return sets
}

// differsFor reports whether the rules of a role about the permission differ.
func (p *comparedPermission) differsFor(role string) bool {
	return p.sides[before].rules[role].text != p.sides[after].rules[role].text
}

// Effects returns what a subject or group gains and loses by itself, without its groups,
// that holds one thing before the change and another one after it. The Holders are for the
// catalogs of the two tables, current, and of one name; an empty one stands for any user. The
// default role counts where nothing is held.
//
// It is exact: each request that is decided otherwise is in the area of an Effect and meets
// its condition, and of each Effect there is such a request. No Effect is listed that another
// one covers, which is as wide and has the same condition or none. The error is a
// *TooManyCasesError.
func (c *Comparison) Effects(held, will *Holder) ([]Effect, error) {
	if c.unaffected(held, will) {
		return nil, nil
	}
	s := c.shapeOf(held, will)
	found, known := c.shapes[s.key]
	if !known {
		var err error
		if found, err = c.compare(s); err != nil {
			return nil, err
		}
		if len(c.shapes) >= maxShapes {
			clear(c.shapes)
		}
		c.shapes[s.key] = found
	}
	return s.effects(found), nil
}

// maxShapes bounds what a Comparison remembers. Subjects have few shapes.
const maxShapes = 10_000

// unaffected reports at once, and only where it is plain, that nothing is decided otherwise.
func (c *Comparison) unaffected(held, will *Holder) bool {
	if held != will || c.tables[before].catalog != c.tables[after].catalog {
		return false
	}
	for i := range held.active {
		if c.altered[held.holdings[i].role.name] {
			return false
		}
	}
	standard := c.tables[before].catalog.defaultRole
	return standard == nil || held.endsDefault || !c.altered[standard.name]
}

// compare finds the effects for a shape.
func (c *Comparison) compare(s *shape) ([]shapeEffect, error) {
	var all []shapeEffect
	s.findMoved()
	for i := range c.permissions {
		p := &c.permissions[i]
		if !s.touches(p) {
			continue
		}
		cases := casesOf(c.tables, p, s)
		if !cases.findFacts() || cases.count() > maxCases {
			return nil, &TooManyCasesError{Permission: p.name}
		}
		changed := cases.decide()
		for _, gained := range []bool{true, false} {
			all = append(all, cases.describe(changed, gained)...)
		}
	}
	return all, nil
}

// compareEffects orders effects for readers: by permission, gains first, wide areas first.
func compareEffects(a, b Effect) int {
	if a.Permission == b.Permission && a.Gained != b.Gained {
		if a.Gained {
			return -1
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(a.Permission, b.Permission),
		cmp.Compare(a.Area.Kind, b.Area.Kind),
		cmp.Compare(a.Area.Name, b.Area.Name),
		cmp.Compare(a.Condition, b.Condition),
		cmp.Compare(a.Role, b.Role),
	)
}
