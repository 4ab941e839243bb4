package server_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// explainCase is a question in a tenant of a built-in catalog, whose first administrator is
// user:top, and what would help.
type explainCase struct {
	name    string
	catalog string
	// held are further assignments, as "user:ann advisor team:a".
	held       []string
	starting   []string // the same, from an hour later on, for two hours
	toggles    map[string]bool
	permission string
	id         string
	scopes     []string
	attributes map[string]any
	subject    string // "": user:ann
	groups     []string
	want       []string
}

var explainCases = []explainCase{
	{
		name: "another team's ticket", catalog: "expertconnect", held: []string{"user:ann advisor team:a", "user:max manager"},
		permission: "ticket:view", scopes: []string{"team:harvest"},
		want: []string{"grant advisor in team:harvest by manager, administrator (user:max, user:top)"},
	},
	{
		name: "a ticket in two teams", catalog: "expertconnect", held: []string{"user:ann view_only team:a"},
		permission: "ticket:view", scopes: []string{"team:b", "team:c"},
		want: []string{
			"grant view_only in team:b by administrator (user:top)", "grant view_only in team:c by administrator (user:top)",
			"change view_only to advisor in team:a team:b by administrator (user:top)", "change view_only to advisor in team:a team:c by administrator (user:top)",
		},
	},
	{
		name: "a role that has more takes the place of another one", catalog: "expertconnect", held: []string{"user:ann view_only team:a"},
		permission: "ticket:update", scopes: []string{"team:a"},
		want: []string{"change view_only to advisor in team:a by administrator (user:top)"},
	},
	{
		name: "no change to a role that has less: not advisor to view only, but manager", catalog: "expertconnect", held: []string{"user:ann advisor team:a"},
		permission: "insights:view",
		want:       []string{"change advisor to manager in the tenant by administrator (user:top)"},
	},
	{
		name: "nobody in the tenant may", catalog: "expertconnect", subject: "user:top", held: []string{"user:two administrator"},
		permission: "team:access", attributes: map[string]any{"visibility": "internal"},
		want: []string{"change administrator to internal_employee in the tenant by the operator"},
	},
	{
		name: "the last administrator stays", catalog: "expertconnect", subject: "user:top",
		permission: "team:access", attributes: map[string]any{"visibility": "internal"},
	},
	{
		name: "nobody grants a role to themselves, but they set a toggle", catalog: "goto_contact_center", held: []string{"user:max contact_admin"},
		subject: "user:top", permission: "prerecorded_message:manage",
		want: []string{"set manage_prerecorded_messages on by contact_admin (user:max, user:top); grant agent in the tenant by contact_admin (user:max)"},
	},
	{
		name: "a toggle", catalog: "goto_contact_center", held: []string{"user:ann supervisor queue:a"}, permission: "pause_reason:view",
		want: []string{"set view_pause_reasons on by contact_admin (user:top)", "grant contact_admin in the tenant by contact_admin (user:top)"},
	},
	{
		name: "a restriction", catalog: "goto_contact_center", held: []string{"user:ann supervisor queue:a"}, permission: "call:listen", scopes: []string{"queue:b"},
		want: []string{"set restrict_to_assigned_queues off by contact_admin (user:top)", "grant supervisor in queue:b by contact_admin (user:top)"},
	},
	{
		name: "two steps", catalog: "goto_contact_center", held: []string{"user:ann agent queue:a"}, permission: "call_outcome:select", scopes: []string{"queue:b"},
		attributes: map[string]any{"wrap_up_seconds": 30},
		want: []string{
			"set enable_call_outcomes on by contact_admin (user:top); resource logged_in=true",
			"set enable_call_outcomes on by contact_admin (user:top); grant agent in queue:b by contact_admin (user:top)",
		},
	},
	{
		name: "the resource", catalog: "expertconnect", permission: "team:add_contact", attributes: map[string]any{"visibility": "internal"},
		want: []string{`resource visibility="public"`},
	},
	{
		name: "a role that has not started", catalog: "expertconnect", starting: []string{"user:ann advisor team:a"},
		permission: "ticket:update", scopes: []string{"team:a"},
		want: []string{"grant advisor in team:a until 15:00 by administrator (user:top)"},
	},
	{
		name: "through a group that has not started", catalog: "liveagent", starting: []string{"group:g agent department:a"}, groups: []string{"group:g", "group:g"},
		permission: "ticket:view", scopes: []string{"department:a"},
		want: []string{"grant group:g agent in department:a until 15:00 by admin (user:top)", "grant agent in department:a by admin (user:top)"},
	},
	{
		name: "many who may", catalog: "liveagent", permission: "ticket:view", scopes: []string{"department:a"},
		held: []string{
			"user:k admin", "user:l admin", "user:b admin", "user:c admin", "user:d admin", "user:e admin", "user:f admin", "user:g admin",
			"user:h admin", "user:i admin", "user:j admin",
		},
		want: []string{
			"grant agent in department:a by admin (user:b, user:c, user:d, user:e, user:f, user:g, user:h, user:i, user:j, user:k) and more",
		},
	},
}

// TestExplainSaysWhatWouldHelp explains what was worked out by hand.
func TestExplainSaysWhatWouldHelp(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for i, c := range explainCases {
		tenant := fmt.Sprint("t", i)
		t.Run(c.name, func(t *testing.T) {
			r := c.ask(t, h, tenant)
			r.Audience = usherv1.Audience_AUDIENCE_ADMINISTRATOR
			told, err := h.decisions.Explain(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, remedy := range told.GetRemedies() {
				got = append(got, describeRemedy(remedy, r.GetCheck().GetSubject()))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v\ngot\n  %s\nwant\n  %s", told.GetAnswer().GetReason(), strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

// ask makes the tenant and returns the question.
func (c explainCase) ask(t *testing.T, h *harness, tenant string) *usherv1.ExplainRequest {
	t.Helper()
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: tenant, Catalog: c.catalog, FirstAdministrator: "user:top"}); err != nil {
		t.Fatal(err)
	}
	for i, line := range slices.Concat(c.held, c.starting) {
		words := append(strings.Fields(line), "")
		grant := &usherv1.GrantRequest{Tenant: tenant, Subject: words[0], Role: words[1], Scope: words[2], By: byOperator()}
		if i >= len(c.held) {
			grant.StartsAt, grant.ExpiresAt = timestamppb.New(testTime.Add(time.Hour)), timestamppb.New(testTime.Add(3*time.Hour))
		}
		if _, err := h.admin.Grant(t.Context(), grant); err != nil {
			t.Fatal(err)
		}
	}
	for name, on := range c.toggles {
		set := &usherv1.SetToggleRequest{Tenant: tenant, Toggle: name, State: toggleState(on), By: &usherv1.SetToggleRequest_Operator{}}
		if _, err := h.admin.SetToggle(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
	attributes, err := structpb.NewStruct(c.attributes)
	if err != nil {
		t.Fatal(err)
	}
	resourceType, action := cutPermission(c.permission)
	return &usherv1.ExplainRequest{Check: &usherv1.CheckRequest{
		Tenant: tenant, Subject: cmp.Or(c.subject, "user:ann"), Groups: c.groups, Action: action,
		Resource: &usherv1.Resource{Type: resourceType, Id: c.id, Scopes: c.scopes, Attributes: attributes},
	}}
}

// describeRemedy writes a remedy on one line. Of who asks, the name is left out.
func describeRemedy(r *usherv1.Remediation, subject string) string {
	var steps []string
	for _, step := range r.GetSteps() {
		text := ""
		in := func(scopes ...string) string {
			if scopes = slices.DeleteFunc(scopes, func(s string) bool { return s == "" }); len(scopes) == 0 {
				return "in the tenant"
			}
			return "in " + strings.Join(scopes, " ")
		}
		whose := func(s string) string { return strings.TrimPrefix(s+" ", subject+" ") }
		switch act := step.GetAct(); {
		case act.GetSetToggle() != nil:
			state := strings.ToLower(strings.TrimPrefix(act.GetSetToggle().GetState().String(), "TOGGLE_STATE_"))
			text = fmt.Sprintf("set %s %s", act.GetSetToggle().GetToggle(), state)
		case act.GetGrant() != nil:
			text = fmt.Sprintf("grant %s%s %s", whose(act.GetGrant().GetSubject()), act.GetGrant().GetRole(), in(act.GetGrant().GetScope()))
			if ends := act.GetGrant().GetExpiresAt(); ends != nil {
				text += " until " + ends.AsTime().Format("15:04")
			}
		case act.GetChangeRole() != nil:
			text = fmt.Sprintf("change %s to %s %s", act.GetChangeRole().GetFrom(), act.GetChangeRole().GetTo(), in(act.GetChangeRole().GetScopes()...))
		case act.GetRevoke() != nil && act.GetRevoke().GetEverywhere():
			text = fmt.Sprintf("revoke %s%s everywhere", whose(act.GetRevoke().GetSubject()), act.GetRevoke().GetRole())
		case act.GetRevoke() != nil:
			text = fmt.Sprintf("revoke %s%s %s", whose(act.GetRevoke().GetSubject()), act.GetRevoke().GetRole(), in(act.GetRevoke().GetScope()))
		default:
			text = "resource"
			fields := step.GetResource().GetAttributes().GetFields()
			for _, name := range slices.Sorted(maps.Keys(fields)) {
				text += fmt.Sprintf(" %s=%s", name, strings.TrimSpace(fields[name].String()[strings.Index(fields[name].String(), ":")+1:]))
			}
		}
		by := step.GetBy()
		switch {
		case by.GetOperator():
			text += " by the operator"
		case by != nil:
			text += fmt.Sprintf(" by %s (%s)", strings.Join(by.GetRoles(), ", "), strings.Join(by.GetSubjects(), ", "))
		}
		if by.GetMoreSubjects() {
			text += " and more"
		}
		steps = append(steps, text)
	}
	return strings.Join(steps, "; ")
}
