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

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

var prospectsFor = flag.Duration("prospects-for", 3*time.Second, "how long TestProspectsRandom draws worlds")

// TestProspectsRandom compares what could become possible with the decisions about every
// request of a small world, in every state of its toggles, now and after each start and end.
func TestProspectsRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &compareWorld{Rand: rand.New(rand.NewPCG(seed, 0))}
	rounds, found := 0, map[string]int{}
	for start := time.Now(); time.Since(start) < *prospectsFor; {
		w.drawVersions()
		source := w.versions[0]
		for _, state := range []string{"true", "false"} {
			if w.chance(50) {
				source = strings.ReplaceAll(source, "starts_on: "+state, "locked: true, starts_on: "+state)
			}
		}
		catalog, err := policy.Parse("random.yaml", []byte(source), nil)
		if err != nil {
			t.Fatalf("seed %d\n%v\n%s", seed, err, source)
		}
		var tables []*policy.Table
		for _, t1 := range []bool{true, false} {
			for _, t2 := range []bool{true, false} {
				tables = append(tables, policy.NewTable(catalog, map[string]bool{"t1": t1, "t2": t2}))
			}
		}
		u := w.universe([2]*policy.Table{tables[0], tables[0]})
		for range 6 {
			held := []policy.Held{{Name: w.one("user:ann", "user:ann", "group:a")}, {Name: "group:b"}}
			for i := range held {
				for _, key := range w.drawHeld(catalog, catalog) {
					key.Subject = held[i].Name
					held[i].Assignments = append(held[i].Assignments, store.Assignment{AssignmentKey: key, Interval: w.interval()})
				}
			}
			for resourceType, actions := range u.actions() {
				resources := u.resources(resourceType)
				asked := resources[w.IntN(len(resources))].known[0]
				got := prospects(t, tables[w.IntN(len(tables))], &asked, actions, held)
				want := u.possible(t, tables, actions, held, &asked)
				if !maps.Equal(got, want) {
					t.Fatalf("seed %d, round %d: %v\non %v\ngot:  %v\nwant: %v\n%s", seed, rounds, held, asked, got, want, source)
				}
				for action, possible := range want {
					found[fmt.Sprintf("%s:%s %t", resourceType, action, possible)]++
				}
				rounds++
			}
		}
	}
	t.Log(rounds, "rounds", found)
	for _, what := range []string{"ticket:view", "role:grant", "toggle:set"} {
		for _, possible := range []bool{true, false} {
			if what := fmt.Sprintf("%s %t", what, possible); found[what] < rounds/100 {
				t.Errorf("%s: %d times in %d rounds", what, found[what], rounds)
			}
		}
	}
}

// interval draws when something is in force: mostly always.
func (w *compareWorld) interval() store.Interval {
	hours := func(n int) time.Time { return compareNow.Add(time.Duration(n) * time.Hour) }
	return []store.Interval{
		{},
		{},
		{Start: hours(1 + w.IntN(3))},
		{End: hours(1 + w.IntN(3))},
		{Start: hours(1), End: hours(2)},
		{End: hours(-1)},
	}[w.IntN(6)]
}

func holdersAt(t testing.TB, catalog *policy.Catalog, held []policy.Held, at time.Time) (holders []*policy.Holder) {
	t.Helper()
	for _, h := range held {
		holder, err := policy.NewHolder(catalog, h.Name, h.Assignments, at)
		if err != nil {
			t.Fatal(err)
		}
		holders = append(holders, holder)
	}
	return holders
}

func prospects(t testing.TB, table *policy.Table, r *policy.Resource, actions []string, held []policy.Held) map[string]bool {
	t.Helper()
	p := policy.NewProspects(table, held[0].Name, r, actions)
	p.Consider(holdersAt(t, table.Catalog(), held, compareNow))
	if err := p.ConsiderLater(held, compareNow); err != nil {
		t.Fatal(err)
	}
	possible := map[string]bool{}
	for _, action := range actions {
		possible[action] = p.Possible(action)
	}
	return possible
}

// possible finds the same by asking everything.
func (u *universe) possible(t testing.TB, tables []*policy.Table, actions []string, held []policy.Held, asked *policy.Resource) map[string]bool {
	t.Helper()
	possible := map[string]bool{}
	for _, action := range actions {
		possible[action] = false
	}
	instants := []time.Time{compareNow}
	for _, h := range held {
		for _, a := range h.Assignments {
			instants = append(instants, a.Start, a.End)
		}
	}
	instants = slices.DeleteFunc(instants, func(t time.Time) bool { return t.Before(compareNow) })
	slices.SortFunc(instants, time.Time.Compare)
	for _, at := range slices.CompactFunc(instants, time.Time.Equal) {
		holders := holdersAt(t, tables[0].Catalog(), held, at)
		for i := range u.resources(asked.Type) {
			r := &u.resources(asked.Type)[i].known[0]
			if r.ID != asked.ID {
				continue
			}
			for _, table := range tables {
				q := table.Ask(holders, held[0].Name, r)
				for _, action := range actions {
					decision, err := q.Decide(action)
					if err != nil {
						t.Fatal(err)
					}
					possible[action] = possible[action] || decision.Allow
				}
			}
		}
	}
	return possible
}

// TestProspectsThatCanNotBeFoundOut has more cases than are gone through: only what no role
// allows is then not possible.
func TestProspectsThatCanNotBeFoundOut(t *testing.T) {
	declared, rules := "", ""
	for i := range 30 {
		declared += fmt.Sprintf("      - {name: a%d, type: bool}\n", i)
		rules += fmt.Sprintf("      - {forbid: ['ticket:view'], reach: tenant, condition: resource.a%d}\n", i)
	}
	catalog, err := policy.Parse("many.yaml", []byte("name: many\nversion: 1\nscope_types: [team]\nholders: [user]\n"+
		"resource_types:\n  - name: ticket\n    actions: [view, edit, close]\n    attributes:\n"+declared+
		"roles:\n  - name: boss\n    rules:\n      - {allow: ['ticket:view', 'role:grant'], reach: tenant}\n      - {forbid: ['ticket:view'], reach: tenant}\n"+rules+
		"  - name: late\n    rules:\n      - {allow: ['ticket:close'], reach: tenant}\nadministration: {protected_role: boss}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	actions, table, ticket := []string{"view", "edit", "close"}, policy.NewTable(catalog, nil), &policy.Resource{Type: "ticket"}
	hours := func(n int) time.Time { return compareNow.Add(time.Duration(n) * time.Hour) }
	held := []policy.Held{{Name: "user:ann", Assignments: []store.Assignment{{AssignmentKey: store.AssignmentKey{Role: "boss"}}}}}
	want := map[string]bool{"view": true, "edit": false, "close": false}
	if got := prospects(t, table, ticket, actions, held); !maps.Equal(got, want) {
		t.Errorf("many facts: got %v, want %v", got, want)
	}

	late := store.Assignment{AssignmentKey: store.AssignmentKey{Role: "late"}, Interval: store.Interval{Start: hours(10_000)}}
	held[0].Assignments = append(held[0].Assignments, late)
	for i := range 1000 {
		held[0].Assignments = append(held[0].Assignments, store.Assignment{
			AssignmentKey: store.AssignmentKey{Role: "boss", Scope: fmt.Sprintf("team:%d", i)},
			Interval:      store.Interval{Start: hours(2*i + 1), End: hours(2*i + 2)},
		})
	}
	want["close"] = true
	if got := prospects(t, table, ticket, actions, held); !maps.Equal(got, want) {
		t.Errorf("many moments: got %v, want %v", got, want)
	}
}
