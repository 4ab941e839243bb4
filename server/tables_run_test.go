package server_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// TestTables asks a real server every case of the tables beside the catalogs.
func TestTables(t *testing.T) {
	t.Parallel()
	for _, file := range tableFiles(t) {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, tablesDir+"/"), "_test.yaml"), func(t *testing.T) {
			t.Parallel()
			runTable(t, readTable(t, file))
		})
	}
}

func runTable(t *testing.T, in *table) {
	run := &tableRun{T: t, harness: newHarness(t), table: in}
	run.plan()
	run.makeTenants()
	for _, step := range run.steps {
		step()
	}
	t.Logf("%d checks and %d acts from %d cases", run.checks, run.acts, len(in.cases()))
}

// tableRun is a run of one table against one server. The cases are laid out first, with
// the tenants that they need; then the tenants are made, all at once; then the steps
// are run.
type tableRun struct {
	*testing.T
	*harness
	table   *table
	tenants []tenantPlan
	steps   []func()
	checks  int
	acts    int
}

// tenantPlan is a tenant that some case needs.
type tenantPlan struct {
	name  string
	first string // its first administrator
	holds []holds
	on    []string
	off   []string
}

// tableEpoch is before everything in the tables, so that grants which end before
// testTime can be made.
var tableEpoch = time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC)

// plan lays out the steps and the tenants they need.
func (r *tableRun) plan() {
	r.tenants = append(r.tenants, tenantPlan{name: otherTenant, first: "user:founder"})
	byToggles := map[string]string{}
	for _, c := range r.table.Checks {
		key := c.toggles()
		if byToggles[key] == "" {
			byToggles[key] = r.tenant(tenantPlan{holds: r.table.Holds, on: c.WithOn, off: c.WithOff})
		}
		r.planCheck(byToggles[key], c)
	}
	// Acts that change nothing share a tenant; who changes something gets a fresh one.
	unchanged := r.tenant(tenantPlan{holds: r.table.Holds})
	for _, c := range r.table.Administration {
		for _, a := range c.expandActs() {
			tenant := unchanged
			if c.Answer == changedWord || len(c.Given) > 0 {
				tenant = r.tenant(tenantPlan{holds: append(slices.Clone(r.table.Holds), c.Given...)})
			}
			r.steps = append(r.steps, func() { r.act(tenant, a) })
		}
	}
	for _, sequence := range r.table.Sequences {
		tenant := r.tenant(tenantPlan{holds: r.table.Holds})
		for _, c := range sequence {
			r.planCheck(tenant, c)
			for _, a := range c.expandActs() {
				r.steps = append(r.steps, func() { r.act(tenant, a) })
			}
		}
	}
}

func (r *tableRun) planCheck(tenant string, c tableCase) {
	for _, q := range c.expandChecks() {
		r.steps = append(r.steps, func() { r.check(tenant, q) })
	}
}

// tenant plans a tenant and returns its name.
func (r *tableRun) tenant(p tenantPlan) string {
	p.name, p.first = fmt.Sprintf("t%d", len(r.tenants)), "user:root"
	r.tenants = append(r.tenants, p)
	return p.name
}

// makeTenants makes the tenants, many at once so that they share disk writes.
func (r *tableRun) makeTenants() {
	r.clock.Set(tableEpoch)
	defer r.clock.Set(testTime)
	limit := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for _, p := range r.tenants {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			if err := r.makeTenant(r.Context(), p); err != nil {
				r.Errorf("%s: making a tenant: %v", r.table.file, err)
			}
		})
	}
	wg.Wait()
	if r.Failed() {
		r.FailNow()
	}
}

func (r *tableRun) makeTenant(ctx context.Context, p tenantPlan) error {
	if _, err := r.operator.CreateTenant(ctx, &usherv1.CreateTenantRequest{
		Tenant: p.name, Catalog: r.table.Catalog, FirstAdministrator: p.first,
	}); err != nil {
		return err
	}
	for _, h := range p.holds {
		if _, err := r.admin.Grant(ctx, &usherv1.GrantRequest{
			Tenant: p.name, Subject: h.Who, Role: h.Role, Scope: h.In,
			StartsAt: timestamp(h.Starts), ExpiresAt: timestamp(h.Ends),
			By: &usherv1.GrantRequest_Operator{Operator: &usherv1.Operator{}},
		}); err != nil {
			return fmt.Errorf("%s holds %s: %w", h.Who, h.Role, err)
		}
	}
	for state, toggles := range map[usherv1.ToggleState][]string{
		usherv1.ToggleState_TOGGLE_STATE_ON:  p.on,
		usherv1.ToggleState_TOGGLE_STATE_OFF: p.off,
	} {
		for _, toggle := range toggles {
			if _, err := r.admin.SetToggle(ctx, &usherv1.SetToggleRequest{
				Tenant: p.name, Toggle: toggle, State: state,
				By: &usherv1.SetToggleRequest_Operator{Operator: &usherv1.Operator{}},
			}); err != nil {
				return fmt.Errorf("with %s %v: %w", toggle, state, err)
			}
		}
	}
	return nil
}

// question is one check of a case.
type question struct {
	tableCase
	who, may, id, owner string
}

func (c tableCase) expandChecks() []question {
	var all []question
	for _, who := range c.Who {
		for _, may := range c.May {
			for _, id := range c.ID.orNone() {
				for _, owner := range c.Owner.orNone() {
					if owner == selfWord {
						owner = who
					}
					all = append(all, question{c, who, may, id, owner})
				}
			}
		}
	}
	return all
}

func (q question) String() string {
	text := fmt.Sprintf("%s: %s may %s", q.place, q.who, q.may)
	for _, part := range []struct{ word, value string }{
		{"id", q.id},
		{"in", strings.Join(q.In, " and ")},
		{"owner", q.owner},
		{"groups", strings.Join(q.Groups, " and ")},
		{"tenant", q.Tenant},
		{"with", q.toggles()},
	} {
		if part.value != "" {
			text += fmt.Sprintf(", %s %s", part.word, part.value)
		}
	}
	if q.Facts != nil {
		text += fmt.Sprintf(", facts %v", q.Facts)
	}
	return text
}

func (r *tableRun) check(tenant string, q question) {
	r.checks++
	if q.Tenant != "" {
		tenant = q.Tenant
	}
	facts, err := structpb.NewStruct(q.Facts)
	if err != nil {
		r.Errorf("%v: %v", q, err)
		return
	}
	resourceType, action, _ := strings.Cut(q.may, ":")
	response, err := r.decisions.Check(r.Context(), &usherv1.CheckRequest{
		Tenant: tenant, Subject: q.who, Groups: q.Groups, Action: action,
		Resource: &usherv1.Resource{Type: resourceType, Id: q.id, Scopes: q.In, Owner: q.owner, Attributes: facts},
	})
	if words := strings.Fields(q.Answer); err != nil || isErrorCode(words[0]) {
		if got := errorWords(err); got != q.Answer {
			r.Errorf("%v: got %q (%v), want %q", q, got, err, q.Answer)
		}
		return
	}
	decision, reason := r.wanted(q, response.GetReason())
	if response.GetDecision() != decision || !proto.Equal(response.GetReason(), reason) {
		r.Errorf("%v: got %v %s, want %v %s", q, response.GetDecision(), describe(response.GetReason()), decision, describe(reason))
	}
	if got := response.GetRecheckBy(); !q.Recheck.IsZero() && !proto.Equal(got, timestamp(q.Recheck)) {
		r.Errorf("%v: got recheck by %v, want %v", q, got, q.Recheck)
	}
}

// wanted is the answer that a check has to get. What the case does not say about the
// scope of the assignment is taken from the answer that came.
func (r *tableRun) wanted(q question, got *usherv1.Reason) (usherv1.Decision, *usherv1.Reason) {
	words := append(strings.Fields(q.Answer), "", "")
	if words[0] == allowWord {
		words[0] = "GRANTED"
	}
	reason := &usherv1.Reason{
		Code:   usherv1.ReasonCode(usherv1.ReasonCode_value[reasonPrefix+words[0]]),
		Role:   words[1],
		Holder: q.who,
		Scope:  got.GetScope(),
	}
	if q.Through != "" {
		reason.Holder = q.Through
	}
	switch q.At {
	case "":
	case tenantWord:
		reason.Scope = ""
	default:
		reason.Scope = q.At
	}
	switch reason.Code {
	case usherv1.ReasonCode_REASON_CODE_GRANTED:
		return usherv1.Decision_DECISION_ALLOW, reason
	case usherv1.ReasonCode_REASON_CODE_NO_ROLE:
		reason.Holder = ""
	case usherv1.ReasonCode_REASON_CODE_MISSING_ATTRIBUTE:
		reason.Attribute = words[2]
	case usherv1.ReasonCode_REASON_CODE_TOGGLE:
		// The gates of the built-in catalogs all want their toggle on.
		reason.Toggle, reason.ToggleState = words[2], usherv1.ToggleState_TOGGLE_STATE_OFF
	}
	return usherv1.Decision_DECISION_DENY, reason
}

func describe(r *usherv1.Reason) string {
	text := strings.TrimPrefix(r.GetCode().String(), reasonPrefix)
	for _, word := range []string{r.GetRole(), r.GetToggle(), r.GetAttribute()} {
		if word != "" {
			text += " " + word
		}
	}
	if r.GetToggle() != "" {
		text += " " + r.GetToggleState().String()
	}
	return fmt.Sprintf("%s (through %q at %q)", text, r.GetHolder(), r.GetScope())
}

// errorWords is an error as the tables write it: code and reason.
func errorWords(err error) string {
	words := code.Code(status.Code(err)).String()
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			words += " " + info.GetReason()
		}
	}
	return words
}

// act is one act of a case.
type act struct {
	tableCase
	as, what, into, subject, scope string
}

func (c tableCase) expandActs() []act {
	var all []act
	for _, as := range c.As {
		for _, list := range []each{c.Grant, c.Revoke, c.Change, c.TurnOn, c.TurnOff} {
			for _, what := range list {
				for _, into := range c.Into.orNone() {
					for _, subject := range slices.Concat(c.To, c.From, c.Of).orNone() {
						all = append(all, act{c, as, what, into, subject, c.In.orNone()[0]})
					}
				}
			}
		}
		for _, subject := range c.Remove {
			all = append(all, act{tableCase: c, as: as, subject: subject})
		}
	}
	return all
}

func (a act) String() string {
	text := fmt.Sprintf("%s: as %s", a.place, a.as)
	if len(a.Groups) > 0 {
		text += fmt.Sprintf(" of %v", a.Groups)
	}
	switch {
	case len(a.Grant) > 0:
		text += fmt.Sprintf(" grant %s to %s", a.what, a.subject)
	case len(a.Revoke) > 0:
		text += fmt.Sprintf(" revoke %s from %s", a.what, a.subject)
	case len(a.Change) > 0:
		text += fmt.Sprintf(" change %s of %s into %s", a.what, a.subject, a.into)
	case len(a.Remove) > 0:
		text += " remove " + a.subject
	case len(a.TurnOn) > 0:
		text += " turn on " + a.what
	default:
		text += " turn off " + a.what
	}
	if a.scope != "" {
		text += " in " + strings.Join(a.In, " and ")
	}
	return text
}

func (r *tableRun) act(tenant string, a act) {
	r.acts++
	if a.Tenant != "" {
		tenant = a.Tenant
	}
	before := r.snapshot(tenant)
	outcome, err := r.do(tenant, a)
	after := r.snapshot(tenant)

	got := errorWords(err)
	if err == nil {
		got = strings.ToLower(strings.TrimPrefix(outcome.String(), "OUTCOME_"))
	}
	if got != a.Answer {
		r.Errorf("%v: got %q (%v), want %q", a, got, err, a.Answer)
		return
	}
	if remedies := remediesOf(err); a.Remedy != "" && !strings.Contains(remedies, a.Remedy) {
		r.Errorf("%v: got the remedy %q, want %q in it", a, remedies, a.Remedy)
	}
	want := maps.Clone(before)
	if a.Answer == changedWord {
		a.apply(want)
	}
	if !maps.Equal(after, want) {
		r.Errorf("%v: got %s, want %s", a, difference(before, after), difference(before, want))
	}
}

func (r *tableRun) do(tenant string, a act) (usherv1.Outcome, error) {
	ctx := r.Context()
	actor, operator := &usherv1.Actor{Subject: a.as, Groups: a.Groups}, &usherv1.Operator{}
	switch {
	case len(a.Grant) > 0:
		request := &usherv1.GrantRequest{
			Tenant: tenant, Subject: a.subject, Role: a.what, Scope: a.scope,
			StartsAt: timestamp(a.Starts), ExpiresAt: timestamp(a.Ends),
			By: &usherv1.GrantRequest_Actor{Actor: actor},
		}
		if a.as == operatorWord {
			request.By = &usherv1.GrantRequest_Operator{Operator: operator}
		}
		response, err := r.admin.Grant(ctx, request)
		return response.GetOutcome(), err
	case len(a.Revoke) > 0:
		request := &usherv1.RevokeRequest{
			Tenant: tenant, Subject: a.subject, Role: a.what, Scope: a.scope, Everywhere: a.Everywhere,
			By: &usherv1.RevokeRequest_Actor{Actor: actor},
		}
		if a.as == operatorWord {
			request.By = &usherv1.RevokeRequest_Operator{Operator: operator}
		}
		response, err := r.admin.Revoke(ctx, request)
		return response.GetOutcome(), err
	case len(a.Change) > 0:
		request := &usherv1.ChangeRoleRequest{
			Tenant: tenant, Subject: a.subject, From: a.what, To: a.into, Scopes: a.In,
			StartsAt: timestamp(a.Starts), ExpiresAt: timestamp(a.Ends),
			By: &usherv1.ChangeRoleRequest_Actor{Actor: actor},
		}
		if a.as == operatorWord {
			request.By = &usherv1.ChangeRoleRequest_Operator{Operator: operator}
		}
		response, err := r.admin.ChangeRole(ctx, request)
		return response.GetOutcome(), err
	case len(a.Remove) > 0:
		request := &usherv1.RemoveSubjectRequest{
			Tenant: tenant, Subject: a.subject, By: &usherv1.RemoveSubjectRequest_Actor{Actor: actor},
		}
		if a.as == operatorWord {
			request.By = &usherv1.RemoveSubjectRequest_Operator{Operator: operator}
		}
		response, err := r.admin.RemoveSubject(ctx, request)
		return response.GetOutcome(), err
	}
	request := &usherv1.SetToggleRequest{
		Tenant: tenant, Toggle: a.what, State: a.state(),
		By: &usherv1.SetToggleRequest_Actor{Actor: actor},
	}
	if a.as == operatorWord {
		request.By = &usherv1.SetToggleRequest_Operator{Operator: operator}
	}
	response, err := r.admin.SetToggle(ctx, request)
	return response.GetOutcome(), err
}

func (a act) state() usherv1.ToggleState {
	if len(a.TurnOn) > 0 {
		return usherv1.ToggleState_TOGGLE_STATE_ON
	}
	return usherv1.ToggleState_TOGGLE_STATE_OFF
}

func remediesOf(err error) string {
	var remedies []string
	for _, detail := range status.Convert(err).Details() {
		if failure, ok := detail.(*errdetails.PreconditionFailure); ok {
			for _, violation := range failure.GetViolations() {
				remedies = append(remedies, violation.GetDescription())
			}
		}
	}
	return strings.Join(remedies, "; ")
}

// snapshot is everything that acts can change in a tenant: "subject role scope" with
// its interval, and toggles with their state.
func (r *tableRun) snapshot(tenant string) map[string]string {
	all := map[string]string{}
	request := &usherv1.ListAssignmentsRequest{Tenant: tenant, PageSize: 1000}
	for {
		page, err := r.admin.ListAssignments(r.Context(), request)
		if err != nil {
			r.Fatal(err)
		}
		for _, a := range page.GetAssignments() {
			all[assignmentKey(a.GetSubject(), a.GetRole(), a.GetScope())] = interval(a.GetStartsAt(), a.GetExpiresAt())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	toggles, err := r.admin.ListToggles(r.Context(), &usherv1.ListTogglesRequest{Tenant: tenant})
	if err != nil {
		r.Fatal(err)
	}
	for _, toggle := range toggles.GetToggles() {
		all[toggle.GetName()] = toggle.GetState().String()
	}
	return all
}

// apply changes a snapshot as the act should.
func (a act) apply(to map[string]string) {
	key := assignmentKey(a.subject, a.what, a.scope)
	lose := func(prefix string) {
		maps.DeleteFunc(to, func(other, value string) bool {
			return strings.HasPrefix(other, prefix) && !strings.HasPrefix(value, endedWord)
		})
	}
	switch {
	case len(a.Change) > 0:
		lose(assignmentKey(a.subject, a.what, ""))
		for _, scope := range a.In.orNone() {
			to[assignmentKey(a.subject, a.into, scope)] = interval(timestamp(a.Starts), timestamp(a.Ends))
		}
	case len(a.Remove) > 0:
		lose(a.subject + " is ")
	case len(a.Grant) > 0:
		to[key] = interval(timestamp(a.Starts), timestamp(a.Ends))
	case a.Everywhere:
		lose(key)
	case len(a.Revoke) > 0:
		delete(to, key)
	default:
		to[a.what] = a.state().String()
	}
}

func assignmentKey(subject, role, scope string) string {
	return fmt.Sprintf("%s is %s in %s", subject, role, scope)
}

// endedWord begins an interval that has ended, which an act leaves as it is.
const endedWord = "ended"

func interval(starts, ends *timestamppb.Timestamp) string {
	text := "now"
	if ends != nil && !ends.AsTime().After(testTime) {
		text = endedWord
	}
	if starts != nil {
		text += " from " + starts.AsTime().String()
	}
	if ends != nil {
		text += " until " + ends.AsTime().String()
	}
	return text
}

// difference says how two snapshots differ.
func difference(before, after map[string]string) string {
	var lines []string
	for key := range maps.Keys(before) {
		if after[key] == "" {
			lines = append(lines, "-"+key)
		}
	}
	for key, value := range after {
		if before[key] != value {
			lines = append(lines, fmt.Sprintf("+%s %s", key, value))
		}
	}
	slices.Sort(lines)
	return fmt.Sprintf("%q", lines)
}

// timestamp returns nil for the zero time.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
