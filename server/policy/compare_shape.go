package policy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// shape is what a subject holds on the two sides of a Comparison, with its scopes sorted
// into classes. Subjects with the same key differ in the names of their scopes only, and
// in how many there are of each class.
type shape struct {
	key     string
	holders [2]*Holder
	slots   []slot
	classes []scopeClass // in byte order of their keys
	// moved are the roles that are not held alike on both sides.
	moved map[string]bool
}

// slot is a role that counts on one side.
type slot struct {
	side int
	*holding
}

// scopeClass is the scopes of one type that are held in the same slots.
type scopeClass struct {
	key       string
	scopeType string
	slots     []int
	scopes    []string // in byte order
}

func (c *Comparison) shapeOf(held, will *Holder) *shape {
	s := &shape{holders: [2]*Holder{held, will}}
	for side, h := range s.holders {
		s.hold(side, c.tables[side].catalog, h)
	}
	s.classify()
	s.setKey()
	return s
}

// hold adds the slots of a subject and its groups on a side.
func (s *shape) hold(side int, catalog *Catalog, holders ...*Holder) {
	endsDefault := catalog.defaultRole == nil
	for _, h := range holders {
		for i := range h.active {
			s.slots = append(s.slots, slot{side, &h.holdings[i]})
		}
		endsDefault = endsDefault || h.endsDefault
	}
	if !endsDefault {
		s.slots = append(s.slots, slot{side, &catalog.defaultHolding})
	}
}

// classify sorts the scopes of the slots into classes.
func (s *shape) classify() {
	type place struct {
		scope string
		slot  int
	}
	var places []place
	for i, slot := range s.slots {
		for _, scope := range slot.scopes {
			if slot.role.catalog.hasTypeOf(scope) {
				places = append(places, place{scope, i})
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.scope, b.scope), cmp.Compare(a.slot, b.slot))
	})
	byKey := map[string]int{}
	for len(places) > 0 {
		scope, n := places[0].scope, 1
		for n < len(places) && places[n].scope == scope {
			n++
		}
		class := scopeClass{scopeType: typeOf(scope), scopes: []string{scope}}
		for _, p := range places[:n] {
			class.slots = append(class.slots, p.slot)
		}
		places = places[n:]
		class.key = classKey(class.scopeType, class.slots)
		i, known := byKey[class.key]
		if !known {
			byKey[class.key] = len(s.classes)
			s.classes = append(s.classes, class)
			continue
		}
		s.classes[i].scopes = append(s.classes[i].scopes, scope)
	}
	slices.SortFunc(s.classes, func(a, b scopeClass) int { return cmp.Compare(a.key, b.key) })
}

// hasTypeOf reports whether the catalog has the type of the scope.
func (c *Catalog) hasTypeOf(scope string) bool {
	return slices.ContainsFunc(c.scopeTypes, func(t string) bool { return isOfType(scope, t) })
}

func classKey(scopeType string, slots []int) string {
	key := []byte(scopeType)
	for _, i := range slots {
		key = strconv.AppendInt(append(key, ' '), int64(i), 10)
	}
	return string(key)
}

func (s *shape) setKey() {
	var key strings.Builder
	key.WriteString(strconv.FormatBool(isOfType(s.holders[before].name, groupType)))
	for _, slot := range s.slots {
		key.WriteByte(' ')
		key.WriteByte('0' + byte(slot.side)) // #nosec G115 -- one of a few
		key.WriteString(slot.role.name)
		if slot.scopes[0] == "" {
			key.WriteByte('+')
		}
	}
	for _, class := range s.classes {
		key.WriteByte('\n')
		key.WriteString(class.key)
	}
	s.key = key.String()
}

// findMoved compares how each role is held.
func (s *shape) findMoved() {
	how := [2]map[string]string{{}, {}}
	for i, slot := range s.slots {
		text := "held"
		if slot.scopes[0] == "" {
			text += " in the tenant"
		}
		for k, class := range s.classes {
			if slices.Contains(class.slots, i) {
				text += " " + strconv.Itoa(k)
			}
		}
		how[slot.side][slot.role.name] = text
	}
	s.moved = map[string]bool{}
	for _, slot := range s.slots {
		name := slot.role.name
		s.moved[name] = how[before][name] != how[after][name]
	}
}

// touches reports whether a permission may be decided otherwise.
func (s *shape) touches(p *comparedPermission) bool {
	return slices.ContainsFunc(s.slots, func(slot slot) bool {
		name := slot.role.name
		return p.differsFor(name) || s.moved[name] && len(p.sides[slot.side].rules[name].rules) > 0
	})
}

// shapeEffect is an effect for all subjects of a shape. If it is about one scope, it
// stands for one effect for each scope of the classes.
type shapeEffect struct {
	Effect
	classes []int
}

// effects returns the effects for the subject.
func (s *shape) effects(found []shapeEffect) []Effect {
	var effects []Effect
	for _, f := range found {
		if f.Area.Kind != AreaScope {
			effects = append(effects, f.Effect)
			continue
		}
		for _, i := range f.classes {
			for _, scope := range s.classes[i].scopes {
				f.Effect.Area.Name = scope
				effects = append(effects, f.Effect)
			}
		}
	}
	slices.SortFunc(effects, compareEffects)
	return effects
}
