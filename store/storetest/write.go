package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// testRefused asks for what can't be stored. Nothing of such a write is made.
func testRefused(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	other := f.tenant("other")
	f.commit("", store.PutCatalog{Ref: store.CatalogRef{Name: "c", Version: 1}})
	before := f.Revision()
	good := set(id, key("user:good", "agent", ""))
	late := set(id, key("user:ann", "agent", ""))
	late.Assignment.End = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)
	early := set(id, key("user:ann", "agent", ""))
	early.Assignment.Start = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		what   string
		tenant string
		change store.Change
	}{
		{"a zero byte in a subject", "t", set(id, key("user:a\x00b", "agent", ""))},
		{"a zero byte in a role", "t", set(id, key("user:a", "agent\x00", ""))},
		{"a zero byte in a scope", "t", set(id, key("user:a", "agent", "\x00"))},
		{"a subject that is not UTF-8", "t", set(id, key("user:\xff", "agent", ""))},
		{"no subject", "t", set(id, key("", "agent", ""))},
		{"no role", "t", set(id, key("user:a", "", ""))},
		{"a subject far too long", "t", set(id, key(strings.Repeat("a", 1<<16), "agent", ""))},
		{"a time too late", "t", late},
		{"a time too early", "t", early},
		{"a tenant that the write is not for", "t", set(other, key("user:a", "agent", ""))},
		{"a tenant that the write is not for", "t", remove(other, key("user:a", "agent", ""))},
		{"a tenant that the write is not for", "", store.SetToggle{Tenant: id, Toggle: "x", On: true}},
		{"a tenant that isn't there", "none", set(77, key("user:a", "agent", ""))},
		{"the tenant created here, and none is", "t", set(0, key("user:a", "agent", ""))},
		{"a tenant of another name", "t", store.CreateTenant{Name: "u"}},
		{"a tenant that is there", "t", store.CreateTenant{Name: "t"}},
		{"a zero byte in a tenant's name", "u\x00", store.CreateTenant{Name: "u\x00"}},
		{"no toggle", "t", store.SetToggle{Tenant: id}},
		{"another tenant's catalog", "t", store.UpdateTenant{Tenant: other}},
		{"another tenant's primary administrator", "t", store.SetPrimary{Tenant: other, Subject: "user:a"}},
		{"a zero byte in a primary administrator", "t", store.SetPrimary{Tenant: id, Subject: "user:a\x00b"}},
		{"to delete another tenant", "t", store.DeleteTenant{Tenant: other}},
		{"to delete the installation", "", store.DeleteTenant{}},
		{"to purge the installation", "", store.PurgeTenant{Most: 1}},
		{"to erase in another tenant", "t", store.EraseSubject{Tenant: other, Subject: "user:a", Last: true}},
		{"to trim another tenant", "t", store.TrimChanges{Tenant: other, UpTo: store.Link{Length: 1}, Most: 1}},
		{"a catalog that is there", "", store.PutCatalog{Ref: store.CatalogRef{Name: "c", Version: 1}}},
		{"no catalog", "", store.PutCatalog{}},
		{"nothing", "t", nil},
	} {
		changes := []store.Change{good, c.change}
		if c.tenant != "t" {
			changes = changes[1:]
		}
		_, err := f.Commit(context.Background(), store.Write{Tenant: c.tenant, Plan: plan(changes...)})
		if err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: error is %v", c.what, err)
		}
	}
	equal(t, "Revision", f.Revision(), before)
	f.view(func(r store.Reader) {
		equal(t, "Assignments", len(all(t, r.Assignments(id, store.AssignmentKey{}))), 0)
		equal(t, "Changes", len(all(t, r.History(id, store.Range{}))), 1)
	})
}

func testUnchanged(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	k := key("user:ann", "agent", "")
	f.commit("t", set(id, k), store.SetToggle{Tenant: id, Toggle: "x", On: false})
	before := f.Revision()
	for what, changes := range map[string][]store.Change{
		"no changes":              nil,
		"the same assignment":     {set(id, k)},
		"the same toggle":         {store.SetToggle{Tenant: id, Toggle: "x", On: false}},
		"no assignment to remove": {remove(id, key("user:bob", "agent", "")), remove(id, key("\x00", "", ""))},
	} {
		c := f.commit("t", changes...)
		if c.Changed || c.Revision != before || f.Revision() != before {
			t.Errorf("%s: %+v, revision %v; want %v", what, c, f.Revision(), before)
		}
	}
	f.view(func(r store.Reader) { equal(t, "Changes", len(all(t, r.History(id, store.Range{}))), 3) })
}

func testPlanFails(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	refused := errors.New("refused")
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			k := key(fmt.Sprintf("user:%d", i), "agent", "")
			c, err := f.Commit(context.Background(), store.Write{Tenant: "t", Plan: func(store.Reader) ([]store.Change, error) {
				switch i % 3 {
				case 0:
					return []store.Change{set(id, k)}, refused
				case 1:
					if i == 31 {
						runtime.Goexit() // as t.FailNow does
					}
					panic("a bug in the plan")
				}
				return []store.Change{set(id, k)}, nil
			}})
			switch {
			case i%3 == 0 && err != refused, i%3 == 1 && (err == nil || i != 31 && !strings.Contains(err.Error(), "a bug in the plan")),
				i%3 == 2 && (err != nil || !c.Changed):
				t.Errorf("plan %d: %+v, %v", i, c, err)
			}
		})
	}
	wait.Wait()
	f.view(func(r store.Reader) {
		equal(t, "Assignments", len(all(t, r.Assignments(id, store.AssignmentKey{}))), 20)
	})
}

// testViewPanics has bugs in what a View calls. They are not the store's to hide, and
// it goes on.
func testViewPanics(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	view := func(bug func()) (recovered any) {
		defer func() { recovered = recover() }()
		err := f.View(context.Background(), func(r store.Reader) error {
			for range r.Tenants("") {
				bug()
			}
			return nil
		})
		t.Errorf("View returns %v", err)
		return nil
	}
	if got := view(func() { panic("a bug") }); got != "a bug" {
		t.Errorf("recovered %v", got)
	}
	var none *store.Tenant
	if err, ok := view(func() { none.Name = "" }).(runtime.Error); !ok {
		t.Errorf("recovered %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		view(runtime.Goexit)
	}()
	<-ended
	f.commit("t", set(id, key("user:ann", "agent", "")))
	f.view(func(r store.Reader) {
		equal(t, "Assignments", len(all(t, r.Assignments(id, store.AssignmentKey{}))), 1)
	})
}

func testContext(t *testing.T, open Open) {
	f := start(t, open)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("gone"))
	_, err := f.Commit(ctx, store.Write{Tenant: "t", Plan: plan(store.CreateTenant{Name: "t"})})
	is(t, "Commit", err, context.Canceled)
	err = f.View(ctx, func(store.Reader) error { t.Error("View reads"); return nil })
	is(t, "View", err, context.Canceled)
	refused := errors.New("refused")
	err = f.View(context.Background(), func(store.Reader) error { return refused })
	is(t, "View of a function that fails", err, refused)
	equal(t, "Revision", f.Revision().Number, 0)
}

// testOneWriteManyChanges makes a tenant with all that belongs to it at once, and
// changes the same thing twice.
func testOneWriteManyChanges(t *testing.T, open Open) {
	f := start(t, open)
	ref := store.CatalogRef{Name: "helpdesk", Version: 1}
	ann, bob := key("user:ann", "admin", ""), key("user:bob", "agent", "team:a")
	c := f.commit("t", store.PutCatalog{Ref: ref, YAML: []byte("roles:\n")}, store.CreateTenant{Name: "t", Catalog: ref},
		set(0, ann), set(0, bob))
	f.view(func(r store.Reader) {
		tenant, err := r.Tenant("t")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "Assignments", keysOf(all(t, r.Assignments(tenant.ID, store.AssignmentKey{}))), []store.AssignmentKey{ann, bob})
		equal(t, "Changes", len(all(t, r.History(tenant.ID, store.Range{}))), 3)
		equal(t, "Changes of the installation", len(all(t, r.History(0, store.Range{}))), 1)
		f.commit("t", remove(tenant.ID, bob), set(tenant.ID, bob), remove(tenant.ID, bob), set(tenant.ID, key("user:cy", "agent", "")),
			remove(tenant.ID, key("user:cy", "agent", "")))
	})
	f.view(func(r store.Reader) {
		equal(t, "Assignments", keysOf(all(t, r.Assignments(1, store.AssignmentKey{}))), []store.AssignmentKey{ann})
		equal(t, "AssignmentsByRole", len(all(t, r.AssignmentsByRole(1, "agent", store.AssignmentKey{}))), 0)
		equal(t, "Changes", len(all(t, r.History(1, store.Range{After: store.Position{Revision: c.Revision.Number, Index: 9}}))), 5)
	})
}

func testObserver(t *testing.T, open Open) {
	o := &observer{t: t}
	f := startIn(t, open, t.TempDir(), o)
	o.store.Store(&f.Store)
	const writers, each = 8, 12
	id := f.tenant("t")
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				calls := o.calls.Load()
				var change store.Change = set(id, key(fmt.Sprintf("user:%d-%d", w, i), "agent", ""))
				if i == 0 {
					change = store.SetToggle{Tenant: id, Toggle: fmt.Sprint(w), On: true}
				}
				c := f.commit("t", change)
				if o.calls.Load() == calls {
					t.Error("Commit returns before the observer was told")
				}
				if f.Revision().Number < c.Revision.Number {
					t.Error("Commit returns before Revision is the new one")
				}
			}
		})
	}
	wait.Wait()
	calls := len(o.touched)
	f.commit("t", store.SetToggle{Tenant: id, Toggle: "0", On: true})
	if len(o.touched) != calls {
		t.Error("Committed is called for a write that changes nothing")
	}
	before := f.Revision()
	f.commit("", store.PutCatalog{Ref: store.CatalogRef{Name: "c", Version: 1}})
	count := make(map[store.Touched]int)
	var last uint64
	for i, touched := range o.touched {
		if i > 0 && o.seen[i].Number <= last {
			t.Errorf("at call %d Revision is %v, and it was %d before", i, o.seen[i], last)
		}
		last = o.seen[i].Number
		for _, x := range touched {
			count[x]++
		}
	}
	equal(t, "Revision in the first call", o.seen[0].Number, 0)
	equal(t, "Revision in the last call", last, before.Number)
	for w := range writers {
		for i := 1; i < each; i++ {
			x := store.Touched{Tenant: id, Name: "t", Subject: fmt.Sprintf("user:%d-%d", w, i)}
			if count[x] != 1 {
				t.Errorf("%+v was touched once and told %d times", x, count[x])
			}
			delete(count, x)
		}
	}
	if n := count[store.Touched{Tenant: id, Name: "t"}]; n < 2 || n > writers+1 {
		t.Errorf("the tenant itself was told %d times", n)
	}
	delete(count, store.Touched{Tenant: id, Name: "t"})
	equal(t, "all else that was told", count, map[store.Touched]int{{}: 1})
}

// testReadYourWrites: whoever has an answer sees what it says, also in other writes
// and in Views that others begin.
func testReadYourWrites(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	var wait sync.WaitGroup
	for w := range 6 {
		wait.Go(func() {
			for i := range 12 {
				k := key(fmt.Sprintf("user:%d", w), "agent", fmt.Sprintf("queue:%d", i/2))
				var change store.Change = set(id, k)
				want := error(nil)
				if i%2 == 1 {
					change, want = remove(id, k), store.ErrNotFound
				}
				c := f.commit("t", change)
				f.view(func(r store.Reader) {
					if r.Revision().Number < c.Revision.Number {
						t.Errorf("a View sees revision %v after an answer with %v", r.Revision(), c.Revision)
					}
					if _, err := r.Assignment(id, k); err != want {
						t.Errorf("Assignment after %T: %v", change, err)
					}
				})
			}
		})
	}
	wait.Wait()
}

func testSnapshot(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	var changes []store.Change
	for i := range 200 {
		changes = append(changes, set(id, key(fmt.Sprintf("user:%03d", i), "agent", "")))
	}
	f.commit("t", changes...)
	f.view(func(r store.Reader) {
		revision := r.Revision()
		before := all(t, r.Assignments(id, store.AssignmentKey{}))
		next := 0
		for a, err := range r.Assignments(id, store.AssignmentKey{}) {
			if err != nil || a != before[next] {
				t.Fatalf("assignment %d is %v, %v", next, a, err)
			}
			if next%20 == 0 {
				// In a goroutine of its own, as another caller would.
				done := make(chan struct{})
				go func() {
					defer close(done)
					f.commit("t", remove(id, a.AssignmentKey), remove(id, before[199-next/2].AssignmentKey),
						set(id, key(fmt.Sprintf("user:%03d+", next), "agent", "")), store.SetToggle{Tenant: id, Toggle: fmt.Sprint(next), On: true})
				}()
				<-done
			}
			next++
		}
		equal(t, "number of assignments", next, 200)
		equal(t, "Revision", r.Revision(), revision)
		toggles, err := r.Toggles(id)
		if err != nil || len(toggles) != 0 {
			t.Errorf("Toggles: %v, %v", toggles, err)
		}
		equal(t, "Changes", len(all(t, r.History(id, store.Range{}))), 201)
	})
	f.view(func(r store.Reader) {
		equal(t, "number of assignments", len(all(t, r.Assignments(id, store.AssignmentKey{}))), 190)
	})
}

// testRacers has each writer take the next free number: no number is taken twice,
// and each has a revision of its own.
func testRacers(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	const writers, each = 8, 8
	revisions := make([][]uint64, writers)
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for range each {
				c, err := f.Commit(context.Background(), store.Write{Tenant: "t", Plan: func(r store.Reader) ([]store.Change, error) {
					n := 0
					for _, err := range r.AssignmentsOf(id, "user:all") {
						if err != nil {
							return nil, err
						}
						n++
					}
					return []store.Change{set(id, key("user:all", "agent", fmt.Sprintf("queue:%03d", n)))}, nil
				}})
				if err != nil || !c.Changed {
					t.Errorf("Commit: %+v, %v", c, err)
				}
				revisions[w] = append(revisions[w], c.Revision.Number)
			}
		})
	}
	wait.Wait()
	f.view(func(r store.Reader) {
		equal(t, "numbers taken", len(all(t, r.AssignmentsOf(id, "user:all"))), writers*each)
	})
	for w := range revisions {
		if !slices.IsSorted(revisions[w]) {
			t.Errorf("writer %d has the revisions %v", w, revisions[w])
		}
	}
	got := slices.Sorted(slices.Values(slices.Concat(revisions...)))
	equal(t, "distinct revisions", len(slices.Compact(got)), writers*each)
}

func testClosed(t *testing.T, open Open) {
	s := open(t, t.TempDir(), nil, nil)
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			_, err := s.Commit(context.Background(), store.Write{Tenant: fmt.Sprint(i), Plan: plan(store.CreateTenant{Name: fmt.Sprint(i)})})
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("Commit while it is closed: %v", err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	_, err := s.Commit(context.Background(), store.Write{Tenant: "t", Plan: plan(store.CreateTenant{Name: "t"})})
	is(t, "Commit", err, store.ErrUnavailable)
	err = s.View(context.Background(), func(store.Reader) error { return nil })
	is(t, "View", err, store.ErrUnavailable)
	s.Revision()
	if err := s.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}
