package server

import (
	"context"
	"errors"
	"slices"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/wording"
	"github.com/usher-pdp/usher/store"
)

// Explain answers one question and says why.
func (d decisionService) Explain(ctx context.Context, r *usherv1.ExplainRequest) (*usherv1.ExplainResponse, error) {
	if err := d.server.validator.Validate(r); err != nil {
		return nil, err
	}
	leave, err := d.server.overload.computing.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	e := &explaining{server: d.server, request: r, now: d.server.now()}
	err = d.server.store.View(ctx, func(reader store.Reader) error { return e.explain(ctx, reader) })
	if err != nil {
		return nil, err
	}
	d.server.metrics.decided(e.tenant, e.found.Decision.Reason.Code, 1)
	return e.response, nil
}

// explaining is the work on one Explain. All that it reads is of one revision.
type explaining struct {
	server  *Server
	request *usherv1.ExplainRequest
	now     time.Time // the moment at which it is asked
	tenant  *tenant

	question  policy.Request
	situation policy.Situation
	found     policy.Explanation
	words     *wording.Writer
	tried     int // how many have been tried for whether they may do an act
	response  *usherv1.ExplainResponse
}

func (e *explaining) explain(ctx context.Context, reader store.Reader) (err error) {
	check := e.request.GetCheck()
	if e.tenant, err = e.server.readTenant(reader, check.GetTenant(), e.now); err != nil {
		return err
	}
	e.question = policy.Request{Subject: check.GetSubject(), Action: check.GetAction(), Resource: resourceOf(check.GetResource())}
	revision := reader.Revision()
	if e.request.GetAsOf() == nil {
		err = e.readNow(reader)
	} else {
		revision.Number, err = e.readThen(reader)
	}
	if err != nil {
		return err
	}
	if e.words, err = wording.New(e.situation.Table.Catalog(), e.request.GetLocale()); err != nil {
		return malformed("locale", "%v", err)
	}
	if e.found, err = e.situation.Explain(&e.question); err != nil {
		return inCheck(err)
	}
	decision := &e.found.Decision
	answer := &usherv1.CheckResponse{
		Decision: decisionMessage(decision.Allow), Reason: &usherv1.Reason{},
		Revision: revision.String(), RecheckBy: timestampMessage(decision.RecheckBy),
	}
	writeReason(answer.Reason, &decision.Reason)
	e.response = &usherv1.ExplainResponse{
		Answer: answer, Locale: e.words.Locale(), Text: e.words.Decision(e.question, e.found),
	}
	for _, outcome := range e.found.Rules {
		e.response.Rules = append(e.response.Rules, ruleOutcomeMessage(outcome))
	}
	if e.request.GetAsOf() != nil {
		return nil
	}
	ways, err := e.situation.Remedies(&e.question)
	if err != nil {
		return inCheck(err)
	}
	return e.addRemedies(ctx, reader, ways)
}

// inCheck says that what is wrong is in the question.
func inCheck(err error) error {
	var unknown *policy.UnknownNameError
	if errors.As(err, &unknown) {
		unknown.Field = "check." + unknown.Field
	}
	return err
}

// askers are who asks, first, and its groups, each once.
func (e *explaining) askers() []string {
	askers := []string{e.question.Subject}
	for _, g := range e.request.GetCheck().GetGroups() {
		if !slices.Contains(askers, g) {
			askers = append(askers, g)
		}
	}
	return askers
}

// readNow reads what has to be known of the present.
func (e *explaining) readNow(reader store.Reader) error {
	e.situation = policy.Situation{Table: e.tenant.table, Now: e.now}
	p := &planning{server: e.server, draft: newDraft(reader), tenant: e.tenant, now: e.now}
	for _, name := range e.askers() {
		s, err := p.subject(name)
		if err != nil {
			return err
		}
		if err := e.add(s); err != nil {
			return err
		}
	}
	return nil
}

// readThen reads what has to be known of a moment in the past, and returns its revision.
func (e *explaining) readThen(reader store.Reader) (uint64, error) {
	m, err := e.server.momentOf(reader, e.tenant.ID, e.request.GetAsOf())
	if err != nil {
		return 0, err
	}
	e.situation.Now = m.time
	if e.situation.Table, err = e.server.tableAt(reader, e.tenant.Tenant, m); err != nil {
		return 0, err
	}
	for _, name := range e.askers() {
		held, _, err := heldAt(reader, e.tenant.ID, name, m)
		if err != nil {
			return 0, err
		}
		if err := e.add(policy.Subject{Tenant: e.tenant.ID, Name: name, Held: held}); err != nil {
			return 0, err
		}
	}
	return m.revision, nil
}

func (e *explaining) add(s policy.Subject) error {
	h, err := policy.NewHolder(e.situation.Table.Catalog(), s.Name, s.Held, e.situation.Now)
	e.situation.Subjects = append(e.situation.Subjects, s)
	e.situation.Holders = append(e.situation.Holders, h)
	return err
}

// maxOutcomeScopes is how many scopes the outcome of a rule names.
const maxOutcomeScopes = 20

func ruleOutcomeMessage(o policy.RuleOutcome) *usherv1.RuleOutcome {
	m := &usherv1.RuleOutcome{
		Role: o.Role, Holder: o.Holder,
		Scopes: o.Scopes[:min(len(o.Scopes), maxOutcomeScopes)], ScopeCount: int32(len(o.Scopes)), // #nosec G115 -- as many as a request has
		Effect: usherv1.RuleEffect_RULE_EFFECT_ALLOW,
		Reach:  o.Reach, WidenedReach: o.Widened, Condition: o.Condition, Toggle: o.Toggle,
		Result: usherv1.RuleResult(o.Result), Attribute: o.Attribute,
	}
	if o.Forbid {
		m.Effect = usherv1.RuleEffect_RULE_EFFECT_FORBID
	}
	if o.Toggle != "" {
		m.ToggleWanted = toggleState(o.ToggleWanted)
	}
	return m
}
