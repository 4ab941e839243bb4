package server_test

import (
	"strings"
	"testing"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// TestListActionsPossibilities lists all actions and says which could become possible.
func TestListActionsPossibilities(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	assign := func(subject, role, scope string, interval store.Interval) {
		h.assign(t, store.Assignment{AssignmentKey: store.AssignmentKey{Subject: subject, Role: role, Scope: scope}, Interval: interval})
	}
	assign("user:sue", "supervisor", "queue:a", store.Interval{})
	assign("group:leads", "supervisor", "queue:b", store.Interval{})
	assign("user:gone", "supervisor", "queue:a", store.Interval{End: testTime.Add(-time.Hour)})
	assign("user:soon", "supervisor", "queue:a", store.Interval{Start: testTime.Add(time.Hour), End: testTime.Add(2 * time.Hour)})
	assign("user:soon", "agent", "", store.Interval{End: testTime.Add(90 * time.Minute)})
	for _, test := range []struct {
		about, subject, group string
		resource              *usherv1.Resource
		want                  string
	}{
		{
			"a toggle would have to change, and a locked one need not", "user:sue", "", &usherv1.Resource{Type: "queue_settings", Scopes: []string{"queue:a"}},
			"manage with change TOGGLE, view now GRANTED",
		},
		{
			"a scope would have to change", "user:sue", "", &usherv1.Resource{Type: "queue_settings", Scopes: []string{"queue:b"}},
			"manage with change OUT_OF_SCOPE, view with change OUT_OF_SCOPE",
		},
		{
			"a group holds the role", "user:ann", "group:leads", &usherv1.Resource{Type: "queue_settings", Scopes: []string{"queue:b"}},
			"manage with change TOGGLE, view now GRANTED",
		},
		{
			"the role has ended", "user:gone", "", &usherv1.Resource{Type: "queue_settings", Scopes: []string{"queue:a"}},
			"manage never NOT_ACTIVE, view never NOT_ACTIVE",
		},
		{
			"the role starts later", "user:soon", "", &usherv1.Resource{Type: "queue_settings", Scopes: []string{"queue:a"}},
			"manage with change NOT_ACTIVE, view with change NOT_ACTIVE",
		},
		{
			"the owner and a toggle would have to change", "user:soon", "", &usherv1.Resource{Type: "chat_tag", Owner: "user:sue"},
			"create with change TOGGLE, use with change NOT_OWNER",
		},
		{
			"a group owns nothing", "group:leads", "", &usherv1.Resource{Type: "chat_tag", Owner: "group:leads"},
			"create never ROLE_LACKS_PERMISSION, use never ROLE_LACKS_PERMISSION",
		},
		{
			"no role", "user:ann", "", &usherv1.Resource{Type: "chat_tag"},
			"create never NO_ROLE, use never NO_ROLE",
		},
	} {
		t.Run(test.about, func(t *testing.T) {
			request := &usherv1.ListActionsRequest{Tenant: "t", Subject: test.subject, Resource: test.resource, IncludeDenied: true}
			if test.group != "" {
				request.Groups = []string{test.group}
			}
			all, err := h.decisions.ListActions(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			if got := actionsLine(all); got != test.want {
				t.Errorf("got:  %s\nwant: %s", got, test.want)
			}
			request.IncludeDenied = false
			allowed, err := h.decisions.ListActions(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			n := strings.Count(test.want, " now GRANTED")
			if len(allowed.GetActions()) != n || strings.Count(actionsLine(allowed), " now GRANTED") != n || all.GetRevision() == "" {
				t.Errorf("without the denied ones: got %v", allowed)
			}
		})
	}
}

func actionsLine(r *usherv1.ListActionsResponse) string {
	var parts []string
	for _, a := range r.GetActions() {
		possibility := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(a.GetPossibility().String(), "POSSIBILITY_"), "_", " "))
		parts = append(parts, a.GetAction()+" "+possibility+" "+strings.TrimPrefix(a.GetReason().GetCode().String(), "REASON_CODE_"))
	}
	return strings.Join(parts, ", ")
}
