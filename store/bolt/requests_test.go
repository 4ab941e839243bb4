package bolt

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// TestRequestIDsAreForgotten: those that are too old are removed, by writes and by purging.
func TestRequestIDsAreForgotten(t *testing.T) {
	now := noon()
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{Now: func() time.Time { return now }})
	commit(t, s, "t", store.CreateTenant{Name: "t"})
	n := 0
	write := func(id string) {
		t.Helper()
		if n++; id == "" {
			id = fmt.Sprint(n)
		}
		_, err := s.Commit(ctx, store.Write{Tenant: "t", RequestID: id, Plan: plan(store.SetToggle{Tenant: 1, Toggle: "x", On: n%2 == 0})})
		if err != nil {
			t.Fatal(err)
		}
	}
	remembered := func(want int) {
		t.Helper()
		for _, b := range []bucket{bucketRequests, bucketRequestsByTime} {
			if keys, _ := recordsOf(t, s, b); len(keys)-2 != want { // without those at both ends
				t.Errorf("%s has %d records, want %d", b.name(), len(keys)-2, want)
			}
		}
	}
	for range 10 {
		write("")
		now = now.Add(time.Minute)
	}
	remembered(10)
	now = now.Add(store.RequestIDsKept)
	write("10") // which is old: used anew, and two others are removed
	remembered(8)
	for range 4 {
		write("")
	}
	remembered(5)
	write("")
	remembered(6)
	commit(t, s, "t", store.DeleteTenant{Tenant: 1})
	commit(t, s, "", store.PurgeTenant{Tenant: 1, Most: 1 + 4}) // and a toggle
	remembered(2)
	commit(t, s, "", store.PurgeTenant{Tenant: 1, Most: 100})
	remembered(0)
}

// TestPurged: nothing is left of a tenant but its history.
func TestPurged(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{})
	w := store.Write{Tenant: "t", RequestID: "1", Plan: plan(store.CreateTenant{Name: "t"}, until(set(0, "user:ann", "agent", "queue:1"), noon()),
		set(0, "user:bob", "agent", ""), store.SetPrimary{Subject: "user:bob"})}
	if _, err := s.Commit(ctx, w); err != nil {
		t.Fatal(err)
	}
	commit(t, s, "t", store.SetToggle{Tenant: 1, Toggle: "x"}, store.DeleteTenant{Tenant: 1})
	commit(t, s, "", store.PurgeTenant{Tenant: 1, Most: 100})
	left := map[bucket]int{bucketHeads: 1, bucketChanges: 6, bucketChangesByObject: 3, bucketDeleted: 1}
	for b := bucketTenants; b < bucketCount; b++ {
		if keys, _ := recordsOf(t, s, b); len(keys)-2 != left[b] {
			t.Errorf("%s has %d records, want %d", b.name(), len(keys)-2, left[b])
		}
	}
}

// TestOneCommitWithRequestIDs: an unchanged write is remembered by a commit without a revision, and a
// repeated one makes none.
func TestOneCommitWithRequestIDs(t *testing.T) {
	o := new(counter)
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{Observer: o})
	commit(t, s, "t", store.CreateTenant{Name: "t"})
	before, revision, told := commits(t, s), s.Revision(), o.committed.Load()
	for range 3 {
		if _, err := s.Commit(ctx, store.Write{Tenant: "t", RequestID: "1", Plan: plan(remove(1, "user:none", "agent", ""))}); err != nil {
			t.Fatal(err)
		}
	}
	if n := commits(t, s) - before; n != 1 || s.Revision() != revision || o.committed.Load() != told {
		t.Errorf("%d commits, revision %v after %v, and the observer was told %d times", n, s.Revision(), revision, o.committed.Load()-told)
	}
}
