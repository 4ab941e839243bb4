package server_test

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
)

// judgeWorld is a random catalog with what happens in a tenant on it.
type judgeWorld struct {
	catalog    *catalogv1.Catalog
	conditions map[string]condition
	moments    []judgeMoment
}

// GoString keeps rapid from printing all of it: a failure is reported in readable form.
func (w *judgeWorld) GoString() string { return "as shown in the report" }

// judgeEpoch is when every world begins.
var judgeEpoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// The names that worlds are made of. Few, so that things meet.
var (
	judgeUsers  = []string{"user:ann", "user:bob", "user:Zoe"}
	judgeGroups = []string{"group:a", "group:b", "group:B"}
	judgeBot    = "bot:ann"
	judgeTexts  = []string{"a", "b", "", "é", `quote " and \`, "ab", "true"}
	judgeWhole  = []int64{0, 1, 2, -1, 1 << 53, -(1 << 53)}
	judgeReal   = []float64{0, 1, 0.5, -1.5, 1e300, 1e-7}
)

const judgeAdmin = "user:admin" // each tenant's first administrator

// worldMaker is what a random world is drawn with, and what is drawn of it so far.
type worldMaker struct {
	*rapid.T
	world       *judgeWorld
	catalog     *catalogv1.Catalog
	permissions []string // without those of roles and toggles
	scopes      []string
	holders     []string // who has been granted something
}

// upTo draws a number from 0 to n, mostly evenly.
func (m *worldMaker) upTo(n int) int { return rapid.IntRange(0, n).Draw(m.T, "") }

// chance is true so many times in a hundred.
func (m *worldMaker) chance(percent int) bool { return m.upTo(99) >= 100-percent }

func oneFrom[E any](m *worldMaker, from []E) E { return from[m.upTo(len(from)-1)] }

// someFrom draws up to n elements, each at most once, in any order.
func someFrom[E any](m *worldMaker, from []E, n int) []E {
	rest := slices.Clone(from)
	var drawn []E
	for range m.upTo(min(n, len(rest))) {
		i := m.upTo(len(rest) - 1)
		drawn = append(drawn, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	return drawn
}

func drawWorld(t *rapid.T) *judgeWorld {
	m := &worldMaker{T: t, catalog: &catalogv1.Catalog{Version: 1}}
	m.world = &judgeWorld{catalog: m.catalog, conditions: map[string]condition{}}
	m.drawTypes()
	m.drawToggles()
	m.drawRoles()
	m.dropUnusedToggles()
	m.drawMoments()
	return m.world
}

func (m *worldMaker) drawTypes() {
	c := m.catalog
	c.ScopeTypes = []string{"team", "queue", "teams"}[:1+m.upTo(2)]
	c.Holders = oneFrom(m, [][]string{{"user", "group"}, {"group", "user", "bot"}, {"user"}})
	for _, scopeType := range c.ScopeTypes {
		m.scopes = append(m.scopes, scopeType+":a", scopeType+":B")
	}
	for _, name := range []string{"ticket", "call"}[:oneFrom(m, []int{1, 1, 2})] {
		resourceType := &catalogv1.ResourceType{Name: name, Actions: []string{"view", "edit", "close"}[:oneFrom(m, []int{2, 1, 3})]}
		for _, attribute := range []string{"x", "y", "z"}[:m.upTo(3)] {
			resourceType.Attributes = append(resourceType.Attributes, &catalogv1.Attribute{
				Name: attribute,
				Type: oneFrom(m, []string{"bool", "string", "int", "double", "string_list"}),
			})
		}
		c.ResourceTypes = append(c.ResourceTypes, resourceType)
		for _, action := range resourceType.Actions {
			m.permissions = append(m.permissions, name+":"+action)
		}
	}
}

func (m *worldMaker) drawToggles() {
	for _, name := range []string{"t1", "t2", "t3"}[:oneFrom(m, []int{2, 1, 0, 3})] {
		m.catalog.Toggles = append(m.catalog.Toggles, &catalogv1.Toggle{
			Name:     name,
			StartsOn: proto.Bool(m.chance(50)),
			Locked:   m.chance(20),
		})
	}
}

// drawRoles draws up to six roles and one more, boss, who may grant them all. A role
// inherits from those drawn before it, whatever their order in the catalog becomes.
func (m *worldMaker) drawRoles() {
	c := m.catalog
	for _, name := range []string{"r4", "r2", "r6", "r1", "r5", "r3"}[:1+m.upTo(5)] {
		c.Roles = append(c.Roles, m.drawRole(name))
	}
	boss := m.drawRole("boss")
	boss.HeldIn, boss.Holders = nil, nil
	administer := &catalogv1.Rule{Allow: []string{"role:grant", "role:revoke", "toggle:set"}, Reach: "tenant"}
	boss.Rules = slices.Insert(boss.Rules, m.upTo(len(boss.Rules)), administer)
	c.Roles = append(c.Roles, boss)

	for i := range c.Roles { // shuffled
		k := m.upTo(i)
		c.Roles[i], c.Roles[k] = c.Roles[k], c.Roles[i]
	}
	c.Administration = &catalogv1.Administration{ProtectedRole: "boss"}
	if first := c.Roles[0]; first.Name != "boss" && newJudge(c, nil).allowsAnything(first.Name) && m.chance(75) {
		c.DefaultRole = first.Name
		first.HeldIn, first.Holders = nil, nil
		k := m.upTo(len(c.Roles) - 1)
		c.Roles[0], c.Roles[k] = c.Roles[k], c.Roles[0]
	}
	if m.chance(20) {
		for _, role := range c.Roles {
			if role.Name != c.DefaultRole && m.chance(50) {
				c.Administration.ExclusiveRoles = append(c.Administration.ExclusiveRoles, role.Name)
			}
		}
	}
	for _, toggle := range c.Toggles {
		if m.chance(30) {
			toggle.BelongsTo = oneFrom(m, c.Roles).Name
		}
	}
}

func (m *worldMaker) drawRole(name string) *catalogv1.Role {
	role := &catalogv1.Role{Name: name}
	if m.chance(80) {
		role.HeldIn = someFrom(m, m.catalog.ScopeTypes, len(m.catalog.ScopeTypes))
	}
	if m.chance(20) {
		role.Holders = oneFrom(m, [][]string{{"user"}, {"group"}, {"bot", "group", "user"}})
	}
	if len(m.catalog.Roles) > 0 && m.chance(60) {
		for range 1 + m.upTo(1) {
			earlier := oneFrom(m, m.catalog.Roles)
			inheritance := &catalogv1.Inheritance{Role: earlier.Name, KeepToggles: m.chance(50)}
			if m.chance(40) {
				inheritance.Reach = m.drawReach()
			}
			role.Inherits = append(role.Inherits, inheritance)
		}
	}
	onlyForbids := m.chance(25)
	if onlyForbids {
		role.Inherits = nil
	}
	if len(role.HeldIn) > 0 && !onlyForbids && m.chance(45) {
		administer := &catalogv1.Rule{Allow: []string{"role:grant", "role:revoke"}, Reach: "tenant"}
		role.Rules = append(role.Rules, administer)
	}
	for len(role.Rules)+len(role.Inherits) == 0 || m.chance(60-15*len(role.Inherits)) && len(role.Rules) < 5 {
		role.Rules = append(role.Rules, m.drawRule(onlyForbids))
	}
	return role
}

func (m *worldMaker) drawReach() string {
	reaches := []string{"tenant", "assigned", "own"}
	for _, scopeType := range m.catalog.ScopeTypes {
		reaches = append(reaches, "any "+scopeType)
	}
	return oneFrom(m, reaches)
}

func (m *worldMaker) drawRule(forbids bool) *catalogv1.Rule {
	all := m.permissions
	if m.chance(30) {
		all = []string{"role:grant", "role:revoke"}
		if len(m.catalog.Toggles) > 0 {
			all = append(all, "toggle:set")
		}
	}
	permissions := append([]string{oneFrom(m, all)}, someFrom(m, all, 2)...)
	slices.Sort(permissions)
	permissions = slices.Compact(permissions)

	rule := &catalogv1.Rule{Reach: m.drawReach()}
	if forbids || m.chance(15) {
		rule.Forbid = permissions
	} else {
		rule.Allow = permissions
	}
	if m.chance(50) {
		c := m.drawCondition(m.attributesOf(permissions), 2)
		rule.Condition = c.String()
		m.world.conditions[rule.Condition] = c
	}
	if len(m.catalog.Toggles) == 0 {
		return rule
	}
	if m.chance(50) {
		rule.WhileOn, rule.WhileOff = m.drawToggle()
	}
	if m.chance(50) {
		rule.Widen = &catalogv1.Widening{Reach: m.drawReach()}
		rule.Widen.WhileOn, rule.Widen.WhileOff = m.drawToggle()
	}
	return rule
}

func (m *worldMaker) drawToggle() (on, off string) {
	name := oneFrom(m, m.catalog.Toggles).GetName()
	if m.chance(50) {
		return name, ""
	}
	return "", name
}

// attributesOf returns the attributes that the resource types of all the permissions
// have, of the same type; id among them.
func (m *worldMaker) attributesOf(permissions []string) []*catalogv1.Attribute {
	common := []*catalogv1.Attribute{{Name: "id", Type: "string"}}
	for _, resourceType := range m.catalog.ResourceTypes {
		common = append(common, resourceType.Attributes...)
	}
	return slices.DeleteFunc(common, func(a *catalogv1.Attribute) bool {
		return slices.ContainsFunc(permissions, func(permission string) bool {
			resourceType, _ := cutPermission(permission)
			return a.Name != "id" && !slices.ContainsFunc(m.attributesOfType(resourceType), func(b *catalogv1.Attribute) bool {
				return a.Name == b.Name && a.Type == b.Type
			})
		})
	})
}

func cutPermission(permission string) (resourceType, action string) {
	resourceType, action, _ = strings.Cut(permission, ":")
	return resourceType, action
}

func (m *worldMaker) attributesOfType(name string) []*catalogv1.Attribute {
	for _, resourceType := range m.catalog.ResourceTypes {
		if resourceType.Name == name {
			return resourceType.Attributes
		}
	}
	return nil
}

func (m *worldMaker) drawCondition(attributes []*catalogv1.Attribute, depth int) condition {
	if depth > 0 {
		switch m.upTo(9) {
		case 5:
			return negation{m.drawCondition(attributes, depth-1)}
		case 6, 7:
			return conjunction{m.drawCondition(attributes, depth-1), m.drawCondition(attributes, depth-1)}
		case 8, 9:
			return disjunction{m.drawCondition(attributes, depth-1), m.drawCondition(attributes, depth-1)}
		}
	}
	if m.chance(5) {
		return boolLiteral(m.chance(50))
	}
	attribute := oneFrom(m, attributes)
	if m.chance(15) {
		return hasAttribute{attribute.Name}
	}
	if attribute.Type == "string_list" {
		return listContains{value: oneFrom(m, judgeTexts), name: attribute.Name}
	}
	if attribute.Type == "bool" && m.chance(50) {
		return bareAttribute{attribute.Name}
	}
	if m.chance(25) {
		c := oneOf{name: attribute.Name}
		for range m.upTo(3) {
			c.values = append(c.values, m.drawConstant(attribute))
		}
		return c
	}
	operators := []string{"==", "!=", "<", "<=", ">", ">="}
	if attribute.Type == "bool" {
		operators = operators[:2]
	}
	return comparison{
		name:    attribute.Name,
		op:      oneFrom(m, operators),
		value:   m.drawConstant(attribute),
		swapped: m.chance(30),
	}
}

func (m *worldMaker) drawConstant(attribute *catalogv1.Attribute) any {
	switch {
	case attribute.Name == "id":
		return oneFrom(m, append([]string{"1", "boss", "r1", "t1"}, judgeTexts...))
	case attribute.Type == "string":
		return oneFrom(m, judgeTexts)
	case attribute.Type == "int":
		return oneFrom(m, judgeWhole)
	case attribute.Type == "double":
		return oneFrom(m, judgeReal)
	}
	return m.chance(50)
}

func (m *worldMaker) dropUnusedToggles() {
	used := map[string]bool{}
	for _, role := range m.catalog.Roles {
		for _, rule := range role.Rules {
			for _, name := range []string{
				rule.GetWhileOn(), rule.GetWhileOff(), rule.GetWiden().GetWhileOn(), rule.GetWiden().GetWhileOff(),
			} {
				used[name] = true
			}
		}
	}
	m.catalog.Toggles = slices.DeleteFunc(m.catalog.Toggles, func(toggle *catalogv1.Toggle) bool {
		return !used[toggle.Name]
	})
}
