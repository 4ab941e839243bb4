package policy_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

// BenchmarkDecide measures a decision on a compiled subject.
func BenchmarkDecide(b *testing.B) {
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	advisor := []store.Assignment{
		{AssignmentKey: store.AssignmentKey{Subject: "user:amy", Role: "advisor", Scope: "team:harvest"}},
		{AssignmentKey: store.AssignmentKey{Subject: "user:amy", Role: "advisor", Scope: "team:parts"}},
	}
	closed := map[string]*structpb.Value{"status": structpb.NewStringValue("closed")}
	for _, bench := range []struct {
		name     string
		holds    []store.Assignment
		action   string
		resource policy.Resource
		want     policy.Code
	}{
		{"case=assigned", advisor, "view", policy.Resource{Type: "ticket", ID: "7", Scopes: []string{"team:parts"}}, policy.Granted},
		{"case=out_of_scope", advisor, "view", policy.Resource{Type: "ticket", ID: "7", Scopes: []string{"team:seeds"}}, policy.OutOfScope},
		{"case=default_role_own", nil, "view", policy.Resource{Type: "ticket", ID: "7", Owner: "user:amy"}, policy.Granted},
		{"case=condition", nil, "attach", policy.Resource{Type: "ticket", ID: "7", Owner: "user:amy", Attributes: closed}, policy.ConditionNotMet},
	} {
		b.Run(bench.name, func(b *testing.B) {
			source := catalogs.All()[0]
			catalog, err := policy.Parse(source.Name, source.YAML)
			if err != nil {
				b.Fatal(err)
			}
			table := policy.NewTable(catalog, nil)
			holder, err := policy.NewHolder(catalog, "user:amy", bench.holds, now)
			if err != nil {
				b.Fatal(err)
			}
			holders := []*policy.Holder{holder}
			request := &policy.Request{Subject: "user:amy", Action: bench.action, Resource: bench.resource}
			b.ReportAllocs()
			for b.Loop() {
				if d, err := table.Decide(holders, request); err != nil || d.Reason.Code != bench.want {
					b.Fatal(d, err)
				}
			}
		})
	}
}
