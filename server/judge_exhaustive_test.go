package server_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

// TestJudgeExhaustive compares the server with the judge on everything that can be
// asked of the built-in catalogs: every role or none, held in the tenant, in a scope of
// each type, through a group, before its start and after its end; every permission;
// every state of the toggles that the permission has to do with; resources in each
// kind of place, with each kind of owner; and for each condition attributes that make
// it true, false and undecided.
func TestJudgeExhaustive(t *testing.T) {
	p := &judgePlay{h: newHarness(t), seen: map[string]int{}}
	for _, source := range catalogs.All() {
		t.Run(source.Name, func(t *testing.T) {
			s := newJudgeSweep(t, p, readCatalog(t, string(source.YAML)))
			before := p.decided
			s.sweep(t)
			t.Logf("%d decisions", p.decided-before)
		})
	}
	t.Logf("%d decisions in all", p.decided)
	if p.decided < 200_000 && !t.Failed() {
		t.Errorf("only %d decisions were compared", p.decided)
	}
}

// judgeSweep is one built-in catalog, swept.
type judgeSweep struct {
	*judgeTenant
	askers []judgeQuestion // of which only subject and groups are set
	// How each condition has come out.
	outcomes map[string]map[truth]bool
	items    []*usherv1.BatchCheckItem // to be asked
}

// newJudgeSweep creates a tenant in which each way of holding each role has a subject.
func newJudgeSweep(t *testing.T, p *judgePlay, catalog *catalogv1.Catalog) *judgeSweep {
	t.Helper()
	top := catalog.GetAdministration().GetProtectedRole()
	s := &judgeSweep{
		judgeTenant: &judgeTenant{
			judgePlay: p,
			judge:     newJudge(catalog, nil),
			name:      "sweep-" + catalog.GetName(),
			facts: judgeFacts{
				toggles:     map[string]bool{},
				assignments: []judgeAssignment{{subject: judgeAdmin, role: top}},
			},
		},
		outcomes: map[string]map[truth]bool{},
	}
	stored, err := p.h.operator.GetCatalog(t.Context(), &usherv1.GetCatalogRequest{Name: catalog.GetName()})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(stored.GetCatalog(), catalog) {
		t.Fatalf("the catalog of the server is another one: %v", stored.GetCatalog())
	}

	now := judgeEpoch
	p.h.clock.Set(now.Add(-2 * time.Hour))
	for _, tenant := range []struct{ name, administrator string }{
		{s.name, judgeAdmin}, {s.name + "-other", "user:elsewhere"},
	} {
		if _, err := p.h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
			Tenant: tenant.name, Catalog: catalog.GetName(), FirstAdministrator: tenant.administrator,
		}); err != nil {
			t.Fatal(err)
		}
	}
	var writes []judgeWrite
	for _, a := range s.holdings(now) {
		writes = append(writes, judgeWrite{grant: &a})
	}
	if err := s.write(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	if refused := len(writes) + 1 - len(s.facts.assignments); refused != 0 {
		t.Fatalf("%d of %d grants were refused", refused, len(writes))
	}
	p.h.clock.Set(now)
	s.facts.now = now
	return s
}

// holdings returns every role held in every way, each by a subject of its own, and
// notes who will ask.
func (s *judgeSweep) holdings(now time.Time) []judgeAssignment {
	s.askers = []judgeQuestion{
		{subject: "user:nobody", groups: []string{"group:nobody"}},
		{subject: "user:elsewhere"},
	}
	var all []judgeAssignment
	hold := func(a judgeAssignment, how string) {
		a.subject = "user:" + a.role + "-" + a.scope + how
		s.askers = append(s.askers, judgeQuestion{subject: a.subject, groups: []string{"group:nobody"}})
		all = append(all, a)
		holders := s.role(a.role).GetHolders()
		if len(holders) == 0 {
			holders = s.catalog.GetHolders()
		}
		if slices.Contains(holders, "group") {
			a.subject = "group:" + a.role + "-" + a.scope + how
			s.askers = append(s.askers, judgeQuestion{subject: "user:member", groups: []string{a.subject}})
			all = append(all, a)
		}
	}
	for _, role := range s.catalog.GetRoles() {
		if role.GetName() == s.catalog.GetDefaultRole() {
			continue
		}
		a := judgeAssignment{role: role.GetName()}
		hold(a, "tenant")
		for _, scopeType := range role.GetHeldIn() {
			a.scope = scopeType + ":mine"
			hold(a, "")
		}
		a.starts, a.ends = now.Add(time.Nanosecond), time.Time{}
		hold(a, "later")
		a.starts, a.ends = time.Time{}, now
		hold(a, "ended")
	}
	return all
}

// sweep asks everything. Permissions that have to do with the same toggles are asked
// together, once for each way in which these can stand.
func (s *judgeSweep) sweep(t *testing.T) {
	together := map[string][]string{}
	for _, permission := range s.permissions() {
		key := fmt.Sprint(s.togglesOf(permission))
		together[key] = append(together[key], permission)
	}
	for _, permissions := range together {
		toggles := s.togglesOf(permissions[0])
		for states := range 1 << len(toggles) {
			var writes []judgeWrite
			for i, toggle := range toggles {
				writes = append(writes, judgeWrite{toggle: toggle, on: states>>i&1 == 1})
			}
			err := s.write(t.Context(), writes)
			for _, permission := range permissions {
				if err == nil {
					err = s.askAll(t.Context(), permission)
				}
			}
			if err == nil {
				err = s.flush(t.Context())
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, s.describe())
			}
		}
	}
	for text, outcomes := range s.outcomes {
		if len(outcomes) != 3 {
			t.Errorf("condition %s: came out as %v only", text, outcomes)
		}
	}
}

// permissions returns every permission of the catalog.
func (s *judgeSweep) permissions() []string {
	permissions := []string{"role:grant", "role:revoke"}
	if len(s.catalog.GetToggles()) > 0 {
		permissions = append(permissions, "toggle:set")
	}
	for _, resourceType := range s.catalog.GetResourceTypes() {
		for _, action := range resourceType.GetActions() {
			permissions = append(permissions, resourceType.GetName()+":"+action)
		}
	}
	return permissions
}

// rulesAbout returns the rules of all roles that are about a permission.
func (s *judgeSweep) rulesAbout(permission string) []judgeRule {
	var rules []judgeRule
	for _, role := range s.catalog.GetRoles() {
		for _, r := range s.rulesOf(role.GetName()) {
			if slices.Contains(r.permissions, permission) {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// togglesOf returns the toggles that a permission has to do with.
func (s *judgeSweep) togglesOf(permission string) []string {
	var names []string
	for _, r := range s.rulesAbout(permission) {
		names = append(names, r.on, r.off, r.widen.GetWhileOn(), r.widen.GetWhileOff())
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// askAll asks about one permission whatever can be asked.
func (s *judgeSweep) askAll(ctx context.Context, permission string) error {
	resourceType, action := cutPermission(permission)
	for _, scopes := range s.places() {
		for _, resource := range s.resources(permission) {
			resource.Type, resource.Scopes = resourceType, scopes
			for _, asker := range s.askers {
				for _, owner := range append([]string{"", asker.subject, "user:other"}, asker.groups...) {
					resource := proto.CloneOf(resource)
					resource.Owner = owner
					s.items = append(s.items, &usherv1.BatchCheckItem{
						Resource: resource, Actions: []string{action}, Subject: asker.subject, Groups: asker.groups,
					})
					if len(s.items) == 1000 {
						if err := s.flush(ctx); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}

// flush asks the items that have been collected.
func (s *judgeSweep) flush(ctx context.Context) error {
	if len(s.items) == 0 {
		return nil
	}
	_, err := s.askBatch(ctx, judgeMoment{items: s.items}, usherv1.Detail_DETAIL_REASONS)
	s.items = nil
	return err
}

// places returns in which scopes a resource can lie: in none, and for each type in the
// one that is named in the assignments, in another, and in both; and in one of every
// type which is named nowhere.
func (s *judgeSweep) places() [][]string {
	places := [][]string{nil}
	var others []string
	for _, scopeType := range s.catalog.GetScopeTypes() {
		mine, other := scopeType+":mine", scopeType+":other"
		places = append(places, []string{mine}, []string{other}, []string{other, mine})
		others = append(others, other)
	}
	return append(places, others)
}

// resources returns resources with every id that matters and every combination of the
// attributes that conditions of the permission look at.
func (s *judgeSweep) resources(permission string) []*usherv1.Resource {
	resourceType, _ := cutPermission(permission)
	var resources []*usherv1.Resource
	switch resourceType {
	case "role":
		for _, role := range s.catalog.GetRoles() {
			resources = append(resources, &usherv1.Resource{Type: resourceType, Id: role.GetName()})
		}
	case "toggle":
		for _, toggle := range s.catalog.GetToggles() {
			resources = append(resources, &usherv1.Resource{Type: resourceType, Id: toggle.GetName()})
		}
	default:
		resources = []*usherv1.Resource{{Type: resourceType, Id: "1"}}
	}

	for name, values := range s.interesting(permission) {
		var more []*usherv1.Resource
		for _, resource := range resources {
			more = append(more, resource) // in which it is missing
			for _, value := range values {
				fields := map[string]*structpb.Value{name: value}
				maps.Copy(fields, resource.GetAttributes().GetFields())
				resource := proto.CloneOf(resource)
				resource.Attributes = &structpb.Struct{Fields: fields}
				more = append(more, resource)
			}
		}
		resources = more
	}
	for _, r := range s.rulesAbout(permission) {
		for _, resource := range resources {
			if r.condition != "" && resourceType != "role" && resourceType != "toggle" {
				outcome, _ := s.evaluate(r.condition, resource)
				if s.outcomes[r.condition] == nil {
					s.outcomes[r.condition] = map[truth]bool{}
				}
				s.outcomes[r.condition][outcome] = true
			}
		}
	}
	return resources
}

// interesting returns values for each attribute that a condition of the permission
// looks at: those that it is compared with, others, and some that are no value of the
// declared type.
func (s *judgeSweep) interesting(permission string) map[string][]*structpb.Value {
	resourceType, _ := cutPermission(permission)
	values := map[string][]*structpb.Value{}
	add := func(name string, value any) {
		v, err := structpb.NewValue(value)
		if err != nil {
			panic(err)
		}
		same := func(w *structpb.Value) bool { return proto.Equal(v, w) }
		if name != "id" && !slices.ContainsFunc(values[name], same) {
			values[name] = append(values[name], v)
		}
	}
	addConstant := func(name string, constant any) {
		if n, ok := constant.(int64); ok {
			add(name, n-1)
			add(name, n+1)
		}
		add(name, constant)
	}
	for _, r := range s.rulesAbout(permission) {
		if r.condition == "" {
			continue
		}
		c := parseCondition(r.condition)
		for _, name := range c.mentions() {
			switch s.attributeType(resourceType, name) {
			case "bool":
				add(name, true)
				add(name, false)
				add(name, "true")
			case "string":
				add(name, "something else")
				add(name, true)
			case "string_list":
				add(name, []any{})
				add(name, []any{"something else", nil})
			default:
				add(name, "1")
			}
		}
		eachConstant(c, addConstant)
	}
	if (resourceType == "role" || resourceType == "toggle") && len(values) > 0 {
		panic("a condition on attributes of " + resourceType)
	}
	return values
}
