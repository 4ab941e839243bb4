package server_test

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

var scopesWorlds = flag.Int("scopes-worlds", 100, "how many random worlds TestFiltersAgreeWithChecks plays")

// filterSeen says in how many of 10,000 filters, or of 10,000 comparisons, something has to have
// happened at least, so that an agreement means something. It is far below what is usual.
var filterSeen = map[string]int{
	"reach: tenant":         1000,
	"reach: scopes":         10,
	"reach: any scope":      50,
	"reach: own":            30,
	"condition":             50,
	"several pages":         10,
	"with groups":           1000,
	"recheck":               100,
	"of roles or toggles":   1000,
	"allow beside a forbid": 20,
}

var filterComparisonsSeen = map[string]int{
	"allowed":                      500,
	"forbidden":                    20,
	"forbidden though undecided":   10,
	"denied by an undecided allow": 10,
}

// TestFiltersAgreeWithChecks evaluates the filters of random worlds, which come in small pages,
// for random resources: as naively as it can be said, from what the API documents. BatchCheck
// answers the same. A failing case is made smaller, and printed with its seed.
func TestFiltersAgreeWithChecks(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	t.Cleanup(func() { _ = checks.Set(before) })
	if err := checks.Set(strconv.Itoa(*scopesWorlds)); err != nil {
		t.Fatal(err)
	}
	p := &judgePlay{h: newHarness(t), seen: map[string]int{}}
	generator := rapid.Custom(func(t *rapid.T) *filterWorld {
		return &filterWorld{drawWorld(t), rapid.Int32Range(0, 4).Draw(t, "page size")}
	})
	rapid.Check(t, func(t *rapid.T) {
		w := generator.Draw(t, "world")
		if err := p.playFilters(t.Context(), w); err != nil {
			t.Log(err)
			t.Fatal("a filter and a check differ")
		}
	})
	filters := p.seen["filters"]
	t.Logf("%d comparisons of %d filters in %d worlds", p.decided, filters, p.worlds)
	for _, what := range slices.Sorted(maps.Keys(p.seen)) {
		t.Logf("%8d %s", p.seen[what], what)
	}
	if p.worlds < 100 {
		return
	}
	enough := func(seen map[string]int, of int) {
		for what, least := range seen {
			if least = least * of / 10_000; p.seen[what] < least {
				t.Errorf("%s: %d times in %d, want %d", what, p.seen[what], of, least)
			}
		}
	}
	enough(filterSeen, filters)
	enough(filterComparisonsSeen, p.decided)
}

// filterWorld is a world with the size of the pages that filters are asked in.
type filterWorld struct {
	*judgeWorld
	pageSize int32
}

// playFilters plays a world, and asks for filters where it would ask for decisions.
func (p *judgePlay) playFilters(ctx context.Context, w *filterWorld) error {
	p.worlds++
	catalog := proto.CloneOf(w.catalog)
	catalog.Name = fmt.Sprintf("filter_%d", p.worlds)
	tenant := &judgeTenant{
		judgePlay: p,
		judge:     newJudge(catalog, w.conditions),
		name:      catalog.Name,
		facts:     judgeFacts{toggles: map[string]bool{}, assignments: []judgeAssignment{{subject: judgeAdmin, role: "boss"}}},
	}
	p.h.clock.Set(judgeEpoch)
	if err := tenant.create(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, writeCatalog(catalog))
	}
	for _, moment := range w.moments {
		p.h.clock.Set(moment.at)
		tenant.facts.now = moment.at
		if err := tenant.write(ctx, moment.writes); err != nil {
			return err
		}
		// Some of the questions, each about all resources of its type.
		for i := 0; i < len(moment.items); i += 1 + len(moment.items)/25 {
			if err := tenant.compareFilter(ctx, w, moment, moment.question(i, 0)); err != nil {
				return fmt.Errorf("%w\n%s", err, tenant.describe())
			}
		}
	}
	return nil
}

// compareFilter compares a filter with decisions about all resources of a moment.
func (u *judgeTenant) compareFilter(ctx context.Context, w *filterWorld, moment judgeMoment, q judgeQuestion) error {
	resourceType := q.resource.GetType()
	request := &usherv1.ListScopesRequest{
		Tenant: u.name, Subject: q.subject, Groups: q.groups, Action: q.action, ResourceType: resourceType, PageSize: w.pageSize,
	}
	f, err := u.wholeFilter(ctx, request)
	if err != nil {
		return fmt.Errorf("ListScopes: %w\n%v", err, request)
	}
	batch := &usherv1.BatchCheckRequest{Tenant: u.name, Subject: q.subject, Groups: q.groups}
	for _, item := range moment.items {
		if item.GetResource().GetType() == resourceType {
			batch.Items = append(batch.Items, &usherv1.BatchCheckItem{Resource: item.GetResource(), Actions: []string{q.action}})
		}
	}
	answers, err := u.h.decisions.BatchCheck(ctx, batch)
	if err != nil {
		return fmt.Errorf("BatchCheck: %w", err)
	}
	if !proto.Equal(f.GetRecheckBy(), answers.GetRecheckBy()) {
		return fmt.Errorf("recheck_by is %v, and of the checks %v\n%v", f.GetRecheckBy(), answers.GetRecheckBy(), request)
	}
	for i, result := range answers.GetResults() {
		u.decided++
		q.resource = batch.GetItems()[i].GetResource()
		want := result.GetDecisions()[0] == usherv1.Decision_DECISION_ALLOW
		if got := u.filterAllows(f, q); got != want {
			return fmt.Errorf("the filter says %t, and the check %t\n%s\n%v", got, want, q, f)
		}
	}
	u.countFilter(f, request)
	return nil
}

// wholeFilter asks for all pages. Together they are the answer of one large page, but that an
// alternative may go on on the next page.
func (u *judgeTenant) wholeFilter(ctx context.Context, request *usherv1.ListScopesRequest) (*usherv1.ListScopesResponse, error) {
	whole, pages, err := allFilterPages(ctx, u.h.decisions, request)
	if err != nil {
		return nil, err
	}
	if pages > 1 {
		u.seen["several pages"]++
		large := proto.CloneOf(request)
		large.PageSize = 0
		one, pages, err := allFilterPages(ctx, u.h.decisions, large)
		if err != nil {
			return nil, err
		}
		if pages != 1 {
			return nil, fmt.Errorf("%d pages of a size that is large enough for all", pages)
		}
		joined := proto.CloneOf(whole)
		joined.Allow, joined.Forbid = joinAlternatives(whole.GetAllow()), joinAlternatives(whole.GetForbid())
		if len(joined.GetAllow()) < len(whole.GetAllow()) || len(joined.GetForbid()) < len(whole.GetForbid()) {
			u.seen["goes on on a page"]++
		}
		if !proto.Equal(joined, one) {
			return nil, fmt.Errorf("the pages together are\n%v\nand one page is\n%v", joined, one)
		}
	}
	return whole, nil
}

// allFilterPages follows the tokens, and puts the pages together.
func allFilterPages(ctx context.Context, decisions usherv1.DecisionServiceClient, request *usherv1.ListScopesRequest) (*usherv1.ListScopesResponse, int, error) {
	request = proto.CloneOf(request)
	whole := &usherv1.ListScopesResponse{}
	for pages := 1; ; pages++ {
		page, err := decisions.ListScopes(ctx, request)
		if err != nil {
			return nil, 0, err
		}
		scopes := 0
		for _, a := range slices.Concat(page.GetAllow(), page.GetForbid()) {
			scopes += len(a.GetScopes().GetScopes()) + len(a.GetLimitedTo())
		}
		if request.PageSize > 0 && scopes > int(request.PageSize) {
			return nil, 0, fmt.Errorf("a page has %d scopes, and not %d: %v", scopes, request.PageSize, page)
		}
		whole.Allow = append(whole.Allow, page.GetAllow()...)
		whole.Forbid = append(whole.Forbid, page.GetForbid()...)
		whole.Revision, whole.RecheckBy = page.GetRevision(), page.GetRecheckBy()
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return whole, pages, nil
		}
	}
}

// joinAlternatives puts together what goes on on another page.
func joinAlternatives(alternatives []*usherv1.Alternative) (joined []*usherv1.Alternative) {
	withoutScopes := func(a *usherv1.Alternative) *usherv1.Alternative {
		b := proto.CloneOf(a)
		b.LimitedTo = nil
		if b.GetScopes() != nil {
			b.GetScopes().Scopes = nil
		}
		return b
	}
	for _, a := range alternatives {
		if len(joined) > 0 && proto.Equal(withoutScopes(a), withoutScopes(joined[len(joined)-1])) {
			proto.Merge(joined[len(joined)-1], &usherv1.Alternative{LimitedTo: a.GetLimitedTo()})
			if a.GetScopes() != nil {
				last := joined[len(joined)-1].GetScopes()
				last.Scopes = append(last.Scopes, a.GetScopes().GetScopes()...)
			}
			continue
		}
		joined = append(joined, proto.CloneOf(a))
	}
	return joined
}

func (u *judgeTenant) countFilter(f *usherv1.ListScopesResponse, request *usherv1.ListScopesRequest) {
	u.seen["filters"]++
	if len(f.GetAllow()) > 0 && len(f.GetForbid()) > 0 {
		u.seen["allow beside a forbid"]++
	}
	for _, a := range slices.Concat(f.GetAllow(), f.GetForbid()) {
		switch a.GetReach().(type) {
		case *usherv1.Alternative_Tenant:
			u.seen["reach: tenant"]++
		case *usherv1.Alternative_Scopes:
			u.seen["reach: scopes"]++
		case *usherv1.Alternative_AnyScopeOfType:
			u.seen["reach: any scope"]++
		case *usherv1.Alternative_Own:
			u.seen["reach: own"]++
		}
		if len(a.GetLimitedTo()) > 0 {
			u.seen["limited"]++
		}
		if a.GetCondition() != nil {
			u.seen["condition"]++
		}
	}
	if len(request.GetGroups()) > 0 {
		u.seen["with groups"]++
	}
	if f.GetRecheckBy() != nil {
		u.seen["recheck"]++
	}
	if request.GetResourceType() == "role" || request.GetResourceType() == "toggle" {
		u.seen["of roles or toggles"]++
	}
}

// filterAllows is whether a filter allows what is asked, by what the API says of filters.
func (u *judgeTenant) filterAllows(f *usherv1.ListScopesResponse, q judgeQuestion) bool {
	matches := func(alternatives []*usherv1.Alternative, least truth) bool {
		return slices.ContainsFunc(alternatives, func(a *usherv1.Alternative) bool { return u.matches(a, q, least) })
	}
	allowed, forbidden := matches(f.GetAllow(), isTrue), matches(f.GetForbid(), isUndecided)
	switch {
	case forbidden && !matches(f.GetForbid(), isTrue):
		u.seen["forbidden though undecided"]++
	case allowed && forbidden:
		u.seen["forbidden"]++
	case allowed:
		u.seen["allowed"]++
	case matches(f.GetAllow(), isUndecided):
		u.seen["denied by an undecided allow"]++
	}
	return allowed && !forbidden
}

// TestPagesOfAFilterAreOfOneAnswer changes what the subject holds between two pages, and then
// something else.
func TestPagesOfAFilterAreOfOneAnswer(t *testing.T) {
	h := newHarness(t)
	raceTenant(t, h, "t", "expertconnect")
	advisorIn := func(team string) store.Assignment {
		return store.Assignment{AssignmentKey: store.AssignmentKey{Subject: "user:ann", Role: "advisor", Scope: team}}
	}
	h.assign(t, advisorIn("team:b"), advisorIn("team:c"), advisorIn("team:a"))
	request := &usherv1.ListScopesRequest{Tenant: "t", Subject: "user:ann", Action: "view", ResourceType: "ticket", PageSize: 2}
	first, err := h.decisions.ListScopes(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if got := first.GetAllow()[0].GetScopes().GetScopes(); !slices.Equal(got, []string{"team:a", "team:b"}) || first.GetNextPageToken() == "" {
		t.Fatalf("the first page is %v", first)
	}
	next := proto.CloneOf(request)
	next.PageToken = first.GetNextPageToken()

	raw, err := base64.RawURLEncoding.DecodeString(next.PageToken)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"-1", "99", "x"} {
		forged := proto.CloneOf(next)
		forged.PageToken = base64.RawURLEncoding.EncodeToString(append(raw[:len(raw)-1:len(raw)-1], place...))
		_, err := h.decisions.ListScopes(t.Context(), forged)
		wantError(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
	}

	if _, err := h.admin.SetToggle(t.Context(), &usherv1.SetToggleRequest{
		Tenant: "t", Toggle: "advisor_ticket_reassign", State: usherv1.ToggleState_TOGGLE_STATE_ON,
		By: &usherv1.SetToggleRequest_Operator{Operator: &usherv1.Operator{}},
	}); err != nil {
		t.Fatal(err)
	}
	second, err := h.decisions.ListScopes(t.Context(), next)
	if err != nil {
		t.Fatalf("after a change that is not about the answer: %v", err)
	}
	if got := second.GetAllow()[0].GetScopes().GetScopes(); !slices.Equal(got, []string{"team:c"}) || second.GetNextPageToken() != "" {
		t.Errorf("the second page is %v", second)
	}

	h.assign(t, advisorIn("team:d"))
	_, err = h.decisions.ListScopes(t.Context(), next)
	wantError(t, err, codes.Aborted, "CHANGED_MEANWHILE")

	other := proto.CloneOf(next)
	other.Subject = "user:bob"
	_, err = h.decisions.ListScopes(t.Context(), other)
	wantError(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
}

// TestFilterLargerThanAMessage lists whole as many scopes as somebody can hold, as long as can be.
func TestFilterLargerThanAMessage(t *testing.T) {
	h := newHarness(t)
	raceTenant(t, h, "t", "expertconnect")
	held, want := make([]store.Assignment, policy.MaxAssignments), make([]string, policy.MaxAssignments)
	for i := range held {
		want[i] = fmt.Sprintf("team:%0251d", i)
		held[len(held)-1-i].AssignmentKey = store.AssignmentKey{Subject: "user:ann", Role: "advisor", Scope: want[i]}
	}
	h.assign(t, held...)
	whole, pages, err := allFilterPages(t.Context(), h.decisions, &usherv1.ListScopesRequest{
		Tenant: "t", Subject: "user:ann", Action: "view", ResourceType: "ticket",
	})
	if err != nil {
		t.Fatal(err)
	}
	all := joinAlternatives(whole.GetAllow())
	if len(all) != 1 || !slices.Equal(all[0].GetScopes().GetScopes(), want) {
		t.Errorf("%d alternatives, the first with %d scopes", len(all), len(all[0].GetScopes().GetScopes()))
	}
	if pages != 2 {
		t.Errorf("%d pages, want 2: one would be larger than a message should be", pages)
	}
}

// TestFilterOfManyConditions lists whole what has more text in its conditions than a message should
// have.
func TestFilterOfManyConditions(t *testing.T) {
	h := newHarness(t)
	const roles, conditions = 8, 50
	catalog := &strings.Builder{}
	catalog.WriteString("name: many\nversion: 1\nscope_types: [t0, t1, t2, t3, t4, t5, t6, t7]\nholders: [user]\n" +
		"resource_types:\n  - {name: ticket, actions: [view], attributes: [{name: status, type: string}]}\n" +
		"administration: {protected_role: boss}\nroles:\n" +
		"  - {name: boss, rules: [{allow: ['role:grant', 'role:revoke'], reach: tenant}]}\n  - name: base\n    rules:\n")
	for i := range conditions {
		fmt.Fprintf(catalog, "      - {allow: ['ticket:view'], reach: own, condition: 'resource.status == \"%04000d\"'}\n", i)
	}
	var held []store.Assignment
	for i := range roles {
		fmt.Fprintf(catalog, "  - {name: r%d, inherits: [{role: base, reach: any t%[1]d}]}\n", i)
		held = append(held, store.Assignment{AssignmentKey: store.AssignmentKey{Subject: "user:ann", Role: fmt.Sprintf("r%d", i)}})
	}
	if _, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: catalog.String()}); err != nil {
		t.Fatal(err)
	}
	raceTenant(t, h, "t", "many")
	h.assign(t, held...)
	whole, pages, err := allFilterPages(t.Context(), h.decisions, &usherv1.ListScopesRequest{
		Tenant: "t", Subject: "user:ann", Action: "view", ResourceType: "ticket",
	})
	if err != nil {
		t.Fatal(err)
	}
	if joined := joinAlternatives(whole.GetAllow()); len(whole.GetAllow()) != roles*conditions || len(joined) != roles*conditions || pages != 2 {
		t.Errorf("%d alternatives, %d when joined, on %d pages", len(whole.GetAllow()), len(joined), pages)
	}
}

// TestFilterNamesWhatIsUnknown has the fields of its own request.
func TestFilterNamesWhatIsUnknown(t *testing.T) {
	h := newHarness(t)
	raceTenant(t, h, "t", "expertconnect")
	for _, test := range []struct{ action, resourceType, field, reason string }{
		{"view", "tickt", "resource_type", "UNKNOWN_RESOURCE_TYPE"},
		{"veiw", "ticket", "action", "UNKNOWN_ACTION"},
		{"view", "", "resource_type", "MALFORMED_REQUEST"},
	} {
		_, err := h.decisions.ListScopes(t.Context(), &usherv1.ListScopesRequest{
			Tenant: "t", Subject: "user:ann", Action: test.action, ResourceType: test.resourceType,
		})
		wantError(t, err, codes.InvalidArgument, test.reason)
		for _, detail := range status.Convert(err).Details() {
			if bad, ok := detail.(*errdetails.BadRequest); ok && bad.GetFieldViolations()[0].GetField() != test.field {
				t.Errorf("%s %s: the field is %q, want %s", test.resourceType, test.action, bad.GetFieldViolations()[0].GetField(), test.field)
			}
		}
	}
}
