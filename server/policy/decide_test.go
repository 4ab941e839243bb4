package policy_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
)

// TestAskIsDecide asks a Question about every action that any resource type has, most of
// them unknown for the resource at hand: each comes out as it does on its own.
func TestAskIsDecide(t *testing.T) {
	for _, bench := range decideBenches() {
		table, holders := bench.compile(t)
		actions := []string{"grant", "revoke", "set"}
		for _, resourceType := range table.Catalog().Message().GetResourceTypes() {
			actions = append(actions, resourceType.GetActions()...)
		}
		question, known := table.Ask(holders, "user:amy", &bench.resource), 0
		for _, action := range actions {
			want, wantErr := table.Decide(holders, &policy.Request{Subject: "user:amy", Action: action, Resource: bench.resource})
			got, err := question.Decide(action)
			if got != want || !reflect.DeepEqual(err, wantErr) {
				t.Errorf("%s: asked about %s: %+v, %v; on its own %+v, %v", bench.name, action, got, err, want, wantErr)
			}
			if err == nil {
				known++
			}
		}
		if known == 0 {
			t.Errorf("%s: no action is known", bench.name)
		}
	}
}

// TestFirstUnknownName has requests with several unknown names: the error is about the
// first of resource type, action, scopes and id, and with several actions, the names in
// the resource come after the first action and before the second.
func TestFirstUnknownName(t *testing.T) {
	table, holders := decideBench{catalog: "expertconnect.yaml"}.compile(t)
	bad := []string{"team:parts", "zone:north"}
	for _, test := range []struct {
		actions  []string
		resource policy.Resource
		want     string // the field, and the action with which it is found
	}{
		{[]string{"jump"}, policy.Resource{Type: "rule", ID: "king", Scopes: bad}, "resource.type jump"},
		{[]string{"jump"}, policy.Resource{Type: "role", ID: "king", Scopes: bad}, "action jump"},
		{[]string{"grant"}, policy.Resource{Type: "role", ID: "king", Scopes: bad}, "resource.scopes grant"},
		{[]string{"grant"}, policy.Resource{Type: "role", ID: "king", Scopes: bad[:1]}, "resource.id grant"},
		{[]string{"set"}, policy.Resource{Type: "toggle", ID: "king"}, "resource.id set"},
		{[]string{"grant"}, policy.Resource{Type: "role", Scopes: bad[:1]}, ""},
		{[]string{"view"}, policy.Resource{Type: "ticket", ID: "king", Scopes: bad[:1]}, ""},
		{[]string{"grant", "jump"}, policy.Resource{Type: "role", ID: "king"}, "resource.id grant"},
		{[]string{"grant", "jump"}, policy.Resource{Type: "role", ID: "manager", Scopes: bad[:1]}, "action jump"},
		{[]string{"grant", "revoke"}, policy.Resource{Type: "role", ID: "manager", Scopes: bad[:1]}, ""},
	} {
		got := ""
		question := table.Ask(holders, "user:amy", &test.resource)
		for _, action := range test.actions {
			var unknown *policy.UnknownNameError
			if _, err := question.Decide(action); errors.As(err, &unknown) {
				got = unknown.Field + " " + action
				break
			}
		}
		if got != test.want {
			t.Errorf("%s %s: unknown is %q, want %q", test.resource.Type, test.actions, got, test.want)
		}
	}
}

// TestDecideDoesNotAllocate goes without memory: neither the rules, nor a condition, nor
// a Question takes any.
func TestDecideDoesNotAllocate(t *testing.T) {
	for _, bench := range decideBenches() {
		table, holders := bench.compile(t)
		actions := bench.actions
		if actions == nil {
			actions = []string{bench.action}
		}
		request := &policy.Request{Subject: "user:amy", Resource: bench.resource}
		allocs := testing.AllocsPerRun(100, func() {
			question := table.Ask(holders, "user:amy", &bench.resource)
			for _, action := range actions {
				request.Action = action
				one, err := table.Decide(holders, request)
				if err != nil || one.Reason.Code != bench.want {
					t.Errorf("%s: %s: got %+v, %v", bench.name, action, one, err)
				}
				if again, err := question.Decide(action); again != one || err != nil {
					t.Errorf("%s: %s: asked again, got %+v, %v", bench.name, action, again, err)
				}
			}
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations", bench.name, allocs)
		}
	}
}
