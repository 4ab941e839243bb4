package server_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
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
