package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
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

// newRandom returns a source of random numbers, and prints its seed.
func newRandom(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// wantError checks the code and reason of an error.
func wantError(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	got := ""
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			got = info.GetReason()
		}
	}
	if status.Code(err) != code || got != reason {
		t.Errorf("got %v %s (%v), want %v %s", status.Code(err), got, err, code, reason)
	}
}

// oneOfThese draws one of some things.
func oneOfThese[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

// commitAs makes changes in the tenant of a name, past the rules.
func (h *harness) commitAs(t *testing.T, tenant string, w store.Write, changes func(store.Tenant) []store.Change) store.Committed {
	t.Helper()
	w.Tenant = tenant
	w.Plan = func(r store.Reader) ([]store.Change, error) {
		found, err := r.Tenant(tenant)
		return changes(found), err
	}
	committed, err := h.store.Commit(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	return committed
}

// writeRandomly makes one administrative call that may change something.
func (h *harness) writeRandomly(t *testing.T, random *rand.Rand, tenant string) {
	t.Helper()
	subject := fmt.Sprint("user:", random.IntN(6))
	scope := oneOfThese(random, "", "queue:a", "queue:b", "inbox:a")
	role := oneOfThese(random, "agent", "supervisor")
	now := h.clock.Now()
	var err error
	switch random.IntN(8) {
	case 0:
		_, err = h.admin.SetToggle(t.Context(), &usherv1.SetToggleRequest{
			Tenant: tenant, Toggle: oneOfThese(random, "view_skills", "manage_skills"), State: usherv1.ToggleState(1 + random.IntN(2)),
			By: &usherv1.SetToggleRequest_Operator{},
		})
	case 1, 2:
		_, err = h.admin.Revoke(t.Context(), &usherv1.RevokeRequest{
			Tenant: tenant, Subject: subject, Role: role, Everywhere: true,
			By: &usherv1.RevokeRequest_Actor{Actor: &usherv1.Actor{Subject: "user:a", Groups: []string{"group:x"}}},
		})
	default:
		r := &usherv1.GrantRequest{Tenant: tenant, Subject: subject, Role: role, Scope: scope, By: byOperator(), Justification: oneOfThese(random, "", "why not")}
		if random.IntN(2) == 0 {
			r.By = &usherv1.GrantRequest_Actor{Actor: &usherv1.Actor{Subject: "user:a"}}
		}
		if random.IntN(3) == 0 {
			r.StartsAt = timestamppb.New(now.Add(time.Duration(random.IntN(100)-50) * time.Second))
		}
		if random.IntN(3) == 0 {
			r.ExpiresAt = timestamppb.New(now.Add(time.Duration(51+random.IntN(100)) * time.Second))
		}
		_, err = h.admin.Grant(t.Context(), r)
	}
	if err != nil {
		t.Error(err)
	}
}

// listChanges gets all pages onward from a request, and calls between after each.
func (h *harness) listChanges(t *testing.T, r *usherv1.ListChangesRequest, between func(*usherv1.ListChangesResponse)) (all []*usherv1.ChangeRecord) {
	t.Helper()
	r = proto.CloneOf(r)
	for range 10_000 {
		page, err := h.admin.ListChanges(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.GetChanges()...)
		if between != nil {
			between(page)
		}
		if page.GetNextPageToken() == "" {
			return all
		}
		r.PageToken = page.GetNextPageToken()
	}
	t.Fatal("the pages do not end")
	return nil
}

// sameChanges compares two lists.
func sameChanges(got, want []*usherv1.ChangeRecord) error {
	if !slices.EqualFunc(got, want, func(a, b *usherv1.ChangeRecord) bool { return proto.Equal(a, b) }) {
		return fmt.Errorf("got %d changes:\n%s\nwant %d:\n%s", len(got), changeLines(got), len(want), changeLines(want))
	}
	return nil
}

func changeLines(changes []*usherv1.ChangeRecord) string {
	var lines strings.Builder
	for _, c := range changes {
		fmt.Fprintln(&lines, c)
	}
	return lines.String()
}

// TestChangesSayWhatWasDone makes a change of each kind that calls can make, and reads
// their records.
func TestChangesSayWhatWasDone(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	later := timestamppb.New(testTime.Add(time.Hour))
	actor := &usherv1.Actor{Subject: "user:a", Groups: []string{"group:y", "group:x"}}
	grant := &usherv1.GrantRequest{
		Tenant: "t", Subject: "user:b", Role: "agent", Scope: "queue:a", StartsAt: later, Justification: "vacation",
		By: &usherv1.GrantRequest_Actor{Actor: actor},
	}
	var revisions []string
	note := func(response interface{ GetRevision() string }, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, response.GetRevision())
		h.clock.Set(h.clock.Now().Add(time.Second))
	}
	h.clock.Set(testTime.Add(time.Second))
	note(h.admin.Grant(t.Context(), grant))
	grant.StartsAt, grant.ExpiresAt, grant.Justification, grant.By = nil, later, "", byOperator()
	note(h.admin.Grant(t.Context(), grant))
	toggle := &usherv1.SetToggleRequest{
		Tenant: "t", Toggle: "view_skills", State: usherv1.ToggleState_TOGGLE_STATE_ON, By: &usherv1.SetToggleRequest_Actor{Actor: actor},
	}
	note(h.admin.SetToggle(t.Context(), toggle))
	toggle.State = usherv1.ToggleState_TOGGLE_STATE_OFF
	note(h.admin.SetToggle(t.Context(), toggle))
	note(h.admin.Revoke(t.Context(), &usherv1.RevokeRequest{
		Tenant: "t", Subject: "user:b", Role: "agent", Scope: "queue:a", By: &usherv1.RevokeRequest_Operator{},
	}))
	h.commitAs(t, "t", store.Write{}, func(found store.Tenant) []store.Change {
		key := store.AssignmentKey{Subject: "user:c", Role: "agent"}
		return []store.Change{
			store.SetAssignment{Tenant: found.ID, Assignment: store.Assignment{AssignmentKey: key}},
			store.RemoveAssignment{Tenant: found.ID, Key: key, Cleared: true},
			store.SetPrimary{Tenant: found.ID, Subject: "user:a"},
		}
	})
	got := h.listChanges(t, &usherv1.ListChangesRequest{Tenant: "t", OldestFirst: true}, nil)
	byOperator := &usherv1.ChangeRecord_Operator{Operator: &usherv1.Operator{}}
	byActor := &usherv1.ChangeRecord_Actor{Actor: actor}
	scheduled, active := usherv1.AssignmentState_ASSIGNMENT_STATE_SCHEDULED, usherv1.AssignmentState_ASSIGNMENT_STATE_ACTIVE
	on, off := usherv1.ToggleState_TOGGLE_STATE_ON, usherv1.ToggleState_TOGGLE_STATE_OFF
	want := []*usherv1.ChangeRecord{
		{Kind: usherv1.ChangeKind_CHANGE_KIND_TENANT_CREATED, By: byOperator, Catalog: "goto_contact_center", CatalogVersion: 2},
		{
			Position: 1, Kind: usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET, By: byOperator,
			Assignment: &usherv1.Assignment{Subject: "user:a", Role: "contact_admin", State: active},
		},
		{
			Kind: usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET, By: byActor, Justification: "vacation",
			Assignment: &usherv1.Assignment{Subject: "user:b", Role: "agent", Scope: "queue:a", StartsAt: later, State: scheduled},
		},
		{
			Kind: usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET, By: byOperator,
			Assignment: &usherv1.Assignment{Subject: "user:b", Role: "agent", Scope: "queue:a", ExpiresAt: later, State: active},
			Before:     &usherv1.Interval{StartsAt: later},
		},
		{Kind: usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET, By: byActor, Toggle: "view_skills", State: on},
		{Kind: usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET, By: byActor, Toggle: "view_skills", State: off, StateBefore: on},
		{
			Kind: usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_REMOVED, By: byOperator,
			Assignment: &usherv1.Assignment{Subject: "user:b", Role: "agent", Scope: "queue:a", ExpiresAt: later, State: active},
			Before:     &usherv1.Interval{ExpiresAt: later},
		},
		{
			Kind:       usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET,
			Assignment: &usherv1.Assignment{Subject: "user:c", Role: "agent", State: active},
		},
		{
			Position: 1, Kind: usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_CLEARED,
			Assignment: &usherv1.Assignment{Subject: "user:c", Role: "agent", State: active}, Before: &usherv1.Interval{},
		},
		{Position: 2, Kind: usherv1.ChangeKind_CHANGE_KIND_PRIMARY_SET, Assignment: &usherv1.Assignment{Subject: "user:a"}},
	}
	for i, c := range want[:min(len(want), len(got))] {
		c.Revision = got[i].GetRevision() // compared below
		if c.Time = got[i].GetTime(); i >= 2 {
			c.Time = timestamppb.New(testTime.Add(time.Duration(min(i-1, 6)) * time.Second))
		}
	}
	for i, revision := range revisions {
		want[2+i].Revision = revision
	}
	if err := sameChanges(got, want); err != nil {
		t.Error(err)
	}
}

// TestChangesByEveryFilter lists random changes by random filters, in pages of random sizes, in
// both orders, onward and back again.
func TestChangesByEveryFilter(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	raceTenant(t, h, "u", "goto_contact_center") // its changes must not be listed
	for range 150 {
		h.clock.Set(h.clock.Now().Add(time.Duration(random.IntN(3)) * time.Second))
		h.writeRandomly(t, random, oneOfThese(random, "t", "t", "t", "u"))
	}
	all := h.listChanges(t, &usherv1.ListChangesRequest{Tenant: "t", OldestFirst: true, PageSize: 1000}, nil)
	seconds := int(h.clock.Now().Sub(testTime) / time.Second)
	for range 300 {
		r := &usherv1.ListChangesRequest{Tenant: "t", OldestFirst: random.IntN(2) == 0, PageSize: int32(random.IntN(20))}
		if random.IntN(2) == 0 {
			r.Subject = fmt.Sprint("user:", random.IntN(7))
		}
		if random.IntN(3) == 0 {
			r.Actor = oneOfThese(random, "user:a", "user:0")
		}
		for range random.IntN(3) {
			r.Kinds = append(r.Kinds, usherv1.ChangeKind(1+random.IntN(10)))
		}
		if random.IntN(3) == 0 {
			r.Since = timestamppb.New(testTime.Add(time.Duration(random.IntN(seconds))*time.Second + time.Duration(random.IntN(3)-1)))
		}
		if random.IntN(3) == 0 {
			r.Until = timestamppb.New(testTime.Add(time.Duration(random.IntN(seconds+2))*time.Second + time.Duration(random.IntN(3)-1)))
		}
		want := slices.DeleteFunc(slices.Clone(all), func(c *usherv1.ChangeRecord) bool {
			isSubject := c.GetKind() <= usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_CLEARED && c.GetAssignment().GetSubject() == r.GetSubject()
			return r.GetSubject() != "" && !isSubject ||
				r.GetActor() != "" && c.GetActor().GetSubject() != r.GetActor() ||
				len(r.GetKinds()) > 0 && !slices.Contains(r.GetKinds(), c.GetKind()) ||
				r.GetSince() != nil && c.GetTime().AsTime().Before(r.GetSince().AsTime()) ||
				r.GetUntil() != nil && !c.GetTime().AsTime().Before(r.GetUntil().AsTime())
		})
		if !r.GetOldestFirst() {
			slices.Reverse(want)
		}
		var last *usherv1.ListChangesResponse
		got := h.listChanges(t, r, func(page *usherv1.ListChangesResponse) {
			if (last == nil) != (page.GetPreviousPageToken() == "") {
				t.Fatalf("%v: got the page %v behind %v", r, page, last)
			}
			last = page
		})
		if err := sameChanges(got, want); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		back := last.GetChanges()
		for token := last.GetPreviousPageToken(); token != ""; {
			r.PageToken = token
			page, err := h.admin.ListChanges(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if page.GetNextPageToken() == "" {
				t.Fatalf("%v: got %v, with nothing behind it", r, page)
			}
			back = append(slices.Clone(page.GetChanges()), back...)
			token = page.GetPreviousPageToken()
		}
		if err := sameChanges(back, want); err != nil {
			t.Fatalf("%v, backwards: %v", r, err)
		}
	}
}

// TestChangesPagedWhileWritten pages to and fro through the changes of a tenant while others
// are made: those that were there at the beginning come once and in order.
func TestChangesPagedWhileWritten(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	for range 60 {
		h.writeRandomly(t, random, "t")
	}
	stable := h.listChanges(t, &usherv1.ListChangesRequest{Tenant: "t", OldestFirst: true}, nil)
	known := map[string]bool{}
	for _, c := range stable {
		known[fmt.Sprint(c.GetRevision(), c.GetPosition())] = true
	}
	var writers sync.WaitGroup
	done := make(chan struct{})
	for i := range uint64(2) {
		random := rand.New(rand.NewPCG(random.Uint64(), i))
		writers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					h.writeRandomly(t, random, "t")
				}
			}
		})
	}
	defer func() {
		close(done)
		writers.Wait()
	}()
	for round := range 40 {
		r := &usherv1.ListChangesRequest{Tenant: "t", OldestFirst: round%2 == 0, PageSize: int32(5 + random.IntN(30))}
		var got []*usherv1.ChangeRecord
		var start, end string // of the pages so far
		for page := 0; page == 0 || end != ""; page++ {
			// Now and then one page back, which is known already, and on again.
			if start != "" && random.IntN(3) == 0 {
				r.PageToken = start
				back, err := h.admin.ListChanges(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				n := len(back.GetChanges())
				r.PageToken = back.GetNextPageToken()
				again, err := h.admin.ListChanges(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				from := len(got) - len(again.GetChanges())
				if err := sameChanges(append(back.GetChanges(), again.GetChanges()...), got[max(from-n, 0):]); err != nil {
					t.Fatalf("%v: back and on again: %v", r, err)
				}
			}
			r.PageToken = end
			response, err := h.admin.ListChanges(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, response.GetChanges()...)
			start, end = response.GetPreviousPageToken(), response.GetNextPageToken()
			if r.GetOldestFirst() && len(got) >= len(stable) {
				break // the writers would never let it end
			}
		}
		got = slices.DeleteFunc(got, func(c *usherv1.ChangeRecord) bool { return !known[fmt.Sprint(c.GetRevision(), c.GetPosition())] })
		if !r.GetOldestFirst() {
			slices.Reverse(got)
		}
		if err := sameChanges(got, stable); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
	}
}

// TestChangesOfDeletedTenants lists the changes of two deleted tenants of one name, and of a
// third one that there is.
func TestChangesOfDeletedTenants(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	ids := []uint64{}
	for range 3 {
		raceTenant(t, h, "t", "liveagent")
		tenant, err := h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: "t"})
		if err != nil {
			t.Fatal(err)
		}
		var id store.TenantID
		grant := func(found store.Tenant) []store.Change {
			id = found.ID
			return []store.Change{store.SetAssignment{Tenant: found.ID, Assignment: store.Assignment{
				AssignmentKey: store.AssignmentKey{Subject: fmt.Sprint("user:", found.ID), Role: "user"},
			}}}
		}
		h.commitAs(t, "t", store.Write{}, grant)
		if ids = append(ids, uint64(id)); len(ids) < 3 {
			h.commitAs(t, "t", store.Write{By: store.By{Operator: true}}, func(found store.Tenant) []store.Change {
				return []store.Change{store.DeleteTenant{Tenant: found.ID}}
			})
			got := h.listChanges(t, &usherv1.ListChangesRequest{Tenant: "t"}, nil)
			if got[0].GetKind() != usherv1.ChangeKind_CHANGE_KIND_TENANT_DELETED || got[1].GetAssignment().GetSubject() != fmt.Sprint("user:", id) {
				t.Errorf("after the deletion of %v: got %s", tenant, changeLines(got))
			}
		}
	}
	for i, id := range append(ids, 0) {
		got := h.listChanges(t, &usherv1.ListChangesRequest{Tenant: "t", TenantId: id, Subject: fmt.Sprint("user:", ids[min(i, 2)])}, nil)
		if len(got) != 1 {
			t.Errorf("tenant %d: got %s", id, changeLines(got))
		}
	}
	raceTenant(t, h, "u", "liveagent")
	for _, r := range []*usherv1.ListChangesRequest{{Tenant: "u", TenantId: ids[0]}, {Tenant: "t", TenantId: 99}, {Tenant: "v"}} {
		_, err := h.admin.ListChanges(t.Context(), r)
		wantError(t, err, codes.NotFound, "TENANT_NOT_FOUND")
	}
}

// TestChangesRefuseWrongTokens uses the token of one list for another one.
func TestChangesRefuseWrongTokens(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "liveagent")
	raceTenant(t, h, "u", "liveagent")
	first, err := h.admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "t", PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	token := first.GetNextPageToken()
	for _, r := range []*usherv1.ListChangesRequest{
		{Tenant: "u"}, {Tenant: "t", OldestFirst: true}, {Tenant: "t", Subject: "user:a"}, {Tenant: "t", Actor: "user:a"},
		{Tenant: "t", Kinds: []usherv1.ChangeKind{1}}, {Tenant: "t", Since: timestamppb.New(testTime)}, {Tenant: "t", Until: timestamppb.New(testTime)},
	} {
		r.PageToken = token
		_, err := h.admin.ListChanges(t.Context(), r)
		wantError(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
	}
	_, err = h.admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "t", Kinds: []usherv1.ChangeKind{0}})
	wantError(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
}
