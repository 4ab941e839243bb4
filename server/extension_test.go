package server_test

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// extensionOfDesk extends the desk's catalog by a role, and takes tickets from agents.
const extensionOfDesk = `name: own_desk
version: 1
extends: {name: desk, version: 1}
roles:
  - {name: helper, held_in: [team], inherits: [{role: agent}], rules: [{allow: ["ticket:close"], reach: assigned}]}
narrow:
  - {role: boss, without: ["ticket:view"]}
`

// TestPutExtension: what is extended has to be there; both the whole and what was written
// come out again.
func TestPutExtension(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	_, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: extensionOfDesk})
	badCall{code: codes.NotFound, reason: "CATALOG_NOT_FOUND", remedy: "ListCatalogs"}.compare(t, err)
	h.putCatalog(t, deskCatalog(2, deskAgent))
	_, err = h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: extensionOfDesk})
	badCall{code: codes.NotFound, reason: "CATALOG_NOT_FOUND", remedy: "the newest version is 2"}.compare(t, err)

	h.putCatalog(t, deskCatalog(1, deskAgent))
	h.putCatalog(t, extensionOfDesk)
	again, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: "# the same\n" + extensionOfDesk})
	if err != nil || again.GetOutcome() != usherv1.Outcome_OUTCOME_UNCHANGED {
		t.Errorf("the same again answers %v, %v", again, err)
	}
	// It narrows by another pattern, which comes to the same.
	_, err = h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: strings.Replace(extensionOfDesk, `"ticket:view"`, `"*:view"`, 1)})
	badCall{code: codes.FailedPrecondition, reason: "CATALOG_IMMUTABLE", field: "catalog/own_desk"}.compare(t, err)
	got, err := h.operator.GetCatalog(t.Context(), &usherv1.GetCatalogRequest{Name: "own_desk"})
	if err != nil || got.GetYaml() != extensionOfDesk {
		t.Fatalf("got %v, %v", got, err)
	}
	var roles []string
	for _, role := range got.GetCatalog().GetRoles() {
		roles = append(roles, role.GetName())
	}
	if all := strings.Join(roles, " "); all != "boss agent helper" {
		t.Errorf("got the roles %s", all)
	}
	_, err = h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: strings.Replace(extensionOfDesk, "name: helper", "name: agent", 1)})
	badCall{code: codes.InvalidArgument, reason: "INVALID_CATALOG", field: "yaml", remedy: regexp.QuoteMeta("5:12 roles[0].name: the extended catalog has the role")}.compare(t, err)
}

// TestMoveToExtension moves a tenant to an extension of its catalog and back: it is previewed,
// what is held goes on, and what only the extension knows stands against the way back.
func TestMoveToExtension(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	h.putCatalog(t, extensionOfDesk)
	h.putCatalog(t, "name: far_desk\nversion: 4\nextends: {name: own_desk, version: 1}\n")
	update := func(catalog string, validateOnly bool) (*usherv1.UpdateTenantResponse, error) {
		return h.operator.UpdateTenant(t.Context(), &usherv1.UpdateTenantRequest{Tenant: "desk", Catalog: catalog, ValidateOnly: validateOnly})
	}
	_, err := update("liveagent", false)
	badCall{code: codes.FailedPrecondition, reason: "CATALOG_UNRELATED", field: "catalog/liveagent", remedy: "extends"}.compare(t, err)
	_, err = update("no_such_desk", false)
	badCall{code: codes.NotFound, reason: "CATALOG_NOT_FOUND", remedy: "ListCatalogs"}.compare(t, err)

	request := &usherv1.PreviewChangeRequest{Tenant: "desk", Catalog: "own_desk", By: &usherv1.PreviewChangeRequest_Operator{}}
	said, err := h.admin.PreviewChange(t.Context(), request)
	if err != nil || len(said.GetConflicts()) != 0 || len(said.GetEffects()) != 1 {
		t.Fatalf("the preview is %v, %v", said, err)
	}
	samePreviewInPages(t, h, request, said)
	if e := said.GetEffects()[0]; e.GetSubject() != "user:root" || len(e.GetGained()) != 2 || e.GetGained()[0].GetResourceId() != "helper" || len(e.GetLost()) != 1 || e.GetLost()[0].GetPermission() != "ticket:view" {
		t.Errorf("got the effect %v", e)
	}
	unrelated := proto.CloneOf(request)
	unrelated.Catalog = "liveagent"
	_, err = h.admin.PreviewChange(t.Context(), unrelated)
	badCall{code: codes.FailedPrecondition, reason: "CATALOG_UNRELATED", field: "catalog/liveagent"}.compare(t, err)

	tried, err := update("own_desk", true)
	if err != nil || tried.GetTenant().GetCatalog() != "own_desk" || tried.GetTenant().GetCatalogVersion() != 1 || !h.may(t, "desk", "user:root", "view", "team:a") {
		t.Fatalf("trying answers %v, %v", tried, err)
	}
	if moved, err := update("far_desk", false); err != nil || moved.GetTenant().GetCatalogVersion() != 4 {
		t.Fatalf("moving answers %v, %v", moved, err)
	}
	if h.may(t, "desk", "user:root", "view", "team:a") || !h.may(t, "desk", "user:ann", "view", "team:a") || !h.may(t, "desk", "user:root", "close", "team:a") {
		t.Error("after the move root views, or ann does not, or the toggle is not kept")
	}
	h.write(t, "desk", actGrant("user:eve", "helper", "team:a"))
	if !h.may(t, "desk", "user:eve", "close", "team:a") {
		t.Error("eve may not close as a helper")
	}
	_, err = update("desk", false)
	badCall{code: codes.FailedPrecondition, reason: "CATALOG_CONFLICTS", field: "subject/user:eve", remedy: `no role "helper"`}.compare(t, err)
	h.write(t, "desk", actRemove("user:eve"))
	if back, err := update("desk", false); err != nil || back.GetTenant().GetCatalog() != "desk" || !h.may(t, "desk", "user:root", "view", "team:a") {
		t.Errorf("the way back answers %v, %v", back, err)
	}
}

// TestMoveFromProductToExtension: a dealer moves from the built-in catalog to its own, in
// which advisors make no broadcasts; managers keep them.
func TestMoveFromProductToExtension(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.putCatalog(t, "name: dealer\nversion: 1\nextends: {name: expertconnect, version: 3}\nnarrow:\n  - {role: advisor, without: [\"broadcast:*\"]}\n")
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "d", Catalog: "expertconnect", FirstAdministrator: "user:root"}); err != nil {
		t.Fatal(err)
	}
	h.write(t, "d", actGrant("user:amy", "advisor", "team:a"), actGrant("user:max", "manager", ""))
	if _, err := h.operator.UpdateTenant(t.Context(), &usherv1.UpdateTenantRequest{Tenant: "d", Catalog: "dealer"}); err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]usherv1.Decision{"user:amy": usherv1.Decision_DECISION_DENY, "user:max": usherv1.Decision_DECISION_ALLOW} {
		response, err := h.decisions.Check(t.Context(), &usherv1.CheckRequest{
			Tenant: "d", Subject: subject, Action: "create", Resource: &usherv1.Resource{Type: "broadcast"},
		})
		if err != nil || response.GetDecision() != want {
			t.Errorf("%s: got %v, %v", subject, response, err)
		}
	}
	tenant, err := h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: "d"})
	if err != nil || tenant.GetTenant().GetPrimaryAdministrator() != "user:root" {
		t.Errorf("after the move the tenant is %v, %v", tenant, err)
	}
}
