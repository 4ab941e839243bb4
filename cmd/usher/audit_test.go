package main

import (
	"strings"
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func TestAFindingIsALineWhateverItIsAbout(t *testing.T) {
	var got strings.Builder
	writeVerified(&got, &usherv1.VerifyChangesResponse{Chains: 2, Records: 1, Done: true, Findings: []*usherv1.Finding{
		{Text: "one"},
		{TenantId: 7, Tenant: "acme", AfterRevision: "c0ffee.42", Text: "not compared: two"},
		{TenantId: 8, Text: "three"},
	}})
	want := `the installation (id 0), from the first change on: one
acme (id 7), after c0ffee.42: not compared: two
a tenant (id 8), from the first change on: three
not whole  3 findings in 1 change of 2 chains
`
	if got.String() != want {
		t.Errorf("%s\nwant\n%s", &got, want)
	}
}
