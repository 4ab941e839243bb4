package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Texts that sort as neighbours of each other, or are each other's beginning.
var texts = []string{"a", "a!", "a:", "aa", "ab", "b", "user:ann", "user:ann@x", "ä", "\U0010FFFF"}

func testEmpty(t *testing.T, open Open) {
	f := start(t, open)
	if r := f.Revision(); r.Number != 0 || r.Epoch == "" {
		t.Errorf("revision of a new store is %v", r)
	}
	f.view(func(r store.Reader) {
		equal(t, "Revision", r.Revision(), f.Revision())
		_, err := r.Tenant("none")
		is(t, "Tenant", err, store.ErrNotFound)
		_, err = r.Tenant("")
		is(t, "Tenant of no name", err, store.ErrNotFound)
		_, err = r.Assignment(1, key("user:ann", "admin", ""))
		is(t, "Assignment", err, store.ErrNotFound)
		_, err = r.Assignment(1, key("", "", ""))
		is(t, "Assignment of no key", err, store.ErrNotFound)
		_, err = r.Catalog(store.CatalogRef{Name: "helpdesk", Version: 1})
		is(t, "Catalog", err, store.ErrNotFound)
		toggles, err := r.Toggles(1)
		if err != nil || len(toggles) != 0 {
			t.Errorf("Toggles: %v, %v", toggles, err)
		}
		equal(t, "Tenants", len(all(t, r.Tenants(""))), 0)
		equal(t, "Assignments", len(all(t, r.Assignments(1, store.AssignmentKey{}))), 0)
		equal(t, "AssignmentsOf", len(all(t, r.AssignmentsOf(1, "user:ann"))), 0)
		equal(t, "AssignmentsByRole", len(all(t, r.AssignmentsByRole(1, "admin", store.AssignmentKey{}))), 0)
		equal(t, "Catalogs", len(all(t, r.Catalogs(store.CatalogRef{}))), 0)
		equal(t, "Changes", len(all(t, r.History(0, store.Range{}))), 0)
		equal(t, "Changes after", len(all(t, r.History(1, store.Range{After: store.Position{Revision: 7}}))), 0)
		equal(t, "Assignments of the last id", len(all(t, r.Assignments(^store.TenantID(0), store.AssignmentKey{}))), 0)
	})
}

func testTenants(t *testing.T, open Open) {
	f := start(t, open)
	before := time.Now()
	ids := make(map[store.TenantID]bool)
	for i := len(texts) - 1; i >= 0; i-- {
		ids[f.tenant(texts[i])] = true
	}
	if len(ids) != len(texts) || ids[0] {
		t.Errorf("ids of the tenants are %v", ids)
	}
	f.view(func(r store.Reader) {
		for i := -1; i < len(texts); i++ {
			after := ""
			if i >= 0 {
				after = texts[i]
			}
			var names []string
			for _, tenant := range all(t, r.Tenants(after)) {
				names = append(names, tenant.Name)
				if tenant.CreatedAt.Before(before) || tenant.CreatedAt.After(time.Now()) {
					t.Errorf("tenant %q was created at %s", tenant.Name, tenant.CreatedAt)
				}
				equal(t, "catalog", tenant.Catalog, store.CatalogRef{Name: "helpdesk", Version: 1})
				same, err := r.Tenant(tenant.Name)
				if err != nil || same != tenant {
					t.Errorf("Tenant(%q) is %+v, %v; want %+v", tenant.Name, same, err, tenant)
				}
			}
			equal(t, "Tenants after "+after, names, texts[i+1:])
		}
		equal(t, "Tenants after a name between", len(all(t, r.Tenants("a\""))), len(texts)-2)
	})
}

func testIsolation(t *testing.T, open Open) {
	f := start(t, open)
	a, b := f.tenant("a"), f.tenant("ab")
	ann := key("user:ann", "admin", "")
	f.commit("a", set(a, ann), store.SetToggle{Tenant: a, Toggle: "x", On: true})
	f.view(func(r store.Reader) {
		_, err := r.Assignment(b, ann)
		is(t, "Assignment in the other tenant", err, store.ErrNotFound)
		equal(t, "Assignments", len(all(t, r.Assignments(b, store.AssignmentKey{}))), 0)
		equal(t, "AssignmentsOf", len(all(t, r.AssignmentsOf(b, "user:ann"))), 0)
		equal(t, "AssignmentsByRole", len(all(t, r.AssignmentsByRole(b, "admin", store.AssignmentKey{}))), 0)
		equal(t, "Changes", len(all(t, r.History(b, store.Range{}))), 1)
		toggles, err := r.Toggles(b)
		if err != nil || len(toggles) != 0 {
			t.Errorf("Toggles: %v, %v", toggles, err)
		}
	})
	// The same things in the other tenant have nothing to do with it.
	f.commit("ab", set(b, ann))
	f.commit("a", remove(a, ann))
	f.view(func(r store.Reader) {
		_, err := r.Assignment(a, ann)
		is(t, "Assignment", err, store.ErrNotFound)
		if _, err := r.Assignment(b, ann); err != nil {
			t.Errorf("Assignment in the other tenant: %v", err)
		}
	})
}

// keys returns assignments' keys in the order in which stores yield them.
func someKeys() []store.AssignmentKey {
	var keys []store.AssignmentKey
	for _, subject := range texts {
		for _, role := range []string{"admin", "agent", "agent2"} {
			for _, scope := range []string{"", "queue:a", "queue:ab", "team:a"} {
				if (len(subject)+len(role)+len(scope))%3 > 0 {
					keys = append(keys, key(subject, role, scope))
				}
			}
		}
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

func compareKeys(a, b store.AssignmentKey) int {
	return slices.Compare([]string{a.Subject, a.Role, a.Scope}, []string{b.Subject, b.Role, b.Scope})
}

func compareByRole(a, b store.AssignmentKey) int {
	return slices.Compare([]string{a.Role, a.Scope, a.Subject}, []string{b.Role, b.Scope, b.Subject})
}

func testAssignments(t *testing.T, open Open) {
	f := start(t, open)
	f.tenant("before")
	id := f.tenant("t")
	other := f.tenant("after")
	keys := someKeys()
	var changes []store.Change
	for _, k := range keys {
		changes = append(changes, set(id, k))
	}
	f.commit("t", changes...)
	f.commit("after", set(other, key("a", "admin", "")))
	f.view(func(r store.Reader) {
		equal(t, "Assignments", keysOf(all(t, r.Assignments(id, store.AssignmentKey{}))), keys)
		for i, k := range keys {
			equal(t, fmt.Sprintf("Assignments after %q", k), keysOf(all(t, r.Assignments(id, k))), keys[i+1:])
		}
		// A position where there is no assignment.
		after := key("a!", "", "")
		i, _ := slices.BinarySearchFunc(keys, after, compareKeys)
		equal(t, "Assignments after a subject", keysOf(all(t, r.Assignments(id, after))), keys[i:])
		equal(t, "the first three", keysOf(first(t, r.Assignments(id, store.AssignmentKey{}), 3)), keys[:3])
		for _, subject := range append(texts, "", "user:", "user:ann\x00", "zz") {
			want := slices.DeleteFunc(slices.Clone(keys), func(k store.AssignmentKey) bool { return k.Subject != subject })
			equal(t, fmt.Sprintf("AssignmentsOf(%q)", subject), keysOf(all(t, r.AssignmentsOf(id, subject))), want)
		}
	})
}

func testAssignmentsByRole(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	var changes []store.Change
	for _, k := range someKeys() {
		changes = append(changes, set(id, k))
	}
	f.commit("t", changes...)
	f.view(func(r store.Reader) {
		for _, role := range []string{"admin", "agent", "agent2", "agen", "", "agent\x00queue:a"} {
			keys := slices.DeleteFunc(someKeys(), func(k store.AssignmentKey) bool { return k.Role != role })
			slices.SortFunc(keys, compareByRole)
			equal(t, fmt.Sprintf("AssignmentsByRole(%q)", role), keysOf(all(t, r.AssignmentsByRole(id, role, store.AssignmentKey{}))), keys)
			for i, k := range keys {
				k.Role = "ignored"
				equal(t, fmt.Sprintf("AssignmentsByRole(%q) after %q", role, k), keysOf(all(t, r.AssignmentsByRole(id, role, k))), keys[i+1:])
			}
		}
	})
}

// testPaging reads page after page while others write: whoever is there throughout
// appears exactly once.
func testPaging(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	var changes []store.Change
	for i := range 40 {
		changes = append(changes, set(id, key(fmt.Sprintf("user:%02d", i), "agent", "")))
	}
	f.commit("t", changes...)
	seen := make(map[string]int)
	after := store.AssignmentKey{}
	for page := 0; ; page++ {
		var got []store.Assignment
		f.view(func(r store.Reader) { got = first(t, r.Assignments(id, after), 7) })
		if len(got) == 0 {
			break
		}
		for _, a := range got {
			seen[a.Subject]++
		}
		after = got[len(got)-1].AssignmentKey
		// Gone is who was last, and one further on; new is one before and one behind.
		f.commit("t", remove(id, after), remove(id, key(fmt.Sprintf("user:%02d", 30+page), "agent", "")),
			set(id, key(fmt.Sprintf("new:%02d", page), "agent", "")), set(id, key(fmt.Sprintf("user:30+%02d", page), "agent", "")))
	}
	for i := range 30 {
		if subject := fmt.Sprintf("user:%02d", i); seen[subject] != 1 {
			t.Errorf("%s was there throughout and is listed %d times", subject, seen[subject])
		}
	}
	for subject, n := range seen {
		if n > 1 {
			t.Errorf("%s is listed %d times", subject, n)
		}
	}
}

func testToggles(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	want := make(map[string]bool)
	for i, name := range texts {
		want[name] = i%2 == 0
		f.commit("t", store.SetToggle{Tenant: id, Toggle: name, On: want[name]})
	}
	check := func() {
		t.Helper()
		f.view(func(r store.Reader) {
			got, err := r.Toggles(id)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "Toggles", got, want)
		})
	}
	check()
	want["a"] = false
	f.commit("t", store.SetToggle{Tenant: id, Toggle: "a", On: false})
	check()
}

func testCatalogs(t *testing.T, open Open) {
	f := start(t, open)
	var refs []store.CatalogRef
	for _, name := range texts {
		for _, version := range []uint32{1, 2, 255, 256, 1 << 31} {
			refs = append(refs, store.CatalogRef{Name: name, Version: version})
		}
	}
	source := func(ref store.CatalogRef) string {
		return strings.Repeat(fmt.Sprintf("# %s %d\n", ref.Name, ref.Version), 1+int(ref.Version%256)*40)
	}
	var changes []store.Change
	for i := len(refs) - 1; i >= 0; i-- {
		changes = append(changes, store.PutCatalog{Ref: refs[i], YAML: []byte(source(refs[i]))})
	}
	f.commit("", changes...)
	f.view(func(r store.Reader) {
		equal(t, "Catalogs", all(t, r.Catalogs(store.CatalogRef{})), refs)
		for i, ref := range refs {
			equal(t, fmt.Sprintf("Catalogs after %v", ref), all(t, r.Catalogs(ref)), refs[i+1:])
			got, err := r.Catalog(ref)
			if err != nil || string(got) != source(ref) {
				t.Errorf("Catalog(%v): %d bytes, %v", ref, len(got), err)
			}
			ref.Version += 5
			_, err = r.Catalog(ref)
			is(t, fmt.Sprintf("Catalog(%v)", ref), err, store.ErrNotFound)
		}
		equal(t, "Changes", len(all(t, r.History(0, store.Range{}))), len(refs))
	})
}

func testIntervals(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	zone := time.FixedZone("", 3600)
	for i, want := range []store.Interval{
		{},
		{Start: time.Date(2030, 1, 2, 3, 4, 5, 678, zone)},
		{End: time.Date(2199, 12, 31, 23, 59, 59, 999999999, time.UTC)},
		{Start: time.Unix(0, 1), End: time.Unix(0, 2)},
	} {
		k := key(fmt.Sprintf("user:%d", i), "agent", "")
		f.commit("t", store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: k, Interval: want}})
		f.view(func(r store.Reader) {
			got, err := r.Assignment(id, k)
			if err != nil || !got.Interval.Equal(want) {
				t.Errorf("interval %v is read as %v, %v", want, got.Interval, err)
			}
		})
	}
}
