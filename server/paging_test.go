package server_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// pagingRow is an assignment as these tests know it.
type pagingRow struct {
	subject, role, scope string
	state                usherv1.AssignmentState
}

const (
	pagingScheduled = usherv1.AssignmentState_ASSIGNMENT_STATE_SCHEDULED
	pagingActive    = usherv1.AssignmentState_ASSIGNMENT_STATE_ACTIVE
	pagingEnded     = usherv1.AssignmentState_ASSIGNMENT_STATE_ENDED
)

// bySubject is the order of a list, and byRole the one of a list by role only.
func bySubject(a, b pagingRow) int {
	return cmp.Or(cmp.Compare(a.subject, b.subject), cmp.Compare(a.role, b.role), cmp.Compare(a.scope, b.scope))
}

func byRole(a, b pagingRow) int {
	return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.scope, b.scope), cmp.Compare(a.subject, b.subject))
}

func (row pagingRow) passes(r *usherv1.ListAssignmentsRequest) bool {
	return (r.GetSubject() == "" || r.GetSubject() == row.subject) && (r.GetRole() == "" || r.GetRole() == row.role) &&
		(r.GetScope() == "" || r.GetScope() == row.scope) && (r.GetState() == 0 || r.GetState() == row.state)
}

func orderOf(r *usherv1.ListAssignmentsRequest) func(a, b pagingRow) int {
	if r.GetRole() != "" && r.GetSubject() == "" {
		return byRole
	}
	return bySubject
}

// matching are the rows that pass the filter, in the order of the list.
func matching(rows []pagingRow, r *usherv1.ListAssignmentsRequest) []pagingRow {
	var some []pagingRow
	for _, row := range rows {
		if row.passes(r) {
			some = append(some, row)
		}
	}
	slices.SortFunc(some, orderOf(r))
	return some
}

// grantRow makes the assignment of a row, with a start or an end that gives its state.
func (h *harness) grantRow(t *testing.T, tenant string, row pagingRow) {
	t.Helper()
	request := &usherv1.GrantRequest{Tenant: tenant, Subject: row.subject, Role: row.role, Scope: row.scope, By: byOperator()}
	switch row.state {
	case pagingScheduled:
		request.StartsAt = timestamp(testTime.Add(time.Hour))
	case pagingEnded:
		h.clock.Set(testTime.Add(-2 * time.Hour))
		defer h.clock.Set(testTime)
		request.ExpiresAt = timestamp(testTime.Add(-time.Hour))
	}
	if _, err := h.admin.Grant(t.Context(), request); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) revokeRow(t *testing.T, tenant string, row pagingRow) {
	t.Helper()
	request := &usherv1.RevokeRequest{
		Tenant: tenant, Subject: row.subject, Role: row.role, Scope: row.scope, By: &usherv1.RevokeRequest_Operator{Operator: &usherv1.Operator{}},
	}
	if _, err := h.admin.Revoke(t.Context(), request); err != nil {
		t.Fatal(err)
	}
}

// pagingHarness has a tenant whose rows are near each other: ids that begin alike, and
// bytes that sort before and after what separates the parts of a key.
func pagingHarness(t *testing.T) (*harness, []pagingRow) {
	t.Helper()
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	raceTenant(t, h, "u", "goto_contact_center") // its rows must not be listed
	h.grantRow(t, "u", pagingRow{"user:a", "agent", "queue:a", pagingActive})
	rows := []pagingRow{{"user:a", "contact_admin", "", pagingActive}}
	states := []usherv1.AssignmentState{pagingActive, pagingScheduled, pagingActive, pagingEnded, pagingActive}
	for i, subject := range []string{"group:a", "user:a b", "user:a", "user:a!", "user:aa", "user:ä"} {
		for j, role := range []string{"agent", "supervisor"} {
			for k, scope := range []string{"", "queue:a", "queue:a b", "queue:aa"} {
				if (i+j+k)%3 > 0 {
					rows = append(rows, pagingRow{subject, role, scope, states[(i+2*j+k)%len(states)]})
				}
			}
		}
	}
	for _, row := range rows[1:] {
		h.grantRow(t, "t", row)
	}
	return h, rows
}

// listPage is one page.
func (h *harness) listPage(t *testing.T, r *usherv1.ListAssignmentsRequest) (rows []pagingRow, next string) {
	t.Helper()
	page, err := h.admin.ListAssignments(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range page.GetAssignments() {
		rows = append(rows, pagingRow{a.GetSubject(), a.GetRole(), a.GetScope(), a.GetState()})
	}
	size := int(cmp.Or(r.GetPageSize(), 100))
	if len(rows) > size || page.GetRevision() == "" {
		t.Fatalf("got %d rows on a page of %d, at the revision %q", len(rows), size, page.GetRevision())
	}
	return rows, page.GetNextPageToken()
}

// allPages gets every page, and calls between before each but the first.
func (h *harness) allPages(t *testing.T, r *usherv1.ListAssignmentsRequest, between func(last []pagingRow)) (all []pagingRow, pages int) {
	t.Helper()
	for r.PageToken = ""; ; pages++ {
		rows, next := h.listPage(t, r)
		all = append(all, rows...)
		if next == "" {
			return all, pages + 1
		}
		if pages > 200 {
			t.Fatalf("%v: the pages do not end", r)
		}
		if r.PageToken = next; between != nil {
			between(rows)
		}
	}
}

// TestPagingOfAssignments lists by every filter in pages of every size.
func TestPagingOfAssignments(t *testing.T) {
	t.Parallel()
	h, rows := pagingHarness(t)
	filters, calls := 0, 0
	for _, subject := range []string{"", "user:a", "user:a b", "user:ä", "user:nobody"} {
		for _, role := range []string{"", "agent", "contact_admin"} {
			for _, scope := range []string{"", "queue:a", "inbox:a"} {
				for state := range usherv1.AssignmentState(4) {
					filters++
					r := &usherv1.ListAssignmentsRequest{Tenant: "t", Subject: subject, Role: role, Scope: scope, State: state}
					want := matching(rows, r)
					for size := range int32(len(want) + 2) {
						r.PageSize = size
						got, pages := h.allPages(t, r, nil)
						calls += pages
						if !slices.Equal(got, want) {
							t.Fatalf("%v: got\n%v, want\n%v", r, got, want)
						}
						// No page more than needed, but for an empty one at the end.
						if size > 0 && pages > len(want)/int(size)+1 {
							t.Fatalf("%v: %d rows on %d pages", r, len(want), pages)
						}
					}
				}
			}
		}
	}
	t.Logf("%d rows, %d filters, %d calls", len(rows), filters, calls)
}

// TestPagingWhileChanging grants and revokes between the pages, always also the row after
// which the next page begins. Every row that is not touched appears exactly once.
func TestPagingWhileChanging(t *testing.T) {
	t.Parallel()
	h, rows := pagingHarness(t)
	const seed = 20260115
	random := rand.New(rand.NewPCG(seed, 0))
	stable, moving := map[pagingRow]bool{}, []pagingRow{}
	for i, row := range rows {
		// What has ended can't be revoked, and the last administrator neither.
		if i%3 > 0 || row.role == "contact_admin" || row.state == pagingEnded {
			stable[row] = true
		} else {
			moving = append(moving, row)
		}
	}
	// What is granted anew comes before, between and after what is there.
	for _, subject := range []string{"group:0", "user:a", "user:a a", "user:a!", "user:zz"} {
		for _, scope := range []string{"campaign:z", "queue:a a", "queue:zz"} {
			moving = append(moving, pagingRow{subject, "agent", scope, pagingActive})
		}
	}
	there := map[pagingRow]bool{}
	for _, row := range moving {
		there[row] = slices.Contains(rows, row)
	}
	change := func(row pagingRow) {
		if there[row] {
			h.revokeRow(t, "t", row)
		} else {
			h.grantRow(t, "t", row)
		}
		there[row] = !there[row]
	}
	filters := []*usherv1.ListAssignmentsRequest{
		{}, {Role: "agent"}, {Subject: "user:a"}, {Scope: "queue:a"}, {State: pagingActive}, {Role: "agent", State: pagingActive}, {Role: "supervisor", Scope: "queue:a"},
	}
	changes := 0
	for round := range 35 {
		r := filters[round%len(filters)]
		r.Tenant, r.PageSize = "t", 1+random.Int32N(7)
		var want []pagingRow
		for row := range stable {
			if row.passes(r) {
				want = append(want, row)
			}
		}
		slices.SortFunc(want, orderOf(r))
		got, _ := h.allPages(t, r, func(page []pagingRow) {
			for range 1 + random.IntN(3) {
				change(moving[random.IntN(len(moving))])
				changes++
			}
			if last := page[len(page)-1]; there[last] {
				change(last) // the row after which the next page begins
			}
		})
		for i, row := range got {
			if !row.passes(r) {
				t.Fatalf("seed %d, %v: got %v, which does not pass", seed, r, row)
			}
			if i > 0 && orderOf(r)(got[i-1], row) >= 0 {
				t.Fatalf("seed %d, %v: got %v and then %v, which is not after it", seed, r, got[i-1], row)
			}
		}
		got = slices.DeleteFunc(got, func(row pagingRow) bool { return !stable[row] })
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, %v: got\n%v, want each of these once:\n%v", seed, r, got, want)
		}
	}
	t.Logf("%d changes between pages", changes)
}

// TestPagingOfSparseRows filters by what few of many rows pass. A page that has looked at
// as many as it may is short or empty, and says where to go on.
func TestPagingOfSparseRows(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	const subjects, scopes = 105, 100 // together more than a page may look at
	var sparse []pagingRow
	// Written as one change: 10,500 calls would take long.
	if _, err := h.store.Commit(t.Context(), store.Write{Tenant: "t", By: store.By{Operator: true}, Plan: func(reader store.Reader) ([]store.Change, error) {
		tenant, err := reader.Tenant("t")
		if err != nil {
			return nil, err
		}
		sparse = nil
		var changes []store.Change
		for i := range subjects {
			for j := range scopes {
				row := pagingRow{fmt.Sprintf("user:s%03d", i), "agent", fmt.Sprintf("queue:%03d", j), pagingActive}
				a := store.Assignment{AssignmentKey: store.AssignmentKey{Subject: row.subject, Role: row.role, Scope: row.scope}}
				switch n := i*scopes + j; n {
				case 0, 9_998, 9_999, 10_000, 10_001, subjects*scopes - 1:
					a.Start, row.state = testTime.Add(time.Hour), pagingScheduled
					sparse = append(sparse, row)
				}
				changes = append(changes, store.SetAssignment{Tenant: tenant.ID, Assignment: a})
			}
		}
		return changes, nil
	}}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*usherv1.ListAssignmentsRequest{
		{State: pagingScheduled, PageSize: 2}, {State: pagingScheduled, Role: "agent"}, {Scope: "queue:none", PageSize: 1000},
	} {
		r.Tenant = "t"
		want := matching(sparse, r)
		got, pages := h.allPages(t, r, nil)
		if !slices.Equal(got, want) {
			t.Errorf("%v: got\n%v, want\n%v", r, got, want)
		}
		if pages < 2 || pages > 2+len(want) {
			t.Errorf("%v: got %d pages for %d rows among %d, want at least 2: each looks at 10,000", r, pages, len(want), subjects*scopes)
		}
	}
	r := &usherv1.ListAssignmentsRequest{Tenant: "t", State: pagingEnded}
	if rows, next := h.listPage(t, r); len(rows) > 0 || next == "" {
		t.Errorf("got %d rows and the token %q, want an empty page that goes on", len(rows), next)
	}
	// A list without a filter has the rows of all pages, of the largest size too.
	all, pages := h.allPages(t, &usherv1.ListAssignmentsRequest{Tenant: "t", PageSize: 1000}, nil)
	if len(all) != subjects*scopes+1 || pages != 11 || !slices.IsSortedFunc(all, bySubject) {
		t.Errorf("got %d rows on %d pages, want %d on 11, in order", len(all), pages, subjects*scopes+1)
	}
}

// TestPagingTokens uses tokens again, with another size, and after a restart.
func TestPagingTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := openHarness(t, dir, &clock{now: testTime}, 1<<20)
	raceTenant(t, h, "t", "goto_contact_center")
	rows := []pagingRow{{"user:a", "contact_admin", "", pagingActive}}
	for i := range 9 {
		rows = append(rows, pagingRow{fmt.Sprintf("user:ä%d", i), "agent", "queue:ö", pagingActive})
		h.grantRow(t, "t", rows[i+1])
	}
	r := &usherv1.ListAssignmentsRequest{Tenant: "t", PageSize: 3}
	first, token := h.listPage(t, r)
	if !slices.Equal(first, rows[:3]) || token == "" || strings.ContainsAny(token, "+/= ") {
		t.Fatalf("got %v and %q, want the first three, and a token that needs no escapes", first, token)
	}
	again := func(about string, size int32, want []pagingRow, more bool) {
		t.Helper()
		r := &usherv1.ListAssignmentsRequest{Tenant: "t", PageSize: size, PageToken: token}
		got, next := h.listPage(t, r)
		if !slices.Equal(got, want) || (next != "") != more {
			t.Errorf("%s: got %v and %q, want %v, and more: %t", about, got, next, want, more)
		}
	}
	again("the next page", 3, rows[3:6], true)
	again("the same page again", 3, rows[3:6], true)
	again("a larger page", 7, rows[3:], false)
	again("a page of the usual size", 0, rows[3:], false)
	h.revokeRow(t, "t", rows[2])
	again("behind a row that is gone", 2, rows[3:5], true)
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHarness(t, dir, h.clock, 1<<20)
	again("after a restart", 3, rows[3:6], true)
	for _, row := range rows[3:] {
		h.revokeRow(t, "t", row)
	}
	again("behind the last row", 3, nil, false)
}

// TestPagingOfTenants lists tenants in pages of every size, while others are created.
func TestPagingOfTenants(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	names := []string{"A", "a", "a-b", "a.b", "a0", "a_b", "aa", "b", "Z9"}
	for _, name := range names {
		raceTenant(t, h, name, "liveagent")
	}
	slices.Sort(names)
	stable := slices.Clone(names)
	for size := range int32(len(stable) + 2) {
		var got []string
		for token, page := "", 0; ; page++ {
			response, err := h.operator.ListTenants(t.Context(), &usherv1.ListTenantsRequest{PageSize: size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, tenant := range response.GetTenants() {
				got = append(got, tenant.GetName())
			}
			if len(response.GetTenants()) > int(cmp.Or(size, 100)) {
				t.Fatalf("got %d tenants on a page of %d", len(response.GetTenants()), size)
			}
			if token = response.GetNextPageToken(); token == "" {
				break
			}
			if page > 200 {
				t.Fatalf("pages of %d: they do not end", size)
			}
			for _, prefix := range []string{"0", "a-a", "z"} { // before, between and behind
				if page < 3 { // or else the list would never end
					raceTenant(t, h, fmt.Sprintf("%s%d-%d", prefix, size, page), "liveagent")
				}
			}
		}
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("pages of %d: got %q, want them in order and each once", size, got)
		}
		got = slices.DeleteFunc(got, func(name string) bool { return !slices.Contains(stable, name) })
		if !slices.Equal(got, stable) {
			t.Errorf("pages of %d: got %q, want each of %q once", size, got, stable)
		}
	}
}

// TestPagingOfCatalogs lists catalogs in pages of every size, while others are put. The
// versions are in the order of numbers, which is not that of texts.
func TestPagingOfCatalogs(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	put := func(name string, version int) string {
		t.Helper()
		if _, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: fmt.Sprintf(
			"{name: %s, version: %d, holders: [user], administration: {protected_role: admin}, "+
				"roles: [{name: admin, rules: [{allow: [role:grant], reach: tenant}]}]}\n", name, version)}); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %d", name, version)
	}
	stable := []string{}
	for _, name := range []string{"a", "a_b", "aa"} {
		for _, version := range []int{1, 2, 10, 255, 256, 4294967295} {
			stable = append(stable, put(name, version))
		}
	}
	stable = append(stable, "expertconnect 3", "goto_contact_center 2", "liveagent 2")
	added := 0
	for size := range int32(len(stable) + 2) {
		var got []string
		for token, page := "", 0; ; page++ {
			response, err := h.operator.ListCatalogs(t.Context(), &usherv1.ListCatalogsRequest{PageSize: size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range response.GetCatalogs() {
				got = append(got, fmt.Sprintf("%s %d", c.GetName(), c.GetVersion()))
			}
			if len(response.GetCatalogs()) > int(cmp.Or(size, 100)) {
				t.Fatalf("got %d catalogs on a page of %d", len(response.GetCatalogs()), size)
			}
			if token = response.GetNextPageToken(); token == "" {
				break
			}
			if page > 200 {
				t.Fatalf("pages of %d: they do not end", size)
			}
			if page < 3 { // or else the list would never end
				added++
				put("a", 1000+added)
				put(fmt.Sprint("zz", added), 1)
			}
		}
		seen := map[string]bool{}
		for _, ref := range got {
			if seen[ref] {
				t.Errorf("pages of %d: got %s twice", size, ref)
			}
			seen[ref] = true
		}
		got = slices.DeleteFunc(got, func(ref string) bool { return !slices.Contains(stable, ref) })
		if !slices.Equal(got, stable) {
			t.Errorf("pages of %d: got %q, want each of %q once, in this order", size, got, stable)
		}
	}
}
