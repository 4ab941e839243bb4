package server_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// TestWorkedCases runs the cases of docs/decisions.md, on the catalog that stands there,
// so that the page can't go stale.
func TestWorkedCases(t *testing.T) {
	page, err := os.ReadFile("../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## 6. ")
	_, rest, _ := strings.Cut(section, "```yaml\n")
	catalog, rest, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no catalog in section 6")
	}
	h := newHarness(t)
	ctx := context.Background()
	if _, err := h.operator.PutCatalog(ctx, &usherv1.PutCatalogRequest{Yaml: catalog}); err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \|(.*)\|(.*)\|(.*)\|(.*)\|$`).FindAllStringSubmatch(rest, -1)
	if len(rows) != 20 {
		t.Fatalf("%d cases, want 20", len(rows))
	}
	for _, row := range rows {
		t.Run(row[1], func(t *testing.T) {
			w := worked{t: t, h: h, tenant: "case-" + row[1]}
			// Some assignments have ended at 12:00, and were granted before.
			h.clock.Set(testTime.Add(-2 * time.Hour))
			w.create()
			for held := range strings.SplitSeq(row[2], ";") {
				w.grant(strings.TrimSpace(held))
			}
			w.toggle(strings.Fields(row[3]))
			h.clock.Set(testTime)
			if got, want := w.ask(row[4]), strings.TrimSpace(row[5]); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// worked runs one case in a tenant of its own.
type worked struct {
	t      *testing.T
	h      *harness
	tenant string
}

func (w worked) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w worked) create() {
	_, err := w.h.operator.CreateTenant(context.Background(), &usherv1.CreateTenantRequest{
		Tenant: w.tenant, Catalog: "worked", FirstAdministrator: "user:root",
	})
	w.must(err)
}

// subject adds what the table leaves out.
func subject(name string) string {
	if strings.Contains(name, ":") {
		return name
	}
	return "user:" + name
}

// atTime reads a time of the day.
func atTime(t *testing.T, text string) *timestamppb.Timestamp {
	clock, err := time.Parse("15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return timestamppb.New(time.Date(testTime.Year(), testTime.Month(), testTime.Day(), clock.Hour(), clock.Minute(), 0, 0, time.UTC))
}

// grant reads "ann: agent in team:a from 12:00 until 13:00".
func (w worked) grant(text string) {
	if text == "" {
		return
	}
	who, what, _ := strings.Cut(text, ": ")
	words := strings.Fields(what)
	r := &usherv1.GrantRequest{Tenant: w.tenant, Subject: subject(who), Role: words[0], By: &usherv1.GrantRequest_Operator{}}
	for i := 1; i+1 < len(words); i += 2 {
		switch words[i] {
		case "in":
			r.Scope = words[i+1]
		case "from":
			r.StartsAt = atTime(w.t, words[i+1])
		case "until":
			r.ExpiresAt = atTime(w.t, words[i+1])
		default:
			w.t.Fatalf("%q is not understood", text)
		}
	}
	_, err := w.h.admin.Grant(context.Background(), r)
	w.must(err)
}

// toggle reads "tagging on". With "closing stored off" the state is put to the store
// directly, as nobody can set a locked toggle.
func (w worked) toggle(words []string) {
	if len(words) == 0 {
		return
	}
	on := words[len(words)-1] == "on"
	if words[1] == "stored" {
		_, err := w.h.store.Commit(context.Background(), store.Write{
			Tenant: w.tenant, By: store.By{Operator: true}, Plan: func(r store.Reader) ([]store.Change, error) {
				tenant, err := r.Tenant(w.tenant)
				return []store.Change{store.SetToggle{Tenant: tenant.ID, Toggle: words[0], On: on}}, err
			},
		})
		w.must(err)
		return
	}
	state := usherv1.ToggleState_TOGGLE_STATE_OFF
	if on {
		state = usherv1.ToggleState_TOGGLE_STATE_ON
	}
	_, err := w.h.admin.SetToggle(context.Background(), &usherv1.SetToggleRequest{
		Tenant: w.tenant, Toggle: words[0], State: state, By: &usherv1.SetToggleRequest_Operator{},
	})
	w.must(err)
}

var workedQuestion = regexp.MustCompile(`^(\S+)(?: \((\S+)\))? (\w+):(\w+)(?: (\w+))??((?: in \S+)*)(?: owner (\S+))?(?: (\{.*\}))?$`)

// ask reads "ann (group:x) ticket:view in team:a owner bob {"status": "open"}", asks it
// and tells the answer as the table does.
func (w worked) ask(text string) string {
	m := workedQuestion.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		w.t.Fatalf("%q is not understood", text)
	}
	r := &usherv1.CheckRequest{
		Tenant: w.tenant, Subject: subject(m[1]), Action: m[4],
		Resource: &usherv1.Resource{Type: m[3], Id: m[5], Scopes: strings.Fields(strings.ReplaceAll(m[6], " in ", " "))},
	}
	if m[2] != "" {
		r.Groups = []string{m[2]}
	}
	if m[7] != "" {
		r.Resource.Owner = subject(m[7])
	}
	if m[8] != "" {
		r.Resource.Attributes = &structpb.Struct{}
		w.must(r.Resource.GetAttributes().UnmarshalJSON([]byte(m[8])))
	}
	response, err := w.h.decisions.Check(context.Background(), r)
	w.must(err)
	reason := response.GetReason()
	allowed := response.GetDecision() == usherv1.Decision_DECISION_ALLOW
	if allowed != (reason.GetCode() == usherv1.ReasonCode_REASON_CODE_GRANTED) {
		w.t.Errorf("%v because of %v", response.GetDecision(), reason.GetCode())
	}
	words := []string{
		strings.TrimPrefix(reason.GetCode().String(), "REASON_CODE_"), reason.GetRole(),
		strings.TrimPrefix(reason.GetHolder(), "user:"), reason.GetScope(), reason.GetToggle(),
		map[usherv1.ToggleState]string{usherv1.ToggleState_TOGGLE_STATE_ON: "on", usherv1.ToggleState_TOGGLE_STATE_OFF: "off"}[reason.GetToggleState()],
		reason.GetAttribute(),
	}
	answer := strings.Join(strings.Fields(strings.Join(words, " ")), " ")
	if by := response.GetRecheckBy(); by != nil {
		answer += ", ask again at " + by.AsTime().Format("15:04")
	}
	return answer
}
