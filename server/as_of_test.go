package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

func asOfTime(t time.Time) *usherv1.AsOf {
	return &usherv1.AsOf{Moment: &usherv1.AsOf_Time{Time: timestamppb.New(t)}}
}

func asOfRevision(revision string) *usherv1.AsOf {
	return &usherv1.AsOf{Moment: &usherv1.AsOf_Revision{Revision: revision}}
}

// stateOf is how an assignment lies to a time.
func stateOf(a *usherv1.Assignment, at time.Time) usherv1.AssignmentState {
	switch {
	case a.GetExpiresAt() != nil && !at.Before(a.GetExpiresAt().AsTime()):
		return usherv1.AssignmentState_ASSIGNMENT_STATE_ENDED
	case a.GetStartsAt() != nil && at.Before(a.GetStartsAt().AsTime()):
		return usherv1.AssignmentState_ASSIGNMENT_STATE_SCHEDULED
	}
	return usherv1.AssignmentState_ASSIGNMENT_STATE_ACTIVE
}

// judgedAt are the assignments that pass a filter at a time, as they are then.
func judgedAt(all []*usherv1.Assignment, at time.Time, r *usherv1.ListAssignmentsRequest) (judged []*usherv1.Assignment) {
	for _, a := range all {
		a = proto.CloneOf(a)
		a.State = stateOf(a, at)
		endsBefore := r.GetEndsBefore() == nil || a.GetExpiresAt() != nil && at.Before(a.GetExpiresAt().AsTime()) &&
			a.GetExpiresAt().AsTime().Before(r.GetEndsBefore().AsTime())
		if endsBefore && (r.GetSubject() == "" || r.GetSubject() == a.GetSubject()) && (r.GetRole() == "" || r.GetRole() == a.GetRole()) &&
			(r.GetScope() == "" || r.GetScope() == a.GetScope()) && (r.GetState() == 0 || r.GetState() == a.GetState()) {
			judged = append(judged, a)
		}
	}
	return judged
}

// listAssignments gets all pages.
func (h *harness) listAssignments(t *testing.T, r *usherv1.ListAssignmentsRequest) (all []*usherv1.Assignment, revision string) {
	t.Helper()
	r = proto.CloneOf(r)
	for range 10_000 {
		page, err := h.admin.ListAssignments(t.Context(), r)
		if err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		all = append(all, page.GetAssignments()...)
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return all, page.GetRevision()
		}
	}
	t.Fatal("the pages do not end")
	return nil, ""
}

func sameAssignments(got, want []*usherv1.Assignment) error {
	if !slices.EqualFunc(got, want, func(a, b *usherv1.Assignment) bool { return proto.Equal(a, b) }) {
		return fmt.Errorf("got\n%v\nwant\n%v", got, want)
	}
	return nil
}

// TestAsOfIsWhatWasAnsweredThen records what is answered after each of many random writes, and
// asks for it again later: by time, by revision, with filters, in pages of any size.
func TestAsOfIsWhatWasAnsweredThen(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	h := newHarness(t)
	raceTenant(t, h, "u", "goto_contact_center")
	raceTenant(t, h, "t", "goto_contact_center")
	type answer struct {
		asked, committed time.Time // the latter by the newest change
		revision         string    // of the newest change
		assignments      []*usherv1.Assignment
		toggles          []*usherv1.Toggle
	}
	var answers []answer
	h.clock.Set(testTime.Add(time.Second))
	for range 120 {
		h.writeRandomly(t, random, oneOfThese(random, "t", "t", "t", "u"))
		a := answer{asked: h.clock.Now()}
		newest, err := h.admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "t", PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		a.committed, a.revision = newest.GetChanges()[0].GetTime().AsTime(), newest.GetChanges()[0].GetRevision()
		a.assignments, _ = h.listAssignments(t, &usherv1.ListAssignmentsRequest{Tenant: "t"})
		toggles, err := h.admin.ListToggles(t.Context(), &usherv1.ListTogglesRequest{Tenant: "t"})
		if err != nil {
			t.Fatal(err)
		}
		a.toggles = toggles.GetToggles()
		answers = append(answers, a)
		h.clock.Set(h.clock.Now().Add(time.Duration(1+random.IntN(20_000)) * time.Millisecond))
	}
	check := func(a answer, asOf *usherv1.AsOf, at time.Time) {
		t.Helper()
		r := &usherv1.ListAssignmentsRequest{Tenant: "t", AsOf: asOf, PageSize: int32(random.IntN(8))}
		if random.IntN(3) == 0 {
			r.Subject = fmt.Sprint("user:", random.IntN(7))
		}
		if random.IntN(3) == 0 {
			r.Role = oneOfThese(random, "agent", "supervisor", "contact_admin")
		}
		if random.IntN(3) == 0 {
			r.Scope = oneOfThese(random, "queue:a", "inbox:a")
		}
		if random.IntN(3) == 0 {
			r.State = usherv1.AssignmentState(random.IntN(4))
		}
		if random.IntN(3) == 0 {
			r.EndsBefore = timestamppb.New(at.Add(time.Duration(random.IntN(100)) * time.Second))
		}
		got, revision := h.listAssignments(t, r)
		if err := sameAssignments(got, judgedAt(a.assignments, at, r)); err != nil || revision != a.revision {
			t.Errorf("%v: at the revision %s, want %s: %v", r, revision, a.revision, err)
		}
		toggles, err := h.admin.ListToggles(t.Context(), &usherv1.ListTogglesRequest{Tenant: "t", AsOf: asOf})
		if err != nil || toggles.GetRevision() != a.revision || !proto.Equal(toggles, &usherv1.ListTogglesResponse{Toggles: a.toggles, Revision: a.revision}) {
			t.Errorf("%v: got the toggles %v (%v), want %v at %s", asOf, toggles, err, a.toggles, a.revision)
		}
	}
	for i, a := range answers {
		if err := sameAssignments(a.assignments, judgedAt(a.assignments, a.asked, nil)); err != nil {
			t.Fatal(err)
		}
		check(a, asOfTime(a.asked), a.asked)
		check(a, asOfRevision(a.revision), a.committed)
		if i+1 < len(answers) {
			before := answers[i+1].asked.Add(-1)
			check(a, asOfTime(before), before)
		}
	}
	check(answers[len(answers)-1], asOfTime(h.clock.Now()), h.clock.Now())
}

// TestAsOfOutsideOfWhatIsKept asks for states that there are none of.
func TestAsOfOutsideOfWhatIsKept(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.clock.Set(testTime.Add(time.Minute))
	raceTenant(t, h, "t", "goto_contact_center")
	grant := func(subject string) string {
		h.clock.Set(h.clock.Now().Add(time.Minute))
		granted, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "t", Subject: subject, Role: "agent", By: byOperator()})
		if err != nil {
			t.Fatal(err)
		}
		return granted.GetRevision()
	}
	first, second := grant("user:b"), grant("user:c")
	h.clock.Set(h.clock.Now().Add(time.Minute))
	check := func(asOf *usherv1.AsOf, code codes.Code, reason string, limits ...time.Duration) {
		t.Helper()
		_, err := h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: "t", AsOf: asOf})
		_, errOfToggles := h.admin.ListToggles(t.Context(), &usherv1.ListTogglesRequest{Tenant: "t", AsOf: asOf})
		wantError(t, err, code, reason)
		wantError(t, errOfToggles, code, reason)
		for _, detail := range status.Convert(err).Details() {
			info, _ := detail.(*errdetails.ErrorInfo)
			for i, name := range []string{"oldest", "newest"}[:len(limits)] {
				if want := testTime.Add(limits[i]).Format(time.RFC3339Nano); info.GetMetadata()[name] != want || !strings.Contains(err.Error(), want) {
					t.Errorf("got the limits %v, want %s %s; the text is %v", info.GetMetadata(), name, want, err)
				}
			}
		}
	}
	epoch, _, _ := strings.Cut(first, ".")
	check(asOfTime(testTime.Add(time.Minute-1)), codes.OutOfRange, "NOT_KEPT", time.Minute, 4*time.Minute)
	check(asOfTime(testTime.Add(4*time.Minute+1)), codes.OutOfRange, "NOT_KEPT", time.Minute, 4*time.Minute)
	check(asOfTime(testTime.Add(4*time.Minute)), codes.OK, "")
	check(asOfRevision(epoch+".1"), codes.OutOfRange, "NOT_KEPT")
	check(asOfRevision(epoch+".18446744073709551615"), codes.OutOfRange, "NOT_KEPT")
	check(asOfRevision("other."+first[len(epoch)+1:]), codes.FailedPrecondition, "OTHER_EPOCH")
	check(asOfRevision("nonsense"), codes.InvalidArgument, "MALFORMED_REQUEST")
	check(&usherv1.AsOf{}, codes.InvalidArgument, "MALFORMED_REQUEST")
	h.trim(t, "t", 3) // with the first grant
	check(asOfTime(testTime.Add(2*time.Minute-1)), codes.OutOfRange, "NOT_KEPT", 2*time.Minute, 4*time.Minute)
	for asOf, want := range map[*usherv1.AsOf]int{
		asOfRevision(first): 2, asOfTime(testTime.Add(2 * time.Minute)): 2, asOfTime(testTime.Add(3*time.Minute - 1)): 2,
		asOfRevision(second): 3, asOfTime(testTime.Add(3 * time.Minute)): 3,
	} {
		got, _ := h.listAssignments(t, &usherv1.ListAssignmentsRequest{Tenant: "t", AsOf: asOf})
		if len(got) != want {
			t.Errorf("%v: got %v, want %d", asOf, got, want)
		}
	}
}

// TestAsOfAnotherCatalog moves a tenant to another version of its catalog, and asks for the
// toggles and roles that it had before.
func TestAsOfAnotherCatalog(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const catalog = "{name: c, version: %d, holders: [user], administration: {protected_role: admin}, " +
		"roles: [{name: admin, rules: [{allow: [role:grant, toggle:set], reach: tenant}]}, {name: %s, rules: [{allow: [ticket:view], reach: tenant, while_on: %[3]s}]}], " +
		"toggles: [{name: %[3]s, starts_on: false}], resource_types: [{name: ticket, actions: [view]}]}\n"
	for version, names := range [][2]string{{"clerk", "first"}, {"agent", "second"}} {
		yaml := fmt.Sprintf(catalog, version+1, names[0], names[1])
		if _, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: yaml}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
		Tenant: "t", Catalog: "c", CatalogVersion: 1, FirstAdministrator: "user:a",
	}); err != nil {
		t.Fatal(err)
	}
	h.clock.Set(testTime.Add(time.Hour))
	for range 2 { // the second one changes nothing
		h.commitAs(t, "t", store.Write{By: store.By{Operator: true}}, func(found store.Tenant) []store.Change {
			return []store.Change{store.UpdateTenant{Tenant: found.ID, Catalog: store.CatalogRef{Name: "c", Version: 2}}}
		})
	}
	for asOf, want := range map[time.Time]string{testTime.Add(time.Hour - 1): "first", testTime.Add(time.Hour): "second"} {
		got, err := h.admin.ListToggles(t.Context(), &usherv1.ListTogglesRequest{Tenant: "t", AsOf: asOfTime(asOf)})
		if err != nil || len(got.GetToggles()) != 1 || got.GetToggles()[0].GetName() != want {
			t.Errorf("%s: got %v, %v, want the toggle %s", asOf, got, err, want)
		}
		_, err = h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: "t", Role: "clerk", AsOf: asOfTime(asOf)})
		if (err == nil) != (want == "first") {
			t.Errorf("%s: got %v for a role that the catalog had at first", asOf, err)
		}
	}
}

// TestAsOfLeavesOutTheErased erases a subject: lists of former times do not have it any more.
func TestAsOfLeavesOutTheErased(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "liveagent")
	h.clock.Set(testTime.Add(time.Second))
	key := store.AssignmentKey{Subject: "user:gone", Role: "agent", Scope: "department:a"}
	var at []store.Position
	for _, change := range []func(store.TenantID) store.Change{
		func(id store.TenantID) store.Change {
			return store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: key}}
		},
		func(id store.TenantID) store.Change { return store.RemoveAssignment{Tenant: id, Key: key} },
	} {
		committed := h.commitAs(t, "t", store.Write{}, func(found store.Tenant) []store.Change { return []store.Change{change(found.ID)} })
		at = append(at, store.Position{Revision: committed.Revision.Number})
		h.clock.Set(h.clock.Now().Add(time.Second))
	}
	subjects := func() (subjects []string) {
		got, _ := h.listAssignments(t, &usherv1.ListAssignmentsRequest{Tenant: "t", AsOf: asOfTime(testTime.Add(time.Second))})
		for _, a := range got {
			subjects = append(subjects, a.GetSubject())
		}
		return subjects
	}
	if got := subjects(); !slices.Equal(got, []string{"user:a", "user:gone"}) {
		t.Errorf("before: got %q", got)
	}
	h.commitAs(t, "t", store.Write{}, func(found store.Tenant) []store.Change {
		return []store.Change{store.EraseSubject{Tenant: found.ID, Subject: key.Subject, Records: at, Last: true, Count: 2}}
	})
	if got := subjects(); !slices.Equal(got, []string{"user:a"}) {
		t.Errorf("after: got %q", got)
	}
}

// TestAsOfOfManySubjects lists what many subjects have held, who hold nothing any more, among
// many who have never held it.
func TestAsOfOfManySubjects(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "liveagent")
	const n = 12_000
	at := func(i int) store.AssignmentKey {
		role := "user"
		if i%4000 == 3999 {
			role = "agent"
		}
		return store.AssignmentKey{Subject: fmt.Sprintf("user:%05d", i), Role: role}
	}
	write := func(change func(id store.TenantID, i int) store.Change) time.Time {
		h.clock.Set(h.clock.Now().Add(time.Second))
		h.commitAs(t, "t", store.Write{}, func(found store.Tenant) (changes []store.Change) {
			for i := range n {
				changes = append(changes, change(found.ID, i))
			}
			return changes
		})
		return h.clock.Now()
	}
	held := write(func(id store.TenantID, i int) store.Change {
		return store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: at(i)}}
	})
	write(func(id store.TenantID, i int) store.Change { return store.RemoveAssignment{Tenant: id, Key: at(i)} })
	r := &usherv1.ListAssignmentsRequest{Tenant: "t", AsOf: asOfTime(held), PageSize: 1000}
	got, _ := h.listAssignments(t, r)
	if len(got) != n+1 || !slices.IsSortedFunc(got, func(a, b *usherv1.Assignment) int { return strings.Compare(a.GetSubject(), b.GetSubject()) }) {
		t.Errorf("got %d assignments", len(got))
	}
	r.Role = "agent"
	first, err := h.admin.ListAssignments(t.Context(), r)
	if err != nil || len(first.GetAssignments()) == 3 || first.GetNextPageToken() == "" {
		t.Errorf("got %v, %v, want a page that ends before it is full", first, err)
	}
	if got, _ = h.listAssignments(t, r); len(got) != 3 {
		t.Errorf("got %v, want 3", got)
	}
}
