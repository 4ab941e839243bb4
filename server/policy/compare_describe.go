package policy

import (
	"cmp"
	"slices"
)

// claim is an effect that is about to be listed: an area, and the rule by which it is
// allowed there.
type claim struct {
	kind  AreaKind
	group int    // of AreaAnyScope and AreaScope
	id    string // of AreaResource
	role  string
	// condition is nil where an id has been named, which settles the condition.
	condition *condition
}

// describe returns effects that cover the changes of one direction. Each is found at a
// change, the ones that need least first: what changes for a resource that is nowhere and
// nobody's changes in the whole tenant, what changes for one that lies in a scope and is
// nobody's changes in that scope, and so on.
func (k *cases) describe(changes []change, gained bool) []shapeEffect {
	var rest []change
	for _, ch := range changes {
		if ch.gained == gained {
			rest = append(rest, ch)
		}
	}
	slices.SortStableFunc(rest, func(a, b change) int {
		return cmp.Or(cmp.Compare(k.extent(a), k.extent(b)), cmp.Compare(len(a.groups), len(b.groups)))
	})
	var claims []claim
	for len(rest) > 0 {
		c := k.claimAt(rest[0])
		claims = append(claims, c)
		rest = slices.DeleteFunc(rest, func(ch change) bool { return k.claims(c, ch) })
	}
	var effects []shapeEffect
	for i, c := range claims {
		if !slices.ContainsFunc(claims[i+1:], func(later claim) bool { return k.covers(later, c) }) {
			effects = append(effects, k.effect(c, gained))
		}
	}
	return effects
}

// mixed is behind the kinds of area: of a change that no area alone brings about.
const mixed = AreaResource + 1

// extent returns the kind of area that a change stands for.
func (k *cases) extent(ch change) AreaKind {
	named := k.permission.administrative && k.facts[ch.facts].id != ""
	switch {
	case len(ch.groups) == 0 && !ch.own && !named:
		return AreaTenant
	case len(ch.groups) == 0 && !ch.own:
		return AreaResource
	case named || len(ch.groups) > 1 || len(ch.groups) == 1 && ch.own:
		return mixed
	case ch.own:
		return AreaOwn
	case k.groups[ch.groups[0]].elsewhere:
		return AreaAnyScope
	}
	return AreaScope
}

// claimAt returns what is claimed because of a change: the area that it stands for, or
// the narrowest in which it is.
func (k *cases) claimAt(ch change) claim {
	c := claim{kind: k.extent(ch), role: ch.role, condition: ch.rule.condition}
	held := slices.IndexFunc(ch.groups, func(g int) bool { return !k.groups[g].elsewhere })
	if c.kind == mixed {
		switch {
		case held >= 0:
			c.kind = AreaScope
		case k.permission.administrative && k.facts[ch.facts].id != "":
			c.kind = AreaResource
		case ch.own:
			c.kind = AreaOwn
		default:
			c.kind = AreaAnyScope
		}
	}
	switch c.kind {
	case AreaScope:
		c.group = ch.groups[held]
	case AreaAnyScope:
		c.group = ch.groups[0]
	case AreaResource:
		c.id, c.condition = k.facts[ch.facts].id, nil
	}
	return c
}

// claims reports whether a change is in the area and meets the condition of a claim.
func (k *cases) claims(c claim, ch change) bool {
	facts := k.facts[ch.facts]
	if c.condition.holds(facts.resource()) != isTrue {
		return false
	}
	switch c.kind {
	case AreaAnyScope:
		return slices.ContainsFunc(ch.groups, func(g int) bool { return k.groups[g].scopeType == k.groups[c.group].scopeType })
	case AreaOwn:
		return ch.own
	case AreaScope:
		return slices.Contains(ch.groups, c.group)
	case AreaResource:
		return facts.id == c.id
	}
	return true
}

// covers reports whether a claim says all that another one says.
func (k *cases) covers(c, other claim) bool {
	if c.condition != nil && c.condition != other.condition {
		return false
	}
	switch c.kind {
	case AreaTenant:
		return true
	case AreaAnyScope:
		return (other.kind == AreaAnyScope || other.kind == AreaScope) &&
			k.groups[other.group].scopeType == k.groups[c.group].scopeType
	}
	return c.kind == other.kind && c.group == other.group && c.id == other.id
}

func (k *cases) effect(c claim, gained bool) shapeEffect {
	e := shapeEffect{Effect: Effect{
		Permission: k.permission.name,
		Gained:     gained,
		Area:       Area{Kind: c.kind, Name: c.id},
		Role:       c.role,
	}}
	if c.condition != nil {
		e.Condition = c.condition.text
	}
	switch c.kind {
	case AreaAnyScope:
		e.Area.Name = k.groups[c.group].scopeType
	case AreaScope:
		e.classes = k.groups[c.group].classes
	}
	return e
}
