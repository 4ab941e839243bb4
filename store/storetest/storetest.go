// Package storetest is the suite that every store passes.
package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Open opens the store in a directory. What was written there before is to be found
// again. The observer and the clock may be nil. Run closes what it opens.
type Open = func(t *testing.T, dir string, observer store.Observer, now func() time.Time) store.Store

var (
	seed  = flag.Uint64("store-seed", 0, "seed of the random operations; 0 takes a new one")
	steps = flag.Int("store-steps", 120, "number of random operations")
)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"Empty", testEmpty},
		{"Tenants", testTenants},
		{"Isolation", testIsolation},
		{"Assignments", testAssignments},
		{"AssignmentsByRole", testAssignmentsByRole},
		{"Paging", testPaging},
		{"Toggles", testToggles},
		{"Catalogs", testCatalogs},
		{"Intervals", testIntervals},
		{"Refused", testRefused},
		{"Unchanged", testUnchanged},
		{"PlanFails", testPlanFails},
		{"ViewPanics", testViewPanics},
		{"Context", testContext},
		{"OneWriteManyChanges", testOneWriteManyChanges},
		{"Changes", testChanges},
		{"History", testHistory},
		{"Follow", testFollow},
		{"Clock", testClock},
		{"MoveTenant", testMoveTenant},
		{"DeleteTenant", testDeleteTenant},
		{"EndedBefore", testEndedBefore},
		{"RequestIDs", testRequestIDs},
		{"RequestIDsAtOnce", testRequestIDsAtOnce},
		{"Erase", testErase},
		{"Trim", testTrim},
		{"Import", testImport},
		{"ImportPurged", testImportPurged},
		{"Backup", testBackup},
		{"Observer", testObserver},
		{"ReadYourWrites", testReadYourWrites},
		{"Snapshot", testSnapshot},
		{"Racers", testRacers},
		{"Reopen", testReopen},
		{"Closed", testClosed},
		{"Random", testRandom},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// fixture is a store under test.
type fixture struct {
	store.Store
	t *testing.T
}

func start(t *testing.T, open Open) *fixture {
	t.Helper()
	return startIn(t, open, t.TempDir(), nil)
}

func startIn(t *testing.T, open Open, dir string, observer store.Observer) *fixture {
	t.Helper()
	return startWith(t, func(t *testing.T) store.Store { return open(t, dir, observer, nil) })
}

// startAt starts a store that has a clock.
func startAt(t *testing.T, open Open, now func() time.Time) *fixture {
	t.Helper()
	return startWith(t, func(t *testing.T) store.Store { return open(t, t.TempDir(), nil, now) })
}

func startWith(t *testing.T, open func(*testing.T) store.Store) *fixture {
	t.Helper()
	s := open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &fixture{s, t}
}

// plan returns a plan that changes the same whatever the state is.
func plan(changes ...store.Change) func(store.Reader) ([]store.Change, error) {
	return func(store.Reader) ([]store.Change, error) { return changes, nil }
}

// commit makes a change of a tenant ("" for none) that has to succeed.
func (f *fixture) commit(tenant string, changes ...store.Change) store.Committed {
	f.t.Helper()
	c, err := f.Commit(context.Background(), store.Write{Tenant: tenant, By: store.By{Operator: true}, Plan: plan(changes...)})
	if err != nil {
		f.t.Fatalf("Commit for %q: %v", tenant, err)
	}
	return c
}

// tenant creates a tenant and returns its id.
func (f *fixture) tenant(name string) store.TenantID {
	f.t.Helper()
	f.commit(name, store.CreateTenant{Name: name, Catalog: store.CatalogRef{Name: "helpdesk", Version: 1}})
	var id store.TenantID
	f.view(func(r store.Reader) {
		tenant, err := r.Tenant(name)
		if err != nil {
			f.t.Fatalf("Tenant(%q): %v", name, err)
		}
		id = tenant.ID
	})
	return id
}

func (f *fixture) view(read func(store.Reader)) {
	f.t.Helper()
	err := f.View(context.Background(), func(r store.Reader) error {
		read(r)
		return nil
	})
	if err != nil {
		f.t.Fatalf("View: %v", err)
	}
}

// all collects what is yielded. An error ends the test.
func all[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatalf("iteration: %v", err)
		}
		out = append(out, v)
	}
	return out
}

// first collects at most n of what is yielded.
func first[T any](t *testing.T, seq iter.Seq2[T, error], n int) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatalf("iteration: %v", err)
		}
		if out = append(out, v); len(out) == n {
			break
		}
	}
	return out
}

// follow verifies the chain of a tenant, and returns both ends.
func (f *fixture) follow(tenant store.TenantID) store.Chain {
	f.t.Helper()
	var chain store.Chain
	f.view(func(r store.Reader) {
		var err error
		if chain, err = r.Chain(tenant); err != nil {
			f.t.Fatalf("Chain(%d): %v", tenant, err)
		}
		at, err := r.Follow(tenant, chain.Trimmed, math.MaxInt)
		if err != nil || at != chain.Head {
			f.t.Errorf("Follow(%d): %+v, %v; want %+v", tenant, at, err, chain.Head)
		}
	})
	return chain
}

func key(subject, role, scope string) store.AssignmentKey {
	return store.AssignmentKey{Subject: subject, Role: role, Scope: scope}
}

func set(tenant store.TenantID, k store.AssignmentKey) store.SetAssignment {
	return store.SetAssignment{Tenant: tenant, Assignment: store.Assignment{AssignmentKey: k}}
}

// until gives an assignment an end.
func until(a store.SetAssignment, end time.Time) store.SetAssignment {
	a.Assignment.End = end
	return a
}

func remove(tenant store.TenantID, k store.AssignmentKey) store.RemoveAssignment {
	return store.RemoveAssignment{Tenant: tenant, Key: k}
}

func keysOf(assignments []store.Assignment) []store.AssignmentKey {
	keys := make([]store.AssignmentKey, len(assignments))
	for i, a := range assignments {
		keys[i] = a.AssignmentKey
	}
	return keys
}

// source returns a source of random numbers whose seed is logged.
func source(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed: -store-seed=%d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// observer keeps what it is told, and checks that it is not told two things at once.
type observer struct {
	t       *testing.T
	store   atomic.Pointer[store.Store]
	calls   atomic.Int64
	inside  atomic.Bool
	touched [][]store.Touched
	seen    []store.Revision // the store's revision at each call
}

func (o *observer) Committed(touched []store.Touched) {
	if !o.inside.CompareAndSwap(false, true) {
		o.t.Error("Committed is called twice at once")
	}
	defer o.inside.Store(false)
	s := *o.store.Load()
	revision := s.Revision()
	// A cache that has dropped what was touched must not get the old state again, and
	// must be able to tell that what it gets is not published yet.
	err := s.View(context.Background(), func(r store.Reader) error {
		if r.Revision().Number <= revision.Number {
			o.t.Errorf("a View that begins in Committed sees revision %v, and %v is published", r.Revision(), revision)
		}
		return nil
	})
	if err != nil {
		o.t.Errorf("View in Committed: %v", err)
	}
	o.touched = append(o.touched, touched)
	o.seen = append(o.seen, revision)
	o.calls.Add(1)
}

func (o *observer) Lost() { o.t.Error("Lost is called without a failure") }

// is fails the test unless err is the one wanted.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}
