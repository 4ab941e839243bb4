package bolt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string, observer store.Observer, now func() time.Time) store.Store {
		s, err := Open(filepath.Join(dir, "usher.db"), Options{Observer: observer, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

var ctx = context.Background()

func open(t testing.TB, path string, options Options) *Store {
	t.Helper()
	s, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func plan(changes ...store.Change) func(store.Reader) ([]store.Change, error) {
	return func(store.Reader) ([]store.Change, error) { return changes, nil }
}

func commit(t testing.TB, s *Store, tenant string, changes ...store.Change) {
	t.Helper()
	_, err := s.Commit(ctx, store.Write{Tenant: tenant, By: store.By{Subject: "user:boss"}, Justification: "because", Plan: plan(changes...)})
	if err != nil {
		t.Fatal(err)
	}
}

func set(tenant store.TenantID, subject, role, scope string) store.SetAssignment {
	return store.SetAssignment{Tenant: tenant, Assignment: store.Assignment{
		AssignmentKey: store.AssignmentKey{Subject: subject, Role: role, Scope: scope},
		Interval:      store.Interval{Start: time.Unix(1_900_000_000, 0).UTC()},
	}}
}

func remove(tenant store.TenantID, subject, role, scope string) store.RemoveAssignment {
	return store.RemoveAssignment{Tenant: tenant, Key: store.AssignmentKey{Subject: subject, Role: role, Scope: scope}}
}

func until(a store.SetAssignment, end time.Time) store.SetAssignment {
	a.Assignment.Interval = store.Interval{End: end}
	return a
}

// nth is the place of a change of the nth write to a file whose clock stands at noon.
func nth(write uint64, index uint32) store.Position {
	return store.Position{Revision: uint64(noon().UnixNano()) + write - 1, Index: index}
}

// source returns a source of random numbers whose seed is logged.
func source(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed: %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// noon is a clock that stands.
func noon() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// samplePage is the size of the pages in the file that sample makes.
const samplePage = 1024

// sample makes a file that has some of everything, in small pages, so that there
// are many of them, in several levels. It returns the file, closed and as short as
// it can be.
func sample(t testing.TB, r *rand.Rand) string {
	path := filepath.Join(t.TempDir(), "usher.db")
	if err := create(path, samplePage); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{Now: noon})
	ref := store.CatalogRef{Name: "helpdesk", Version: 1}
	commit(t, s, "", store.PutCatalog{Ref: ref, YAML: []byte(strings.Repeat("# a line\n", 500))},
		store.PutCatalog{Ref: store.CatalogRef{Name: "helpdesk", Version: 2}, YAML: []byte("short")})
	for i, name := range []string{"a", "b"} {
		commit(t, s, name, store.CreateTenant{Name: name, Catalog: ref}, store.SetAssignment{
			Assignment: store.Assignment{AssignmentKey: store.AssignmentKey{Subject: "user:boss", Role: "admin"}}})
		id := store.TenantID(i + 1)
		for range 8 {
			var changes []store.Change
			for range 25 {
				changes = append(changes, set(id, fmt.Sprintf("user:%03d", r.IntN(100)), "agent", fmt.Sprintf("queue:%d", r.IntN(3))))
			}
			for range 8 {
				changes = append(changes, remove(id, fmt.Sprintf("user:%03d", r.IntN(100)), "agent", fmt.Sprintf("queue:%d", r.IntN(3))))
			}
			commit(t, s, name, append(changes, store.SetToggle{Tenant: id, Toggle: fmt.Sprint("x", r.IntN(9)), On: r.IntN(2) == 0})...)
		}
	}
	shrink(t, s)
	return path
}

// shrink closes a store and cuts off what its file has in reserve.
func shrink(t testing.TB, s *Store) {
	t.Helper()
	var size int64
	if err := s.file.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path, size); err != nil {
		t.Fatal(err)
	}
}

// dump reads all that a store answers, in a fixed order of questions: one text for
// each, or its error.
func dump(s store.Store) (answers []string, errs []error) {
	answer := func(what string, err error) {
		answers = append(answers, what)
		errs = append(errs, err)
	}
	err := s.View(ctx, func(r store.Reader) error {
		answer(r.Revision().String(), nil)
		for _, name := range []string{"", "a", "aa", "b", "c"} {
			tenant, err := r.Tenant(name)
			answer(found(tenant, err))
			answer(list(r.Tenants(name)))
		}
		for id := range store.TenantID(4) {
			toggles, err := r.Toggles(id)
			answer(fmt.Sprint(toggles), err)
			answer(list(r.Assignments(id, store.AssignmentKey{})))
			answer(list(r.Assignments(id, store.AssignmentKey{Subject: "user:050", Role: "b"})))
			answer(list(r.AssignmentsByRole(id, "agent", store.AssignmentKey{})))
			answer(list(r.AssignmentsByRole(id, "agent", store.AssignmentKey{Scope: "queue:1", Subject: "user:07"})))
			answer(list(r.AssignmentsByRole(id, "none", store.AssignmentKey{})))
			// History is right where the chain is, which Follow finds out.
			broken := verify(r, id)
			chain, err := r.Chain(id)
			answer(fmt.Sprint(chain.Trimmed.Length, chain.Head.Length, chain.Head.Position), errors.Join(broken, err))
			history := func(h store.Range) {
				text, err := list(r.History(id, h))
				answer(text, errors.Join(broken, err))
			}
			history(store.Range{})
			history(store.Range{NewestFirst: true, After: nth(4, 9)})
			history(store.Range{Object: "x", NewestFirst: true})
			for i := 0; i < 100; i += 4 {
				subject := fmt.Sprintf("user:%03d", i)
				answer(list(r.AssignmentsOf(id, subject)))
				history(store.Range{Object: store.SubjectObject(subject)})
				a, err := r.Assignment(id, store.AssignmentKey{Subject: subject, Role: "agent", Scope: "queue:1"})
				answer(found(a, err))
			}
		}
		answer(list(r.DeletedTenants(0)))
		answer(list(r.EndedBefore(noon().AddDate(2, 0, 0))))
		answer(list(r.Catalogs(store.CatalogRef{})))
		for version := range uint32(4) {
			yaml, err := r.Catalog(store.CatalogRef{Name: "helpdesk", Version: version})
			answer(found(string(yaml), err))
		}
		return nil
	})
	if err != nil {
		answer("", err)
	}
	return answers, errs
}

// verify follows the chain of a tenant to its head.
func verify(r store.Reader, tenant store.TenantID) error {
	chain, err := r.Chain(tenant)
	if err != nil {
		return err
	}
	at, err := r.Follow(tenant, chain.Trimmed, math.MaxInt)
	if err == nil && at != chain.Head {
		err = fmt.Errorf("the chain ends at %+v and not at %+v", at, chain.Head)
	}
	return err
}

// found makes not to be found an answer, which it is.
func found[T any](v T, err error) (string, error) {
	if err == store.ErrNotFound {
		return "none", nil
	}
	return fmt.Sprintf("%+v", v), err
}

func list[T any](seq func(func(T, error) bool)) (string, error) {
	var b strings.Builder
	for v, err := range seq {
		if err != nil {
			return "", err
		}
		if c, ok := any(v).(store.ChangeRecord); ok {
			if c.Before != nil {
				fmt.Fprintf(&b, "%+v before ", *c.Before)
				c.Before = nil
			}
			if c.ToggleBefore != nil {
				fmt.Fprintf(&b, "%v before ", *c.ToggleBefore)
				c.ToggleBefore = nil
			}
			fmt.Fprintf(&b, "%+v ", c)
			continue
		}
		fmt.Fprintf(&b, "%+v ", v)
	}
	return b.String(), nil
}

// recordsOf returns all records of a bucket as bbolt reads them.
func recordsOf(t testing.TB, s *Store, b bucket) (keys, values [][]byte) {
	err := s.file.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(b.name()).ForEach(func(k, v []byte) error {
			keys, values = append(keys, append([]byte(nil), k...)), append(values, append([]byte(nil), v...))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys, values
}

// edit changes a closed file with bbolt.
func edit(t testing.TB, path string, change func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoSync: true, NoGrowSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(change); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
