package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
)

// fault is something wrong with a catalog, at a path such as "roles[1].rules[0]".
type fault struct {
	path string
	rule faultRule
	text string
}

// faultRule is the stable name of a rule that catalogs have to follow.
type faultRule string

const (
	faultUnknownName  faultRule = "unknown_name"
	faultDuplicate    faultRule = "duplicate_name"
	faultReserved     faultRule = "reserved_name"
	faultUnused       faultRule = "unused"
	faultUngrantable  faultRule = "ungrantable_role"
	faultEmptyRole    faultRule = "empty_role"
	faultRuleEffect   faultRule = "allow_or_forbid"
	faultTwoToggles   faultRule = "one_toggle"
	faultReach        faultRule = "reach"
	faultCondition    faultRule = "condition"
	faultCircle       faultRule = "inheritance_circle"
	faultDefaultRole  faultRule = "default_role"
	faultProtected    faultRule = "protected_role"
	faultTransition   faultRule = "refused_transition"
	faultLanguage     faultRule = "language"
	faultTooManyRules faultRule = "too_many_rules"
	faultStatement    faultRule = "statement"
	faultMissing      faultRule = "missing"
	faultExtension    faultRule = "extension"
	faultRedeclared   faultRule = "redeclared_name"
	faultWithout      faultRule = "without"
	faultUnmet        faultRule = "unmet"
)

// compiler turns a catalog's message into its compiled form and collects what is
// wrong with it. It goes on after a fault, but for what depends on names in doubt.
type compiler struct {
	in         *catalogv1.Catalog
	out        *Catalog
	expanded   map[*role][]ruleSource
	copied     int // rules by inheritance, in all roles
	used       map[*toggle]bool
	conditions map[conditionKey]*condition
	compiled   int // bytes of conditions, the same text for each resource type
	faults     []fault
}

// compile returns the compiled catalog, or what is wrong. It has all that it needs; the base
// is the catalog that it extends, if any.
func compile(in *catalogv1.Catalog, base *Catalog) (*Catalog, []fault) {
	c := &compiler{
		in: in,
		out: &Catalog{
			source:        in,
			written:       in,
			base:          base,
			resourceTypes: map[string]*resourceType{},
			rolesByName:   map[string]*role{},
			togglesByName: map[string]*toggle{},
		},
		expanded:   map[*role][]ruleSource{},
		used:       map[*toggle]bool{},
		conditions: map[conditionKey]*condition{},
	}
	c.titles("titles", in.GetTitles())
	c.checkWhole()
	c.declareScopeTypes()
	c.declareResourceTypes()
	c.declareToggles()
	c.declareRoles()
	c.declareWords()
	if len(c.faults) > 0 {
		// With names in doubt, what follows would report the same again.
		return nil, c.faults
	}
	c.compileRules()
	c.compileAdministration()
	c.compileStatements()
	if len(c.faults) == 0 {
		c.checkUse()
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	for _, t := range c.out.resourceTypes {
		t.cel = nil // all conditions are compiled
	}
	return c.out, nil
}

func (c *compiler) fault(path string, rule faultRule, format string, args ...any) {
	// One more than are reported, so that it can be said that there are more.
	if len(c.faults) <= maxFaults {
		c.faults = append(c.faults, fault{path, rule, fmt.Sprintf(format, args...)})
	}
}

func (c *compiler) unknown(path, what, name string, known []string) {
	if len(c.faults) <= maxFaults { // to look for names that are alike takes time
		c.fault(path, faultUnknownName, "unknown %s %q: %s", what, name, Suggest(name, known))
	}
}

// unique reports a name that is there twice.
func (c *compiler) unique(seen bool, path, what, name string) {
	if seen {
		c.fault(path, faultDuplicate, "there are two of the %s %q: rename or remove one", what, name)
	}
}

// maxTagBytes is how long the tag of a language may be. Common ones have 2 to 12.
const maxTagBytes = 64

func (c *compiler) titles(path string, titles map[string]string) {
	for _, tag := range slices.Sorted(maps.Keys(titles)) {
		if !isLanguage(tag) {
			c.fault(fmt.Sprintf("%s[%q]", path, tag), faultLanguage, "%s", noLanguage(tag))
		}
	}
}

func isLanguage(tag string) bool {
	if len(tag) > maxTagBytes {
		return false
	}
	_, err := language.Parse(tag)
	return err == nil
}

func noLanguage(tag string) string {
	return fmt.Sprintf("%.64q is no BCP 47 language tag: write one such as en, de or pt-BR", tag)
}

// checkWhole reports what a catalog can't do without. One that extends another has it from
// there.
func (c *compiler) checkWhole() {
	if len(c.in.GetHolders()) == 0 {
		c.fault("holders", faultMissing, "the types of subject that may hold roles are missing: write such as [user]")
	}
	if len(c.in.GetRoles()) == 0 {
		c.fault("roles", faultMissing, "the roles are missing: write at least one")
	}
	switch in := c.in.GetAdministration(); {
	case in == nil:
		c.fault("administration", faultMissing, "the rules of administration are missing: write such as {protected_role: admin}")
	case in.GetProtectedRole() == "":
		c.fault("administration.protected_role", faultMissing, "the role of which a tenant always keeps a holder is missing: name one")
	}
}

func (c *compiler) declareScopeTypes() {
	for i, name := range c.in.GetScopeTypes() {
		seen := slices.Contains(c.out.scopeTypes, name)
		c.unique(seen, at("scope_types", i), "scope type", name)
		if !seen {
			c.out.scopeTypes = append(c.out.scopeTypes, name)
		}
	}
}

func (c *compiler) declareResourceTypes() {
	c.declareResourceType("", &catalogv1.ResourceType{Name: roleType, Actions: []string{grantAction, revokeAction}})
	c.declareResourceType("", &catalogv1.ResourceType{Name: toggleType, Actions: []string{setAction}})
	c.out.resourceTypes[roleType].administrative = true
	c.out.resourceTypes[toggleType].administrative = true
	for i, t := range c.in.GetResourceTypes() {
		path := at("resource_types", i)
		if name := t.GetName(); name == roleType || name == toggleType {
			c.fault(path+".name", faultReserved, "every catalog has the resource type %q already: remove it here", name)
			continue
		}
		c.unique(c.out.resourceTypes[t.GetName()] != nil, path+".name", "resource type", t.GetName())
		c.declareResourceType(path, t)
	}
}

func (c *compiler) declareResourceType(path string, t *catalogv1.ResourceType) {
	compiled := &resourceType{
		name:       t.GetName(),
		actions:    map[string]*permission{},
		attributes: map[string]attribute{idAttribute: {name: idAttribute, kind: kindString}},
	}
	for i, action := range t.GetActions() {
		c.unique(compiled.actions[action] != nil, path+"."+at("actions", i), "action", action)
		compiled.actions[action] = &permission{
			name:  t.GetName() + ":" + action,
			rules: make([][]rule, len(c.in.GetRoles())),
			of:    compiled,
		}
	}
	for i, a := range t.GetAttributes() {
		attributePath := path + "." + at("attributes", i) + ".name"
		if a.GetName() == idAttribute {
			c.fault(attributePath, faultReserved, "every resource type has the attribute %q already: remove it here", idAttribute)
			continue
		}
		_, seen := compiled.attributes[a.GetName()]
		c.unique(seen, attributePath, "attribute", a.GetName())
		compiled.attributes[a.GetName()] = attribute{name: a.GetName(), kind: kinds[a.GetType()]}
	}
	c.out.resourceTypes[t.GetName()] = compiled
}

func (c *compiler) declareToggles() {
	for i, t := range c.in.GetToggles() {
		path := at("toggles", i)
		c.unique(c.out.togglesByName[t.GetName()] != nil, path+".name", "toggle", t.GetName())
		c.titles(path+".titles", t.GetTitles())
		compiled := &toggle{index: i, name: t.GetName(), startsOn: t.GetStartsOn(), locked: t.GetLocked()}
		c.out.toggles = append(c.out.toggles, compiled)
		c.out.togglesByName[t.GetName()] = compiled
	}
}

func (c *compiler) declareRoles() {
	for i, r := range c.in.GetRoles() {
		path := at("roles", i)
		c.unique(c.out.rolesByName[r.GetName()] != nil, path+".name", "role", r.GetName())
		c.titles(path+".titles", r.GetTitles())
		compiled := &role{catalog: c.out, index: i, name: r.GetName(), heldIn: map[string]bool{}, holders: map[string]bool{}}
		for j, t := range r.GetHeldIn() {
			c.checkScopeType(path+"."+at("held_in", j), t)
			compiled.heldIn[t] = true
		}
		holders := r.GetHolders()
		if len(holders) == 0 {
			holders = c.in.GetHolders()
		}
		for _, h := range holders {
			compiled.holders[h] = true
		}
		c.out.roles = append(c.out.roles, compiled)
		c.out.rolesByName[r.GetName()] = compiled
	}
	// The names of the roles have to be there before the toggles' references to them.
	for i, t := range c.in.GetToggles() {
		if name := t.GetBelongsTo(); name != "" && c.out.rolesByName[name] == nil {
			c.unknown(at("toggles", i)+".belongs_to", "role", name, keys(c.out.rolesByName))
		}
	}
}

func (c *compiler) checkScopeType(path, name string) {
	if !slices.Contains(c.out.scopeTypes, name) {
		c.unknown(path, "scope type", name, slices.Clone(c.out.scopeTypes))
	}
}

// parseReach reads a reach as catalogs write it.
func (c *compiler) parseReach(path, text string) reach {
	switch text {
	case "tenant":
		return reach{kind: reachTenant}
	case "assigned":
		return reach{kind: reachAssigned}
	case "own":
		return reach{kind: reachOwn}
	}
	scopeType, isAny := strings.CutPrefix(text, "any ")
	if isAny {
		c.checkScopeType(path, scopeType)
	} else {
		c.fault(path, faultReach, "%q is no reach: write tenant, assigned, own or \"any TYPE\" with a scope type", text)
	}
	return reach{kind: reachAnyScope, prefix: scopeType + ":"}
}

// parseGate reads while_on and while_off.
func (c *compiler) parseGate(path, on, off string) gate {
	if on != "" && off != "" {
		c.fault(path, faultTwoToggles, "there is while_on and while_off: keep one of them")
		return gate{}
	}
	name, field := on, "while_on"
	if off != "" {
		name, field = off, "while_off"
	}
	if name == "" {
		return gate{}
	}
	t := c.out.togglesByName[name]
	if t == nil {
		c.unknown(path+"."+field, "toggle", name, keys(c.out.togglesByName))
		return gate{}
	}
	return gate{toggle: t, on: off == ""}
}

func (c *compiler) compileAdministration() {
	in := c.in.GetAdministration()
	c.out.protectedRole = c.roleNamed("administration.protected_role", in.GetProtectedRole())
	if p := c.out.protectedRole; p != nil {
		if p == c.out.defaultRole {
			c.fault("administration.protected_role", faultProtected, "the default role can't be granted, so it can't be protected: name another role")
		}
		if !p.holders[userType] {
			c.fault("administration.protected_role", faultProtected, "only users keep a protected role, and %q is not in its holders: add it there", userType)
		}
	}
	for i, name := range in.GetExclusiveRoles() {
		path := "administration." + at("exclusive_roles", i)
		r := c.roleNamed(path, name)
		if r == nil {
			continue
		}
		c.unique(r.exclusive, path, "exclusive role", name)
		r.exclusive = true
	}
	for i, t := range in.GetRefusedTransitions() {
		c.compileTransition("administration."+at("refused_transitions", i), t)
	}
	for i, limit := range in.GetAdvisoryLimits() {
		path := "administration." + at("advisory_limits", i)
		c.titles(path+".warning", limit.GetWarning())
		if c.roleNamed(path+".role", limit.GetRole()) != nil {
			c.unique(c.out.AdvisoryLimit(limit.GetRole()) != limit, path+".role", "advisory limits of the role", limit.GetRole())
		}
	}
}

func (c *compiler) compileTransition(path string, t *catalogv1.Transition) {
	c.titles(path+".remedy", t.GetRemedy())
	compiled := transition{source: t, from: c.roleNamed(path+".from", t.GetFrom())}
	if t.GetTo() != "" {
		compiled.to = c.roleNamed(path+".to", t.GetTo())
		if t.GetTo() == t.GetFrom() {
			c.fault(path+".to", faultTransition, "from and to are the same role: leave out `to` for any change, or name another role")
		}
	}
	if request := t.GetSupportRequest(); request != nil {
		c.roleNamed(path+".support_request.filed_by", request.GetFiledBy())
		if t.GetInviteAgain() {
			c.fault(path+".invite_again", faultTransition, "the remedy is a support request or a new invitation: keep support_request or invite_again")
		}
	}
	c.out.transitions = append(c.out.transitions, compiled)
}

func (c *compiler) roleNamed(path, name string) *role {
	r := c.out.rolesByName[name]
	if r == nil {
		c.unknown(path, "role", name, keys(c.out.rolesByName))
	}
	return r
}

// checkUse reports what is declared and can never have an effect. Toggles of an extended
// catalog may have lost theirs by narrowing.
func (c *compiler) checkUse() {
	for i, t := range c.out.toggles {
		if inherited := c.out.base != nil && c.out.base.togglesByName[t.name] != nil; !c.used[t] && !inherited {
			c.fault(at("toggles", i), faultUnused, "no rule looks at the toggle %q: name it in while_on or while_off of a rule, or remove it", t.name)
		}
	}
	grants := c.grantRules()
	for i, r := range c.out.roles {
		if r != c.out.defaultRole && !slices.ContainsFunc(grants, r.grantableBy) {
			c.fault(at("roles", i), faultUngrantable,
				"nobody can be granted the role %q: allow role:grant to some role, with a reach and a condition on resource.id that it meets", r.name)
		}
	}
}

// grantRules returns the rules by which some role may grant roles, each once although
// roles may have inherited it many times.
func (c *compiler) grantRules() []rule {
	seen := map[rule]bool{}
	for _, rules := range c.out.resourceTypes[roleType].actions[grantAction].rules {
		for _, r := range rules {
			seen[r] = !r.forbid
		}
	}
	return slices.DeleteFunc(slices.Collect(maps.Keys(seen)), func(r rule) bool { return !seen[r] })
}

// grantableBy reports whether the role can be granted, under some circumstances, by a
// rule about role:grant.
func (r *role) grantableBy(grant rule) bool {
	covers := r.inReach(grant.reach)
	if w := grant.widening; w != nil && w.gate.opens() {
		covers = covers || r.inReach(w.reach)
	}
	resource := &Resource{Type: roleType, ID: r.name}
	return covers && grant.gate.opens() && grant.condition.holds(resource) != isFalse
}

// inReach reports whether a reach covers the role in the tenant or in some scope.
func (r *role) inReach(reach reach) bool {
	switch reach.kind {
	case reachTenant:
		return true
	case reachAssigned:
		return len(r.heldIn) > 0
	case reachAnyScope:
		return r.heldIn[strings.TrimSuffix(reach.prefix, ":")]
	}
	return false // nobody owns a role
}

// opens reports whether the gate is open in some state of its toggle.
func (g gate) opens() bool {
	return g.toggle == nil || !g.toggle.locked || g.toggle.startsOn == g.on
}

func at(list string, index int) string {
	return fmt.Sprintf("%s[%d]", list, index)
}
