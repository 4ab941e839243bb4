package server_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy/tables"
)

// TestTablesAreComplete derives from each catalog the cases that its table has to have,
// so that a new role, permission, rule or toggle without cases fails. It looks at
// what the cases ask and are to be answered, not at the server.
func TestTablesAreComplete(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, file := range tableFiles(t) {
		in := readTable(t, file)
		catalog, err := h.operator.GetCatalog(t.Context(), &usherv1.GetCatalogRequest{Name: in.Catalog})
		if err != nil {
			t.Fatal(err)
		}
		there := casesThere(in, catalog.GetCatalog())
		for _, needed := range needs(catalog.GetCatalog()) {
			if !there[needed] {
				t.Errorf("%s has no case of: %s", file, needed)
			}
		}
	}
}

// needs are the cases that a table has to have, one sentence each.
func needs(c *catalogv1.Catalog) []string {
	all := map[string]bool{}
	roles := []string{"nobody"}
	for _, role := range c.GetRoles() {
		if role.GetName() == c.GetDefaultRole() {
			roles[0] = role.GetName()
		} else {
			roles = append(roles, role.GetName())
		}
	}
	for _, permission := range permissionsOf(c) {
		for _, role := range roles {
			all[fmt.Sprintf("%s asks for %s", role, permission)] = true
		}
	}
	for _, role := range c.GetRoles() {
		rules := rulesOf(c, role.GetName())
		for permission, about := range rules {
			for _, answer := range answersOf(c, about) {
				all[fmt.Sprintf("%s as %s is answered %s", permission, role.GetName(), answer)] = true
			}
			if role.GetName() != c.GetDefaultRole() {
				all[fmt.Sprintf("%s as %s, not in force", permission, role.GetName())] = true
				all[fmt.Sprintf("%s as %s, in another tenant", permission, role.GetName())] = true
			}
		}
	}
	actors := append(slices.Clone(roles), tables.OperatorWord)
	for _, actor := range actors {
		all[actor+" names the primary administrator"] = true
	}
	if c.GetAdministration().GetHasPrimary() {
		all["a warning of NO_PRIMARY_ADMINISTRATOR"] = true
	}
	if len(c.GetAdministration().GetAdvisoryLimits()) > 0 {
		all["a warning of MANY_HOLDERS"] = true
	}
	for _, toggle := range c.GetToggles() {
		all[fmt.Sprintf("a check with %s on", toggle.GetName())] = true
		if !toggle.GetLocked() {
			all[fmt.Sprintf("a check with %s off", toggle.GetName())] = true
		}
		for _, actor := range actors {
			all[fmt.Sprintf("%s sets %s", actor, toggle.GetName())] = true
		}
	}
	for _, role := range c.GetRoles() {
		for _, actor := range actors {
			all[fmt.Sprintf("%s grants %s", actor, role.GetName())] = true
			all[fmt.Sprintf("%s revokes %s", actor, role.GetName())] = true
			all[fmt.Sprintf("%s changes %s", actor, role.GetName())] = true
			all[fmt.Sprintf("%s changes a role into %s", actor, role.GetName())] = true
			all[fmt.Sprintf("%s removes who holds %s", actor, role.GetName())] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func permissionsOf(c *catalogv1.Catalog) []string {
	permissions := []string{"role:grant", "role:revoke", "toggle:set"}
	for _, t := range c.GetResourceTypes() {
		for _, action := range t.GetActions() {
			permissions = append(permissions, t.GetName()+":"+action)
		}
	}
	return permissions
}

// rulesOf returns the allow rules of a role, what it inherits included, by permission.
func rulesOf(c *catalogv1.Catalog, name string) map[string][]*catalogv1.Rule {
	rules := map[string][]*catalogv1.Rule{}
	for _, role := range c.GetRoles() {
		if role.GetName() != name {
			continue
		}
		for _, inherit := range role.GetInherits() {
			for permission, about := range rulesOf(c, inherit.GetRole()) {
				for _, rule := range about {
					copied := &catalogv1.Rule{Reach: rule.GetReach(), Condition: rule.GetCondition()}
					if inherit.GetReach() != "" {
						copied.Reach = inherit.GetReach()
					}
					rules[permission] = append(rules[permission], copied)
				}
			}
		}
		for _, rule := range role.GetRules() {
			for _, permission := range rule.GetAllow() {
				rules[permission] = append(rules[permission], rule)
			}
		}
	}
	return rules
}

// answersOf are the answers that the rules about one permission can give: the allow,
// and each way to fall short.
func answersOf(c *catalogv1.Catalog, rules []*catalogv1.Rule) []string {
	answers := []string{tables.AllowWord}
	always := slices.ContainsFunc(rules, func(r *catalogv1.Rule) bool { return r.GetReach() == "tenant" })
	for _, rule := range rules {
		switch {
		case always: // the resource is always in reach of some rule
		case rule.GetReach() == "own":
			answers = append(answers, "NOT_OWNER")
		default:
			answers = append(answers, "OUT_OF_SCOPE")
		}
		if rule.GetCondition() != "" {
			answers = append(answers, "CONDITION_NOT_MET", "MISSING_ATTRIBUTE")
		}
		if w := rule.GetWiden(); w != nil {
			state := "+" + w.GetWhileOn()
			if w.GetWhileOff() != "" {
				state = "-" + w.GetWhileOff()
			}
			answers = append(answers, tables.AllowWord+" with "+state, "OUT_OF_SCOPE with "+state)
		}
		if gate := rule.GetWhileOn(); gate != "" && !isLocked(c, gate) {
			answers = append(answers, "TOGGLE "+gate, tables.AllowWord+" with +"+gate)
		}
	}
	return answers
}

func isLocked(c *catalogv1.Catalog, toggle string) bool {
	return slices.ContainsFunc(c.GetToggles(), func(t *catalogv1.Toggle) bool { return t.GetName() == toggle && t.GetLocked() })
}

// there are the cases that a table has, in the same sentences.
func casesThere(in *tables.Table, c *catalogv1.Catalog) map[string]bool {
	all := map[string]bool{}
	for _, oneCase := range in.Cases() {
		for _, q := range oneCase.Questions() {
			countCheck(in, all, c, q)
		}
		for _, a := range oneCase.Acts() {
			countAct(in, all, c, a)
		}
	}
	return all
}

func countCheck(in *tables.Table, all map[string]bool, c *catalogv1.Catalog, q tables.Question) {
	active, dormant := rolesHeld(in, c, q.Asker)
	answer := strings.Fields(q.Answer)
	switch {
	case len(q.Groups) > 0: // who holds what is not as clear
	case q.Tenant == tables.OtherTenant:
		for _, role := range active {
			all[fmt.Sprintf("%s as %s, in another tenant", q.Permission, role)] = true
		}
		return
	case len(dormant) == 1:
		all[fmt.Sprintf("%s as %s, not in force", q.Permission, dormant[0])] = true
	case len(active) == 1:
		all[fmt.Sprintf("%s asks for %s", active[0], q.Permission)] = true
	}
	if len(answer) > 1 {
		code := answer[0]
		if code == "TOGGLE" {
			code += " " + answer[2]
		}
		all[fmt.Sprintf("%s as %s is answered %s", q.Permission, answer[1], code)] = true
		for _, state := range strings.Fields(q.Toggles()) {
			all[fmt.Sprintf("%s as %s is answered %s with %s", q.Permission, answer[1], code, state)] = true
		}
	}
	for _, toggle := range q.WithOn {
		all[fmt.Sprintf("a check with %s on", toggle)] = true
	}
	for _, toggle := range q.WithOff {
		all[fmt.Sprintf("a check with %s off", toggle)] = true
	}
	// A toggle that is off from the start needs no word in the table.
	if len(answer) > 2 && answer[0] == "TOGGLE" {
		all[fmt.Sprintf("a check with %s off", answer[2])] = true
	}
}

func countAct(in *tables.Table, all map[string]bool, c *catalogv1.Catalog, a tables.Act) {
	for _, code := range a.Warns {
		all["a warning of "+code] = true
	}
	actor := tables.OperatorWord
	if a.Actor != tables.OperatorWord {
		active, dormant := rolesHeld(in, c, a.Actor)
		if len(a.Groups) > 0 || a.Tenant != "" || len(dormant) > 0 || len(active) != 1 {
			return
		}
		actor = active[0]
	}
	switch {
	case len(a.Grant) > 0:
		all[fmt.Sprintf("%s grants %s", actor, a.What)] = true
	case len(a.Revoke) > 0:
		all[fmt.Sprintf("%s revokes %s", actor, a.What)] = true
	case len(a.Change) > 0:
		all[fmt.Sprintf("%s changes %s", actor, a.What)] = true
		all[fmt.Sprintf("%s changes a role into %s", actor, a.NewRole)] = true
	case len(a.Remove) > 0:
		if active, dormant := rolesHeld(in, c, a.Subject); len(active) == 1 && len(dormant) == 0 {
			all[fmt.Sprintf("%s removes who holds %s", actor, active[0])] = true
		}
	case len(a.Primary) > 0:
		all[actor+" names the primary administrator"] = true
	default:
		all[fmt.Sprintf("%s sets %s", actor, a.What)] = true
	}
}

// rolesOf returns the roles that somebody holds now, and those that they hold at
// another time. Who holds nothing has the default role, or is "nobody".
func rolesHeld(in *tables.Table, c *catalogv1.Catalog, who string) (active, dormant []string) {
	all := in.Holds
	for _, role := range c.GetRoles() {
		if role.GetName() == c.GetAdministration().GetProtectedRole() {
			all = append(slices.Clone(all), tables.Holding{Who: tables.First, Role: role.GetName()})
		}
	}
	for _, h := range all {
		switch {
		case h.Who != who:
		case h.Starts.After(testTime) || !h.Ends.IsZero() && !h.Ends.After(testTime):
			dormant = append(dormant, h.Role)
		case !slices.Contains(active, h.Role):
			active = append(active, h.Role)
		}
	}
	if len(active)+len(dormant) == 0 {
		active = []string{"nobody"}
		if c.GetDefaultRole() != "" {
			active[0] = c.GetDefaultRole()
		}
	}
	return active, dormant
}
