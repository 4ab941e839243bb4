package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// deskCatalog is a version of a small product, with these roles beside the boss and, if it
// has agents, the toggle night.
func deskCatalog(version int, roles string) string {
	toggles, rule := "", ""
	if roles != "" {
		toggles, rule = "{name: night, starts_on: false}", `
      - {allow: ["ticket:close"], reach: tenant, while_on: night}`
	}
	return fmt.Sprintf(`name: desk
version: %d
scope_types: [team]
holders: [user]
resource_types:
  - {name: ticket, actions: [view, close]}
toggles: [%s]
roles:
  - name: boss
    rules:
      - {allow: ["role:grant", "role:revoke", "toggle:set", "ticket:view"], reach: tenant}%s
%s
administration: {protected_role: boss}
`, version, toggles, rule, roles)
}

const deskAgent = `  - name: agent
    held_in: [team]
    rules:
      - {allow: ["ticket:view"], reach: assigned}`

// deskHarness has the tenant "desk" with user:root as boss and two agents, and the toggle
// night switched on.
func deskHarness(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t)
	h.addDesk(t)
	return h
}

// addDesk adds the tenant of deskHarness.
func (h *harness) addDesk(t *testing.T) {
	t.Helper()
	h.putCatalog(t, deskCatalog(1, deskAgent))
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "desk", Catalog: "desk", FirstAdministrator: "user:root"}); err != nil {
		t.Fatal(err)
	}
	h.write(t, "desk", actGrant("user:ann", "agent", "team:a"), actGrant("user:bob", "agent", "team:b"), actToggle("night", true))
}

func (h *harness) putCatalog(t *testing.T, yaml string) {
	t.Helper()
	if _, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: yaml}); err != nil {
		t.Fatal(err)
	}
}

// write does acts as the operator.
func (h *harness) write(t *testing.T, tenant string, acts ...*usherv1.Act) *usherv1.BatchWriteResponse {
	t.Helper()
	response, err := h.admin.BatchWrite(t.Context(), &usherv1.BatchWriteRequest{Tenant: tenant, Acts: acts, By: &usherv1.BatchWriteRequest_Operator{}})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// may asks whether a subject may do something to a ticket of a team.
func (h *harness) may(t *testing.T, tenant, subject, action, team string) bool {
	t.Helper()
	response, err := h.decisions.Check(t.Context(), &usherv1.CheckRequest{
		Tenant: tenant, Subject: subject, Action: action, Resource: &usherv1.Resource{Type: "ticket", Scopes: []string{team}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetDecision() == usherv1.Decision_DECISION_ALLOW
}

// TestUpdateTenant moves a tenant to a version that allows more, back, and not to versions
// that do not know what is stored.
func TestUpdateTenant(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	h.putCatalog(t, deskCatalog(2, strings.Replace(deskAgent, `"ticket:view"`, `"ticket:view", "ticket:close"`, 1)))
	h.putCatalog(t, deskCatalog(3, ""))
	if h.may(t, "desk", "user:ann", "close", "team:a") {
		t.Fatal("ann may close with version 1")
	}
	update := func(version uint32, validateOnly bool) (*usherv1.UpdateTenantResponse, error) {
		return h.operator.UpdateTenant(t.Context(), &usherv1.UpdateTenantRequest{Tenant: "desk", CatalogVersion: version, ValidateOnly: validateOnly})
	}
	_, err := update(0, false) // the newest is 3
	badCall{code: codes.FailedPrecondition, reason: "CATALOG_CONFLICTS", field: "subject/user:ann", remedy: `no role "agent"`}.compare(t, err)
	badCall{code: codes.FailedPrecondition, reason: "CATALOG_CONFLICTS", field: "toggle/night", remedy: `no toggle "night"`}.compare(t, err)
	_, err = update(9, false)
	badCall{code: codes.NotFound, reason: "CATALOG_NOT_FOUND", remedy: "newest version is 3"}.compare(t, err)

	tried, err := update(2, true)
	if err != nil || tried.GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED || tried.GetTenant().GetCatalogVersion() != 2 {
		t.Fatalf("trying answers %v, %v", tried, err)
	}
	if is, err := h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: "desk"}); err != nil || is.GetTenant().GetCatalogVersion() != 1 {
		t.Fatalf("trying has made it %v, %v", is, err)
	}
	for _, outcome := range []usherv1.Outcome{usherv1.Outcome_OUTCOME_CHANGED, usherv1.Outcome_OUTCOME_UNCHANGED} {
		moved, err := update(2, false)
		if err != nil || moved.GetOutcome() != outcome || moved.GetTenant().GetCatalogVersion() != 2 {
			t.Fatalf("moving answers %v, %v", moved, err)
		}
	}
	if !h.may(t, "desk", "user:ann", "close", "team:a") {
		t.Error("ann may not close with version 2")
	}
	if _, err := update(1, false); err != nil {
		t.Fatal(err)
	}
	if h.may(t, "desk", "user:ann", "close", "team:a") {
		t.Error("ann may close after the move back")
	}
}

// TestPreviewOfMove: the preview says what the move changes, and all that stands against it.
func TestPreviewOfMove(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	h.putCatalog(t, deskCatalog(2, strings.Replace(deskAgent, `"ticket:view"`, `"ticket:close"`, 1)))
	h.putCatalog(t, deskCatalog(3, ""))
	preview := func(version uint32) *usherv1.PreviewChangeResponse {
		request := &usherv1.PreviewChangeRequest{Tenant: "desk", CatalogVersion: version, By: &usherv1.PreviewChangeRequest_Operator{}}
		response, err := h.admin.PreviewChange(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		samePreviewInPages(t, h, request, response)
		return response
	}
	said := preview(2)
	if len(said.GetConflicts()) != 0 || len(said.GetEffects()) != 2 {
		t.Fatalf("got %v", said)
	}
	for i, subject := range []string{"user:ann", "user:bob"} {
		e, scope := said.GetEffects()[i], []string{"team:a", "team:b"}[i]
		if e.GetSubject() != subject || len(e.GetGained()) != 1 || e.GetGained()[0].GetPermission() != "ticket:close" || e.GetGained()[0].GetScope() != scope ||
			len(e.GetLost()) != 1 || e.GetLost()[0].GetPermission() != "ticket:view" || e.GetLost()[0].GetScope() != scope {
			t.Errorf("got %v", e)
		}
	}
	if n := len(said.GetCounts()); n != 2 || said.GetCounts()[0].GetGaining() != 2 || said.GetCounts()[1].GetLosing() != 2 {
		t.Errorf("got the counts %v", said.GetCounts())
	}
	if said = preview(3); len(said.GetConflicts()) != 3 {
		t.Errorf("got the conflicts %v", said.GetConflicts())
	}
	// A page of another state is refused.
	request := &usherv1.PreviewChangeRequest{Tenant: "desk", CatalogVersion: 2, By: &usherv1.PreviewChangeRequest_Operator{}, PageSize: 1}
	page, err := h.admin.PreviewChange(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, "desk", actGrant("user:cyd", "agent", "team:a"))
	request.PageToken = page.GetNextPageToken()
	_, err = h.admin.PreviewChange(t.Context(), request)
	badCall{code: codes.Aborted, reason: "CHANGED_MEANWHILE", remedy: "read again"}.compare(t, err)
}

// TestDeleteTenant: it is gone at once, its name is free, and its record stays.
func TestDeleteTenant(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	_, err := h.operator.DeleteTenant(t.Context(), &usherv1.DeleteTenantRequest{Tenant: "desk", Confirm: "dask"})
	badCall{code: codes.InvalidArgument, reason: malformedReason, field: "confirm", remedy: "once more"}.compare(t, err)
	if !h.may(t, "desk", "user:ann", "view", "team:a") {
		t.Fatal("ann may not view before")
	}
	deleted, err := h.operator.DeleteTenant(t.Context(), &usherv1.DeleteTenantRequest{Tenant: "desk", Confirm: "desk", Justification: "contract ended"})
	if err != nil || deleted.GetTenant().GetDeletedAt() == nil {
		t.Fatalf("got %v, %v", deleted, err)
	}
	check := &usherv1.CheckRequest{Tenant: "desk", Subject: "user:ann", Action: "view", Resource: &usherv1.Resource{Type: "ticket", Scopes: []string{"team:a"}}}
	_, err = h.decisions.Check(t.Context(), check)
	badCall{code: codes.NotFound, reason: "TENANT_NOT_FOUND"}.compare(t, err)

	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "desk", Catalog: "desk", FirstAdministrator: "user:new"}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"before the purge", "after it"} {
		if h.may(t, "desk", "user:ann", "view", "team:a") || !h.may(t, "desk", "user:new", "view", "team:a") {
			t.Errorf("%s the new tenant meets the old one", step)
		}
		list, err := h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: "desk"})
		if err != nil || len(list.GetAssignments()) != 1 {
			t.Errorf("%s the new tenant has %v, %v", step, list, err)
		}
		tenants, err := h.operator.ListTenants(t.Context(), &usherv1.ListTenantsRequest{Deleted: true})
		if err != nil || len(tenants.GetTenants()) != 1 || tenants.GetTenants()[0].GetId() != deleted.GetTenant().GetId() {
			t.Errorf("%s the deleted tenants are %v, %v", step, tenants, err)
		}
		if err := h.server.Maintain(t.Context(), server.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMaintain clears away what ended long ago, and no more.
func TestMaintain(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	grant := func(subject string, until time.Time) {
		if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
			Tenant: "desk", Subject: subject, Role: "agent", Scope: "team:a", ExpiresAt: timestamppb.New(until), By: asOperator,
		}); err != nil {
			t.Fatal(err)
		}
	}
	day := 24 * time.Hour
	grant("user:early", testTime.Add(day))
	grant("user:late", testTime.Add(20*day))
	grant("user:again", testTime.Add(day))
	h.clock.Set(testTime.Add(10 * day))
	grant("user:again", testTime.Add(60*day))
	subjects := func() (names []string) {
		list, err := h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: "desk", Role: "agent"})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list.GetAssignments() {
			names = append(names, strings.TrimPrefix(a.GetSubject(), "user:"))
		}
		return names
	}
	for _, step := range []struct {
		at   time.Time
		keep time.Duration
		want string
	}{
		{testTime.Add(30 * day), 0, "again ann early late bob"},
		{testTime.Add(30 * day), 29 * day, "again ann early late bob"}, // it ended exactly so long ago
		{testTime.Add(30*day + 1), 29 * day, "again ann late bob"},
		{testTime.Add(30 * day), 5 * day, "again ann bob"},
	} {
		h.clock.Set(step.at)
		if err := h.server.Maintain(t.Context(), server.Retention{Ended: step.keep}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(subjects(), " "); got != step.want {
			t.Errorf("at %v, keeping %v: got %q, want %q", step.at, step.keep, got, step.want)
		}
	}
}

// TestMaintainTrims: of the record only what is younger than that is kept, the rest of the
// chain is whole, and trimming is no change that has to be trimmed.
func TestMaintainTrims(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	day := 24 * time.Hour
	old := h.changes(t, "desk")
	h.clock.Set(testTime.Add(10 * day))
	h.write(t, "desk", actRevoke("user:ann", "agent"))
	h.clock.Set(testTime.Add(15 * day))
	for range 3 {
		if err := h.server.Maintain(t.Context(), server.Retention{Changes: 10 * day}); err != nil {
			t.Fatal(err)
		}
		kept := h.changes(t, "desk")
		if len(kept) != 2 || kept[0].GetKind() != usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_REMOVED ||
			kept[1].GetKind() != usherv1.ChangeKind_CHANGE_KIND_RECORD_TRIMMED || kept[1].GetRecordCount() != uint64(len(old)) {
			t.Fatalf("after %v, kept is %v", old, kept)
		}
		h.wholeChains(t)
	}
	_, err := h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: "desk", AsOf: asOfRevision(old[0].GetRevision())})
	badCall{code: codes.OutOfRange, reason: "NOT_KEPT", remedy: "what is kept goes from"}.compare(t, err)
	// All is old then, and the record of the trimming with it.
	h.clock.Set(testTime.Add(30 * day))
	for range 2 {
		if err := h.server.Maintain(t.Context(), server.Retention{Changes: 10 * day}); err != nil {
			t.Fatal(err)
		}
		if kept := h.changes(t, "desk"); len(kept) != 1 || kept[0].GetRecordCount() != 2 {
			t.Fatalf("kept is %v", kept)
		}
	}
	h.clock.Set(testTime.Add(60 * day))
	if err := h.server.Maintain(t.Context(), server.Retention{Changes: 10 * day}); err != nil {
		t.Fatal(err)
	}
	if kept := h.changes(t, "desk"); len(kept) != 1 || kept[0].GetRecordCount() != 2 {
		t.Errorf("a record of a trimming was trimmed: %v", kept)
	}
	h.wholeChains(t)
}

// TestUpdateTenantWithoutPrimary moves a tenant to a version that knows no primary
// administrator: then nobody is it.
func TestUpdateTenantWithoutPrimary(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.putCatalog(t, strings.Replace(deskCatalog(1, deskAgent), "{protected_role: boss}", "{protected_role: boss, has_primary: true}", 1))
	h.putCatalog(t, deskCatalog(2, deskAgent))
	created, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
		Tenant: "desk", Catalog: "desk", CatalogVersion: 1, FirstAdministrator: "user:root",
	})
	if err != nil || created.GetTenant().GetPrimaryAdministrator() != "user:root" {
		t.Fatalf("got %v, %v", created, err)
	}
	moved, err := h.operator.UpdateTenant(t.Context(), &usherv1.UpdateTenantRequest{Tenant: "desk"})
	if err != nil || moved.GetTenant().GetPrimaryAdministrator() != "" {
		t.Errorf("got %v, %v", moved, err)
	}
}
