package policy_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// universe is all requests that a comparison is judged by.
type universe struct {
	tables  [2]*policy.Table
	scopes  [][]string
	owners  []string
	ids     []string
	values  map[string][]any // of attributes
	made    map[string][]universeResource
	compile map[conditionOn]func(*policy.Resource) bool
}

// universeResource is a resource, and as each side knows it.
type universeResource struct {
	resource policy.Resource
	known    [2]policy.Resource
}

// conditionOn is a condition in the catalog of a side.
type conditionOn struct {
	side               int
	text, resourceType string
}

var compareNow = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// subsets returns all subsets of some scopes.
func subsets(scopes ...string) [][]string {
	all := [][]string{nil}
	for _, s := range scopes {
		for _, smaller := range slices.Clone(all) {
			all = append(all, append(slices.Clone(smaller), s))
		}
	}
	return all
}

// judge compares what the Comparison says with the decisions about every request. It
// returns the effects.
func (u *universe) judge(comparison *policy.Comparison, holders [2]*policy.Holder) ([]policy.Effect, error) {
	effects, err := comparison.Effects(holders[0], holders[1])
	if err != nil {
		return nil, err
	}
	shown := make([]bool, len(effects))
	for resourceType, actions := range u.actions() {
		resources, about := u.resources(resourceType), map[string][]int{}
		for i, e := range effects {
			if action, found := strings.CutPrefix(e.Permission, resourceType+":"); found {
				about[action] = append(about[action], i)
			}
		}
		for i := range resources {
			r := &resources[i].resource
			var questions [2]*policy.Question
			for side := range questions {
				questions[side] = u.tables[side].Ask(holders[side:side+1], holders[side].Name(), &resources[i].known[side])
			}
			for _, action := range actions {
				// What a side does not know, it denies.
				was, _ := questions[0].Decide(action)
				will, _ := questions[1].Decide(action)
				if was.Allow == will.Allow {
					continue
				}
				role, covered := was.Reason.Role, false
				if will.Allow {
					role = will.Reason.Role
				}
				for _, i := range about[action] {
					if e := effects[i]; e.Gained == will.Allow && u.inside(e, holders[0].Name(), r) {
						covered = true
						shown[i] = shown[i] || effects[i].Role == role
					}
				}
				if !covered {
					return effects, fmt.Errorf("%s on %v: allowed %v and then %v; no effect says so: %+v", action, r, was.Allow, will.Allow, effects)
				}
			}
		}
	}
	for i, e := range effects {
		if !shown[i] {
			return effects, fmt.Errorf("no request changes as %+v says", e)
		}
		for k, other := range effects {
			if i != k && e.Permission == other.Permission && e.Gained == other.Gained &&
				(other.Condition == "" || other.Condition == e.Condition) && wider(other.Area, e.Area) {
				return effects, fmt.Errorf("%+v is covered by %+v", e, other)
			}
		}
	}
	return effects, nil
}

// wider reports whether an area covers another one.
func wider(a, b policy.Area) bool {
	return a == b || a.Kind == policy.AreaTenant ||
		a.Kind == policy.AreaAnyScope && b.Kind == policy.AreaScope && strings.HasPrefix(b.Name, a.Name+":")
}

// actions returns the actions of both catalogs by resource type.
func (u *universe) actions() map[string][]string {
	all := map[string][]string{"role": {"grant", "revoke"}, "toggle": {"set"}}
	for _, table := range u.tables {
		for _, t := range table.Catalog().Message().GetResourceTypes() {
			for _, action := range t.GetActions() {
				if !slices.Contains(all[t.GetName()], action) {
					all[t.GetName()] = append(all[t.GetName()], action)
				}
			}
		}
	}
	return all
}

// resources returns all resources of a type. They are made once.
func (u *universe) resources(resourceType string) []universeResource {
	if made, found := u.made[resourceType]; found {
		return made
	}
	ids, attributes := u.ids, []map[string]any{{}}
	if resourceType == "role" || resourceType == "toggle" {
		ids = []string{""}
	}
	for _, table := range u.tables {
		message := table.Catalog().Message()
		for _, role := range message.GetRoles() {
			if resourceType == "role" {
				ids = append(ids, role.GetName())
			}
		}
		for _, toggle := range message.GetToggles() {
			if resourceType == "toggle" {
				ids = append(ids, toggle.GetName())
			}
		}
		for _, declared := range message.GetResourceTypes() {
			for _, a := range declared.GetAttributes() {
				if _, seen := attributes[0][a.GetName()]; declared.GetName() == resourceType && !seen {
					attributes = u.withAttribute(attributes, a.GetName())
				}
			}
		}
	}
	slices.Sort(ids)
	var all []universeResource
	for _, a := range attributes {
		stated, err := structpb.NewStruct(a)
		if err != nil {
			panic(err)
		}
		for _, id := range slices.Compact(ids) {
			for _, scopes := range u.scopes {
				for _, owner := range u.owners {
					r := policy.Resource{Type: resourceType, ID: id, Scopes: scopes, Owner: owner, Attributes: stated.GetFields()}
					all = append(all, universeResource{r, [2]policy.Resource{u.known(0, r), u.known(1, r)}})
				}
			}
		}
	}
	u.made[resourceType] = all
	return all
}

// withAttribute returns the attributes with each value of one more.
func (u *universe) withAttribute(attributes []map[string]any, name string) []map[string]any {
	var all []map[string]any
	for _, a := range attributes {
		for _, v := range append([]any{nil}, u.values[name]...) {
			more := maps.Clone(a)
			more[name] = v
			all = append(all, more)
		}
	}
	return all
}

// known returns the resource without the scopes of types that a side does not have.
func (u *universe) known(side int, r policy.Resource) policy.Resource {
	r.Scopes = slices.DeleteFunc(slices.Clone(r.Scopes), func(s string) bool {
		return !slices.Contains(u.tables[side].Catalog().Message().GetScopeTypes(), s[:strings.Index(s, ":")])
	})
	return r
}

// inside reports whether a request is in the area of an effect and meets its condition.
func (u *universe) inside(e policy.Effect, subject string, r *policy.Resource) bool {
	if e.Condition != "" {
		side := 0
		if e.Gained {
			side = 1
		}
		key := conditionOn{side, e.Condition, r.Type}
		if u.compile[key] == nil {
			compiled, err := u.tables[side].Catalog().Condition(e.Condition, r.Type)
			if err != nil {
				panic(err)
			}
			u.compile[key] = compiled
		}
		if !u.compile[key](r) {
			return false
		}
	}
	switch e.Area.Kind {
	case policy.AreaTenant:
		return true
	case policy.AreaAnyScope:
		return slices.ContainsFunc(r.Scopes, func(s string) bool { return strings.HasPrefix(s, e.Area.Name+":") })
	case policy.AreaOwn:
		return r.Owner == subject && !strings.HasPrefix(subject, "group:")
	case policy.AreaScope:
		return slices.Contains(r.Scopes, e.Area.Name)
	case policy.AreaResource:
		return r.ID == e.Area.Name
	}
	return false
}

var compareFor = flag.Duration("compare-for", 4*time.Second, "how long TestCompareRandom draws worlds")

// TestCompareRandom compares what random changes mean with the decisions about every
// request of a small world: changes of toggles, of what is held, and to other versions of
// the catalog. Each that changes is in some effect, and each effect has one.
func TestCompareRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &compareWorld{Rand: rand.New(rand.NewPCG(seed, 0))}
	rounds, listed := 0, map[string]int{}
	for start := time.Now(); time.Since(start) < *compareFor; {
		w.drawVersions()
		var catalogs [2]*policy.Catalog
		for i, source := range w.versions {
			var err error
			if catalogs[i], err = policy.Parse("random.yaml", []byte(source), nil); err != nil {
				t.Fatalf("seed %d\n%v\n%s", seed, err, source)
			}
		}
		for range 12 {
			from, to, set := catalogs[0], catalogs[w.IntN(2)], w.drawToggles()
			u := w.universe([2]*policy.Table{policy.NewTable(from, set), policy.NewTable(to, w.drawToggles())})
			comparison := policy.NewComparison(u.tables[0], u.tables[1])
			for range 5 {
				name, held := w.one("user:ann", "user:ann", "group:a"), w.drawHeld(from, to)
				will := held
				if w.chance(50) {
					will = w.drawHeld(from, to)
				}
				holders := [2]*policy.Holder{u.holder(t, 0, name, held), u.holder(t, 1, name, will)}
				if from == to && slices.Equal(held, will) {
					holders[1] = holders[0]
				}
				effects, err := u.judge(comparison, holders)
				if err != nil {
					t.Fatalf("seed %d, round %d: %s held %v and then %v, toggles %v\n%v\n%s\n%s",
						seed, rounds, name, held, will, set, err, w.versions[0], w.versions[1])
				}
				alone, err := policy.NewComparison(u.tables[0], u.tables[1]).Effects(holders[0], holders[1])
				if err != nil || !slices.Equal(alone, effects) {
					t.Fatalf("seed %d, round %d: %s held %v and then %v: remembered is %v, found anew %v, %v\n%s\n%s",
						seed, rounds, name, held, will, effects, alone, err, w.versions[0], w.versions[1])
				}
				for _, e := range effects {
					listed[fmt.Sprintf("area %d, gained %t", e.Area.Kind, e.Gained)]++
				}
				rounds++
			}
		}
	}
	t.Log(rounds, "rounds", listed)
	for kind := policy.AreaTenant; kind <= policy.AreaResource; kind++ {
		for _, gained := range []bool{true, false} {
			if what := fmt.Sprintf("area %d, gained %t", kind, gained); listed[what] < rounds/500 {
				t.Errorf("%s: listed %d times in %d rounds", what, listed[what], rounds)
			}
		}
	}
}

func (w *compareWorld) drawToggles() map[string]bool {
	return map[string]bool{"t1": w.chance(50), "t2": w.chance(50)}
}

// universe returns all requests that two versions of the catalog can tell apart, and more.
func (w *compareWorld) universe(tables [2]*policy.Table) *universe {
	u := &universe{
		tables:  tables,
		owners:  []string{"user:ann", "group:a"},
		ids:     []string{"7"},
		values:  map[string][]any{},
		made:    map[string][]universeResource{},
		compile: map[conditionOn]func(*policy.Resource) bool{},
	}
	text := w.versions[0] + w.versions[1]
	w.scopes = []string{"team:a", "queue:a", "team:b"}
	others := []string{"team:other", "queue:other"}
	if strings.Contains(text, "site") {
		w.scopes[2], others = "site:a", append(others, "site:other")
	}
	u.scopes = subsets(append(others, w.scopes...)...)
	if slices.Contains(w.mentioned, "resource.id") {
		u.ids = []string{"", "7", "a", "aa", "c", "d"}
	}
	if strings.Contains(text, "resource.x") {
		u.values["x"] = valuesOf(w.kinds[0], w.kinds[2])
	}
	if strings.Contains(text, "resource.y") {
		u.values["y"] = valuesOf(w.kinds[1])
	}
	return u
}

// drawHeld draws what is held of the roles and in scopes that both catalogs have.
func (w *compareWorld) drawHeld(catalogs ...*policy.Catalog) []store.AssignmentKey {
	var keys []store.AssignmentKey
	for range w.IntN(5) {
		key := store.AssignmentKey{Role: w.one("r1", "r2", "r3", "boss"), Scope: w.one(append(w.scopes, "")...)}
		if !slices.Contains(keys, key) && catalogs[0].CheckRole("", key.Role) == nil && catalogs[1].CheckRole("", key.Role) == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

func (u *universe) holder(t testing.TB, side int, name string, held []store.AssignmentKey) *policy.Holder {
	t.Helper()
	var assignments []store.Assignment
	for _, key := range held {
		key.Subject = name
		assignments = append(assignments, store.Assignment{AssignmentKey: key})
	}
	h, err := policy.NewHolder(u.tables[side].Catalog(), name, assignments, compareNow)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
