package catalogs_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
)

// mutant is a catalog with one mistake that somebody could make who types it.
type mutant struct {
	// kind is what sort of mistake it is, and what says what it is in all.
	kind, what string
	edit       func(*catalogv1.Catalog)
}

// of returns the catalog with the mistake.
func (m mutant) of(c *catalogv1.Catalog) *catalogv1.Catalog {
	c = proto.CloneOf(c)
	m.edit(c)
	return c
}

// mutator makes the mutants of a catalog.
type mutator struct {
	*catalogv1.Catalog
	mutants []mutant
}

// mutantsOf returns every mutant of a catalog: each thing in it left out, and each name,
// choice and constant in it replaced by the others that there are.
func mutantsOf(c *catalogv1.Catalog) []mutant {
	m := &mutator{Catalog: c}
	for i, role := range c.GetRoles() {
		m.mutateRole(i, role)
	}
	m.mutateToggles()
	m.mutateAttributes()
	m.mutateAdministration()
	for i, s := range c.GetStatements() {
		m.mutateStatement(i, s)
	}
	return m.mutants
}

func (m *mutator) add(kind, what string, edit func(*catalogv1.Catalog)) {
	m.mutants = append(m.mutants, mutant{kind, what, edit})
}

// others returns the elements but one.
func others(all []string, but string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == but })
}

// roleNames are the roles, toggleNames the toggles and permissions all permissions.
func (m *mutator) roleNames() (names []string) {
	for _, r := range m.GetRoles() {
		names = append(names, r.GetName())
	}
	return names
}

func (m *mutator) toggleNames() (names []string) {
	for _, t := range m.GetToggles() {
		names = append(names, t.GetName())
	}
	return names
}

func (m *mutator) permissions() []string {
	all := []string{"role:grant", "role:revoke", "toggle:set"}
	for _, t := range m.GetResourceTypes() {
		for _, action := range t.GetActions() {
			all = append(all, t.GetName()+":"+action)
		}
	}
	return all
}

func (m *mutator) reaches() []string {
	all := []string{"tenant", "assigned", "own"}
	for _, t := range m.GetScopeTypes() {
		all = append(all, "any "+t)
	}
	return all
}

// alike returns the permissions that somebody could write instead of one: those with the same
// resource type or action.
func (m *mutator) alike(permission string) []string {
	resource, action, _ := strings.Cut(permission, ":")
	return slices.DeleteFunc(m.permissions(), func(p string) bool {
		r, a, _ := strings.Cut(p, ":")
		return p == permission || r != resource && a != action
	})
}

func (m *mutator) mutateRole(i int, role *catalogv1.Role) {
	at := role.GetName()
	edit := func(kind, what string, change func(*catalogv1.Role)) {
		m.add(kind, at+": "+what, func(c *catalogv1.Catalog) { change(c.Roles[i]) })
	}
	for k, scopeType := range role.GetHeldIn() {
		edit("held in", "not in "+scopeType, func(r *catalogv1.Role) { r.HeldIn = slices.Delete(r.HeldIn, k, k+1) })
	}
	for _, scopeType := range m.GetScopeTypes() {
		if !slices.Contains(role.GetHeldIn(), scopeType) {
			edit("held in", "in "+scopeType, func(r *catalogv1.Role) { r.HeldIn = append(r.HeldIn, scopeType) })
		}
	}
	for _, holder := range []string{"user", "group"} {
		edit("holders", "only "+holder, func(r *catalogv1.Role) { r.Holders = []string{holder} })
	}
	edit("holders", "users and groups", func(r *catalogv1.Role) { r.Holders = []string{"user", "group"} })
	for k, inherit := range role.GetInherits() {
		what := "inherits " + inherit.GetRole() + ": "
		edit("inherits", what+"left out", func(r *catalogv1.Role) { r.Inherits = slices.Delete(r.Inherits, k, k+1) })
		edit("inherits", what+"toggles", func(r *catalogv1.Role) { r.Inherits[k].KeepToggles = !r.Inherits[k].KeepToggles })
		for _, other := range others(m.roleNames(), inherit.GetRole()) {
			edit("inherits", what+other, func(r *catalogv1.Role) { r.Inherits[k].Role = other })
		}
		for _, reach := range others(append(m.reaches(), ""), inherit.GetReach()) {
			edit("inherits", what+"reach "+reach, func(r *catalogv1.Role) { r.Inherits[k].Reach = reach })
		}
	}
	for k, rule := range role.GetRules() {
		m.mutateRule(i, k, rule)
	}
}

func (m *mutator) mutateRule(i, k int, rule *catalogv1.Rule) {
	at := fmt.Sprintf("%s, rule %d %s: ", m.GetRoles()[i].GetName(), k, strings.Join(append(rule.GetAllow(), rule.GetForbid()...), " "))
	edit := func(kind, what string, change func(*catalogv1.Rule)) {
		m.add(kind, at+what, func(c *catalogv1.Catalog) { change(c.Roles[i].Rules[k]) })
	}
	m.add("rule", at+"left out", func(c *catalogv1.Catalog) { c.Roles[i].Rules = slices.Delete(c.Roles[i].Rules, k, k+1) })
	for other, role := range m.GetRoles() {
		if other != i {
			m.add("rule", at+"also in "+role.GetName(), func(c *catalogv1.Catalog) {
				c.Roles[other].Rules = append(c.Roles[other].Rules, proto.CloneOf(rule))
			})
		}
	}
	edit("rule", "allow for forbid", func(r *catalogv1.Rule) { r.Allow, r.Forbid = r.GetForbid(), r.GetAllow() })
	for n, p := range rule.GetAllow() {
		edit("permission", "without "+p, func(r *catalogv1.Rule) { r.Allow = slices.Delete(r.Allow, n, n+1) })
		for _, other := range m.alike(p) {
			if slices.Contains(rule.GetAllow(), other) {
				continue
			}
			edit("permission", other+" for "+p, func(r *catalogv1.Rule) { r.Allow[n] = other })
			edit("permission", "and "+other, func(r *catalogv1.Rule) { r.Allow = append(r.Allow, other) })
		}
	}
	for _, reach := range others(m.reaches(), rule.GetReach()) {
		edit("reach", reach, func(r *catalogv1.Rule) { r.Reach = reach })
	}
	if w := rule.GetWiden(); w != nil {
		edit("widening", "left out", func(r *catalogv1.Rule) { r.Widen = nil })
		for _, reach := range others(m.reaches(), w.GetReach()) {
			edit("widening", "reach "+reach, func(r *catalogv1.Rule) { r.Widen.Reach = reach })
		}
		m.mutateGate(w.GetWhileOn(), w.GetWhileOff(), func(what, on, off string) {
			edit("widening", what, func(r *catalogv1.Rule) { r.Widen.WhileOn, r.Widen.WhileOff = on, off })
		})
	}
	m.mutateGate(rule.GetWhileOn(), rule.GetWhileOff(), func(what, on, off string) {
		edit("toggle", what, func(r *catalogv1.Rule) { r.WhileOn, r.WhileOff = on, off })
	})
	for _, condition := range conditionsLike(rule.GetCondition()) {
		edit("condition", strconv.Quote(condition), func(r *catalogv1.Rule) { r.Condition = condition })
	}
}

// mutateGate makes each other pair of while_on and while_off.
func (m *mutator) mutateGate(on, off string, add func(what, on, off string)) {
	for _, toggle := range append(m.toggleNames(), "") {
		if toggle != on {
			add("while_on "+toggle, toggle, "")
		}
		if toggle != off && toggle != "" {
			add("while_off "+toggle, "", toggle)
		}
	}
}

var (
	operator  = regexp.MustCompile(`==|!=|<=|>=|<|>|&&|\|\|| in `)
	operators = []string{"==", "!=", "<", "<=", ">", ">="}
	joins     = map[string]string{"&&": "||", "||": "&&"}
	number    = regexp.MustCompile(`\b\d+\b`)
	text      = regexp.MustCompile(`"[^"]*"`)
	element   = regexp.MustCompile(`, "[^"]*"|"[^"]*", `)
	attribute = regexp.MustCompile(`resource\.\w+`)
)

// conditionsLike returns conditions that somebody could have written instead.
func conditionsLike(condition string) []string {
	if condition == "" {
		return nil
	}
	all := []string{"", "!(" + condition + ")"}
	replace := func(place []int, by string) {
		if condition[place[0]:place[1]] != by {
			all = append(all, condition[:place[0]]+by+condition[place[1]:])
		}
	}
	for _, place := range operator.FindAllStringIndex(condition, -1) {
		found := condition[place[0]:place[1]]
		switch other, isJoin := joins[found]; {
		case isJoin:
			replace(place, other)
		case found != " in ":
			for _, other := range operators {
				replace(place, other)
			}
		}
	}
	for _, place := range number.FindAllStringIndex(condition, -1) {
		n, _ := strconv.Atoi(condition[place[0]:place[1]])
		for _, other := range []int{n + 1, n - 1, -n} {
			replace(place, strconv.Itoa(other))
		}
	}
	for _, place := range text.FindAllStringIndex(condition, -1) {
		found := strings.Trim(condition[place[0]:place[1]], `"`)
		for _, other := range []string{"", strings.ToUpper(found), found + "s", "other"} {
			replace(place, strconv.Quote(other))
		}
	}
	for _, place := range element.FindAllStringIndex(condition, -1) {
		replace(place, "")
	}
	for _, place := range attribute.FindAllStringIndex(condition, -1) {
		replace(place, "resource.id")
		replace(place, "has("+condition[place[0]:place[1]]+")")
		replace(place, "!"+condition[place[0]:place[1]])
	}
	return all
}

func (m *mutator) mutateToggles() {
	for i, t := range m.GetToggles() {
		edit := func(what string, change func(*catalogv1.Toggle)) {
			m.add("toggle's state", t.GetName()+": "+what, func(c *catalogv1.Catalog) { change(c.Toggles[i]) })
		}
		edit("starts the other way", func(t *catalogv1.Toggle) { t.StartsOn = proto.Bool(!t.GetStartsOn()) })
		edit("lock", func(t *catalogv1.Toggle) { t.Locked = !t.GetLocked() })
		edit("left out", func(t *catalogv1.Toggle) { t.Name += "s" })
	}
}

func (m *mutator) mutateAttributes() {
	for i, t := range m.GetResourceTypes() {
		for k, a := range t.GetAttributes() {
			for _, other := range others([]string{"bool", "string", "int", "double", "string_list"}, a.GetType()) {
				m.add("attribute", fmt.Sprintf("%s.%s: %s", t.GetName(), a.GetName(), other), func(c *catalogv1.Catalog) {
					c.ResourceTypes[i].Attributes[k].Type = other
				})
			}
			m.add("attribute", fmt.Sprintf("%s.%s: left out", t.GetName(), a.GetName()), func(c *catalogv1.Catalog) {
				c.ResourceTypes[i].Attributes = slices.Delete(c.ResourceTypes[i].Attributes, k, k+1)
			})
		}
	}
}

func (m *mutator) mutateAdministration() {
	a := m.GetAdministration()
	edit := func(what string, change func(*catalogv1.Administration)) {
		m.add("administration", what, func(c *catalogv1.Catalog) { change(c.Administration) })
	}
	for _, holders := range [][]string{{"user"}, {"group"}, {"user", "group"}} {
		if !slices.Equal(holders, m.GetHolders()) {
			m.add("holders", fmt.Sprint(holders), func(c *catalogv1.Catalog) { c.Holders = holders })
		}
	}
	for _, role := range append(m.roleNames(), "") {
		if role != m.GetDefaultRole() {
			m.add("administration", "default role "+role, func(c *catalogv1.Catalog) { c.DefaultRole = role })
		}
		if role != a.GetProtectedRole() {
			edit("protected role "+role, func(a *catalogv1.Administration) { a.ProtectedRole = role })
		}
		if i := slices.Index(a.GetExclusiveRoles(), role); i >= 0 {
			edit("not exclusive: "+role, func(a *catalogv1.Administration) { a.ExclusiveRoles = slices.Delete(a.ExclusiveRoles, i, i+1) })
		} else if role != "" {
			edit("exclusive: "+role, func(a *catalogv1.Administration) { a.ExclusiveRoles = append(a.ExclusiveRoles, role) })
		}
	}
	for i, t := range a.GetRefusedTransitions() {
		what := fmt.Sprintf("%s to %s: ", t.GetFrom(), t.GetTo())
		edit(what+"left out", func(a *catalogv1.Administration) { a.RefusedTransitions = slices.Delete(a.RefusedTransitions, i, i+1) })
		edit(what+"the operator", func(a *catalogv1.Administration) { a.RefusedTransitions[i].OperatorMay = !t.GetOperatorMay() })
		for _, role := range m.roleNames() {
			edit(what+"from "+role, func(a *catalogv1.Administration) { a.RefusedTransitions[i].From = role })
			edit(what+"to "+role, func(a *catalogv1.Administration) { a.RefusedTransitions[i].To = role })
		}
		edit(what+"to any", func(a *catalogv1.Administration) { a.RefusedTransitions[i].To = "" })
	}
	for i, limit := range a.GetAdvisoryLimits() {
		what := "limit of " + limit.GetRole() + ": "
		edit(what+"left out", func(a *catalogv1.Administration) { a.AdvisoryLimits = slices.Delete(a.AdvisoryLimits, i, i+1) })
		edit(what+"one more", func(a *catalogv1.Administration) { a.AdvisoryLimits[i].Holders++ })
		edit(what+"one less", func(a *catalogv1.Administration) { a.AdvisoryLimits[i].Holders-- })
		for _, role := range others(m.roleNames(), limit.GetRole()) {
			edit(what+"of "+role, func(a *catalogv1.Administration) { a.AdvisoryLimits[i].Role = role })
		}
	}
	edit("primary administrator", func(a *catalogv1.Administration) { a.HasPrimary = !a.GetHasPrimary() })
}

func (m *mutator) mutateStatement(i int, s *catalogv1.Statement) {
	edit := func(what string, change func(*catalogv1.Statement)) {
		m.add("statement", fmt.Sprintf("%q: %s", s.GetTitle(), what), func(c *catalogv1.Catalog) { change(c.Statements[i]) })
	}
	m.add("statement", fmt.Sprintf("%q: left out", s.GetTitle()), func(c *catalogv1.Catalog) { c.Statements = slices.Delete(c.Statements, i, i+1) })
	edit("always for never", func(s *catalogv1.Statement) { s.Always, s.Never = s.GetNever(), s.GetAlways() })
	edit("only for never", func(s *catalogv1.Statement) { s.Only, s.Never = s.GetNever(), s.GetOnly() })
	for _, role := range others(append(m.roleNames(), ""), s.GetRole()) {
		edit("role "+role, func(s *catalogv1.Statement) { s.Role = role })
	}
	for k := range s.GetExcept() {
		edit("without an exception", func(s *catalogv1.Statement) { s.Except = slices.Delete(s.Except, k, k+1) })
	}
	for _, list := range []func(*catalogv1.Statement) *[]string{
		func(s *catalogv1.Statement) *[]string { return &s.Never },
		func(s *catalogv1.Statement) *[]string { return &s.Only },
		func(s *catalogv1.Statement) *[]string { return &s.Always },
	} {
		for k, p := range *list(s) {
			edit("without "+p, func(s *catalogv1.Statement) { *list(s) = slices.Delete(*list(s), k, k+1) })
			for _, other := range m.alike(p) {
				edit(other+" for "+p, func(s *catalogv1.Statement) { (*list(s))[k] = other })
			}
		}
	}
	for _, reach := range append(m.reaches(), "") {
		if reach != s.GetWithin() {
			edit("within "+reach, func(s *catalogv1.Statement) { s.Within = reach })
		}
		if reach != s.GetBeyond() {
			edit("beyond "+reach, func(s *catalogv1.Statement) { s.Beyond = reach })
		}
	}
	m.mutateGate(s.GetWhileOn(), s.GetWhileOff(), func(what, on, off string) {
		edit(what, func(s *catalogv1.Statement) { s.WhileOn, s.WhileOff = on, off })
	})
	for _, condition := range conditionsLike(s.GetWhere()) {
		edit("where "+strconv.Quote(condition), func(s *catalogv1.Statement) { s.Where = condition })
	}
	for _, condition := range conditionsLike(s.GetUnless()) {
		edit("unless "+strconv.Quote(condition), func(s *catalogv1.Statement) { s.Unless = condition })
	}
	if a := s.GetAlike(); a != nil {
		for _, other := range m.alike(a.GetPermission()) {
			edit("alike "+other, func(s *catalogv1.Statement) { s.Alike.Permission = other })
		}
		for _, other := range m.alike(a.GetAs()) {
			edit("as "+other, func(s *catalogv1.Statement) { s.Alike.As = other })
		}
		for _, other := range others(append(m.roleNames(), ""), a.GetOf()) {
			edit("of "+other, func(s *catalogv1.Statement) { s.Alike.Of = other })
		}
	}
	for k := range s.GetGranted().GetRoles() {
		for _, role := range m.roleNames() {
			edit("granted "+role, func(s *catalogv1.Statement) { s.Granted.Roles[k] = role })
		}
	}
	for k := range s.GetGranted().GetOnlyBy() {
		for _, role := range m.roleNames() {
			edit("only by "+role, func(s *catalogv1.Statement) { s.Granted.OnlyBy[k] = role })
		}
	}
}
