package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// kinds returns the types of changes.
func kinds(records []store.ChangeRecord) (kinds []string) {
	for _, r := range records {
		kinds = append(kinds, fmt.Sprintf("%T", r.Change)[len("store."):])
	}
	return kinds
}

// testMoveTenant moves a tenant to another catalog and changes its primary administrator.
func testMoveTenant(t *testing.T, open Open) {
	o := &observer{t: t}
	f := startIn(t, open, t.TempDir(), o)
	o.store.Store(&f.Store)
	one, two := store.CatalogRef{Name: "helpdesk", Version: 1}, store.CatalogRef{Name: "helpdesk", Version: 2}
	f.commit("t", store.CreateTenant{Name: "t", Catalog: one}, store.SetPrimary{Subject: "user:ann"})
	id := store.TenantID(1)
	check := func(want store.Tenant) {
		t.Helper()
		f.view(func(r store.Reader) {
			got, err := r.Tenant("t")
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "Tenants", all(t, r.Tenants("")), []store.Tenant{got})
			got.CreatedAt = time.Time{}
			equal(t, "Tenant", got, want)
		})
	}
	check(store.Tenant{ID: id, Name: "t", Catalog: one, Primary: "user:ann"})
	for _, unchanged := range []store.Change{store.UpdateTenant{Tenant: id, Catalog: one}, store.SetPrimary{Tenant: id, Subject: "user:ann"}} {
		if c := f.commit("t", unchanged); c.Changed {
			t.Errorf("%+v: %+v", unchanged, c)
		}
	}
	calls := len(o.touched)
	f.commit("t", store.UpdateTenant{Tenant: id, Catalog: two})
	check(store.Tenant{ID: id, Name: "t", Catalog: two, Primary: "user:ann"})
	f.commit("t", store.SetPrimary{Tenant: id, Subject: "user:bob"})
	check(store.Tenant{ID: id, Name: "t", Catalog: two, Primary: "user:bob"})
	f.commit("t", store.SetPrimary{Tenant: id})
	check(store.Tenant{ID: id, Name: "t", Catalog: two})
	own := []store.Touched{{Tenant: id, Name: "t"}}
	equal(t, "touched", o.touched[calls:], [][]store.Touched{own, own, own})
	f.view(func(r store.Reader) {
		var got []store.Change
		for _, record := range all(t, r.History(id, store.Range{})) {
			got = append(got, record.Change)
			if move := objectOf(record.Change) == store.TenantObject; move != (record.CatalogBefore != nil) || move && *record.CatalogBefore != one {
				t.Errorf("the catalog before %+v is %v", record.Change, record.CatalogBefore)
			}
		}
		equal(t, "changes", got, []store.Change{
			store.CreateTenant{Name: "t", Catalog: one}, store.SetPrimary{Tenant: id, Subject: "user:ann"},
			store.UpdateTenant{Tenant: id, Catalog: two},
			store.SetPrimary{Tenant: id, Subject: "user:bob"}, store.SetPrimary{Tenant: id},
		})
	})
	// Writes that wait together see the tenant as the ones before have made it.
	done := make(chan error)
	for i := range 8 {
		go func() {
			_, err := f.Commit(context.Background(), store.Write{Tenant: "t", Plan: func(r store.Reader) ([]store.Change, error) {
				tenant, err := r.Tenant("t")
				tenant.Catalog.Version++
				if i%2 == 0 { // and by the list
					tenant = all(t, r.Tenants(""))[0]
					tenant.Catalog.Version++
				}
				return []store.Change{store.UpdateTenant{Tenant: id, Catalog: tenant.Catalog}}, err
			}})
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	check(store.Tenant{ID: id, Name: "t", Catalog: store.CatalogRef{Name: "helpdesk", Version: 10}})
}

// testDeleteTenant deletes a tenant, makes a new one of its name, and purges the old one.
func testDeleteTenant(t *testing.T, open Open) {
	o := &observer{t: t}
	f := startIn(t, open, t.TempDir(), o)
	o.store.Store(&f.Store)
	old := f.tenant("t")
	var changes []store.Change
	for i := range 7 {
		changes = append(changes, until(set(old, key(fmt.Sprint("user:", i), "agent", "")), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)),
			store.SetToggle{Tenant: old, Toggle: fmt.Sprint("x", i), On: true})
	}
	f.commit("t", append(changes, store.SetPrimary{Tenant: old, Subject: "user:1"})...)
	calls := len(o.touched)
	f.commit("t", store.DeleteTenant{Tenant: old})
	equal(t, "touched", o.touched[calls:], [][]store.Touched{{{Tenant: old, Name: "t"}}})
	f.view(func(r store.Reader) {
		_, err := r.Tenant("t")
		is(t, "Tenant", err, store.ErrNotFound)
		equal(t, "Tenants", len(all(t, r.Tenants(""))), 0)
		deleted := all(t, r.DeletedTenants(0))
		if len(deleted) != 1 || deleted[0].ID != old || deleted[0].Name != "t" || deleted[0].DeletedAt.Before(deleted[0].CreatedAt) || deleted[0].Primary != "" {
			t.Errorf("DeletedTenants: %+v", deleted)
		}
		equal(t, "DeletedTenants after", len(all(t, r.DeletedTenants(old))), 0)
		equal(t, "EndedBefore", len(all(t, r.EndedBefore(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)))), 0)
	})
	for what, w := range map[string]store.Write{
		"a grant in a deleted tenant":     {Tenant: "t", Plan: plan(set(old, key("user:a", "agent", "")))},
		"a grant for no tenant":           {Plan: plan(set(old, key("user:a", "agent", "")))},
		"a toggle of a deleted tenant":    {Plan: plan(store.SetToggle{Tenant: old, Toggle: "x"})},
		"to delete it again":              {Tenant: "t", Plan: plan(store.DeleteTenant{Tenant: old})},
		"to move it":                      {Tenant: "t", Plan: plan(store.UpdateTenant{Tenant: old})},
		"to purge it as if it were there": {Tenant: "t", Plan: plan(store.PurgeTenant{Tenant: old, Most: 1})},
		"to erase as if it were there":    {Tenant: "t", Plan: plan(store.EraseSubject{Tenant: old, Subject: "user:1", Last: true})},
	} {
		if c, err := f.Commit(context.Background(), w); err == nil {
			t.Errorf("%s: %+v", what, c)
		}
	}
	id := f.tenant("t")
	ann := until(set(id, key("user:1", "agent", "")), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	f.commit("t", ann)
	if _, err := f.Commit(context.Background(), store.Write{Plan: plan(store.PurgeTenant{Tenant: id, Most: 1})}); err == nil || id == old {
		t.Errorf("tenant %d, which is there, is purged", id)
	}
	ended := func() {
		t.Helper()
		f.view(func(r store.Reader) {
			tenant, err := r.Tenant("t")
			if err != nil || tenant.ID != id {
				t.Errorf("Tenant: %+v, %v", tenant, err)
			}
			equal(t, "EndedBefore", all(t, r.EndedBefore(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))), []store.Ended{{Tenant: tenant, Assignment: ann.Assignment}})
		})
	}
	ended()
	revision := f.Revision()
	purges := 0
	for {
		c := f.commit("", store.PurgeTenant{Tenant: old, Most: 3})
		equal(t, "revision after purging", c.Revision, revision)
		if !c.Changed {
			break
		}
		purges++
		f.view(func(r store.Reader) {
			toggles, err := r.Toggles(old)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "what is left", len(toggles)+len(all(t, r.Assignments(old, store.AssignmentKey{}))), max(0, 14-3*purges))
			equal(t, "left by role", len(all(t, r.AssignmentsByRole(old, "agent", store.AssignmentKey{}))), max(0, 7-3*purges))
		})
	}
	equal(t, "number of purges", purges, 5)
	ended()
	f.view(func(r store.Reader) {
		equal(t, "Assignments", keysOf(all(t, r.Assignments(id, store.AssignmentKey{}))), []store.AssignmentKey{ann.Assignment.AssignmentKey})
		records := all(t, r.History(old, store.Range{}))
		equal(t, "changes", len(records), 17)
		equal(t, "last change", kinds(records)[16], "DeleteTenant")
		equal(t, "changes of a subject", len(all(t, r.History(old, store.Range{Object: "user:1"}))), 1)
		equal(t, "DeletedTenants", len(all(t, r.DeletedTenants(0))), 1)
	})
	f.follow(old)
	// Both at once, and what is new does not get what is old.
	f.commit("t", store.DeleteTenant{Tenant: id}, store.CreateTenant{Name: "t"}, set(0, key("user:2", "agent", "")))
	f.view(func(r store.Reader) {
		tenant, err := r.Tenant("t")
		if err != nil || tenant.ID != id+1 {
			t.Errorf("Tenant: %+v, %v", tenant, err)
		}
		equal(t, "Assignments", len(all(t, r.Assignments(tenant.ID, store.AssignmentKey{}))), 1)
		equal(t, "DeletedTenants", len(all(t, r.DeletedTenants(0))), 2)
	})
}

// testEndedBefore moves, adds and removes ends.
func testEndedBefore(t *testing.T, open Open) {
	f := start(t, open)
	a, b := f.tenant("a"), f.tenant("b")
	end := func(n int) time.Time { return time.Unix(1_900_000_000+int64(n), 7).UTC() }
	ann, bob, cy := key("user:ann", "agent", ""), key("user:bob", "agent", "queue:1"), key("user:cy", "agent", "")
	f.commit("a", until(set(a, ann), end(5)), set(a, bob), until(set(a, cy), end(9)))
	f.commit("b", until(set(b, ann), end(3)), until(set(b, bob), end(5)))
	f.commit("a", until(set(a, ann), end(4)))
	f.commit("a", set(a, cy))
	f.commit("b", store.RemoveAssignment{Tenant: b, Key: bob, Cleared: true})
	later := until(set(a, bob), end(4))
	later.Assignment.Start = end(1)
	f.commit("a", later)
	f.view(func(r store.Reader) {
		for n, want := range map[int][]string{3: nil, 4: {"b user:ann"}, 5: {"b user:ann", "a user:ann", "a user:bob"}, 100: {"b user:ann", "a user:ann", "a user:bob"}} {
			var got []string
			for _, e := range all(t, r.EndedBefore(end(n))) {
				got = append(got, e.Tenant.Name+" "+e.Subject)
				stored, err := r.Assignment(e.Tenant.ID, e.AssignmentKey)
				if err != nil || stored != e.Assignment {
					t.Errorf("ended is %+v, stored %+v, %v", e, stored, err)
				}
			}
			equal(t, fmt.Sprint("EndedBefore ", n), got, want)
		}
		equal(t, "EndedBefore the last instant", len(all(t, r.EndedBefore(time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)))), 3)
		equal(t, "EndedBefore the first instant", len(all(t, r.EndedBefore(time.Time{}))), 0)
	})
}
