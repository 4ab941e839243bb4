package policy

import "slices"

// Ground is a role that may allow an action on a resource to those who hold it, if it is in
// force and nothing forbids it.
type Ground struct {
	Role string
	// Anywhere is whether it matters not where it is held. Otherwise it has to be held in one
	// of Scopes, which are in byte order; "" is the tenant.
	Anywhere bool
	Scopes   []string
}

// Grounds returns by what an action on a resource may be allowed to others than its owner and
// those who have the default role. The error is an *UnknownNameError.
func (t *Table) Grounds(action string, r *Resource) ([]Ground, error) {
	q := t.Ask(nil, "", r)
	if err := q.ask(action); err != nil {
		return nil, err
	}
	var grounds []Ground
	for i, rules := range q.permission.rules {
		g := Ground{Role: t.catalog.roles[i].name}
		for k := range rules {
			if rule := &rules[k]; rule.allows() && rule.condition.holds(r) == isTrue && t.open(rule.gate) {
				q.addGround(&g, rule.reach)
				if rule.widening != nil && t.open(rule.widening.gate) {
					q.addGround(&g, rule.widening.reach)
				}
			}
		}
		if g.Anywhere && q.permission.of.administrative {
			g.Anywhere, g.Scopes = false, append([]string{""}, r.Scopes...)
		}
		if g.Anywhere {
			g.Scopes = nil
		}
		if slices.Sort(g.Scopes); g.Anywhere || len(g.Scopes) > 0 {
			g.Scopes = slices.Compact(g.Scopes)
			grounds = append(grounds, g)
		}
	}
	return grounds, nil
}

// addGround adds where a role has to be held for a rule with that reach.
func (q *Question) addGround(g *Ground, reach reach) {
	switch reach.kind {
	case reachTenant:
		g.Anywhere = true
	case reachAnyScope:
		g.Anywhere = g.Anywhere || hasPrefix(q.resource.Scopes, reach.prefix)
	case reachAssigned:
		g.Scopes = append(g.Scopes, q.resource.Scopes...)
	}
}
