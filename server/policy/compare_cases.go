package policy

import (
	"slices"
	"strings"
)

// cases are all requests for one permission that the rules of a shape tell apart.
type cases struct {
	tables     [2]*Table
	permission *comparedPermission
	shape      *shape
	conditions []*condition // of the rules
	facts      []facts
	groups     []scopeGroup // those elsewhere first
	// most is how many groups are enough: what changes for a resource in more of them
	// changes for one that lies in so many of these only.
	most int
	// owns is whether some rule looks at the owner.
	owns bool
}

// scopeGroup is scopes that the rules about the permission do not tell apart.
type scopeGroup struct {
	// scopeType is the type of the scopes, if some rule reaches any scope of it, or "".
	scopeType string
	// elsewhere is whether they are those in which nothing is held.
	elsewhere bool
	// classes are those of the shape that are in it.
	classes []int
	// scopes is one of them, for each side; none for the side that has no such type.
	scopes [2][]string
}

// maxCases bounds for how many requests a permission is decided.
const maxCases = 1 << 20

// casesOf returns the cases but for their facts.
func casesOf(tables [2]*Table, p *comparedPermission, s *shape) *cases {
	k := &cases{tables: tables, permission: p, shape: s}
	var assigned []int // the slots whose scopes matter
	var anyTypes []string
	var need [2]struct{ allow, forbid int }
	for i, slot := range s.slots {
		scoped := 0
		if p.administrative && slot.scopes[0] != "" {
			scoped = 1
		}
		matters := scoped > 0
		for _, r := range p.sides[slot.side].rules[slot.role.name].rules {
			if r.condition != nil && !slices.Contains(k.conditions, r.condition) {
				k.conditions = append(k.conditions, r.condition)
			}
			most := &need[slot.side].allow
			if r.forbid {
				most = &need[slot.side].forbid
			}
			for _, reach := range r.reaches {
				n := scoped
				switch reach.kind {
				case reachOwn:
					k.owns = k.owns || !isOfType(s.holders[before].name, groupType)
				case reachAssigned:
					matters, n = true, 1
				case reachAnyScope:
					anyTypes = append(anyTypes, strings.TrimSuffix(reach.prefix, ":"))
					n++
				}
				*most = max(*most, n)
			}
		}
		if matters {
			assigned = append(assigned, i)
		}
	}
	k.most = max(need[after].allow+need[before].forbid, need[before].allow+need[after].forbid)
	slices.Sort(anyTypes)
	k.group(assigned, slices.Compact(anyTypes))
	return k
}

// group sorts the scopes of the subject and of elsewhere into groups. Scopes that no rule
// looks at are in none: a request that lies in them is decided like one that lies nowhere.
func (k *cases) group(assigned []int, anyTypes []string) {
	byKey := map[string]int{}
	add := func(scopeType, scope string, slots []int) int {
		i, known := byKey[classKey(scopeType, slots)]
		if known {
			return i
		}
		g := scopeGroup{scopeType: scopeType, elsewhere: len(slots) == 0}
		for side, table := range k.tables {
			if table.catalog.hasTypeOf(scope) {
				g.scopes[side] = []string{scope}
			}
		}
		byKey[classKey(scopeType, slots)] = len(k.groups)
		k.groups = append(k.groups, g)
		return len(k.groups) - 1
	}
	for _, t := range anyTypes {
		add(t, t+":", nil) // no scope has an empty id
	}
	for i, class := range k.shape.classes {
		scopeType := class.scopeType
		if !slices.Contains(anyTypes, scopeType) {
			scopeType = ""
		}
		held := slices.DeleteFunc(slices.Clone(class.slots), func(i int) bool { return !slices.Contains(assigned, i) })
		if scopeType == "" && len(held) == 0 {
			continue
		}
		g := add(scopeType, class.scopes[0], held)
		k.groups[g].classes = append(k.groups[g].classes, i)
	}
}

// count returns how many cases there are, or more than maxCases.
func (k *cases) count() int {
	sets, ofSize := 1, 1
	for n := range min(k.most, len(k.groups)) {
		ofSize = ofSize * (len(k.groups) - n) / (n + 1)
		if sets += ofSize; sets > maxCases {
			return sets
		}
	}
	return sets * len(k.facts) * 2
}

// change is a case that is decided otherwise.
type change struct {
	groups []int // in which scopes the resource lies
	own    bool  // whether the subject owns it
	facts  int
	gained bool
	// by is what allows it, on the one side or the other.
	by allowance
}

// allowance is the role, its rule and the scope of the assignment by which a request is
// allowed. The zero allowance is deny.
type allowance struct {
	role, scope string
	rule        *rule
}

// decide decides every case on both sides and returns those that come out otherwise, the
// ones in few scopes and that the subject does not own first.
func (k *cases) decide() []change {
	var changes []change
	owners := []bool{false, true}
	if !k.owns {
		owners = owners[:1]
	}
	k.eachSet(func(groups []int) {
		for _, own := range owners {
			for f := range k.facts {
				ch := change{groups: groups, own: own, facts: f}
				was, will := k.allowed(before, ch), k.allowed(after, ch)
				if (was.rule == nil) == (will.rule == nil) {
					continue
				}
				ch.by = was
				if ch.gained = was.rule == nil; ch.gained {
					ch.by = will
				}
				ch.groups = slices.Clone(groups)
				changes = append(changes, ch)
			}
		}
	})
	return changes
}

// eachSet visits the sets of groups, small ones first.
func (k *cases) eachSet(visit func(groups []int)) {
	var extend func(groups []int, from, more int)
	extend = func(groups []int, from, more int) {
		if more == 0 {
			visit(groups)
			return
		}
		for i := from; i <= len(k.groups)-more; i++ {
			extend(append(groups, i), i+1, more-1)
		}
	}
	for size := range min(k.most, len(k.groups)) + 1 {
		extend(make([]int, 0, size), 0, size)
	}
}

// nobodyElse is an owner who is nobody that is asked about: no subject has that name.
const nobodyElse = ":"

// allowed returns what allows a case on one side, if anything does.
func (k *cases) allowed(side int, ch change) allowance {
	p := k.permission.sides[side]
	r := k.facts[ch.facts].resource()
	if p.permission == nil || k.permission.administrative && r.ID != "" && !slices.Contains(p.ids, r.ID) {
		return allowance{}
	}
	for _, g := range ch.groups {
		r.Scopes = append(r.Scopes, k.groups[g].scopes[side]...)
	}
	holder := k.shape.holders[side]
	r.Owner = holder.name
	if !ch.own {
		r.Owner = nobodyElse
	}
	q := Question{table: k.tables[side], holders: []*Holder{holder}, subject: holder.name, resource: r, permission: p.permission}
	best := q.best()
	if best.rank != rankGranted {
		return allowance{}
	}
	return allowance{best.held.role.name, best.scope, q.ruleOf(best)}
}
