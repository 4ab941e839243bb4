package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/tables"
	"github.com/usher-pdp/usher/store"
)

// TestTables asks a real server every case of the tables beside the catalogs, and holds that
// the tables package answers it alike without a server.
func TestTables(t *testing.T) {
	t.Parallel()
	for _, file := range tableFiles(t) {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, tablesDir+"/"), "_test.yaml"), func(t *testing.T) {
			t.Parallel()
			runTable(t, readTable(t, file))
		})
	}
}

func runTable(t *testing.T, in *tables.Table) {
	run := &tableRun{T: t, harness: newHarness(t), table: in}
	var steps []tables.Step
	run.tenants, steps = in.Plan()
	run.makeTenants()
	run.makeStates()
	checks := 0
	for _, step := range steps {
		if step.Question != nil {
			checks++
			run.check(step.Tenant, step.Question)
		} else {
			run.act(step.Tenant, step.Act)
		}
	}
	t.Logf("%d checks and %d acts from %d cases", checks, len(steps)-checks, len(in.Cases()))
}

// tableRun is a run of one table against one server. The tenants are made all at once, and
// then the steps are run.
type tableRun struct {
	*testing.T
	*harness
	table   *tables.Table
	tenants []tables.Tenant
	states  []*tables.State
}

// makeTenants makes the tenants, many at once so that they share disk writes.
func (r *tableRun) makeTenants() {
	r.clock.Set(tables.Epoch)
	defer r.clock.Set(testTime)
	limit := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for i, p := range r.tenants {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			if err := r.makeTenant(r.Context(), tenantOf(i), p); err != nil {
				r.Errorf("%s: making a tenant: %v", r.table.File, err)
			}
		})
	}
	wg.Wait()
	if r.Failed() {
		r.FailNow()
	}
}

// makeStates makes the same tenants in memory.
func (r *tableRun) makeStates() {
	source, err := r.operator.GetCatalog(r.Context(), &usherv1.GetCatalogRequest{Name: r.table.Catalog})
	if err != nil {
		r.Fatal(err)
	}
	catalog, err := policy.Parse(r.table.Catalog, []byte(source.GetYaml()), nil)
	if err != nil {
		r.Fatal(err)
	}
	states, failures := r.table.States(catalog)
	for _, f := range failures {
		r.Error(f)
	}
	r.states = states
}

// tenantOf is the name of a tenant of the plan.
func tenantOf(index int) string { return fmt.Sprintf("t%d", index) }

func (r *tableRun) makeTenant(ctx context.Context, name string, p tables.Tenant) error {
	if _, err := r.operator.CreateTenant(ctx, &usherv1.CreateTenantRequest{
		Tenant: name, Catalog: r.table.Catalog, FirstAdministrator: p.First,
	}); err != nil {
		return err
	}
	for _, h := range p.Holds {
		if _, err := r.admin.Grant(ctx, &usherv1.GrantRequest{
			Tenant: name, Subject: h.Who, Role: h.Role, Scope: h.In,
			StartsAt: timestamp(h.Starts.Time), ExpiresAt: timestamp(h.Ends.Time),
			By: &usherv1.GrantRequest_Operator{Operator: &usherv1.Operator{}},
		}); err != nil {
			return fmt.Errorf("%s holds %s: %w", h.Who, h.Role, err)
		}
	}
	for state, toggles := range map[usherv1.ToggleState][]string{
		usherv1.ToggleState_TOGGLE_STATE_ON:  p.On,
		usherv1.ToggleState_TOGGLE_STATE_OFF: p.Off,
	} {
		for _, toggle := range toggles {
			if _, err := r.admin.SetToggle(ctx, &usherv1.SetToggleRequest{
				Tenant: name, Toggle: toggle, State: state,
				By: &usherv1.SetToggleRequest_Operator{Operator: &usherv1.Operator{}},
			}); err != nil {
				return fmt.Errorf("with %s %v: %w", toggle, state, err)
			}
		}
	}
	return nil
}

func (r *tableRun) check(tenant int, q *tables.Question) {
	request := q.Request()
	response, err := r.decisions.Check(r.Context(), &usherv1.CheckRequest{
		Tenant: tenantOf(tenant), Subject: q.Asker, Groups: q.Groups, Action: request.Action,
		Resource: &usherv1.Resource{
			Type: request.Resource.Type, Id: request.Resource.ID, Scopes: request.Resource.Scopes, Owner: request.Resource.Owner,
			Attributes: &structpb.Struct{Fields: request.Resource.Attributes},
		},
	})
	got := tables.AnswerOf(policy.Reason{
		Code:      policy.Code(response.GetReason().GetCode()),
		Role:      response.GetReason().GetRole(),
		Holder:    response.GetReason().GetHolder(),
		Scope:     response.GetReason().GetScope(),
		Toggle:    response.GetReason().GetToggle(),
		ToggleOn:  response.GetReason().GetToggleState() == usherv1.ToggleState_TOGGLE_STATE_ON,
		Attribute: response.GetReason().GetAttribute(),
	}, timeOf(response.GetRecheckBy()))
	if err != nil {
		got = errorAnswer(err)
	} else if (response.GetDecision() == usherv1.Decision_DECISION_ALLOW) != (response.GetReason().GetCode() == usherv1.ReasonCode_REASON_CODE_GRANTED) {
		r.Errorf("%s: %v: got %v with the reason %v", q.Place, q, response.GetDecision(), response.GetReason())
	}
	if want := q.Judge(got); want != "" {
		r.Errorf("%s: %v: got %v, want %s", q.Place, q, got, want)
	}
	if alone := r.states[tenant].Ask(q); !alike(alone, got) {
		r.Errorf("%s: %v: the server answers %+v, and without one it is %+v", q.Place, q, got, alone)
	}
}

// alike reports whether answers are the same but for what an error says to people.
func alike(a, b tables.Answer) bool {
	a.Why, b.Why = "", ""
	return a == b
}

// errorAnswer is an error as the tables write it: code and reason.
func errorAnswer(err error) tables.Answer {
	return tables.Answer{Words: errorWords(err), Remedy: remediesOf(err), Why: err.Error()}
}

func errorWords(err error) string {
	words := code.Code(status.Code(err)).String()
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			words += " " + info.GetReason()
		}
	}
	return words
}

func (r *tableRun) act(tenant int, a *tables.Act) {
	before := r.facts(tenant)
	response, err := r.do(tenantOf(tenant), a)
	after := r.facts(tenant)
	var got tables.Answer
	if err != nil {
		got = errorAnswer(err)
	} else {
		got = answerOf(response)
	}
	if want := a.Judge(got, before, after); want != "" {
		r.Errorf("%s: %v: got %v, want %s", a.Place, a, got, want)
	}
	if alone := r.states[tenant].Do(a); !alike(alone, got) {
		r.Errorf("%s: %v: the server answers %+v, and without one it is %+v", a.Place, a, got, alone)
	}
	if d := after.Difference(r.states[tenant].Facts()); d != "" {
		r.Errorf("%s: %v: without a server there is %s", a.Place, a, d)
	}
}

// outcome is what the answers to all acts have.
type outcome interface{ GetOutcome() usherv1.Outcome }

// answerOf is the answer to an act as the tables write it.
func answerOf(response outcome) tables.Answer {
	answer := tables.Answer{Words: strings.ToLower(strings.TrimPrefix(response.GetOutcome().String(), "OUTCOME_"))}
	if warned, may := response.(interface{ GetWarnings() []*usherv1.Warning }); may {
		var codes []string
		for _, w := range warned.GetWarnings() {
			codes = append(codes, strings.TrimPrefix(w.GetCode().String(), "WARNING_CODE_"))
		}
		slices.Sort(codes)
		answer.Warnings = strings.Join(codes, ", ")
	}
	return answer
}

func (r *tableRun) do(tenant string, a *tables.Act) (outcome, error) {
	ctx := r.Context()
	actor, operator := &usherv1.Actor{Subject: a.Actor, Groups: a.Groups}, &usherv1.Operator{}
	switch {
	case len(a.Grant) > 0:
		request := &usherv1.GrantRequest{
			Tenant: tenant, Subject: a.Subject, Role: a.What, Scope: a.Scope,
			StartsAt: timestamp(a.Starts.Time), ExpiresAt: timestamp(a.Ends.Time),
			By: &usherv1.GrantRequest_Actor{Actor: actor},
		}
		if a.Actor == tables.OperatorWord {
			request.By = &usherv1.GrantRequest_Operator{Operator: operator}
		}
		return r.admin.Grant(ctx, request)
	case len(a.Revoke) > 0:
		request := &usherv1.RevokeRequest{
			Tenant: tenant, Subject: a.Subject, Role: a.What, Scope: a.Scope, Everywhere: a.Everywhere,
			By: &usherv1.RevokeRequest_Actor{Actor: actor},
		}
		if a.Actor == tables.OperatorWord {
			request.By = &usherv1.RevokeRequest_Operator{Operator: operator}
		}
		return r.admin.Revoke(ctx, request)
	case len(a.Change) > 0:
		request := &usherv1.ChangeRoleRequest{
			Tenant: tenant, Subject: a.Subject, From: a.What, To: a.NewRole, Scopes: a.In,
			StartsAt: timestamp(a.Starts.Time), ExpiresAt: timestamp(a.Ends.Time),
			By: &usherv1.ChangeRoleRequest_Actor{Actor: actor},
		}
		if a.Actor == tables.OperatorWord {
			request.By = &usherv1.ChangeRoleRequest_Operator{Operator: operator}
		}
		return r.admin.ChangeRole(ctx, request)
	case len(a.Remove) > 0:
		request := &usherv1.RemoveSubjectRequest{
			Tenant: tenant, Subject: a.Subject, By: &usherv1.RemoveSubjectRequest_Actor{Actor: actor},
		}
		if a.Actor == tables.OperatorWord {
			request.By = &usherv1.RemoveSubjectRequest_Operator{Operator: operator}
		}
		return r.admin.RemoveSubject(ctx, request)
	case len(a.Primary) > 0:
		request := &usherv1.SetPrimaryAdministratorRequest{
			Tenant: tenant, Subject: a.Subject, By: &usherv1.SetPrimaryAdministratorRequest_Actor{Actor: actor},
		}
		if a.Actor == tables.OperatorWord {
			request.By = &usherv1.SetPrimaryAdministratorRequest_Operator{Operator: operator}
		}
		return r.admin.SetPrimaryAdministrator(ctx, request)
	}
	request := &usherv1.SetToggleRequest{
		Tenant: tenant, Toggle: a.What, State: wantedState(a),
		By: &usherv1.SetToggleRequest_Actor{Actor: actor},
	}
	if a.Actor == tables.OperatorWord {
		request.By = &usherv1.SetToggleRequest_Operator{Operator: operator}
	}
	return r.admin.SetToggle(ctx, request)
}

func wantedState(a *tables.Act) usherv1.ToggleState {
	if len(a.TurnOn) > 0 {
		return usherv1.ToggleState_TOGGLE_STATE_ON
	}
	return usherv1.ToggleState_TOGGLE_STATE_OFF
}

// remediesOf returns what the violated rules say to do instead.
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

// facts are everything that acts can change in a tenant.
func (r *tableRun) facts(tenant int) tables.Facts {
	f := tables.Facts{Held: map[store.AssignmentKey]store.Interval{}, Toggles: map[string]bool{}}
	request := &usherv1.ListAssignmentsRequest{Tenant: tenantOf(tenant), PageSize: 1000}
	for {
		page, err := r.admin.ListAssignments(r.Context(), request)
		if err != nil {
			r.Fatal(err)
		}
		for _, a := range page.GetAssignments() {
			f.Held[store.AssignmentKey{Subject: a.GetSubject(), Role: a.GetRole(), Scope: a.GetScope()}] = store.Interval{
				Start: timeOf(a.GetStartsAt()), End: timeOf(a.GetExpiresAt()),
			}
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	toggles, err := r.admin.ListToggles(r.Context(), &usherv1.ListTogglesRequest{Tenant: tenantOf(tenant)})
	if err != nil {
		r.Fatal(err)
	}
	for _, toggle := range toggles.GetToggles() {
		f.Toggles[toggle.GetName()] = toggle.GetState() == usherv1.ToggleState_TOGGLE_STATE_ON
	}
	about, err := r.operator.GetTenant(r.Context(), &usherv1.GetTenantRequest{Tenant: tenantOf(tenant)})
	if err != nil {
		r.Fatal(err)
	}
	f.Primary = about.GetTenant().GetPrimaryAdministrator()
	return f
}

// timestamp returns nil for the zero time.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// timeOf is the time of a timestamp; nil is the zero time.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
