package server_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

var explainWorlds = flag.Int("explain-worlds", 100, "how many random worlds TestExplainRandom plays")

// explainSeen says how often something has to have happened at least in 100 worlds, so that
// it means something that all went well. It is far below what is usual.
var explainSeen = map[string]int{
	"one step": 60, "two steps": 3, "no remedy": 30, "by somebody": 60,
	"set_toggle": 2, "grant": 40, "start": 1, "change_role": 5, "revoke": 2, "resource": 4,
}

// TestExplainRandom explains questions in random worlds and in random tenants of the built-in
// catalogs. Each answer is that of Check, fits the rules that are told, tells end users nothing
// about others, and has the remedies that there are; and these are carried out. A failing case is
// made smaller, and printed with its seed; repeat it with the flags of rapid that the failure names.
func TestExplainRandom(t *testing.T) {
	checks := flag.Lookup("rapid.checks").Value
	before := checks.String()
	t.Cleanup(func() { _ = checks.Set(before) })
	if err := checks.Set(strconv.Itoa(*explainWorlds)); err != nil {
		t.Fatal(err)
	}
	var products []*catalogv1.Catalog
	for _, source := range catalogs.All() {
		products = append(products, readCatalog(t, string(source.YAML)))
	}
	generator := rapid.Custom(func(t *rapid.T) *judgeWorld {
		if product := rapid.IntRange(0, 2*len(products)).Draw(t, "product"); product < len(products) {
			return drawWorldOf(t, products[product])
		}
		return drawWorld(t)
	})
	p := &judgePlay{h: newHarness(t), seen: map[string]int{}}
	rapid.Check(t, func(t *rapid.T) {
		w := generator.Draw(t, "world")
		if err := p.playExplained(t.Context(), w); err != nil {
			t.Log(err)
			t.Fatal("what is explained is not so")
		}
	})
	for _, what := range slices.Sorted(maps.Keys(p.seen)) {
		t.Logf("%8d %s", p.seen[what], what)
	}
	for what, least := range explainSeen {
		if least = least * *explainWorlds / 100; p.seen[what] < least {
			t.Errorf("%s: %d times, want %d", what, p.seen[what], least)
		}
	}
}

// drawWorldOf draws what happens in a tenant of a catalog.
func drawWorldOf(t *rapid.T, catalog *catalogv1.Catalog) *judgeWorld {
	m := &worldMaker{T: t, catalog: proto.CloneOf(catalog)}
	m.catalog.Version = 1
	m.world = &judgeWorld{catalog: m.catalog}
	for _, scopeType := range catalog.GetScopeTypes() {
		m.scopes = append(m.scopes, scopeType+":a", scopeType+":B")
	}
	for _, resourceType := range catalog.GetResourceTypes() {
		for _, action := range resourceType.GetActions() {
			m.permissions = append(m.permissions, resourceType.GetName()+":"+action)
		}
	}
	m.drawMoments()
	return m.world
}

// playExplained plays a world, and explains some of the questions.
func (p *judgePlay) playExplained(ctx context.Context, w *judgeWorld) error {
	p.worlds++
	p.decided = 0 // it settles what is chosen
	catalog := proto.CloneOf(w.catalog)
	catalog.Name = fmt.Sprintf("explain_%d", p.worlds)
	u := &judgeTenant{judgePlay: p, judge: newJudge(catalog, w.conditions), name: catalog.Name}
	p.h.clock.Set(judgeEpoch)
	if err := u.create(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, writeCatalog(catalog))
	}
	u.facts = judgeFacts{toggles: map[string]bool{}, assignments: []judgeAssignment{
		{subject: judgeAdmin, role: catalog.GetAdministration().GetProtectedRole()},
	}}
	for _, moment := range w.moments {
		p.h.clock.Set(moment.at)
		u.facts.now = moment.at
		if err := u.write(ctx, moment.writes); err != nil {
			return err
		}
		for i := range min(len(moment.items), 6) {
			if err := u.explain(ctx, moment.question(i, 0)); err != nil {
				return fmt.Errorf("%s\n%w\n%s", moment.question(i, 0), err, u.describe())
			}
		}
	}
	return nil
}

// explain asks for an explanation, checks all of it, and carries out one of the remedies.
func (u *judgeTenant) explain(ctx context.Context, q judgeQuestion) error {
	u.decided++
	check, err := u.h.decisions.Check(ctx, u.check(q))
	if err != nil {
		return err
	}
	told, err := u.h.decisions.Explain(ctx, &usherv1.ExplainRequest{Check: u.check(q), Audience: usherv1.Audience_AUDIENCE_ADMINISTRATOR})
	if err != nil {
		return err
	}
	if !proto.Equal(told.GetAnswer(), check) {
		return fmt.Errorf("got the answer %v, Check's is %v", told.GetAnswer(), check)
	}
	if err := u.rulesProblem(told, q); err != nil {
		return fmt.Errorf("%w\n%v", err, protojson.Format(told))
	}
	if err := u.safetyProblem(ctx, told, q); err != nil {
		return err
	}
	if check.GetDecision() == usherv1.Decision_DECISION_ALLOW {
		if len(told.GetRemedies()) > 0 {
			return fmt.Errorf("got remedies of an allow: %v", told.GetRemedies())
		}
		return nil
	}
	if len(told.GetRemedies()) == 0 || len(told.GetRemedies()[0].GetSteps()) > 1 {
		if err := u.findSingle(ctx, q); err != nil {
			return fmt.Errorf("%w\n%v", err, told.GetRemedies())
		}
	}
	if len(told.GetRemedies()) == 0 {
		u.seen["no remedy"]++
		return nil
	}
	steps := told.GetRemedies()[u.decided%len(told.GetRemedies())].GetSteps()
	for _, remedy := range told.GetRemedies() {
		if len(remedy.GetSteps()) != len(steps) {
			return fmt.Errorf("ways with one step and with two: %v", told.GetRemedies())
		}
	}
	u.seen[[]string{"", "one step", "two steps"}[len(steps)]]++
	if err := u.carryOut(ctx, steps, q); err != nil {
		return fmt.Errorf("%w\nthe steps: %v", err, steps)
	}
	return nil
}

// rulesProblem says how the rules that are told don't fit the answer, or what there is.
func (u *judgeTenant) rulesProblem(told *usherv1.ExplainResponse, q judgeQuestion) error {
	allows, forbids, fits := false, false, false
	reason := told.GetAnswer().GetReason()
	results := map[usherv1.ReasonCode]usherv1.RuleResult{
		usherv1.ReasonCode_REASON_CODE_FORBIDDEN:         usherv1.RuleResult_RULE_RESULT_MATCHES,
		usherv1.ReasonCode_REASON_CODE_GRANTED:           usherv1.RuleResult_RULE_RESULT_MATCHES,
		usherv1.ReasonCode_REASON_CODE_TOGGLE:            usherv1.RuleResult_RULE_RESULT_TOGGLE,
		usherv1.ReasonCode_REASON_CODE_CONDITION_NOT_MET: usherv1.RuleResult_RULE_RESULT_CONDITION_FALSE,
		usherv1.ReasonCode_REASON_CODE_MISSING_ATTRIBUTE: usherv1.RuleResult_RULE_RESULT_UNDECIDED,
		usherv1.ReasonCode_REASON_CODE_OUT_OF_SCOPE:      usherv1.RuleResult_RULE_RESULT_OUT_OF_REACH,
		usherv1.ReasonCode_REASON_CODE_NOT_OWNER:         usherv1.RuleResult_RULE_RESULT_OUT_OF_REACH,
		usherv1.ReasonCode_REASON_CODE_NOT_ACTIVE:        usherv1.RuleResult_RULE_RESULT_NOT_ACTIVE,
	}
	for _, r := range told.GetRules() {
		if r.GetResult() == usherv1.RuleResult_RULE_RESULT_MATCHES {
			allows = allows || r.GetEffect() == usherv1.RuleEffect_RULE_EFFECT_ALLOW
			forbids = forbids || r.GetEffect() == usherv1.RuleEffect_RULE_EFFECT_FORBID
		}
		fits = fits || r.GetRole() == reason.GetRole() && r.GetHolder() == reason.GetHolder() && r.GetResult() == results[reason.GetCode()] &&
			r.GetAttribute() == reason.GetAttribute() && (reason.GetToggle() == "" || r.GetToggle() == reason.GetToggle())
	}
	if allowed := told.GetAnswer().GetDecision() == usherv1.Decision_DECISION_ALLOW; allowed != (allows && !forbids) {
		return fmt.Errorf("the rules do not come to the answer")
	}
	if _, named := results[reason.GetCode()]; named && !fits {
		return fmt.Errorf("no rule comes out as the reason says")
	}
	// One outcome for each rule of each role in force, and one of each role that is not.
	type held struct {
		holder, role string
		inForce      bool
	}
	all := map[held]bool{}
	ends := false
	for _, a := range u.facts.assignments {
		if slices.Contains(holdersOf(q), a.subject) {
			all[held{a.subject, a.role, a.inForce(u.facts.now)}] = true
			ends = ends || a.inForce(u.facts.now) && u.allowsAnything(a.role)
		}
	}
	if role := u.catalog.GetDefaultRole(); role != "" && !ends {
		all[held{q.subject, role, true}] = true
	}
	want := 0
	for h := range all {
		for _, rule := range u.rulesOf(h.role) {
			if slices.Contains(rule.permissions, q.resource.GetType()+":"+q.action) {
				want++
			}
		}
	}
	if len(told.GetRules()) != want {
		return fmt.Errorf("got %d rules, want %d", len(told.GetRules()), want)
	}
	return nil
}

// safetyProblem says what an end user is told that only others may know, or that is missing.
func (u *judgeTenant) safetyProblem(ctx context.Context, told *usherv1.ExplainResponse, q judgeQuestion) error {
	safe, err := u.h.decisions.Explain(ctx, &usherv1.ExplainRequest{Check: u.check(q), Locale: oneLocale(u.decided)})
	if err != nil {
		return err
	}
	mayKnow := append(holdersOf(q), q.resource.GetOwner(), q.resource.GetId())
	mayKnow = append(mayKnow, q.resource.GetScopes()...)
	for _, a := range u.facts.assignments {
		if slices.Contains(mayKnow, a.subject) {
			mayKnow = append(mayKnow, a.scope)
		}
	}
	text := protojson.Format(safe)
	for _, a := range u.facts.assignments {
		for _, id := range []string{a.subject, a.scope} {
			if id != "" && !slices.Contains(mayKnow, id) && strings.Contains(text, strconv.Quote(id)) {
				return fmt.Errorf("an end user is told of %s:\n%s", id, text)
			}
		}
	}
	trimmed := proto.CloneOf(told)
	for _, remedy := range trimmed.GetRemedies() {
		remedy.Text = ""
		for _, step := range remedy.GetSteps() {
			step.Text = ""
			if step.GetBy() != nil {
				step.By.Subjects, step.By.MoreSubjects = nil, false
			}
		}
	}
	safe.Text, trimmed.Text, safe.Locale, trimmed.Locale = "", "", "", ""
	for _, remedy := range safe.GetRemedies() {
		remedy.Text = ""
		for _, step := range remedy.GetSteps() {
			step.Text = ""
		}
	}
	if !proto.Equal(safe, trimmed) {
		return fmt.Errorf("an end user is told\n%s\nand an administrator\n%s", protojson.Format(safe), protojson.Format(trimmed))
	}
	return nil
}

func oneLocale(i int) string { return []string{"", "de-CH", "fr", "pt-BR"}[i%4] }

// findSingle fails if some grant or toggle that the operator may do is enough.
func (u *judgeTenant) findSingle(ctx context.Context, q judgeQuestion) error {
	var writes []judgeWrite
	for _, role := range u.catalog.GetRoles() {
		if role.GetName() == u.catalog.GetDefaultRole() {
			continue
		}
		for _, scope := range append([]string{""}, q.resource.GetScopes()...) {
			writes = append(writes, judgeWrite{grant: &judgeAssignment{subject: q.subject, role: role.GetName(), scope: scope}})
		}
	}
	for _, toggle := range u.catalog.GetToggles() {
		writes = append(writes, judgeWrite{toggle: toggle.GetName(), on: true}, judgeWrite{toggle: toggle.GetName()})
	}
	for _, w := range writes {
		after := judgeFacts{now: u.facts.now, toggles: maps.Clone(u.facts.toggles), assignments: slices.Clone(u.facts.assignments)}
		after.change(w)
		if u.decide(after, q).decision != usherv1.Decision_DECISION_ALLOW {
			continue
		}
		act := &usherv1.Act{Act: &usherv1.Act_SetToggle{SetToggle: &usherv1.SetToggleAct{Toggle: w.toggle, State: toggleState(w.on)}}}
		if w.grant != nil {
			act = &usherv1.Act{Act: &usherv1.Act_Grant{Grant: &usherv1.GrantAct{Subject: w.grant.subject, Role: w.grant.role, Scope: w.grant.scope}}}
		}
		if _, err := u.do(ctx, act, nil, true); err == nil {
			return fmt.Errorf("this would be enough: %s", w)
		}
	}
	return nil
}

// do does an act on behalf of an actor, or of the operator.
func (u *judgeTenant) do(ctx context.Context, act *usherv1.Act, actor *usherv1.Actor, validateOnly bool) (*usherv1.BatchWriteResponse, error) {
	r := &usherv1.BatchWriteRequest{Tenant: u.name, Acts: []*usherv1.Act{act}, ValidateOnly: validateOnly}
	if r.By = (&usherv1.BatchWriteRequest_Operator{Operator: &usherv1.Operator{}}); actor != nil {
		r.By = &usherv1.BatchWriteRequest_Actor{Actor: actor}
	}
	return u.h.admin.BatchWrite(ctx, r)
}

// carryOut takes the steps, each by somebody who may. The question has to be allowed then, and
// not before.
func (u *judgeTenant) carryOut(ctx context.Context, steps []*usherv1.RemediationStep, q judgeQuestion) error {
	for _, step := range steps {
		check, err := u.h.decisions.Check(ctx, u.check(q))
		if err != nil || check.GetDecision() != usherv1.Decision_DECISION_DENY {
			return fmt.Errorf("not needed: %v: %v, %w", step, check, err)
		}
		if change := step.GetResource(); change != nil {
			u.seen["resource"]++
			q.resource = proto.CloneOf(q.resource)
			if q.resource.GetAttributes().GetFields() == nil {
				q.resource.Attributes = &structpb.Struct{Fields: map[string]*structpb.Value{}}
			}
			maps.Copy(q.resource.Attributes.Fields, change.GetAttributes().GetFields())
			continue
		}
		u.seen[u.kindOf(step.GetAct())]++
		actor, err := u.performer(ctx, step, q)
		if err != nil {
			return err
		}
		written, err := u.do(ctx, step.GetAct(), actor, false)
		if err != nil || written.GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED {
			return fmt.Errorf("%v by %v: %v, %w", step.GetAct(), actor, written, err)
		}
		if err := u.readFacts(ctx); err != nil {
			return err
		}
	}
	check, err := u.h.decisions.Check(ctx, u.check(q))
	if err != nil || check.GetDecision() != usherv1.Decision_DECISION_ALLOW {
		return fmt.Errorf("it did not help: %v, %w", check, err)
	}
	return nil
}

// kindOf is what an act does: what its field is called, or "start" for the grant of a role that
// is held from later on.
func (u *judgeTenant) kindOf(act *usherv1.Act) string {
	for _, a := range u.facts.assignments {
		grant := act.GetGrant()
		if a.subject == grant.GetSubject() && a.role == grant.GetRole() && a.scope == grant.GetScope() && a.starts.After(u.facts.now) {
			return "start"
		}
	}
	m := act.ProtoReflect()
	return string(m.WhichOneof(m.Descriptor().Oneofs().ByName("act")).Name())
}

// performer is somebody who may do the act of a step, or nil for the operator. It fails if
// somebody else may than is said.
func (u *judgeTenant) performer(ctx context.Context, step *usherv1.RemediationStep, q judgeQuestion) (*usherv1.Actor, error) {
	actorOf := func(subject string) *usherv1.Actor {
		actor := &usherv1.Actor{Subject: subject}
		if subject == q.subject {
			actor.Groups = q.groups
		}
		return actor
	}
	var may []string
	candidates := []string{q.subject}
	for _, a := range u.facts.assignments {
		candidates = append(candidates, a.subject)
	}
	slices.Sort(candidates)
	for _, subject := range slices.Compact(candidates) {
		if _, err := u.do(ctx, step.GetAct(), actorOf(subject), true); err == nil {
			may = append(may, subject)
		}
	}
	by := step.GetBy()
	nobody := actorOf("user:who holds nothing")
	_, err := u.do(ctx, step.GetAct(), nobody, true)
	everybody := err == nil
	if !everybody && !slices.Equal(may, by.GetSubjects()) || by.GetOperator() != (len(may) == 0 && !everybody) || by.GetOperator() != (len(by.GetRoles()) == 0) {
		return nil, fmt.Errorf("%q may, and everybody %v, but it is told %v", may, everybody, by)
	}
	switch {
	case by.GetOperator():
		u.seen["by the operator"]++
		return nil, nil
	case len(by.GetSubjects()) == 0:
		return nobody, nil
	}
	u.seen["by somebody"]++
	return actorOf(by.GetSubjects()[u.decided%len(by.GetSubjects())]), nil
}

// readFacts reads what is stored now.
func (u *judgeTenant) readFacts(ctx context.Context) error {
	listed, err := u.h.admin.ListAssignments(ctx, &usherv1.ListAssignmentsRequest{Tenant: u.name, PageSize: 1000})
	if err != nil {
		return err
	}
	u.facts.assignments = nil
	for _, a := range listed.GetAssignments() {
		read := judgeAssignment{subject: a.GetSubject(), role: a.GetRole(), scope: a.GetScope()}
		if a.GetStartsAt() != nil {
			read.starts = a.GetStartsAt().AsTime()
		}
		if a.GetExpiresAt() != nil {
			read.ends = a.GetExpiresAt().AsTime()
		}
		u.facts.assignments = append(u.facts.assignments, read)
	}
	toggles, err := u.h.admin.ListToggles(ctx, &usherv1.ListTogglesRequest{Tenant: u.name})
	for _, toggle := range toggles.GetToggles() {
		u.facts.toggles[toggle.GetName()] = toggle.GetState() == usherv1.ToggleState_TOGGLE_STATE_ON
	}
	return err
}
