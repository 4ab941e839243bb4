package server_test

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

var judgeWorlds = flag.Int("judge-worlds", 200, "how many random worlds TestJudgeRandom plays")

// judgeSeen says how often in 10,000 decisions something has to have happened at least,
// so that an agreement means something. It is far below what is usual.
var judgeSeen = map[string]int{
	"GRANTED":               100,
	"FORBIDDEN":             100,
	"TOGGLE":                5,
	"CONDITION_NOT_MET":     10,
	"MISSING_ATTRIBUTE":     10,
	"OUT_OF_SCOPE":          100,
	"NOT_OWNER":             50,
	"NOT_ACTIVE":            50,
	"ROLE_LACKS_PERMISSION": 100,
	"NO_ROLE":               100,
	"tie: role":             100,
	"tie: rule":             50,
	"tie: holder":           100,
	"tie: scope":            10,
	"inherited rule":        50,
	"recheck":               100,
	"widened":               5,

	"forbidden though undecided":            5,
	"default role beside forbid-only role":  1,
	"scoped administrator beyond the scope": 1,
}

// TestJudgeRandom compares the server with the judge on random catalogs, tenants and
// questions. A failing case is made smaller, and printed with its seed; repeat it with
// the flags of rapid that the failure names.
func TestJudgeRandom(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	t.Cleanup(func() { _ = checks.Set(before) })
	if err := checks.Set(strconv.Itoa(*judgeWorlds)); err != nil {
		t.Fatal(err)
	}
	p := &judgePlay{h: newHarness(t), seen: map[string]int{}}
	generator := rapid.Custom(drawWorld)
	rapid.Check(t, func(t *rapid.T) {
		w := generator.Draw(t, "world")
		if err := p.play(t.Context(), w); err != nil {
			t.Log(err)
			t.Fatal("the server does not answer as the judge")
		}
	})

	t.Logf("%d decisions in %d worlds", p.decided, p.worlds)
	for _, what := range slices.Sorted(maps.Keys(p.seen)) {
		t.Logf("%8d %s", p.seen[what], what)
	}
	if p.worlds < 100 {
		return
	}
	for what, least := range judgeSeen {
		if least = least * p.decided / 10_000; p.seen[what] < least {
			t.Errorf("%s: %d times in %d decisions, want %d", what, p.seen[what], p.decided, least)
		}
	}
}

// judgePlay plays worlds on one server, each in a tenant of its own.
type judgePlay struct {
	h       *harness
	worlds  int
	decided int
	seen    map[string]int
}

// judgeTenant is a tenant of the server with what the judge takes it to be.
type judgeTenant struct {
	*judgePlay
	*judge
	name  string
	facts judgeFacts
}

// play returns the first thing in which server and judge differ, or nil.
func (p *judgePlay) play(ctx context.Context, w *judgeWorld) error {
	p.worlds++
	catalog := proto.CloneOf(w.catalog)
	catalog.Name = fmt.Sprintf("judge_%d", p.worlds)
	tenant := &judgeTenant{
		judgePlay: p,
		judge:     newJudge(catalog, w.conditions),
		name:      catalog.Name,
		facts: judgeFacts{
			toggles:     map[string]bool{},
			assignments: []judgeAssignment{{subject: judgeAdmin, role: "boss"}},
		},
	}
	p.h.clock.Set(judgeEpoch)
	if err := tenant.create(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, writeCatalog(catalog))
	}
	for _, moment := range w.moments {
		p.h.clock.Set(moment.at)
		tenant.facts.now = moment.at
		err := tenant.write(ctx, moment.writes)
		if err == nil && len(moment.items) > 0 {
			err = tenant.ask(ctx, moment)
		}
		if err != nil {
			return fmt.Errorf("%w\n%s", err, tenant.describe())
		}
	}
	return nil
}

// create stores the catalog and creates the tenant.
func (u *judgeTenant) create(ctx context.Context) error {
	if _, err := u.h.operator.PutCatalog(ctx, &usherv1.PutCatalogRequest{Yaml: writeCatalog(u.catalog)}); err != nil {
		return fmt.Errorf("PutCatalog: %w %v", err, status.Convert(err).Details())
	}
	stored, err := u.h.operator.GetCatalog(ctx, &usherv1.GetCatalogRequest{Name: u.catalog.GetName()})
	if err != nil {
		return fmt.Errorf("GetCatalog: %w", err)
	}
	if !proto.Equal(stored.GetCatalog(), u.catalog) {
		return fmt.Errorf("the stored catalog is another one: %v", stored.GetCatalog())
	}
	_, err = u.h.operator.CreateTenant(ctx, &usherv1.CreateTenantRequest{
		Tenant: u.name, Catalog: u.catalog.GetName(), FirstAdministrator: judgeAdmin,
	})
	if err != nil {
		return fmt.Errorf("CreateTenant: %w", err)
	}
	return nil
}

// write makes the writes as the operator. What a rule refuses has not happened.
func (u *judgeTenant) write(ctx context.Context, writes []judgeWrite) error {
	for _, w := range writes {
		outcome, err := u.writeOne(ctx, w)
		switch {
		case status.Code(err) == codes.FailedPrecondition:
			u.seen["a write was refused"]++
		case err != nil:
			return fmt.Errorf("%s: %w", w, err)
		case outcome == usherv1.Outcome_OUTCOME_CHANGED:
			u.facts.change(w)
		}
	}
	return nil
}

func (u *judgeTenant) writeOne(ctx context.Context, w judgeWrite) (usherv1.Outcome, error) {
	switch {
	case w.grant != nil:
		response, err := u.h.admin.Grant(ctx, &usherv1.GrantRequest{
			Tenant: u.name, Subject: w.grant.subject, Role: w.grant.role, Scope: w.grant.scope,
			StartsAt: timestampOf(w.grant.starts), ExpiresAt: timestampOf(w.grant.ends),
			By: &usherv1.GrantRequest_Operator{Operator: &usherv1.Operator{}},
		})
		return response.GetOutcome(), err
	case w.revoke != nil:
		response, err := u.h.admin.Revoke(ctx, &usherv1.RevokeRequest{
			Tenant: u.name, Subject: w.revoke.subject, Role: w.revoke.role, Scope: w.revoke.scope,
			By: &usherv1.RevokeRequest_Operator{Operator: &usherv1.Operator{}},
		})
		return response.GetOutcome(), err
	}
	if u.isLocked(w.toggle) {
		return usherv1.Outcome_OUTCOME_CHANGED, u.storeToggle(ctx, w.toggle, w.on)
	}
	response, err := u.h.admin.SetToggle(ctx, &usherv1.SetToggleRequest{
		Tenant: u.name, Toggle: w.toggle, State: toggleState(w.on),
		By: &usherv1.SetToggleRequest_Operator{Operator: &usherv1.Operator{}},
	})
	return response.GetOutcome(), err
}

// storeToggle writes the state of a locked toggle past the server, as a version of the
// catalog in which it was not locked may have left it.
func (u *judgeTenant) storeToggle(ctx context.Context, toggle string, on bool) error {
	_, err := u.h.store.Commit(ctx, store.Write{
		Tenant: u.name,
		By:     store.By{Operator: true},
		Plan: func(r store.Reader) ([]store.Change, error) {
			tenant, err := r.Tenant(u.name)
			return []store.Change{store.SetToggle{Tenant: tenant.ID, Toggle: toggle, On: on}}, err
		},
	})
	return err
}

func toggleState(on bool) usherv1.ToggleState {
	if on {
		return usherv1.ToggleState_TOGGLE_STATE_ON
	}
	return usherv1.ToggleState_TOGGLE_STATE_OFF
}

func timestampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// change does to the facts what a write does.
func (f *judgeFacts) change(w judgeWrite) {
	a := cmp.Or(w.grant, w.revoke)
	if a == nil {
		f.toggles[w.toggle] = w.on
		return
	}
	f.assignments = slices.DeleteFunc(f.assignments, func(b judgeAssignment) bool {
		return a.subject == b.subject && a.role == b.role && a.scope == b.scope
	})
	if w.grant != nil {
		f.assignments = append(f.assignments, *a)
	}
}

// ask asks the items as batches with reasons and without, and some one by one.
func (u *judgeTenant) ask(ctx context.Context, moment judgeMoment) error {
	want, err := u.askBatch(ctx, moment, usherv1.Detail_DETAIL_REASONS)
	if err != nil {
		return err
	}
	if _, err := u.askBatch(ctx, moment, usherv1.Detail_DETAIL_DECISIONS); err != nil {
		return err
	}
	for i, single := range moment.single {
		if !single {
			continue
		}
		if err := u.askEach(ctx, moment.question(i, 0), want[i][0]); err != nil {
			return err
		}
	}
	return nil
}

// askBatch asks the items of the moment as a batch. It returns a verdict for each
// action of each item.
func (u *judgeTenant) askBatch(ctx context.Context, moment judgeMoment, detail usherv1.Detail) ([][]judgeVerdict, error) {
	response, err := u.h.decisions.BatchCheck(ctx, &usherv1.BatchCheckRequest{
		Tenant: u.name, Subject: moment.subject, Groups: moment.groups, Items: moment.items, Detail: detail,
	})
	if err != nil {
		return nil, fmt.Errorf("BatchCheck: %w", err)
	}
	if len(response.GetResults()) != len(moment.items) {
		return nil, fmt.Errorf("%d results of %d items", len(response.GetResults()), len(moment.items))
	}
	var recheck time.Time
	all := make([][]judgeVerdict, len(moment.items))
	for i, item := range moment.items {
		result := response.GetResults()[i]
		for k := range item.GetActions() {
			q := moment.question(i, k)
			v := u.decide(u.facts, q)
			if detail == usherv1.Detail_DETAIL_REASONS {
				u.count(v)
			}
			if err := v.differsFrom(result, k, len(item.GetActions()), detail); err != nil {
				return nil, fmt.Errorf("BatchCheck with %v, item %d\n%s\n%w", detail, i, q, err)
			}
			if !v.recheck.IsZero() && (recheck.IsZero() || v.recheck.Before(recheck)) {
				recheck = v.recheck
			}
			all[i] = append(all[i], v)
		}
	}
	if !sameInstant(response.GetRecheckBy(), recheck) {
		return nil, fmt.Errorf("BatchCheck with %v: recheck_by is %v, want %v", detail, response.GetRecheckBy(), recheck)
	}
	return all, nil
}

func (u *judgeTenant) count(v judgeVerdict) {
	u.decided++
	for _, note := range v.notes {
		u.seen[note]++
	}
	if !v.recheck.IsZero() {
		u.seen["recheck"]++
	}
}

// question is what item i asks with its action k.
func (m judgeMoment) question(i, k int) judgeQuestion {
	item := m.items[i]
	q := judgeQuestion{subject: m.subject, groups: m.groups, action: item.GetActions()[k], resource: item.GetResource()}
	if item.GetSubject() != "" {
		q.subject, q.groups = item.GetSubject(), item.GetGroups()
	}
	return q
}

// differsFrom says how the result of a batch is another for action k of so many.
func (v judgeVerdict) differsFrom(result *usherv1.BatchCheckResult, k, actions int, detail usherv1.Detail) error {
	reasons := 0
	if detail == usherv1.Detail_DETAIL_REASONS {
		reasons = actions
	}
	if result.GetError() != nil || len(result.GetDecisions()) != actions || len(result.GetReasons()) != reasons {
		return fmt.Errorf("got:  %v\nwant: %d decisions, %d reasons", result, actions, reasons)
	}
	if got := result.GetDecisions()[k]; got != v.decision {
		return fmt.Errorf("got:  %v\nwant: %s", got, v)
	}
	if reasons > 0 && !proto.Equal(result.GetReasons()[k], v.reason) {
		return fmt.Errorf("got:  %v\nwant: %s", result.GetReasons()[k], v)
	}
	return nil
}

func sameInstant(got *timestamppb.Timestamp, want time.Time) bool {
	return proto.Equal(got, timestampOf(want))
}

func (v judgeVerdict) String() string {
	return fmt.Sprintf("%v %v, recheck by %v", v.decision, v.reason, timestampOf(v.recheck))
}

func (q judgeQuestion) String() string {
	return fmt.Sprintf("%s %q asks: %s %v", q.subject, q.groups, q.action, q.resource)
}

// describe writes all that the decision was made of.
func (u *judgeTenant) describe() string {
	text := fmt.Sprintf("now: %s\ntoggles set: %v\n", u.facts.now.Format(time.RFC3339Nano), u.facts.toggles)
	for _, a := range u.facts.assignments {
		text += judgeWrite{grant: &a}.String() + "\n"
	}
	return text + writeCatalog(u.catalog)
}

// writeCatalog writes a catalog as YAML.
func writeCatalog(catalog *catalogv1.Catalog) string {
	asJSON, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(catalog)
	if err != nil {
		panic(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(asJSON, &tree); err != nil {
		panic(err)
	}
	text, err := yaml.Marshal(tree)
	if err != nil {
		panic(err)
	}
	return string(text)
}
