package listfilter_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	listfilter "github.com/usher-pdp/usher/docs/examples/list_filter"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// TestTheDocsShowWhatComesOut asks the questions of docs/lists.md, and looks for the clauses there.
func TestTheDocsShowWhatComesOut(t *testing.T) {
	page := readFile(t, "../../lists.md")
	catalog := readFile(t, "catalog.yaml")
	if !strings.Contains(page, "```yaml\n"+catalog+"```") {
		t.Error("docs/lists.md does not show catalog.yaml")
	}
	u := startUsher(t)
	u.createTenant(t, "dealer", "expertconnect", "")
	u.createTenant(t, "shop", "repair_shop", catalog)
	u.grant(t, &usherv1.GrantRequest{Tenant: "dealer", Subject: "user:ben", Role: "advisor", Scope: "team:harvest"})
	u.grant(t, &usherv1.GrantRequest{Tenant: "dealer", Subject: "user:ben", Role: "advisor", Scope: "team:parts"})
	u.grant(t, &usherv1.GrantRequest{Tenant: "shop", Subject: "user:eve", Role: "technician", Scope: "workshop:north"})
	u.grant(t, &usherv1.GrantRequest{Tenant: "shop", Subject: "user:eve", Role: "suspended"})
	for _, request := range []*usherv1.ListScopesRequest{
		{Tenant: "dealer", Subject: "user:ben", Action: "view", ResourceType: "ticket"},
		{Tenant: "dealer", Subject: "user:pat", Action: "attach", ResourceType: "ticket"},
		{Tenant: "shop", Subject: "user:eve", Action: "view", ResourceType: "ticket"},
	} {
		filter, err := listfilter.Fetch(t.Context(), u.decisions, request)
		if err != nil {
			t.Fatal(err)
		}
		where, args, err := listfilter.Tickets.Where(filter, request.GetSubject())
		if err != nil {
			t.Fatal(err)
		}
		shown := "```sql\n" + where + "\n"
		for i, arg := range args {
			shown += fmt.Sprintf("-- ?%d = %v\n", i+1, arg)
		}
		if shown += "```\n"; !strings.Contains(page, shown) {
			t.Errorf("docs/lists.md does not have what comes out for %v:\n%s", request, shown)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWhatCanNotBeSaidIsRefused has filters of a newer server, a page of several, and an attribute
// without a column.
func TestWhatCanNotBeSaidIsRefused(t *testing.T) {
	tenant := func(e *usherv1.Expression) *usherv1.ListScopesResponse {
		return &usherv1.ListScopesResponse{Allow: []*usherv1.Alternative{{
			Reach: &usherv1.Alternative_Tenant{Tenant: true}, Condition: &usherv1.Condition{Text: "…", Expression: e},
		}}}
	}
	for what, filter := range map[string]*usherv1.ListScopesResponse{
		"more pages":                                {NextPageToken: "next"},
		"an alternative of a kind":                  {Forbid: []*usherv1.Alternative{{}}},
		"an expression of a kind":                   tenant(&usherv1.Expression{Node: &usherv1.Expression_Not{Not: &usherv1.Expression{}}}),
		"a comparison that is not known":            tenant(&usherv1.Expression{Node: &usherv1.Expression_Compare{Compare: &usherv1.Comparison{Attribute: "id"}}}),
		`there is no column for the attribute "x"`:  tenant(&usherv1.Expression{Node: &usherv1.Expression_Has{Has: "x"}}),
		`there is no column for the attribute "in"`: tenant(&usherv1.Expression{Node: &usherv1.Expression_In{In: &usherv1.Membership{Attribute: "in"}}}),
		"a constant of a kind": tenant(&usherv1.Expression{Node: &usherv1.Expression_Compare{Compare: &usherv1.Comparison{
			Attribute: "id", Operator: usherv1.ComparisonOperator_COMPARISON_OPERATOR_EQUAL,
		}}}),
	} {
		where, _, err := listfilter.Tickets.Where(filter, "user:ann")
		if err == nil || !strings.Contains(err.Error(), what) || where != "" {
			t.Errorf("%s: %q, %v", what, where, err)
		}
	}

	// Nothing that is allowed is no row, not every row.
	where, _, err := listfilter.Tickets.Where(&usherv1.ListScopesResponse{}, "user:ann")
	if err != nil || where != "FALSE" {
		t.Errorf("of an empty filter: %q, %v", where, err)
	}
}

// TestNoneOfNoConstants has a list without constants, which IN would take as false of NULL.
func TestNoneOfNoConstants(t *testing.T) {
	none := &usherv1.Expression{Node: &usherv1.Expression_In{In: &usherv1.Membership{Attribute: "status"}}}
	where, _, err := listfilter.Tickets.Where(&usherv1.ListScopesResponse{Allow: []*usherv1.Alternative{{
		Reach:     &usherv1.Alternative_Tenant{Tenant: true},
		Condition: &usherv1.Condition{Expression: &usherv1.Expression{Node: &usherv1.Expression_Not{Not: none}}},
	}}}, "user:ann")
	if want := "NOT (tickets.status <> tickets.status)"; err != nil || where != want {
		t.Errorf("%q, %v, want %q", where, err, want)
	}
}
