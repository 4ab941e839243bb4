package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

// previewCase is a change to one of the built-in products, after what was granted before.
type previewCase struct {
	name    string
	catalog string
	held    []string // "user:ann agent queue:a"
	on      []string // toggles that are on
	acts    []*usherv1.Act
}

func actGrant(subject, role, scope string) *usherv1.Act {
	return &usherv1.Act{Act: &usherv1.Act_Grant{Grant: &usherv1.GrantAct{Subject: subject, Role: role, Scope: scope}}}
}

func actRevoke(subject, role string) *usherv1.Act {
	return &usherv1.Act{Act: &usherv1.Act_Revoke{Revoke: &usherv1.RevokeAct{Subject: subject, Role: role, Everywhere: true}}}
}

func actRemove(subject string) *usherv1.Act {
	return &usherv1.Act{Act: &usherv1.Act_RemoveSubject{RemoveSubject: &usherv1.RemoveSubjectAct{Subject: subject}}}
}

func actChange(subject, from, to string, scopes ...string) *usherv1.Act {
	return &usherv1.Act{Act: &usherv1.Act_ChangeRole{ChangeRole: &usherv1.ChangeRoleAct{Subject: subject, From: from, To: to, Scopes: scopes}}}
}

func actToggle(name string, on bool) *usherv1.Act {
	state := usherv1.ToggleState_TOGGLE_STATE_OFF
	if on {
		state = usherv1.ToggleState_TOGGLE_STATE_ON
	}
	return &usherv1.Act{Act: &usherv1.Act_SetToggle{SetToggle: &usherv1.SetToggleAct{Toggle: name, State: state}}}
}

var previewCases = []previewCase{
	{
		name: "a reach is narrowed", catalog: "goto_contact_center",
		held: []string{"user:sue supervisor queue:a", "user:sam supervisor queue:a", "user:sam supervisor inbox:a", "user:ann agent queue:b", "group:leads supervisor queue:b"},
		on:   nil,
		acts: []*usherv1.Act{actToggle("restrict_to_assigned_queues", false)},
	},
	{
		name: "a toggle that several have", catalog: "goto_contact_center",
		held: []string{"user:sue supervisor queue:a", "user:both supervisor queue:a", "user:both contact_admin", "user:ann agent queue:b"},
		acts: []*usherv1.Act{actToggle("manage_queue_settings", true), actToggle("view_skills", true)},
	},
	{
		name: "logins anywhere", catalog: "goto_contact_center",
		held: []string{"user:ann agent queue:b", "group:night agent queue:a"},
		on:   []string{"allow_unassigned_queue_login", "enable_call_outcomes"},
		acts: []*usherv1.Act{actToggle("allow_unassigned_queue_login", false), actToggle("enable_call_outcomes", false)},
	},
	{
		name: "a leaver and a newcomer", catalog: "goto_contact_center",
		held: []string{"user:ann agent queue:a", "user:ann supervisor queue:b", "user:bob agent queue:a"},
		acts: []*usherv1.Act{actRemove("user:ann"), actGrant("user:new", "supervisor", "queue:a"), actGrant("user:bob", "agent", "queue:b")},
	},
	{
		name: "what another role still gives is not lost", catalog: "liveagent",
		held: []string{"user:ann agent department:a", "user:ann admin", "user:bob agent department:b", "user:bob user"},
		acts: []*usherv1.Act{actRevoke("user:ann", "agent"), actRevoke("user:bob", "agent")},
	},
	{
		name: "a first role ends the default role", catalog: "expertconnect",
		held: []string{"user:mia manager"},
		acts: []*usherv1.Act{actGrant("user:new", "advisor", "team:a"), actGrant("user:eve", "view_only", "team:b")},
	},
	{
		name: "a promotion, and advisors lose a button", catalog: "expertconnect",
		held: []string{"user:ann advisor team:a", "user:bob advisor team:b", "user:bob advisor team:a"},
		acts: []*usherv1.Act{actChange("user:ann", "advisor", "manager"), actToggle("advisor_ticket_reassign", false), actToggle("advisor_ticket_create", false)},
	},
}

// TestPreview carries each previewed change out, and compares what was said with all
// decisions before and after.
func TestPreview(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for i, c := range previewCases {
		t.Run(c.name, func(t *testing.T) {
			tenant := fmt.Sprint("preview-", i)
			subjects := c.prepare(t, h, tenant)
			request := &usherv1.PreviewChangeRequest{Tenant: tenant, Acts: c.acts, By: &usherv1.PreviewChangeRequest_Operator{}, PageSize: 1000}
			said, err := h.admin.PreviewChange(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			samePreviewInPages(t, h, request, said)
			world := newPreviewWorld(t, c.catalog)
			before := world.decide(t, h, tenant, subjects)
			if _, err := h.admin.BatchWrite(t.Context(), &usherv1.BatchWriteRequest{Tenant: tenant, Acts: c.acts, By: &usherv1.BatchWriteRequest_Operator{}}); err != nil {
				t.Fatal(err)
			}
			compareWithDecisions(t, said, before, world.decide(t, h, tenant, subjects))
		})
	}
}

// prepare makes the tenant, and returns all subjects that the case is about, and one who
// holds nothing.
func (c previewCase) prepare(t *testing.T, h *harness, tenant string) []string {
	t.Helper()
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: tenant, Catalog: c.catalog, FirstAdministrator: "user:root"}); err != nil {
		t.Fatal(err)
	}
	var acts []*usherv1.Act
	subjects := []string{"user:root", "user:nobody", "user:new", "user:eve"}
	for _, held := range c.held {
		words := append(strings.Fields(held), "")
		acts = append(acts, actGrant(words[0], words[1], words[2]))
		subjects = append(subjects, words[0])
	}
	for _, toggle := range c.on {
		acts = append(acts, actToggle(toggle, true))
	}
	if _, err := h.admin.BatchWrite(t.Context(), &usherv1.BatchWriteRequest{Tenant: tenant, Acts: acts, By: &usherv1.BatchWriteRequest_Operator{}}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

// samePreviewInPages asks for pages of one subject.
func samePreviewInPages(t *testing.T, h *harness, r *usherv1.PreviewChangeRequest, whole *usherv1.PreviewChangeResponse) {
	t.Helper()
	paged := proto.Clone(r).(*usherv1.PreviewChangeRequest)
	paged.PageSize = 1
	var effects []*usherv1.SubjectEffect
	var conflicts []*usherv1.Conflict
	for {
		page, err := h.admin.PreviewChange(t.Context(), paged)
		if err != nil {
			t.Fatal(err)
		}
		effects = append(effects, page.GetEffects()...)
		conflicts = append(conflicts, page.GetConflicts()...)
		if paged.PageToken = page.GetNextPageToken(); paged.PageToken == "" {
			break
		}
		if len(page.GetCounts()) != len(whole.GetCounts()) && len(effects)+len(conflicts) == 1 {
			t.Errorf("the first page has %d counts, want %d", len(page.GetCounts()), len(whole.GetCounts()))
		}
		if len(effects)+len(conflicts) > 1000 {
			t.Fatal("the pages have no end")
		}
	}
	got := &usherv1.PreviewChangeResponse{Effects: effects, Conflicts: conflicts}
	want := &usherv1.PreviewChangeResponse{Effects: whole.GetEffects(), Conflicts: whole.GetConflicts()}
	if !proto.Equal(got, want) {
		t.Errorf("the pages have %v, one page %v", got, want)
	}
}

// previewQuestion is a question whose answer a change may turn around.
type previewQuestion struct {
	subject, permission, scope, id string
	own                            bool
	attributes                     int // of previewAttributes
}

// previewAttributes are attributes that make each condition of the built-in catalogs hold
// or not.
var previewAttributes = []map[string]any{
	{},
	{"visibility": "public", "team_visibility": "public", "status": "open", "logged_in": true, "wrap_up_seconds": 10},
	{"visibility": "internal", "team_visibility": "internal", "status": "closed", "logged_in": false, "wrap_up_seconds": 10},
	{"logged_in": true, "wrap_up_seconds": 0},
}

// previewWorld is everything that is asked of a product.
type previewWorld struct {
	questions []previewQuestion // for no subject
	items     []*usherv1.BatchCheckItem
}

func newPreviewWorld(t *testing.T, name string) *previewWorld {
	t.Helper()
	var catalog *catalogv1.Catalog
	for _, source := range catalogs.All() {
		if c := readCatalog(t, string(source.YAML)); c.GetName() == name {
			catalog = c
		}
	}
	types := map[string][]string{"role": {"grant", "revoke"}}
	ids := map[string][]string{}
	for _, r := range catalog.GetResourceTypes() {
		types[r.GetName()] = r.GetActions()
	}
	for _, r := range catalog.GetRoles() {
		ids["role"] = append(ids["role"], r.GetName())
	}
	for _, r := range catalog.GetToggles() {
		types["toggle"] = []string{"set"}
		ids["toggle"] = append(ids["toggle"], r.GetName())
	}
	scopes := []string{""}
	for _, s := range catalog.GetScopeTypes() {
		scopes = append(scopes, s+":a", s+":b", s+":elsewhere")
	}
	w := &previewWorld{}
	for resource, actions := range types {
		if ids[resource] == nil {
			ids[resource] = []string{"1"}
		}
		for _, action := range actions {
			for _, id := range ids[resource] {
				for _, scope := range scopes {
					for _, own := range []bool{false, true} {
						for i := range previewAttributes {
							w.ask(t, resource, action, previewQuestion{permission: resource + ":" + action, scope: scope, id: id, own: own, attributes: i})
						}
					}
				}
			}
		}
	}
	return w
}

func (w *previewWorld) ask(t *testing.T, resource, action string, q previewQuestion) {
	t.Helper()
	attributes, err := structpb.NewStruct(previewAttributes[q.attributes])
	if err != nil {
		t.Fatal(err)
	}
	item := &usherv1.BatchCheckItem{Actions: []string{action}, Resource: &usherv1.Resource{Type: resource, Id: q.id, Attributes: attributes}}
	if q.scope != "" {
		item.Resource.Scopes = []string{q.scope}
	}
	w.questions, w.items = append(w.questions, q), append(w.items, item)
}

// decide asks everything of each subject, and returns what is allowed.
func (w *previewWorld) decide(t *testing.T, h *harness, tenant string, subjects []string) map[previewQuestion]bool {
	t.Helper()
	allowed := map[previewQuestion]bool{}
	for _, subject := range subjects {
		for begin := 0; begin < len(w.items); begin += 1000 {
			end := min(begin+1000, len(w.items))
			for i, q := range w.questions[begin:end] {
				w.items[begin+i].Resource.Owner = "user:else"
				if q.own {
					w.items[begin+i].Resource.Owner = subject
				}
			}
			response, err := h.decisions.BatchCheck(t.Context(), &usherv1.BatchCheckRequest{Tenant: tenant, Subject: subject, Items: w.items[begin:end]})
			if err != nil {
				t.Fatal(err)
			}
			for i, result := range response.GetResults() {
				q := w.questions[begin+i]
				q.subject = subject
				allowed[q] = result.GetDecisions()[0] == usherv1.Decision_DECISION_ALLOW
			}
		}
	}
	return allowed
}

// compareWithDecisions wants each decision that has changed to be in what was said, and all
// that was said to be true of some decision.
func compareWithDecisions(t *testing.T, said *usherv1.PreviewChangeResponse, before, after map[previewQuestion]bool) {
	t.Helper()
	effects := map[string]*usherv1.SubjectEffect{}
	for _, e := range said.GetEffects() {
		effects[e.GetSubject()] = e
	}
	seen := map[*usherv1.Reach]bool{}
	changed := 0
	for q, was := range before {
		if was == after[q] {
			continue
		}
		changed++
		e := effects[q.subject]
		if e == nil {
			e = effects[""] // who holds nothing
		}
		reaches := e.GetLost()
		if after[q] {
			reaches = e.GetGained()
		}
		covered := false
		for _, r := range reaches {
			if r.GetPermission() == q.permission && covers(r, q) {
				covered, seen[r] = true, true
			}
		}
		if !covered {
			t.Errorf("%+v was %v and is %v, and the preview does not say so", q, was, after[q])
		}
	}
	for _, e := range said.GetEffects() {
		for _, r := range slices.Concat(e.GetGained(), e.GetLost()) {
			if !seen[r] && e.GetSubject() != "" {
				t.Errorf("the preview says of %s: %v, and no decision has changed so", e.GetSubject(), r)
			}
		}
	}
	if changed == 0 {
		t.Error("the change changes no decision")
	}
	t.Logf("%d of %d decisions are different", changed, len(before))
}

func covers(r *usherv1.Reach, q previewQuestion) bool {
	switch w := r.GetWhere().(type) {
	case *usherv1.Reach_Tenant:
		return true
	case *usherv1.Reach_Scope:
		return w.Scope == q.scope
	case *usherv1.Reach_AnyScopeOfType:
		return strings.HasPrefix(q.scope, w.AnyScopeOfType+":")
	case *usherv1.Reach_Own:
		return q.own
	case *usherv1.Reach_ResourceId:
		return w.ResourceId == q.id
	}
	return false
}
