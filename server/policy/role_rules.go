package policy

import "slices"

// RoleRule is a rule that a role has about a permission, written or inherited, for people who
// read about it.
type RoleRule struct {
	Forbid bool
	// Reach is written as in a catalog, and so is the further reach Widened, which is empty if
	// there is none.
	Reach, Widened string
	// WidenToggle is the toggle that widens, and WidenOn how it then stands.
	WidenToggle string
	WidenOn     bool
	// Condition is the text of the condition, or empty.
	Condition string
	// Toggle is the rule's toggle, or empty, and On how it has to stand.
	Toggle string
	On     bool
}

// RulesOf returns the rules of a role about a permission, those that it inherits first. A rule
// whose toggle is locked the other way is not among them: it never holds.
func (c *Catalog) RulesOf(role, permission string) []RoleRule {
	var all []RoleRule
	for _, r := range c.permission(permission).rules[c.rolesByName[role].index] {
		if !r.gate.opens() {
			continue
		}
		rule := RoleRule{Forbid: r.forbid, Reach: r.reach.String()}
		if r.condition != nil {
			rule.Condition = r.condition.text
		}
		if g := r.gate; g.toggle != nil {
			rule.Toggle, rule.On = g.toggle.name, g.on
		}
		if w := r.widening; w != nil && w.gate.opens() {
			rule.Widened, rule.WidenToggle, rule.WidenOn = w.reach.String(), w.gate.toggle.name, w.gate.on
		}
		if !slices.Contains(all, rule) {
			all = append(all, rule)
		}
	}
	return all
}
