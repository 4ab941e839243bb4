package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// testImport takes a file, fills two tenants, which nobody finds, and shows them in one write that
// replaces one.
func testImport(t *testing.T, open Open) {
	o := &observer{t: t}
	f := startIn(t, open, t.TempDir(), o)
	o.store.Store(&f.Store)
	old := f.tenant("b")
	ref := store.CatalogRef{Name: "helpdesk", Version: 1}
	created, end := time.Date(2020, 1, 1, 0, 0, 0, 7, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	revision, calls := f.Revision(), len(o.touched)
	held := []store.Assignment{
		{AssignmentKey: key("user:a", "agent", "queue:1")},
		{AssignmentKey: key("user:b", "agent", ""), Interval: store.Interval{End: end}},
	}
	f.commit("", store.TakeImport{ID: "i", Digest: [32]byte{1}, Piece: []byte("one ")})
	f.commit("", store.TakeImport{ID: "i", Digest: [32]byte{1}, After: 4, Piece: []byte("two")})
	f.commit("", store.FillImport{ID: "i", Tenant: store.Tenant{Name: "a", Catalog: ref, CreatedAt: created, Primary: "user:a"}, Assignments: held[:1], Filled: 2},
		store.FillImport{ID: "i", Tenant: store.Tenant{Name: "b", Catalog: ref, CreatedAt: created}, Toggles: map[string]bool{"x": true}, Filled: 3})
	f.commit("", store.FillImport{ID: "i", Tenant: store.Tenant{Name: "a", Catalog: ref, CreatedAt: created, Primary: "user:a"}, Assignments: held[1:], Filled: 4})
	f.view(func(r store.Reader) {
		equal(t, "revision", r.Revision(), revision)
		equal(t, "Tenants", len(all(t, r.Tenants(""))), 1)
		equal(t, "EndedBefore", len(all(t, r.EndedBefore(end.AddDate(1, 0, 0)))), 0)
		i, err := r.Import("i")
		if err != nil || i.Bytes != 7 || i.Pieces != 2 || i.Filled != 4 || i.Digest != [32]byte{1} || i.Done != nil || i.Abandoned {
			t.Errorf("Import: %+v, %v", i, err)
		}
		equal(t, "Imports", all(t, r.Imports("")), []store.Import{i})
		equal(t, "Imports after", len(all(t, r.Imports("i"))), 0)
		piece, err := r.ImportPiece("i", 1)
		equal(t, "piece", fmt.Sprintf("%s %v", piece, err), "two <nil>")
		_, err = r.ImportPiece("i", 2)
		is(t, "no such piece", err, store.ErrNotFound)
		_, err = r.Import("j")
		is(t, "no such import", err, store.ErrNotFound)
	})
	for what, changes := range map[string][]store.Change{
		"a piece at another place":      {store.TakeImport{ID: "i", Digest: [32]byte{1}, After: 4, Piece: []byte("x")}},
		"a piece of another":            {store.TakeImport{ID: "i", Digest: [32]byte{2}, After: 7, Piece: []byte("x")}},
		"an import that there is not":   {store.FinishImport{ID: "j"}},
		"a tenant of that name":         {store.FinishImport{ID: "i"}},
		"an import that there is not 2": {store.FillImport{ID: "j", Tenant: store.Tenant{Name: "a", CreatedAt: created}}},
	} {
		if _, err := f.Commit(context.Background(), store.Write{Plan: plan(changes...)}); err == nil {
			t.Errorf("%s: it is written", what)
		}
	}
	equal(t, "touched", len(o.touched), calls)

	finish := store.FinishImport{ID: "i", FileDigest: [32]byte{9}, Replace: true, Done: store.ImportDone{Tenants: 2, Replaced: 1, Assignments: 2, Toggles: 1}}
	done := f.commit("", finish)
	var a, b store.Tenant
	f.view(func(r store.Reader) {
		tenants := all(t, r.Tenants(""))
		if len(tenants) != 2 {
			t.Fatalf("Tenants: %+v", tenants)
		}
		a, b = tenants[0], tenants[1]
		equal(t, "a", a, store.Tenant{ID: a.ID, Name: "a", Catalog: ref, CreatedAt: created, Primary: "user:a"})
		if a.ID == b.ID || a.ID <= old || b.ID <= old {
			t.Errorf("the ids are %d and %d after %d", a.ID, b.ID, old)
		}
		equal(t, "Assignments", all(t, r.Assignments(a.ID, store.AssignmentKey{})), held)
		equal(t, "AssignmentsByRole", len(all(t, r.AssignmentsByRole(a.ID, "agent", store.AssignmentKey{}))), 2)
		toggles, err := r.Toggles(b.ID)
		equal(t, "Toggles", fmt.Sprint(toggles, err), "map[x:true] <nil>")
		equal(t, "EndedBefore", len(all(t, r.EndedBefore(end.AddDate(1, 0, 0)))), 1)
		records := all(t, r.History(a.ID, store.Range{}))
		equal(t, "kinds", kinds(records), []string{"ImportTenant", "SetPrimary"})
		equal(t, "record", records[0].Change, store.Change(store.ImportTenant{Name: "a", Catalog: ref, FileDigest: [32]byte{9}, Assignments: 2}))
		equal(t, "revision", records[0].Revision, done.Revision)
		ended := all(t, r.History(old, store.Range{NewestFirst: true}))[0]
		equal(t, "the end of the old one", fmt.Sprintf("%T", ended.Change), "store.DeleteTenant")
		if ended.Revision.Number >= done.Revision.Number {
			t.Errorf("the old one ends at %v, and the new one begins at %v", ended.Revision, done.Revision)
		}
		for _, id := range []store.TenantID{old, a.ID, b.ID} {
			chain, err := r.Chain(id)
			if err != nil {
				t.Fatal(err)
			}
			if at, err := r.Follow(id, chain.Trimmed, 100); err != nil || at != chain.Head {
				t.Errorf("the chain of %d: %v, %v", id, at, err)
			}
		}
		i, err := r.Import("i")
		if err != nil || i.Done == nil {
			t.Fatalf("Import: %+v, %v", i, err)
		}
		want := finish.Done
		want.Revision = done.Revision
		equal(t, "done", *i.Done, want)
	})
	touched := map[store.Touched]bool{}
	for _, one := range o.touched[calls:] {
		for _, each := range one {
			touched[each] = true
		}
	}
	for _, want := range []store.Touched{{Tenant: old, Name: "b"}, {Tenant: a.ID, Name: "a"}, {Tenant: b.ID, Name: "b"}} {
		if !touched[want] {
			t.Errorf("the observer is not told of %+v", want)
		}
	}
	if _, err := f.Commit(context.Background(), store.Write{Plan: plan(finish)}); err == nil {
		t.Error("it is done twice")
	}
	f.purgeImport("i", false)
	f.view(func(r store.Reader) {
		if _, err := r.Import("i"); err != nil {
			t.Errorf("the result is gone: %v", err)
		}
		_, err := r.ImportPiece("i", 0)
		is(t, "the file", err, store.ErrNotFound)
		equal(t, "Assignments", len(all(t, r.Assignments(a.ID, store.AssignmentKey{}))), 2)
	})
}

// purgeImport purges some records in a write, until nothing is left.
func (f *fixture) purgeImport(id string, whole bool) {
	f.t.Helper()
	for range 100 {
		if !f.commit("", store.PurgeImport{ID: id, Most: 3, Whole: whole}).Changed {
			return
		}
	}
	f.t.Fatal("purging does not end")
}

// testImportPurged removes an import that is not done. Nothing can go on with it from the first
// write on, and nothing is left in the end.
func testImportPurged(t *testing.T, open Open) {
	f := start(t, open)
	var held []store.Assignment
	for i := range 10 {
		held = append(held, store.Assignment{AssignmentKey: key(fmt.Sprint("user:", i), "agent", ""), Interval: store.Interval{End: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}})
	}
	for i, id := range []string{"i", "ii"} {
		f.commit("", store.TakeImport{ID: id, Piece: []byte("piece")})
		f.commit("", store.FillImport{ID: id, Tenant: store.Tenant{Name: "a", CreatedAt: time.Unix(1, 0)}, Assignments: held, Toggles: map[string]bool{"x": true}, Filled: uint64(i)})
	}
	f.commit("", store.PurgeImport{ID: "i", Most: 1})
	for what, change := range map[string]store.Change{
		"taking":    store.TakeImport{ID: "i", After: 5, Piece: []byte("x")},
		"filling":   store.FillImport{ID: "i", Tenant: store.Tenant{Name: "a", CreatedAt: time.Unix(1, 0)}},
		"finishing": store.FinishImport{ID: "i"},
	} {
		if _, err := f.Commit(context.Background(), store.Write{Plan: plan(change)}); err == nil {
			t.Errorf("%s goes on with an import that is being removed", what)
		}
	}
	f.purgeImport("i", true)
	f.view(func(r store.Reader) {
		_, err := r.Import("i")
		is(t, "Import", err, store.ErrNotFound)
		equal(t, "Imports", len(all(t, r.Imports(""))), 1)
		equal(t, "Assignments", len(all(t, r.Assignments(1, store.AssignmentKey{}))), 0)
		equal(t, "AssignmentsByRole", len(all(t, r.AssignmentsByRole(1, "agent", store.AssignmentKey{}))), 0)
		toggles, err := r.Toggles(1)
		equal(t, "Toggles", fmt.Sprint(toggles, err), "map[] <nil>")
		equal(t, "of the other one", len(all(t, r.Assignments(2, store.AssignmentKey{}))), 10)
	})
	f.commit("", store.TakeImport{ID: "i", Digest: [32]byte{5}, Piece: []byte("anew")})
	f.commit("", store.FinishImport{ID: "ii"})
	f.view(func(r store.Reader) {
		if tenant, err := r.Tenant("a"); err != nil || tenant.ID != 2 {
			t.Errorf("Tenant: %+v, %v", tenant, err)
		}
	})
}
