package policy_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

// decideBench is a question whose answer is measured.
type decideBench struct {
	name    string
	catalog string
	// on are the toggles that do not stand as they start.
	on map[string]bool
	// holds are the assignments of user:amy.
	holds []store.AssignmentKey
	// groups are those of the groups group:0, group:1 … that amy is in.
	groups   [][]store.AssignmentKey
	action   string
	actions  []string // instead of one, the actions that a batch asks about the resource
	resource policy.Resource
	want     policy.Code
}

// decideBenches go from the everyday question to ones that are as long as they get with
// the built-in catalogs.
func decideBenches() []decideBench {
	const expertconnect, contactCenter = "expertconnect.yaml", "goto_contact_center.yaml"
	in := func(role string, scopes ...string) (keys []store.AssignmentKey) {
		for _, s := range scopes {
			keys = append(keys, store.AssignmentKey{Role: role, Scope: s})
		}
		return keys
	}
	facts := func(pairs ...any) map[string]*structpb.Value {
		attributes := map[string]*structpb.Value{}
		for i := 0; i < len(pairs); i += 2 {
			v, err := structpb.NewValue(pairs[i+1])
			if err != nil {
				panic(err)
			}
			attributes[pairs[i].(string)] = v
		}
		return attributes
	}
	advisor := in("advisor", "team:harvest", "team:parts")
	administrator := in("administrator", "")
	supervisor := in("supervisor", "queue:billing", "queue:claims", "queue:complaints", "queue:hardware", "queue:orders",
		"queue:returns", "queue:sales", "queue:sales_emea", "queue:support", "queue:support_vip")
	agent := in("agent", "queue:billing", "ring_group:front")
	ticket := func(r policy.Resource) policy.Resource { r.Type, r.ID = "ticket", "7"; return r }
	queues := func(resourceType string, scopes ...string) policy.Resource {
		return policy.Resource{Type: resourceType, ID: "7", Scopes: scopes}
	}
	return []decideBench{
		// A rule or two, no condition.
		{name: "assigned", catalog: expertconnect, holds: advisor, action: "view",
			resource: ticket(policy.Resource{Scopes: []string{"team:parts"}}), want: policy.Granted},
		{name: "out_of_scope", catalog: expertconnect, holds: advisor, action: "view",
			resource: ticket(policy.Resource{Scopes: []string{"team:seeds"}}), want: policy.OutOfScope},
		{name: "default_role_own", catalog: expertconnect, action: "view",
			resource: ticket(policy.Resource{Owner: "user:amy"}), want: policy.Granted},
		{name: "inherited", catalog: expertconnect, holds: administrator, action: "view",
			resource: ticket(policy.Resource{Scopes: []string{"team:parts"}}), want: policy.Granted},
		{name: "role_lacks", catalog: expertconnect, holds: advisor, action: "open",
			resource: policy.Resource{Type: "admin_page"}, want: policy.RoleLacksPermission},
		// 10 queues held, a resource in two.
		{name: "queues_assigned", catalog: contactCenter, holds: supervisor, action: "monitor",
			resource: queues("agent", "queue:retail", "queue:support"), want: policy.Granted},
		{name: "queues_toggle_off", catalog: contactCenter, holds: supervisor, action: "manage",
			resource: queues("queue_settings", "queue:retail", "queue:support"), want: policy.Toggled},
		{name: "queues_toggle_on", catalog: contactCenter, on: map[string]bool{"manage_queue_settings": true}, holds: supervisor,
			action: "manage", resource: queues("queue_settings", "queue:retail", "queue:support"), want: policy.Granted},
		{name: "queues_widened", catalog: contactCenter, on: map[string]bool{"restrict_to_assigned_queues": false}, holds: supervisor,
			action: "monitor", resource: queues("agent", "queue:retail", "queue:fraud"), want: policy.Granted},
		// The subject and three groups hold roles.
		{name: "groups", catalog: contactCenter, holds: agent, groups: [][]store.AssignmentKey{
			in("supervisor", "queue:billing", "queue:orders"), in("agent", "queue:sales"), in("supervisor", "queue:sales"),
		}, action: "monitor", resource: queues("queue", "queue:sales"), want: policy.Granted},
		{name: "groups_tied", catalog: contactCenter, holds: in("supervisor", "queue:billing"), groups: [][]store.AssignmentKey{
			in("supervisor", "queue:sales"), in("supervisor", "queue:sales"), in("supervisor", "queue:orders", "queue:sales"),
		}, action: "monitor", resource: queues("queue", "queue:sales"), want: policy.Granted},
		// With conditions.
		{name: "condition", catalog: expertconnect, action: "attach",
			resource: ticket(policy.Resource{Owner: "user:amy", Attributes: facts("status", "closed")}), want: policy.ConditionNotMet},
		{name: "condition_missing", catalog: expertconnect, action: "attach",
			resource: ticket(policy.Resource{Owner: "user:amy"}), want: policy.MissingAttribute},
		{name: "condition_and", catalog: contactCenter, on: map[string]bool{"enable_call_outcomes": true}, holds: agent, action: "select",
			resource: policy.Resource{Type: "call_outcome", Scopes: []string{"queue:sales"},
				Attributes: facts("logged_in", true, "wrap_up_seconds", 30)}, want: policy.Granted},
		{name: "condition_in", catalog: expertconnect, holds: in("internal_employee", ""), action: "create",
			resource: ticket(policy.Resource{Scopes: []string{"team:parts"},
				Attributes: facts("status", "open", "team_visibility", "public")}), want: policy.Granted},
		{name: "condition_on_id", catalog: expertconnect, holds: administrator, action: "grant",
			resource: policy.Resource{Type: "role", ID: "manager", Scopes: []string{"team:parts"}}, want: policy.Granted},
		// Several actions on one resource.
		{name: "batch_of_5_assigned", catalog: expertconnect, holds: advisor,
			actions:  []string{"view", "answer", "message", "attach", "update"},
			resource: ticket(policy.Resource{Scopes: []string{"team:parts"}}), want: policy.Granted},
		{name: "batch_of_4_queues", catalog: contactCenter, holds: supervisor,
			actions:  []string{"manage", "monitor", "login_agent", "logout_agent"},
			resource: queues("queue", "queue:retail", "queue:support"), want: policy.Granted},
	}
}

// compile returns the table and the holders of the question.
func (d decideBench) compile(b testing.TB) (*policy.Table, []*policy.Holder) {
	b.Helper()
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	for _, source := range catalogs.All() {
		if source.Name != d.catalog {
			continue
		}
		catalog, err := policy.Parse(source.Name, source.YAML, nil)
		if err != nil {
			b.Fatal(err)
		}
		var holders []*policy.Holder
		for i, held := range append([][]store.AssignmentKey{d.holds}, d.groups...) {
			name := "user:amy"
			if i > 0 {
				name = fmt.Sprintf("group:%d", i-1)
			}
			var assignments []store.Assignment
			for _, key := range held {
				key.Subject = name
				assignments = append(assignments, store.Assignment{AssignmentKey: key})
			}
			holder, err := policy.NewHolder(catalog, name, assignments, now)
			if err != nil {
				b.Fatal(err)
			}
			holders = append(holders, holder)
		}
		return policy.NewTable(catalog, d.on), holders
	}
	b.Fatalf("no catalog %s", d.catalog)
	return nil, nil
}

// BenchmarkDecide measures a decision on a compiled subject, or the decisions about all
// of the actions on one resource.
func BenchmarkDecide(b *testing.B) {
	for _, bench := range decideBenches() {
		b.Run("case="+bench.name, func(b *testing.B) {
			table, holders := bench.compile(b)
			request := &policy.Request{Subject: "user:amy", Action: bench.action, Resource: bench.resource}
			b.ReportAllocs()
			if bench.actions == nil {
				for b.Loop() {
					if d, err := table.Decide(holders, request); err != nil || d.Reason.Code != bench.want {
						b.Fatal(d, err)
					}
				}
				return
			}
			for b.Loop() {
				question := table.Ask(holders, "user:amy", &bench.resource)
				for _, action := range bench.actions {
					if d, err := question.Decide(action); err != nil || d.Reason.Code != bench.want {
						b.Fatal(d, err)
					}
				}
			}
		})
	}
}
