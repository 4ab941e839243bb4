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
	ids      map[string]store.TenantID // of those that have not been deleted
	tenants  []*tenantModel            // by id; 0 is the installation
	catalogs map[store.CatalogRef]string
}

// tenantModel is what a store should have of one tenant.
type tenantModel struct {
	name    string
	deleted bool
	catalog store.CatalogRef
	primary string
	held    map[store.AssignmentKey]store.Interval
	toggles map[string]bool
	changes []store.ChangeRecord // that are kept
	trimmed int                  // how many are not
	silent  int                  // of these, how many have not been recorded
}

// random makes operations and checks the store after each.
type random struct {
	*fixture
	*rand.Rand
	model
	last *store.Write // that had a request id
}

// testRandom makes random operations, reopens the store now and then, and compares
// all that can be read with the model after each.
func testRandom(t *testing.T, open Open) {
	dir := t.TempDir()
	x := &random{Rand: source(t), model: model{
		ids:      make(map[string]store.TenantID),
		tenants:  []*tenantModel{{}},
		catalogs: make(map[store.CatalogRef]string),
	}}
	x.fixture = &fixture{open(t, dir, nil, nil), t}
	x.revision = x.Revision()
	defer func() { x.Close() }()
	for i := range *steps {
		switch n := x.IntN(24); {
		case n == 0:
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			x.fixture = &fixture{open(t, dir, nil, nil), t}
		case n <= 2 || len(x.ids) == 0:
			x.createTenant()
		case n == 3:
			x.putCatalog()
		case n == 4:
			x.changeTenant()
		case n == 5:
			x.deleteTenant()
		case n == 6:
			x.purge()
		case n <= 8:
			x.erase()
		case n <= 10:
			x.trim()
		case n == 11:
			x.repeat()
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

// write commits changes, and adds the model's records of them. A record without an effect is
// not to be there.
func (x *random) write(tenant string, changes []store.Change, id store.TenantID, records []store.ChangeRecord) {
	x.writeSome(tenant, changes, id, records, len(records) > 0)
}

// writeSome is write for changes that may have an effect without a record.
func (x *random) writeSome(tenant string, changes []store.Change, id store.TenantID, records []store.ChangeRecord, changed bool) {
	w := store.Write{Tenant: tenant, By: store.By{Operator: true}, Plan: plan(changes...)}
	if x.IntN(2) == 0 {
		w.By = store.By{Subject: pick(x.Rand, texts), Caller: pick(x.Rand, texts)}
		if x.IntN(2) == 0 {
			w.By.Groups = []string{pick(x.Rand, texts), pick(x.Rand, texts)}
		}
		w.Justification = pick(x.Rand, texts)
	}
	if x.IntN(3) == 0 {
		w.RequestID = fmt.Sprint(x.Uint64())
		w.Digest[x.IntN(32)] = 1
		x.last = &w
	}
	c, err := x.Commit(context.Background(), w)
	if err != nil {
		x.t.Fatalf("Commit(%+v): %v", changes, err)
	}
	if new := len(records) > 0; c.Changed != changed || new && c.Revision.Number <= x.revision.Number || !new && c.Revision != x.revision {
		x.t.Errorf("Commit(%+v) after %v is %+v", changes, x.revision, c)
	}
	x.revision = c.Revision
	for i, r := range records {
		r.Revision, r.Index = c.Revision, uint32(i)
		r.By, r.Justification = w.By, w.Justification
		x.tenants[id].changes = append(x.tenants[id].changes, r)
	}
}

// repeat makes the last write with a request id again.
func (x *random) repeat() {
	if x.last == nil || x.last.Tenant != "" && x.ids[x.last.Tenant] == 0 {
		return
	}
	w := *x.last
	w.Plan = func(store.Reader) ([]store.Change, error) { return nil, errors.New("the plan ran again") }
	c, err := x.Commit(context.Background(), w)
	if err != nil || !c.Repeated {
		x.t.Errorf("repeated: %+v, %v", c, err)
	}
	w.Digest[0] ^= 2
	_, err = x.Commit(context.Background(), w)
	is(x.t, "another write of that request id", err, store.ErrRequestReused)
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
	id := store.TenantID(len(x.tenants))
	x.tenants = append(x.tenants, &tenantModel{
		name: name, catalog: change.Catalog,
		held: make(map[store.AssignmentKey]store.Interval), toggles: make(map[string]bool),
	})
	x.ids[name] = id
	x.write(name, []store.Change{change}, id, []store.ChangeRecord{{Change: change}})
}

func (x *random) putCatalog() {
	ref := store.CatalogRef{Name: pick(x.Rand, texts), Version: x.Uint32N(3)}
	if _, there := x.catalogs[ref]; there {
		return
	}
	yaml := fmt.Sprintf("%0*d", 1+x.IntN(9000), 7)
	change := store.PutCatalog{Ref: ref, YAML: []byte(yaml)}
	x.write("", []store.Change{change}, 0, []store.ChangeRecord{{Change: change}})
	x.catalogs[ref] = yaml
}

// change changes assignments and toggles of a tenant, a few or a lot of them. A few
// of the writes are refused by their plan.
func (x *random) change() {
	name := pick(x.Rand, slices.Sorted(maps.Keys(x.ids)))
	id := x.ids[name]
	held, toggles := maps.Clone(x.tenants[id].held), maps.Clone(x.tenants[id].toggles)
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
			if x.IntN(2) == 0 {
				a.End = time.Unix(1+x.Int64N(4e9), x.Int64N(1e9)).UTC()
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
	x.write(name, changes, id, records)
	x.tenants[id].held, x.tenants[id].toggles = held, toggles
}

// check compares all that can be read with the model.
func (x *random) check() {
	t := x.t
	x.view(func(r store.Reader) {
		equal(t, "Revision", r.Revision(), x.revision)
		var names []string
		for _, tenant := range all(t, r.Tenants("")) {
			names = append(names, tenant.Name)
			m := x.tenants[x.ids[tenant.Name]]
			tenant.CreatedAt = time.Time{}
			equal(t, "tenant", tenant, store.Tenant{ID: x.ids[tenant.Name], Name: m.name, Catalog: m.catalog, Primary: m.primary})
		}
		equal(t, "Tenants", names, slices.Sorted(maps.Keys(x.ids)))
		var deleted, wantDeleted []store.TenantID
		for _, tenant := range all(t, r.DeletedTenants(0)) {
			deleted = append(deleted, tenant.ID)
			equal(t, "name of a deleted tenant", tenant.Name, x.tenants[tenant.ID].name)
		}
		for ref, yaml := range x.catalogs {
			got, err := r.Catalog(ref)
			if err != nil || string(got) != yaml {
				t.Errorf("Catalog(%v): %d bytes, %v; want %d bytes", ref, len(got), err, len(yaml))
			}
		}
		equal(t, "number of catalogs", len(all(t, r.Catalogs(store.CatalogRef{}))), len(x.catalogs))
		for i, m := range x.tenants {
			id := store.TenantID(i)
			if id > 0 {
				x.checkTenant(r, id)
			}
			if m.deleted {
				wantDeleted = append(wantDeleted, id)
			}
			x.checkHistory(r, id)
		}
		equal(t, "DeletedTenants", deleted, wantDeleted)
		x.checkEnds(r)
	})
}

// checkHistory compares the whole history, and one random range of it.
func (x *random) checkHistory(r store.Reader, id store.TenantID) {
	t, m := x.t, x.tenants[id]
	chain, err := r.Chain(id)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "lengths of the chain", []uint64{chain.Trimmed.Length, chain.Head.Length}, []uint64{uint64(m.trimmed), uint64(m.trimmed + len(m.changes))})
	if at, err := r.Follow(id, chain.Trimmed, len(m.changes)); err != nil || at != chain.Head {
		t.Errorf("Follow(%d): %+v, %v; want %+v", id, at, err, chain.Head)
	}
	h := store.Range{NewestFirst: x.IntN(2) == 0}
	if x.IntN(2) == 0 {
		h.Object = store.Object(pick(x.Rand, append(texts, string(store.TenantObject))))
	}
	for _, limit := range []*store.Position{&h.After, &h.Before} {
		if len(m.changes) > 0 && x.IntN(2) == 0 {
			*limit = place(pick(x.Rand, m.changes))
		}
	}
	after := store.Object(pick(x.Rand, append(texts, "")))
	equal(t, fmt.Sprintf("Objects after %q", after), all(t, r.Objects(id, after)), objectsAfter(m.changes, after))
	for _, h := range []store.Range{{}, h} {
		records := all(t, r.History(id, h))
		for i := range records {
			records[i].Time = time.Time{}
		}
		equalRecords(t, records, within(m.changes, h))
	}
}

// checkEnds compares what ends before a random time, some of the time.
func (x *random) checkEnds(r store.Reader) {
	before := time.Unix(x.Int64N(4e9), 0)
	var want, got []string
	for id, m := range x.tenants {
		for k, i := range m.held {
			if !m.deleted && !i.End.IsZero() && i.End.Before(before) {
				want = append(want, fmt.Sprint(i.End.UnixNano()+1e10, id, k, i.Start))
			}
		}
	}
	var last time.Time
	for _, e := range all(x.t, r.EndedBefore(before)) {
		if e.End.Before(last) {
			x.t.Errorf("an end at %v is listed after one at %v", e.End, last)
		}
		last = e.End
		got = append(got, fmt.Sprint(e.End.UnixNano()+1e10, e.Tenant.ID, e.AssignmentKey, e.Start))
	}
	slices.Sort(want)
	slices.Sort(got)
	equal(x.t, "EndedBefore", got, want)
}

func (x *random) checkTenant(r store.Reader, id store.TenantID) {
	t, m := x.t, x.tenants[id]
	toggles, err := r.Toggles(id)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "Toggles", toggles, m.toggles)
	keys := slices.SortedFunc(maps.Keys(m.held), compareKeys)
	got := all(t, r.Assignments(id, store.AssignmentKey{}))
	equal(t, "Assignments", keysOf(got), keys)
	for _, a := range got {
		if !a.Interval.Equal(m.held[a.AssignmentKey]) {
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
			want, held := m.held[k]
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
