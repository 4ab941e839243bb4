package server_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// TestExplainTellsEndUsersOfNobodyElse explains what a person may not do, in each language. Neither
// the names of others nor the scopes in which only others hold roles are in the answer.
func TestExplainTellsEndUsersOfNobodyElse(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := explainCase{
		catalog: "expertconnect", permission: "ticket:update", scopes: []string{"team:larch"},
		held: []string{"user:ann advisor team:maple", "user:quill manager", "user:heron advisor team:larch", "user:finch advisor team:birch"},
	}
	r := c.ask(t, h, "t")
	for _, locale := range []string{"", "de", "fr", "pt-BR"} {
		r.Locale = locale
		told, err := h.decisions.Explain(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		text := protojson.Format(told)
		for _, secret := range []string{"quill", "heron", "finch", "top", "birch"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: tells of %s:\n%s", locale, secret, text)
			}
		}
		remedies := told.GetRemedies()
		if told.GetText() == "" || told.GetLocale() == "" || len(remedies) != 1 || remedies[0].GetText() == "" || remedies[0].GetSteps()[0].GetText() == "" {
			t.Errorf("%s: a text is missing:\n%s", locale, text)
		}
	}
	r.Audience = usherv1.Audience_AUDIENCE_ADMINISTRATOR
	told, err := h.decisions.Explain(t.Context(), r)
	if err != nil || !strings.Contains(protojson.Format(told), "user:quill") {
		t.Errorf("an administrator is told %v, %v", told, err)
	}
	r.Locale = "no language"
	_, err = h.decisions.Explain(t.Context(), r)
	wantError(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
}

// TestExplainTriesAFew explains where many roles would help, and a thousand subjects hold a role by
// which alone they can't give any of them. Not all of these are tried, each time.
func TestExplainTriesAFew(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var names, roles strings.Builder
	for i := range 100 {
		fmt.Fprintf(&names, ", r%d", i)
		fmt.Fprintf(&roles, "  - {name: r%d, rules: [{allow: ['ticket:view'], reach: tenant}]}\n", i)
	}
	h.putCatalog(t, "name: many\nversion: 1\nholders: [user]\nresource_types:\n  - {name: ticket, actions: [view, close]}\nroles:\n"+
		"  - {name: low, rules: [{allow: ['ticket:close'], reach: tenant}]}\n"+roles.String()+
		"  - {name: giver, rules: [{allow: ['role:grant'], reach: tenant}]}\n"+
		"  - {name: boss, rules: [{allow: ['role:grant', 'role:revoke'], reach: tenant}]}\n"+
		"administration: {protected_role: boss, exclusive_roles: [low"+names.String()+"]}\n")
	raceTenant(t, h, "t", "many")
	all := []store.Assignment{{AssignmentKey: store.AssignmentKey{Subject: "user:ann", Role: "low"}}}
	for i := range 1_000 {
		all = append(all, store.Assignment{AssignmentKey: store.AssignmentKey{Subject: fmt.Sprintf("user:%04d", i), Role: "giver"}})
	}
	h.assign(t, all...)
	start := time.Now()
	told, err := h.decisions.Explain(t.Context(), &usherv1.ExplainRequest{Check: &usherv1.CheckRequest{
		Tenant: "t", Subject: "user:ann", Action: "view", Resource: &usherv1.Resource{Type: "ticket"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if n := len(told.GetRemedies()); n != 100 {
		t.Errorf("got %d remedies, want 100", n)
	}
	for _, r := range told.GetRemedies() {
		if by := r.GetSteps()[0].GetBy(); !slices.Equal(by.GetRoles(), []string{"boss"}) || by.GetOperator() {
			t.Errorf("%s: by %v", r.GetText(), by)
		}
	}
}

// TestExplainCounts sees to it that explained decisions are counted as others are.
func TestExplainCounts(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	r := explainCase{catalog: "liveagent", permission: "report:view"}.ask(t, h, "t")
	if _, err := h.decisions.Explain(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	h.server.HTTP().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if want := `usher_decisions_total{effect="deny",reason="NO_ROLE"} 1`; !strings.Contains(answer.Body.String(), want) {
		t.Errorf("the metrics do not have %s", want)
	}
}
