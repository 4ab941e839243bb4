package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store"
)

// TestActorWhoseRoleHasEnded: an act is judged when it is done, not when it was asked for.
func TestActorWhoseRoleHasEnded(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
		Tenant: "desk", Subject: "user:temp", Role: "boss", ExpiresAt: timestamppb.New(testTime.Add(time.Hour)), By: asOperator,
	}); err != nil {
		t.Fatal(err)
	}
	// A write that takes its time, until the call waits behind it and the role has ended.
	begun, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		_, _ = h.store.Commit(t.Context(), store.Write{Tenant: "desk", Plan: func(store.Reader) ([]store.Change, error) {
			close(begun)
			<-leave
			return nil, nil
		}})
	}()
	<-begun
	asked := make(chan error)
	go func() {
		_, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
			Tenant: "desk", Subject: "user:friend", Role: "boss", By: &usherv1.GrantRequest_Actor{Actor: &usherv1.Actor{Subject: "user:temp"}},
		})
		asked <- err
	}()
	for h.started("Grant") < 2 { // the first was that of temp
		runtime.Gosched()
	}
	h.clock.Set(testTime.Add(2 * time.Hour))
	close(leave)
	<-left
	badCall{code: codes.PermissionDenied, reason: "ACTOR_NOT_ALLOWED", field: "actor/user:temp"}.compare(t, <-asked)
}

// started is how many calls of an administrative method have come.
func (h *harness) started(method string) (n int) {
	recorder := httptest.NewRecorder()
	h.server.HTTP().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(recorder.Body.String()) {
		if strings.HasPrefix(line, "grpc_server_started_total{") && strings.Contains(line, `"`+method+`"`) && strings.Contains(line, "AdminService") {
			_, _ = fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &n)
		}
	}
	return n
}

// TestLargeBatches: a batch may be as large as it may be and is done in no time; one that
// makes too many changes is refused.
func TestLargeBatches(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	acts := make([]*usherv1.Act, 1000)
	for i := range acts {
		scopes := make([]string, 20)
		for j := range scopes {
			scopes[j] = fmt.Sprintf("team:%d-%d", i, j)
		}
		acts[i] = actChange("user:ann", "agent", "agent", scopes...)
	}
	_, err := h.admin.BatchWrite(t.Context(), &usherv1.BatchWriteRequest{Tenant: "desk", Acts: acts, By: &usherv1.BatchWriteRequest_Operator{}})
	badCall{code: codes.InvalidArgument, reason: malformedReason, field: "acts[500]", remedy: "make two writes"}.compare(t, err)
	if len(h.changes(t, "desk")) != 5 {
		t.Error("a part of it was done")
	}
	for i := range acts {
		acts[i] = actGrant(fmt.Sprint("user:", i), "agent", "team:a")
	}
	if outcomes := h.write(t, "desk", acts...).GetOutcomes(); len(outcomes) != len(acts) {
		t.Errorf("%d outcomes", len(outcomes))
	}
}

// TestEraseHeldByID: the id of a tenant is no way past what a subject still holds.
func TestEraseHeldByID(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	tenant, err := h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	erase := &usherv1.EraseSubjectRequest{Tenant: "desk", TenantId: tenant.GetTenant().GetId(), Subject: "user:ann"}
	_, err = h.operator.EraseSubject(t.Context(), erase)
	badCall{code: codes.FailedPrecondition, reason: "STILL_HELD", field: "subject/user:ann", remedy: "remove the subject first"}.compare(t, err)
	if _, err := h.operator.DeleteTenant(t.Context(), &usherv1.DeleteTenantRequest{Tenant: "desk", Confirm: "desk"}); err != nil {
		t.Fatal(err)
	}
	_, err = h.operator.EraseSubject(t.Context(), erase)
	badCall{code: codes.FailedPrecondition, reason: "STILL_HELD", field: "subject/user:ann", remedy: "try again in some minutes"}.compare(t, err)
	if err := h.server.Maintain(t.Context(), server.Retention{}); err != nil {
		t.Fatal(err)
	}
	erased, err := h.operator.EraseSubject(t.Context(), erase)
	if err != nil || erased.GetRecordCount() != 1 {
		t.Errorf("after the purge: got %v, %v", erased, err)
	}
}

// TestEraseEnded: what has ended does not stand in the way.
func TestEraseEnded(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
		Tenant: "desk", Subject: "user:temp", Role: "agent", Scope: "team:a", ExpiresAt: timestamppb.New(testTime.Add(time.Hour)), By: asOperator,
	}); err != nil {
		t.Fatal(err)
	}
	h.clock.Set(testTime.Add(2 * time.Hour))
	erased, err := h.operator.EraseSubject(t.Context(), &usherv1.EraseSubjectRequest{Tenant: "desk", Subject: "user:temp"})
	if err != nil || erased.GetRecordCount() != 2 { // the grant, and that it was cleared away
		t.Errorf("got %v, %v", erased, err)
	}
	h.wholeChains(t)
}

// TestUpdateTenantForgetsOldToggles: a toggle that only an earlier version had, or that stands
// as at the start, does not stand against a move.
func TestUpdateTenantForgetsOldToggles(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	h.write(t, "desk", actRevoke("user:ann", "agent"), actRevoke("user:bob", "agent"), actToggle("night", false))
	h.putCatalog(t, deskCatalog(2, ""))
	h.putCatalog(t, deskCatalog(3, ""))
	for _, version := range []uint32{2, 3} {
		if _, err := h.operator.UpdateTenant(t.Context(), &usherv1.UpdateTenantRequest{Tenant: "desk", CatalogVersion: version}); err != nil {
			t.Errorf("to version %d: %v", version, err)
		}
	}
}

// TestExpectedRevisionAfterTrimming: what is not known any more has changed.
func TestExpectedRevisionAfterTrimming(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	before := h.changes(t, "desk")[1].GetRevision()
	h.clock.Set(testTime.Add(48 * time.Hour))
	if err := h.server.Maintain(t.Context(), server.Retention{Changes: time.Hour}); err != nil {
		t.Fatal(err)
	}
	_, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
		Tenant: "desk", Subject: "user:ann", Role: "agent", Scope: "team:z", By: asOperator, ExpectedRevision: before,
	})
	badCall{code: codes.Aborted, reason: "CHANGED_MEANWHILE", remedy: "read again"}.compare(t, err)
}

// TestWarnings: a fourth administrator is one more than advised, and when the primary one is
// demoted nobody is it.
func TestWarnings(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "expertconnect")
	warned := func(warnings []*usherv1.Warning) (codes []usherv1.WarningCode) {
		for _, w := range warnings {
			codes = append(codes, w.GetCode())
			if w.GetText() == "" || w.GetTexts()["en"] != w.GetText() || w.GetTexts()["de"] == "" || w.GetTexts()["fr"] == "" {
				t.Errorf("got the texts %v", w)
			}
		}
		return codes
	}
	list, err := h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: "t", Role: "administrator"})
	if err != nil {
		t.Fatal(err)
	}
	for n := len(list.GetAssignments()) + 1; n <= 5; n++ {
		granted, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "t", Subject: fmt.Sprint("user:admin-", n), Role: "administrator", By: asOperator})
		if err != nil {
			t.Fatal(err)
		}
		var want []usherv1.WarningCode
		if n > 3 {
			want = append(want, usherv1.WarningCode_WARNING_CODE_MANY_HOLDERS)
		}
		if got := warned(granted.GetWarnings()); !slices.Equal(got, want) {
			t.Errorf("administrator %d is answered with %v", n, got)
		}
	}
	tenant, err := h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: "t"})
	if err != nil {
		t.Fatal(err)
	}
	primary := tenant.GetTenant().GetPrimaryAdministrator()
	demoted, err := h.admin.ChangeRole(t.Context(), &usherv1.ChangeRoleRequest{
		Tenant: "t", Subject: primary, From: "administrator", To: "manager", By: &usherv1.ChangeRoleRequest_Operator{},
	})
	if want := []usherv1.WarningCode{usherv1.WarningCode_WARNING_CODE_NO_PRIMARY_ADMINISTRATOR}; err != nil || !slices.Equal(warned(demoted.GetWarnings()), want) {
		t.Errorf("the end of %s is answered with %v, %v", primary, demoted, err)
	}
	if tenant, err = h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: "t"}); err != nil || tenant.GetTenant().GetPrimaryAdministrator() != "" {
		t.Errorf("then there is %v, %v", tenant, err)
	}
}
