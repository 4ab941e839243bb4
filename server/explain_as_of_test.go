package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// TestExplainAsOfIsWhatCheckAnswered asks checks after each of many random writes, and later asks
// why they were answered so: by time and by revision.
func TestExplainAsOfIsWhatCheckAnswered(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	type asked struct {
		check    *usherv1.CheckRequest
		answer   *usherv1.CheckResponse
		at       time.Time
		revision string // of the tenant's newest change
		changed  bool   // whether that was just before
	}
	var all []asked
	decided := map[usherv1.Decision]int{}
	enough := func() bool {
		return decided[usherv1.Decision_DECISION_ALLOW] >= 20 && decided[usherv1.Decision_DECISION_DENY] >= 20
	}
	h.clock.Set(testTime.Add(time.Second))
	for round := 0; round < 60 || round < 600 && !enough(); round++ {
		h.writeRandomly(t, random, "t")
		newest, err := h.admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "t", PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			resourceType, action := cutPermission(oneOfThese(random, "skill:view", "skill:manage", "queue:serve", "queue:monitor", "analytics:view"))
			check := &usherv1.CheckRequest{
				Tenant: "t", Subject: oneOfThese(random, "user:0", "user:1", "user:2", "user:3"), Groups: []string{oneOfThese(random, "group:x", "group:y")},
				Action: action, Resource: &usherv1.Resource{Type: resourceType, Scopes: []string{oneOfThese(random, "queue:a", "queue:b", "inbox:a")}},
			}
			answer, err := h.decisions.Check(t.Context(), check)
			if err != nil {
				t.Fatal(err)
			}
			decided[answer.GetDecision()]++
			a := asked{check: check, answer: answer, at: h.clock.Now(), revision: newest.GetChanges()[0].GetRevision()}
			a.changed = newest.GetChanges()[0].GetTime().AsTime().Sub(a.at) >= 0
			all = append(all, a)
		}
		h.clock.Set(h.clock.Now().Add(time.Duration(1+random.IntN(20_000)) * time.Millisecond))
	}
	if !enough() {
		t.Errorf("got %v, too few of one kind", decided)
	}
	for _, a := range all {
		a.answer.Revision = a.revision
		moments := []*usherv1.AsOf{asOfTime(a.at)}
		if a.changed { // otherwise time has passed since
			moments = append(moments, asOfRevision(a.revision))
		}
		for _, asOf := range moments {
			told, err := h.decisions.Explain(t.Context(), &usherv1.ExplainRequest{Check: a.check, AsOf: asOf})
			if err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(told.GetAnswer(), a.answer) || len(told.GetRemedies()) > 0 {
				t.Errorf("%v as of %v: got %v with %d remedies, it was %v", a.check, asOf, told.GetAnswer(), len(told.GetRemedies()), a.answer)
			}
		}
	}
	_, err := h.decisions.Explain(t.Context(), &usherv1.ExplainRequest{Check: all[0].check, AsOf: asOfTime(testTime.Add(-time.Hour))})
	wantError(t, err, codes.OutOfRange, "NOT_KEPT")
}

// TestExplainAsOfHasTheCatalogOfThen moves a tenant to another version of its catalog, and asks for
// what only one of them has.
func TestExplainAsOfHasTheCatalogOfThen(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const catalog = "holders: [user], administration: {protected_role: admin}, resource_types: [{name: ticket, actions: [view, ACTION]}], " +
		"roles: [{name: admin, rules: [{allow: [role:grant, toggle:set, ticket:ACTION], reach: tenant}]}]}\n"
	for version, action := range []string{"close", "merge"} {
		yaml := fmt.Sprintf("{name: c, version: %d, ", version+1) + strings.ReplaceAll(catalog, "ACTION", action)
		if _, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: yaml}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
		Tenant: "t", Catalog: "c", CatalogVersion: 1, FirstAdministrator: "user:a",
	}); err != nil {
		t.Fatal(err)
	}
	h.clock.Set(testTime.Add(time.Hour))
	if _, err := h.operator.UpdateTenant(t.Context(), &usherv1.UpdateTenantRequest{Tenant: "t", CatalogVersion: 2}); err != nil {
		t.Fatal(err)
	}
	explain := func(action string, asOf *usherv1.AsOf) (*usherv1.ExplainResponse, error) {
		return h.decisions.Explain(t.Context(), &usherv1.ExplainRequest{AsOf: asOf, Check: &usherv1.CheckRequest{
			Tenant: "t", Subject: "user:a", Action: action, Resource: &usherv1.Resource{Type: "ticket"},
		}})
	}
	for action, asOf := range map[string]*usherv1.AsOf{"close": asOfTime(testTime.Add(time.Minute)), "merge": nil} {
		told, err := explain(action, asOf)
		if err != nil || told.GetAnswer().GetDecision() != usherv1.Decision_DECISION_ALLOW {
			t.Errorf("%s: got %v, %v", action, told, err)
		}
	}
	_, err := explain("merge", asOfTime(testTime.Add(time.Minute)))
	wantError(t, err, codes.InvalidArgument, "UNKNOWN_ACTION")
	_, err = explain("close", nil)
	wantError(t, err, codes.InvalidArgument, "UNKNOWN_ACTION")
}
