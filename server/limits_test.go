package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// assign writes assignments of one subject of tenant "t" past the rules.
func (h *harness) assign(t *testing.T, assignments ...store.Assignment) {
	t.Helper()
	_, err := h.store.Commit(context.Background(), store.Write{Tenant: "t", By: store.By{Operator: true}, Plan: func(r store.Reader) ([]store.Change, error) {
		tenant, err := r.Tenant("t")
		var changes []store.Change
		for _, a := range assignments {
			changes = append(changes, store.SetAssignment{Tenant: tenant.ID, Assignment: a})
		}
		return changes, err
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMostAssignments fills a subject with as many assignments as there may be, first
// ended ones, which make room for new ones, then running ones, which do not. The
// answers stay below what gRPC clients take.
func TestMostAssignments(t *testing.T) {
	h := newHarness(t)
	ctx := context.Background()
	raceTenant(t, h, "t", "liveagent")
	held := make([]store.Assignment, policy.MaxAssignments)
	for i := range held {
		held[i] = store.Assignment{
			AssignmentKey: store.AssignmentKey{Subject: "user:" + strings.Repeat("x", 251), Role: "agent", Scope: fmt.Sprintf("department:%0245d", i)},
			Interval:      store.Interval{Start: testTime.Add(-2 * time.Hour), End: testTime.Add(-time.Hour)},
		}
	}
	h.assign(t, held...)
	subject := held[0].Subject
	grant := &usherv1.GrantRequest{Tenant: "t", Subject: subject, Role: "agent", Scope: "department:new", By: byOperator()}
	if _, err := h.admin.Grant(ctx, grant); err != nil {
		t.Fatalf("ended assignments leave no room: %v", err)
	}
	for i := range held {
		held[i].Interval = store.Interval{}
	}
	h.assign(t, held[1:]...)
	grant.Scope = "department:newer"
	if _, err := h.admin.Grant(ctx, grant); err == nil || !strings.Contains(err.Error(), "revoke some") {
		t.Fatalf("got %v, want that there are too many", err)
	}
	revoked, err := h.admin.Revoke(ctx, &usherv1.RevokeRequest{Tenant: "t", Subject: subject, Role: "agent", Scope: "department:new", By: &usherv1.RevokeRequest_Operator{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(revoked.GetRemaining()) != 1_000 || revoked.GetRemainingCount() != policy.MaxAssignments-1 {
		t.Errorf("%d of %d", len(revoked.GetRemaining()), revoked.GetRemainingCount())
	}
}

// TestLargestBatch asks for the most reasons that a batch may answer, each as long as it
// can be.
func TestLargestBatch(t *testing.T) {
	h := newHarness(t)
	raceTenant(t, h, "t", "liveagent")
	subject, scope := "user:"+strings.Repeat("x", 251), "department:"+strings.Repeat("y", 245)
	h.assign(t, store.Assignment{AssignmentKey: store.AssignmentKey{Subject: subject, Role: "agent", Scope: scope}})
	request := &usherv1.BatchCheckRequest{Tenant: "t", Subject: subject, Detail: usherv1.Detail_DETAIL_REASONS}
	item := &usherv1.BatchCheckItem{Resource: &usherv1.Resource{Type: "ticket", Scopes: []string{scope}}}
	for range 100 {
		item.Actions = append(item.Actions, "view")
	}
	for range 50 {
		request.Items = append(request.Items, item)
	}
	response, err := h.decisions.BatchCheck(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", proto.Size(response))
	request.Items = append(request.Items, item)
	if _, err := h.decisions.BatchCheck(context.Background(), request); err == nil || !strings.Contains(err.Error(), "at most 5000") {
		t.Errorf("got %v, want that there are too many", err)
	}
}

// TestReadiness looks at /readyz while the server takes calls, when its store can't be
// read, and while it drains. /healthz stays the same.
func TestReadiness(t *testing.T) {
	h := newHarness(t)
	get := func(path string) int {
		recorder := httptest.NewRecorder()
		h.server.HTTP().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		return recorder.Code
	}
	want := func(path string, code int) {
		t.Helper()
		if got := get(path); got != code {
			t.Errorf("%s: got %d, want %d", path, got, code)
		}
	}
	want("/readyz", http.StatusOK)
	if err := h.store.Close(); err != nil && !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	want("/readyz", http.StatusServiceUnavailable)
	want("/healthz", http.StatusOK)

	h = newHarness(t)
	h.server.Drain()
	want("/readyz", http.StatusServiceUnavailable)
	want("/healthz", http.StatusOK)
}
