package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// model is what a store should have in it, kept in the simplest way.
type model struct {
	revision store.Revision
	ids      map[string]store.TenantID
	held     map[store.TenantID]map[store.AssignmentKey]store.Interval
	toggles  map[store.TenantID]map[string]bool
	catalogs map[store.CatalogRef]string
	changes  map[store.TenantID][]store.ChangeRecord
}

// random makes operations and checks the store after each.
type random struct {
	*fixture
	*rand.Rand
	model
}

// testRandom makes random operations, reopens the store now and then, and compares
// all that can be read with the model after each.
func testRandom(t *testing.T, open Open) {
	dir := t.TempDir()
	x := &random{Rand: source(t), model: model{
		ids:      make(map[string]store.TenantID),
		held:     make(map[store.TenantID]map[store.AssignmentKey]store.Interval),
		toggles:  make(map[store.TenantID]map[string]bool),
		catalogs: make(map[store.CatalogRef]string),
		changes:  make(map[store.TenantID][]store.ChangeRecord),
	}}
	x.fixture = &fixture{open(t, dir, nil, nil), t}
	x.revision = x.Revision()
	defer func() { x.Close() }()
	for i := range *steps {
		switch n := x.IntN(20); {
		case n == 0:
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			x.fixture = &fixture{open(t, dir, nil, nil), t}
		case n <= 2 || len(x.ids) == 0:
			x.createTenant()
		case n == 3:
			x.putCatalog()
		default:
			x.change()
		}
		x.check()
		if t.Failed() {
			t.Fatalf("failed at step %d", i)
		}
	}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// write commits changes and the model's records of them. A record without an effect
// is not to be there.
func (x *random) write(tenant string, changes []store.Change, expected map[store.TenantID][]store.ChangeRecord) {
	w := store.Write{Tenant: tenant, By: store.By{Operator: true}, Plan: plan(changes...)}
	if x.IntN(2) == 0 {
		w.By = store.By{Subject: pick(x.Rand, texts), Caller: pick(x.Rand, texts)}
		w.Justification = pick(x.Rand, texts)
	}
	c, err := x.Commit(context.Background(), w)
	if err != nil {
		x.t.Fatalf("Commit(%+v): %v", changes, err)
	}
	if new := len(expected) > 0; c.Changed != new || new && c.Revision.Number <= x.revision.Number || !new && c.Revision != x.revision {
		x.t.Errorf("Commit(%+v) after %v is %+v", changes, x.revision, c)
	}
	x.revision = c.Revision
	for id, records := range expected {
		for i, r := range records {
			r.Revision, r.Index = c.Revision, uint32(i)
			r.By, r.Justification = w.By, w.Justification
			x.changes[id] = append(x.changes[id], r)
		}
	}
}

func (x *random) createTenant() {
	name := pick(x.Rand, texts)
	change := store.CreateTenant{Name: name, Catalog: store.CatalogRef{Name: pick(x.Rand, texts), Version: x.Uint32()}}
	if x.ids[name] != 0 {
		if _, err := x.Commit(context.Background(), store.Write{Tenant: name, Plan: plan(change)}); err == nil {
			x.t.Errorf("tenant %q is created twice", name)
		}
		return
	}
	id := store.TenantID(len(x.ids) + 1)
	x.write(name, []store.Change{change}, map[store.TenantID][]store.ChangeRecord{id: {{Change: change}}})
	x.ids[name] = id
	x.held[id] = make(map[store.AssignmentKey]store.Interval)
	x.toggles[id] = make(map[string]bool)
}

func (x *random) putCatalog() {
	ref := store.CatalogRef{Name: pick(x.Rand, texts), Version: x.Uint32N(3)}
	if _, there := x.catalogs[ref]; there {
		return
	}
	yaml := fmt.Sprintf("%0*d", 1+x.IntN(9000), 7)
	change := store.PutCatalog{Ref: ref, YAML: []byte(yaml)}
	x.write("", []store.Change{change}, map[store.TenantID][]store.ChangeRecord{0: {{Change: change}}})
	x.catalogs[ref] = yaml
}

// change changes assignments and toggles of a tenant, a few or a lot of them. A few
// of the writes are refused by their plan.
func (x *random) change() {
	name := pick(x.Rand, slices.Sorted(maps.Keys(x.ids)))
	id := x.ids[name]
	held, toggles := maps.Clone(x.held[id]), maps.Clone(x.toggles[id])
	var changes []store.Change
	var records []store.ChangeRecord
	n := 1 + x.IntN(6)
	if x.IntN(10) == 0 {
		n = x.IntN(300)
	}
	removing := x.IntN(3) // whole writes of removals make pages of the file join
	for range n {
		k := key(pick(x.Rand, texts), pick(x.Rand, []string{"admin", "agent", "agent2"}), "")
		if s := x.IntN(40); s > 0 {
			k.Scope = fmt.Sprintf("queue:%d", s)
		}
		before, had := held[k]
		switch y := x.IntN(10); {
		case y == 0:
			toggle, on := pick(x.Rand, texts), x.IntN(2) == 0
			changes = append(changes, store.SetToggle{Tenant: id, Toggle: toggle, On: on})
			if was, set := toggles[toggle]; !set || was != on {
				r := store.ChangeRecord{Change: changes[len(changes)-1]}
				if set {
					r.ToggleBefore = &was
				}
				records = append(records, r)
				toggles[toggle] = on
			}
		case y < 4 || removing == 0:
			changes = append(changes, remove(id, k))
			if had {
				records = append(records, store.ChangeRecord{Before: &before, Change: changes[len(changes)-1]})
				delete(held, k)
			}
		default:
			a := store.Assignment{AssignmentKey: k}
			if x.IntN(2) == 0 {
				a.Start = time.Unix(1+x.Int64N(4e9), x.Int64N(1e9)).UTC()
			}
			changes = append(changes, store.SetAssignment{Tenant: id, Assignment: a})
			if !had || !before.Equal(a.Interval) {
				r := store.ChangeRecord{Change: changes[len(changes)-1]}
				if had {
					r.Before = &before
				}
				records = append(records, r)
				held[k] = a.Interval
			}
		}
	}
	if refused := errors.New("refused"); x.IntN(8) == 0 {
		_, err := x.Commit(context.Background(), store.Write{Tenant: name, Plan: func(store.Reader) ([]store.Change, error) { return changes, refused }})
		is(x.t, "Commit of a plan that refuses", err, refused)
		return
	}
	expected := make(map[store.TenantID][]store.ChangeRecord)
	if len(records) > 0 {
		expected[id] = records
	}
	x.write(name, changes, expected)
	x.held[id], x.toggles[id] = held, toggles
}

// check compares all that can be read with the model.
func (x *random) check() {
	t := x.t
	x.view(func(r store.Reader) {
		equal(t, "Revision", r.Revision(), x.revision)
		var names []string
		for _, tenant := range all(t, r.Tenants("")) {
			names = append(names, tenant.Name)
			equal(t, "id of "+tenant.Name, tenant.ID, x.ids[tenant.Name])
		}
		equal(t, "Tenants", names, slices.Sorted(maps.Keys(x.ids)))
		for ref, yaml := range x.catalogs {
			got, err := r.Catalog(ref)
			if err != nil || string(got) != yaml {
				t.Errorf("Catalog(%v): %d bytes, %v; want %d bytes", ref, len(got), err, len(yaml))
			}
		}
		equal(t, "number of catalogs", len(all(t, r.Catalogs(store.CatalogRef{}))), len(x.catalogs))
		for id := range store.TenantID(len(x.ids) + 1) {
			if id > 0 {
				x.checkTenant(r, id)
			}
			records := all(t, r.History(id, store.Range{}))
			for i := range records {
				records[i].Time = time.Time{}
			}
			equalRecords(t, records, x.changes[id])
		}
	})
}

func (x *random) checkTenant(r store.Reader, id store.TenantID) {
	t := x.t
	toggles, err := r.Toggles(id)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "Toggles", toggles, x.toggles[id])
	keys := slices.SortedFunc(maps.Keys(x.held[id]), compareKeys)
	got := all(t, r.Assignments(id, store.AssignmentKey{}))
	equal(t, "Assignments", keysOf(got), keys)
	for _, a := range got {
		if !a.Interval.Equal(x.held[id][a.AssignmentKey]) {
			t.Errorf("interval of %v is %v", a.AssignmentKey, a.Interval)
		}
	}
	var bySubject, byRole []store.AssignmentKey
	for _, subject := range texts {
		bySubject = append(bySubject, keysOf(all(t, r.AssignmentsOf(id, subject)))...)
	}
	equal(t, "AssignmentsOf", bySubject, keys)
	for _, role := range []string{"admin", "agent", "agent2"} {
		byRole = append(byRole, keysOf(all(t, r.AssignmentsByRole(id, role, store.AssignmentKey{})))...)
	}
	slices.SortFunc(keys, compareByRole)
	equal(t, "AssignmentsByRole", byRole, keys)
	// One that is held and one that probably is not.
	if len(keys) > 0 {
		k := pick(x.Rand, keys)
		for range 2 {
			want, held := x.held[id][k]
			a, err := r.Assignment(id, k)
			if held != (err == nil) || held && !a.Interval.Equal(want) || !held && err != store.ErrNotFound {
				t.Errorf("Assignment(%v): %v, %v", k, a, err)
			}
			k.Scope += "+"
		}
	}
}

// testReopen finds again what was there.
func testReopen(t *testing.T, open Open) {
	dir := t.TempDir()
	f := &fixture{open(t, dir, nil, nil), t}
	id := f.tenant("t")
	ann := key("user:ann", "agent", "")
	f.commit("t", set(id, ann), store.SetToggle{Tenant: id, Toggle: "x", On: true})
	f.commit("t", remove(id, key("user:none", "agent", "")))
	revision := f.Revision()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = startIn(t, open, dir, nil)
	equal(t, "Revision", f.Revision(), revision)
	f.view(func(r store.Reader) {
		equal(t, "Assignments", keysOf(all(t, r.Assignments(id, store.AssignmentKey{}))), []store.AssignmentKey{ann})
		equal(t, "Changes", len(all(t, r.History(id, store.Range{}))), 3)
	})
	if next := f.commit("t", remove(id, ann)).Revision; next.Epoch != revision.Epoch || next.Number <= revision.Number {
		t.Errorf("the next revision after %v is %v", revision, next)
	}
	equal(t, "next tenant", f.tenant("u"), id+1)
}
