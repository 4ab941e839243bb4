package policy

import "slices"

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
// change, and those that need least come first: what changes for a resource that is
// nowhere and nobody's changes in the whole tenant, what changes for one that lies in a
// scope and is nobody's changes in that scope, and so on.
func (k *cases) describe(changes []change, gained bool) []shapeEffect {
	var rest []change
	for _, ch := range changes {
		if ch.gained == gained {
			rest = append(rest, ch)
		}
	}
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

// claimAt returns what is claimed because of a change. Where several things have to come
// together, it is one of them: the scope in which it is allowed, or else another one that
// is held, or that the subject owns it.
func (k *cases) claimAt(ch change) claim {
	c := claim{role: ch.by.role, condition: ch.by.rule.condition}
	held := slices.IndexFunc(ch.groups, func(g int) bool { return k.groups[g].contains(ch.by.scope) })
	if held < 0 {
		held = slices.IndexFunc(ch.groups, func(g int) bool { return !k.groups[g].elsewhere })
	}
	id := k.facts[ch.facts].id
	switch {
	case held >= 0:
		c.kind, c.group = AreaScope, ch.groups[held]
	case ch.own:
		c.kind = AreaOwn
	case len(ch.groups) > 0:
		c.kind, c.group = AreaAnyScope, ch.groups[0]
	case k.permission.administrative && id != "":
		c.kind, c.id, c.condition = AreaResource, id, nil
	default:
		c.kind = AreaTenant
	}
	return c
}

// contains reports whether a scope is the one that was asked about for the group.
func (g scopeGroup) contains(scope string) bool {
	return slices.Contains(g.scopes[before], scope) || slices.Contains(g.scopes[after], scope)
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
