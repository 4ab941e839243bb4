package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

func builtIn(t testing.TB, name string) *policy.Catalog {
	t.Helper()
	for _, source := range catalogs.All() {
		if source.Name == name+".yaml" {
			catalog, err := policy.Parse(source.Name, source.YAML, nil)
			if err != nil {
				t.Fatal(err)
			}
			return catalog
		}
	}
	t.Fatalf("no catalog %s", name)
	return nil
}

// TestCompareBuiltIn switches each toggle of the built-in catalogs and grants, revokes and
// changes each role, in the tenant and in scopes, and judges it by every request.
func TestCompareBuiltIn(t *testing.T) {
	for name, scopes := range map[string][]string{
		"expertconnect":       {"team:a", "team:b", "team:other"},
		"liveagent":           {"department:a", "department:other"},
		"goto_contact_center": {"queue:a", "inbox:a", "queue:other", "ring_group:other"},
	} {
		t.Run(name, func(t *testing.T) {
			catalog := builtIn(t, name)
			flipped, held := map[string]bool{}, [][]store.AssignmentKey{nil}
			for _, toggle := range catalog.Message().GetToggles() {
				flipped[toggle.GetName()] = !toggle.GetStartsOn()
			}
			for _, role := range catalog.Message().GetRoles() {
				for _, scope := range []string{"", scopes[0], scopes[1]} {
					if role.GetName() == catalog.Message().GetDefaultRole() || scope != "" && len(role.GetHeldIn()) == 0 {
						continue
					}
					held = append(held, []store.AssignmentKey{{Role: role.GetName(), Scope: scope}})
				}
			}
			singles := held[1:]
			for i, one := range singles {
				held = append(held, slices.Concat(one, singles[(i+len(singles)/2)%len(singles)]))
			}
			effects := 0
			compare := func(from, to map[string]bool, before, after []store.AssignmentKey) {
				u := &universe{
					tables: [2]*policy.Table{policy.NewTable(catalog, from), policy.NewTable(catalog, to)},
					scopes: subsets(scopes...),
					owners: []string{"", "user:ann"},
					ids:    []string{"7"},
					values: map[string][]any{
						"visibility":      {"public", "internal", "private"},
						"team_visibility": {"public", "internal", "private"},
						"status":          {"open", "closed"},
						"logged_in":       {true, false},
						"wrap_up_seconds": {-1, 0, 1},
					},
					made:    map[string][]universeResource{},
					compile: map[conditionOn]func(*policy.Resource) bool{},
				}
				comparison := policy.NewComparison(u.tables[0], u.tables[1])
				holders := [2]*policy.Holder{u.holder(t, 0, "user:ann", before), u.holder(t, 1, "user:ann", after)}
				found, err := u.judge(comparison, holders)
				if err != nil {
					t.Errorf("toggles %v and then %v, held %v and then %v: %v", from, to, before, after, err)
				}
				effects += len(found)
			}
			for _, h := range held {
				for toggle, on := range flipped {
					compare(nil, map[string]bool{toggle: on}, h, h)
				}
				for _, other := range held {
					compare(flipped, flipped, h, other)
				}
			}
			t.Logf("%d effects", effects)
		})
	}
}

// compareCases are changes with what has to be listed, one effect in a line: + or -, the
// permission, where, the condition in parentheses, and the role.
var compareCases = []struct {
	name string
	// catalog is built in, or the rules of roles in a small catalog before and after.
	catalog       string
	rules         [2]string
	from, to      map[string]bool
	before, after []store.AssignmentKey
	subject       string
	only          string // a part of the permissions to look at
	want          string
}{
	{
		name: "a toggle takes a permission in each scope", catalog: "expertconnect",
		to:     map[string]bool{"advisor_ticket_reassign": false},
		before: []store.AssignmentKey{{Role: "advisor", Scope: "team:parts"}, {Role: "advisor", Scope: "team:harvest"}},
		after:  []store.AssignmentKey{{Role: "advisor", Scope: "team:parts"}, {Role: "advisor", Scope: "team:harvest"}},
		want: `
- ticket:reassign scope team:harvest by advisor
- ticket:reassign scope team:parts by advisor`,
	},
	{
		name: "a permission that another role still gives is not listed", catalog: "expertconnect",
		to:     map[string]bool{"advisor_ticket_reassign": false},
		before: []store.AssignmentKey{{Role: "advisor", Scope: "team:parts"}, {Role: "manager"}},
		after:  []store.AssignmentKey{{Role: "advisor", Scope: "team:parts"}, {Role: "manager"}},
	},
	{
		name: "a widening", catalog: "goto_contact_center",
		to:     map[string]bool{"restrict_to_assigned_queues": false},
		before: []store.AssignmentKey{{Role: "supervisor", Scope: "queue:billing"}},
		after:  []store.AssignmentKey{{Role: "supervisor", Scope: "queue:billing"}},
		only:   "queue:",
		want: `
+ queue:login_agent any queue by supervisor
+ queue:logout_agent any queue by supervisor
+ queue:manage any queue by supervisor
+ queue:monitor any queue by supervisor`,
	},
	{
		name: "beside assigned a condition that reaches the tenant", catalog: "goto_contact_center",
		after: []store.AssignmentKey{{Role: "agent", Scope: "queue:billing"}},
		only:  "queue:",
		want: `
+ queue:login scope queue:billing by agent
+ queue:logout tenant by agent
+ queue:serve tenant (resource.logged_in) by agent
+ queue:serve scope queue:billing by agent`,
	},
	{
		name: "the first role ends the default role, the last one brings it back", catalog: "expertconnect",
		before: []store.AssignmentKey{{Role: "view_only", Scope: "team:parts"}},
		only:   "ticket:",
		want: `
+ ticket:attach own (resource.status == "open") by free_user
+ ticket:create tenant (resource.team_visibility == "public") by free_user
+ ticket:message own by free_user
+ ticket:view own by free_user
- ticket:search scope team:parts by view_only
- ticket:view scope team:parts by view_only`,
	},
	{
		name: "a group owns nothing", catalog: "expertconnect", subject: "group:parts",
		before: []store.AssignmentKey{{Role: "view_only", Scope: "team:parts"}},
		only:   "ticket:view",
		want:   "- ticket:view scope team:parts by view_only",
	},
	{
		name: "who may grant which roles", catalog: "expertconnect",
		before: []store.AssignmentKey{{Role: "manager"}},
		after:  []store.AssignmentKey{{Role: "administrator"}},
		only:   "role:",
		want: `
+ role:grant role administrator by administrator
+ role:revoke role manager by administrator`,
	},
	{
		name:   "a veto that ends in one scope",
		rules:  [2]string{"{role: staff, allow: view, reach: tenant} {role: barred, forbid: view, reach: assigned}"},
		before: []store.AssignmentKey{{Role: "staff"}, {Role: "barred", Scope: "team:a"}},
		after:  []store.AssignmentKey{{Role: "staff"}},
		want:   "+ ticket:view scope team:a by staff",
	},
	{
		name:   "a veto that needs another scope",
		rules:  [2]string{"{role: staff, allow: view, reach: assigned} {role: barred, forbid: view, reach: assigned}"},
		before: []store.AssignmentKey{{Role: "staff", Scope: "team:a"}},
		after:  []store.AssignmentKey{{Role: "staff", Scope: "team:a"}, {Role: "barred", Scope: "queue:a"}},
		want:   "- ticket:view scope team:a by staff",
	},
	{
		name:   "a veto that begins for what is undecided",
		rules:  [2]string{`{role: staff, allow: view, reach: tenant} {role: barred, forbid: view, reach: own, condition: 'resource.x == "a"'}`},
		before: []store.AssignmentKey{{Role: "staff"}},
		after:  []store.AssignmentKey{{Role: "staff"}, {Role: "barred"}},
		want:   "- ticket:view own by staff",
	},
	{
		name:   "a wider condition",
		rules:  [2]string{`{role: staff, allow: view, reach: tenant, condition: 'resource.x < "b"'}`, `{role: staff, allow: view, reach: tenant, condition: 'resource.x <= "b"'}`},
		before: []store.AssignmentKey{{Role: "staff"}},
		after:  []store.AssignmentKey{{Role: "staff"}},
		want:   `+ ticket:view tenant (resource.x <= "b") by staff`,
	},
	{
		name:   "a condition that says the same in other words",
		rules:  [2]string{`{role: staff, allow: view, reach: tenant, condition: '!(resource.x == "b")'}`, `{role: staff, allow: view, reach: tenant, condition: 'resource.x != "b"'}`},
		before: []store.AssignmentKey{{Role: "staff"}},
		after:  []store.AssignmentKey{{Role: "staff"}},
	},
	{
		name:   "a veto that only holds undecided",
		rules:  [2]string{`{role: staff, allow: view, reach: tenant} {role: barred, forbid: view, reach: tenant, condition: 'resource.id < "b" && resource.id > "c"'}`},
		before: []store.AssignmentKey{{Role: "staff"}},
		after:  []store.AssignmentKey{{Role: "staff"}, {Role: "barred"}},
		want:   "- ticket:view tenant by staff",
	},
	{
		name:   "a veto on what is owned, beside any scope",
		rules:  [2]string{"{role: staff, allow: view, reach: any team} {role: barred, forbid: view, reach: own}"},
		before: []store.AssignmentKey{{Role: "staff"}, {Role: "barred"}},
		after:  []store.AssignmentKey{{Role: "staff"}},
		want:   "+ ticket:view own by staff",
	},
	{
		name:   "a resource without an id",
		rules:  [2]string{"{role: staff, allow: view, reach: own}", "{role: staff, allow: view, reach: tenant, condition: '!has(resource.id)'}"},
		before: []store.AssignmentKey{{Role: "staff"}},
		after:  []store.AssignmentKey{{Role: "staff"}},
		want: `
+ ticket:view tenant (!has(resource.id)) by staff
- ticket:view own by staff`,
	},
	{
		name:   "an attribute of another type",
		rules:  [2]string{"{role: staff, allow: view, reach: tenant, condition: 'has(resource.x)'}", "{role: staff, allow: view, reach: tenant, condition: 'has(resource.x)', x: int}"},
		before: []store.AssignmentKey{{Role: "staff"}},
		after:  []store.AssignmentKey{{Role: "staff"}},
		want: `
+ ticket:view tenant (has(resource.x)) by staff
- ticket:view tenant (has(resource.x)) by staff`,
	},
	{
		name:   "a scope that any scope of its type covers, and one of another type",
		rules:  [2]string{"{role: staff, allow: edit, reach: tenant}", "{role: staff, allow: view, reach: assigned, widen: any team} {role: staff, allow: edit, reach: tenant}"},
		before: []store.AssignmentKey{{Role: "staff", Scope: "team:a"}, {Role: "staff", Scope: "queue:a"}},
		after:  []store.AssignmentKey{{Role: "staff", Scope: "team:a"}, {Role: "staff", Scope: "queue:a"}},
		want: `
+ ticket:view any team by staff
+ ticket:view scope queue:a by staff`,
	},
	{
		name:   "an administrator of one scope",
		rules:  [2]string{"{role: staff, allow: view, reach: assigned} {role: barred, allow: 'role:grant', reach: any queue}"},
		before: []store.AssignmentKey{{Role: "staff", Scope: "team:a"}},
		after:  []store.AssignmentKey{{Role: "staff", Scope: "team:a"}, {Role: "barred", Scope: "team:b"}},
		want:   "+ role:grant scope team:b by barred",
	},
}

// smallCatalog makes a catalog of the rules of a case.
func smallCatalog(t *testing.T, rules string) *policy.Catalog {
	t.Helper()
	roles, typeOfX := map[string]string{"staff": "", "barred": ""}, "string"
	for _, rule := range strings.Split(strings.Trim(rules, "{}"), "} {") {
		text, role := "", ""
		for _, part := range strings.Split(rule, ", ") {
			key, value, _ := strings.Cut(part, ": ")
			switch {
			case key == "role":
				role = value
				continue
			case key == "x":
				typeOfX = value
				continue
			case key == "widen":
				value = "{reach: " + value + ", while_on: wide}"
			case (key == "allow" || key == "forbid") && !strings.Contains(value, ":"):
				value = "['ticket:" + value + "']"
			case key == "allow":
				value = "[" + value + "]"
			}
			text += key + ": " + value + ", "
		}
		roles[role] += "      - {" + strings.TrimSuffix(text, ", ") + "}\n"
	}
	source := `
name: small
version: 1
scope_types: [team, queue]
holders: [user, group]
resource_types: [{name: ticket, actions: [view, edit], attributes: [{name: x, type: ` + typeOfX + `}]}]
roles:
  - name: boss
    rules:
      - {allow: ['role:grant', 'role:revoke'], reach: tenant}
      - {allow: ['toggle:set'], reach: tenant, while_on: wide}
`
	for _, role := range []string{"staff", "barred"} {
		source += "  - name: " + role + "\n    held_in: [team, queue]\n    rules:\n" + roles[role]
		if roles[role] == "" {
			source += "      - {allow: ['ticket:edit'], reach: own}\n"
		}
	}
	catalog, err := policy.Parse("small.yaml", []byte(source+"toggles: [{name: wide, starts_on: true}]\nadministration: {protected_role: boss}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

// TestCompareCases has changes and all that has to be listed for them.
func TestCompareCases(t *testing.T) {
	for _, test := range compareCases {
		t.Run(test.name, func(t *testing.T) {
			var tables [2]*policy.Table
			for i, toggles := range []map[string]bool{test.from, test.to} {
				switch {
				case test.catalog != "" && i == 0:
					tables[i] = policy.NewTable(builtIn(t, test.catalog), toggles)
				case test.catalog != "" || test.rules[i] == "":
					tables[i] = policy.NewTable(tables[0].Catalog(), toggles)
				default:
					tables[i] = policy.NewTable(smallCatalog(t, test.rules[i]), toggles)
				}
			}
			if test.subject == "" {
				test.subject = "user:ann"
			}
			u := &universe{tables: tables}
			effects, err := policy.NewComparison(tables[0], tables[1]).Effects(
				u.holder(t, 0, test.subject, test.before), u.holder(t, 1, test.subject, test.after))
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, e := range effects {
				if strings.Contains(e.Permission, test.only) {
					lines = append(lines, effectLine(e))
				}
			}
			if !slices.IsSorted(permissionsOf(effects)) {
				t.Errorf("not by permission: %v", effects)
			}
			slices.Sort(lines)
			want := strings.Split(strings.TrimSpace(test.want), "\n")
			slices.Sort(want)
			if got, want := strings.Join(lines, "\n"), strings.Join(want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func permissionsOf(effects []policy.Effect) []string {
	var names []string
	for _, e := range effects {
		names = append(names, e.Permission)
	}
	return names
}

func effectLine(e policy.Effect) string {
	sign := "-"
	if e.Gained {
		sign = "+"
	}
	where := map[policy.AreaKind]string{
		policy.AreaTenant: "tenant", policy.AreaAnyScope: "any ", policy.AreaOwn: "own",
		policy.AreaScope: "scope ", policy.AreaResource: "role ",
	}[e.Area.Kind] + e.Area.Name
	if e.Condition != "" {
		where += " (" + e.Condition + ")"
	}
	return fmt.Sprintf("%s %s %s by %s", sign, e.Permission, where, e.Role)
}

// TestCompareManyAttributes has a condition on 60 attributes, which comes out in two ways
// only, and then conditions that come out in more ways together than can be gone through.
func TestCompareManyAttributes(t *testing.T) {
	declared, apart := "", ""
	var parts []string
	for i := range 30 {
		declared += fmt.Sprintf("      - {name: a%d, type: bool}\n      - {name: b%d, type: int}\n", i, i)
		parts = append(parts, fmt.Sprintf("resource.a%d && resource.b%d > 3", i, i))
		apart += fmt.Sprintf("      - {allow: ['ticket:view'], reach: any team, condition: resource.a%d}\n", i)
	}
	one := strings.Join(parts, " || ")
	catalog := func(rules string) *policy.Catalog {
		c, err := policy.Parse("many.yaml", []byte("name: many\nversion: 1\nscope_types: [team]\nholders: [user]\n"+
			"resource_types:\n  - name: ticket\n    actions: [view]\n    attributes:\n"+declared+
			"roles:\n  - name: boss\n    rules:\n      - {allow: ['role:grant'], reach: tenant}\n"+rules+"administration: {protected_role: boss}\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tables := [2]*policy.Table{
		policy.NewTable(catalog(""), nil),
		policy.NewTable(catalog("      - {allow: ['ticket:view'], reach: tenant, condition: '"+one+"'}\n"), nil),
	}
	u, boss := &universe{tables: tables}, []store.AssignmentKey{{Role: "boss"}}
	effects, err := policy.NewComparison(tables[0], tables[1]).Effects(u.holder(t, 0, "user:ann", boss), u.holder(t, 1, "user:ann", boss))
	want := policy.Effect{Permission: "ticket:view", Gained: true, Area: policy.Area{Kind: policy.AreaTenant}, Condition: one, Role: "boss"}
	if err != nil || len(effects) != 1 || effects[0] != want {
		t.Errorf("%v, %v", effects, err)
	}

	u.tables[1] = policy.NewTable(catalog(apart), nil)
	_, err = policy.NewComparison(u.tables[0], u.tables[1]).Effects(u.holder(t, 0, "user:ann", boss), u.holder(t, 1, "user:ann", boss))
	var tooMany *policy.TooManyCasesError
	if !errors.As(err, &tooMany) || tooMany.Permission != "ticket:view" {
		t.Errorf("%v", err)
	}
}

// BenchmarkCompare finds what a toggle means for 100,000 supervisors and agents, each time
// for all of them.
func BenchmarkCompare(b *testing.B) {
	const subjects = 100_000
	catalog := builtIn(b, "goto_contact_center")
	tables := [2]*policy.Table{policy.NewTable(catalog, nil), policy.NewTable(catalog, map[string]bool{"restrict_to_assigned_queues": false})}
	random := rand.New(rand.NewPCG(1, 1))
	u := &universe{tables: tables}
	holders := make([]*policy.Holder, subjects)
	for i := range holders {
		var held []store.AssignmentKey
		for range 1 + random.IntN(6) {
			key := store.AssignmentKey{Role: "agent", Scope: fmt.Sprintf("queue:%d", random.IntN(500))}
			if random.IntN(4) == 0 {
				key.Role = "supervisor"
			}
			if !slices.Contains(held, key) {
				held = append(held, key)
			}
		}
		holders[i] = u.holder(b, 0, fmt.Sprintf("user:%d", i), held)
	}
	b.ReportAllocs()
	for b.Loop() {
		comparison, affected := policy.NewComparison(tables[0], tables[1]), 0
		for _, h := range holders {
			effects, err := comparison.Effects(h, h)
			if err != nil {
				b.Fatal(err)
			}
			if len(effects) > 0 {
				affected++
			}
		}
		b.ReportMetric(float64(affected), "affected")
	}
}

// TestCompareTellsShapesApart has subjects that hold the same but for the tenant or for
// being a group, which makes a difference to administrators and owners.
func TestCompareTellsShapesApart(t *testing.T) {
	catalog := smallCatalog(t, "{role: staff, allow: 'role:grant', reach: tenant} {role: barred, allow: view, reach: own}")
	u := &universe{tables: [2]*policy.Table{policy.NewTable(catalog, nil), policy.NewTable(catalog, nil)}}
	comparison := policy.NewComparison(u.tables[0], u.tables[1])
	for _, test := range []struct {
		name, role, scope string
		also              []store.AssignmentKey
		want              string
	}{
		{"user:ann", "staff", "team:a", nil, "+ role:grant scope team:a by staff"},
		{"user:ann", "staff", "team:a", []store.AssignmentKey{{Role: "staff"}}, "+ role:grant tenant by staff"},
		{"user:bob", "staff", "team:b", nil, "+ role:grant scope team:b by staff"},
		{"", "barred", "", nil, "+ ticket:view own by barred"}, // any user
		{"group:a", "barred", "", nil, ""},
		{"user:ann", "barred", "", nil, "+ ticket:view own by barred"},
	} {
		after := append(test.also, store.AssignmentKey{Role: test.role, Scope: test.scope})
		effects, err := comparison.Effects(u.holder(t, 0, test.name, nil), u.holder(t, 1, test.name, after))
		var lines []string
		for _, e := range effects {
			lines = append(lines, effectLine(e))
		}
		if got := strings.Join(lines, "\n"); err != nil || got != test.want {
			t.Errorf("%s gets %v: got %s, %v; want %s", test.name, after, got, err, test.want)
		}
	}
}
