package policy

import (
	"slices"
	"strings"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
)

// ruleSource is a rule of a role after inheritance, not yet taken apart into its
// permissions.
type ruleSource struct {
	path        string
	permissions []string
	rule        rule
	condition   string
	unmet       map[string]string
}

// compileRules expands what the roles inherit and lays the rules out by permission
// and role.
func (c *compiler) compileRules() {
	if name := c.in.GetDefaultRole(); name != "" {
		c.out.defaultRole = c.roleNamed("default_role", name)
		if r := c.out.defaultRole; r != nil {
			c.out.defaultHolding = holding{role: r, scopes: []string{""}}
		}
	}
	laid := 0
	for i, r := range c.out.roles {
		sources := c.expand(r, nil)
		if len(sources) == 0 && len(c.faults) == 0 {
			c.fault(at("roles", i), faultEmptyRole, "the role %q has no rules: write some, or inherit them", r.name)
		}
		for _, s := range sources {
			if laid += len(s.permissions); laid > maxRules {
				c.fault("roles", faultTooManyRules,
					"the roles have more than %d rules, counted for each permission and inherited ones in each role: inherit from fewer roles", maxRules)
				return
			}
			r.allows = r.allows || !s.rule.forbid
			c.lay(r, s)
		}
	}
	if r := c.out.defaultRole; r != nil && !r.allows && len(c.faults) == 0 {
		c.fault("default_role", faultDefaultRole, "the default role %q allows nothing: write an allow rule, or leave default_role out", r.name)
	}
}

// expand returns the rules of a role, those it inherits first. The path is the chain
// of roles that led here.
func (c *compiler) expand(r *role, path []string) []ruleSource {
	if done, found := c.expanded[r]; found {
		return done
	}
	in := c.in.GetRoles()[r.index]
	var sources []ruleSource
	for i, inherit := range in.GetInherits() {
		if c.copied > maxRules {
			break // reported already
		}
		where := at("roles", r.index) + "." + at("inherits", i)
		chain := append(path, r.name)
		parent := c.roleNamed(where+".role", inherit.GetRole())
		switch {
		case parent == nil:
		case slices.Contains(chain, parent.name):
			c.fault(where+".role", faultCircle, "roles inherit from each other in a circle (%s): remove one of the links",
				strings.Join(append(chain, parent.name), " → "))
		default:
			rules := c.expand(parent, chain)
			if c.copied += len(rules); c.copied > maxRules {
				c.fault(where, faultTooManyRules, "the roles inherit more than %d rules: inherit from fewer roles", maxRules)
				break
			}
			if len(inherit.GetWithout()) > 0 {
				rules = c.without(where, inherit.GetWithout(), rules)
			}
			sources = append(sources, c.inherited(where, inherit, rules)...)
		}
	}
	for i, rule := range in.GetRules() {
		sources = append(sources, c.parseRule(at("roles", r.index)+"."+at("rules", i), rule))
	}
	c.expanded[r] = sources
	return sources
}

// inherited returns copies of rules as an inheritance changes them.
func (c *compiler) inherited(path string, in *catalogv1.Inheritance, rules []ruleSource) []ruleSource {
	var other reach
	if in.GetReach() != "" {
		other = c.parseReach(path+".reach", in.GetReach())
	}
	copies := make([]ruleSource, len(rules))
	for i, s := range rules {
		if !in.GetKeepToggles() {
			s.rule.gate, s.rule.widening = gate{}, nil
		}
		if in.GetReach() != "" {
			s.rule.reach, s.rule.widening = other, nil
		}
		copies[i] = s
	}
	return copies
}

func (c *compiler) parseRule(path string, in *catalogv1.Rule) ruleSource {
	s := ruleSource{path: path, permissions: in.GetAllow(), condition: in.GetCondition(), unmet: in.GetUnmet()}
	field := "allow"
	if len(in.GetForbid()) > 0 {
		s.permissions, s.rule.forbid, field = in.GetForbid(), true, "forbid"
	}
	if (len(in.GetAllow()) == 0) == (len(in.GetForbid()) == 0) {
		c.fault(path, faultRuleEffect, "a rule has either allow or forbid, with at least one permission: write one of them")
	}
	seen := map[string]bool{}
	for i, p := range s.permissions {
		where := path + "." + at(field, i)
		c.unique(seen[p], where, "permission", p)
		c.permissionNamed(where, p)
		seen[p] = true
	}
	c.titles(path+".unmet", in.GetUnmet())
	if len(in.GetUnmet()) > 0 && in.GetCondition() == "" {
		c.fault(path+".unmet", faultUnmet, "this is told when the condition is not met, and there is none: write a condition, or remove this")
	}
	s.rule.reach = c.parseReach(path+".reach", in.GetReach())
	s.rule.gate = c.parseGate(path, in.GetWhileOn(), in.GetWhileOff())
	c.use(s.rule.gate)
	if w := in.GetWiden(); w != nil {
		s.rule.widening = &widening{
			reach: c.parseReach(path+".widen.reach", w.GetReach()),
			gate:  c.parseGate(path+".widen", w.GetWhileOn(), w.GetWhileOff()),
		}
		if w.GetWhileOn() == "" && w.GetWhileOff() == "" {
			c.fault(path+".widen", faultTwoToggles, "a widening needs a toggle: write while_on or while_off, or change the rule's reach")
		}
		c.use(s.rule.widening.gate)
	}
	return s
}

func (c *compiler) use(g gate) {
	if g.toggle != nil {
		c.used[g.toggle] = true
	}
}

func (c *compiler) permissionNamed(path, name string) *permission {
	typeName, action, _ := strings.Cut(name, ":")
	t := c.out.resourceTypes[typeName]
	if t == nil {
		c.unknown(path, "resource type", typeName, keys(c.out.resourceTypes))
		return nil
	}
	p := t.actions[action]
	if p == nil {
		c.unknown(path, "permission", name, t.permissionNames())
	}
	return p
}

func (t *resourceType) permissionNames() []string {
	var names []string
	for _, p := range t.actions {
		names = append(names, p.name)
	}
	return names
}

// maxRules bounds the rules of a catalog, counted per role and permission after
// inheritance, which could multiply them without end.
const maxRules = 100_000

// lay compiles the rule for each of its permissions, whose attributes may differ.
func (c *compiler) lay(r *role, s ruleSource) {
	for _, name := range s.permissions {
		typeName, action, _ := strings.Cut(name, ":")
		t := c.out.resourceTypes[typeName]
		if t == nil || t.actions[action] == nil {
			continue // reported already
		}
		rule := s.rule
		if s.condition != "" {
			rule.condition = c.toldCondition(s, t)
		}
		p := t.actions[action]
		p.rules[r.index] = append(p.rules[r.index], rule)
	}
}

// maxConditionBytes bounds the text of conditions that is compiled for a catalog, which
// takes a millisecond per kilobyte.
const maxConditionBytes = 256 << 10

// conditionOf compiles the condition at a path for a resource type. The same text is
// compiled once, and a fault in it reported once, however many roles inherit it.
func (c *compiler) conditionOf(path, text string, t *resourceType) *condition {
	key := conditionKey{text: text, on: t}
	if done, found := c.conditions[key]; found {
		return done
	}
	within := c.compiled <= maxConditionBytes
	if c.compiled += len(text); c.compiled > maxConditionBytes {
		if within {
			c.fault(path, faultCondition,
				"the conditions have more than %d bytes, counted for each resource type of their rules: shorten them, or use them in fewer rules", maxConditionBytes)
		}
		return nil
	}
	compiled, err := compileCondition(text, t)
	if err != nil {
		c.fault(path, faultCondition, "for resources of type %s: %v", t.name, err)
	}
	c.conditions[key] = compiled
	return compiled
}

type conditionKey struct {
	text string
	on   *resourceType
	// told is the path of the rule that says what to tell if it is not met; empty: none does.
	told string
}

// toldCondition is the condition of a rule for a resource type, with what the rule wants told
// if it is not met. All permissions and roles that the rule is about have the same one.
func (c *compiler) toldCondition(s ruleSource, t *resourceType) *condition {
	compiled := c.conditionOf(s.path+".condition", s.condition, t)
	if compiled == nil || len(s.unmet) == 0 {
		return compiled
	}
	key := conditionKey{s.condition, t, s.path}
	if done, found := c.conditions[key]; found {
		return done
	}
	told := *compiled
	told.unmet = s.unmet
	c.conditions[key] = &told
	return &told
}
