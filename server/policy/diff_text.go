package policy

import (
	"fmt"
	"strings"
)

// ruleText is a text that is the same on both sides for rules that mean the same: all of a
// role about a permission, or those that forbid. It is empty if there are none.
func (d *differ) ruleText(side int, permission, role string, forbidsOnly bool) string {
	c := d.catalogs[side]
	var text strings.Builder
	for _, r := range d.rules(side, permission, role) {
		if forbidsOnly && !r.forbid {
			continue
		}
		fmt.Fprint(&text, r.forbid, r.reach, d.gateText(side, r.gate))
		if r.widening != nil {
			fmt.Fprint(&text, r.widening.reach, d.gateText(side, r.widening.gate))
		}
		if r.condition != nil {
			fmt.Fprintf(&text, "%q%v", r.condition.text, r.condition.mentioned)
		}
		text.WriteByte('\n')
	}
	if text.Len() > 0 {
		// The same rule means something else where other ids or scopes can be asked about.
		p := c.permission(permission)
		fmt.Fprint(&text, c.namesOf(p.of), d.sharedScopeTypes(side))
	}
	return text.String()
}

func (d *differ) gateText(side int, g gate) string {
	if g.toggle == nil {
		return ""
	}
	if t := d.catalogs[side].togglesByName[g.toggle.name]; t.locked {
		return fmt.Sprintf("(%t)", t.startsOn == g.on)
	}
	return fmt.Sprintf("(%s %t)", g.toggle.name, g.on)
}

// sharedScopeTypes says whether both catalogs have the same scope types: a scope of a type that
// one of them lacks does not count for it.
func (d *differ) sharedScopeTypes(side int) []string {
	for _, t := range d.catalogs[before].scopeTypes {
		if !d.catalogs[after].hasTypeOf(t) {
			return d.catalogs[side].scopeTypes
		}
	}
	if len(d.catalogs[before].scopeTypes) != len(d.catalogs[after].scopeTypes) {
		return d.catalogs[side].scopeTypes
	}
	return nil
}
