package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/policy"
)

// decisionService implements usher.v1.DecisionService.
type decisionService struct {
	usherv1.UnsafeDecisionServiceServer
	server *Server
}

// Check answers one question.
func (d decisionService) Check(ctx context.Context, r *usherv1.CheckRequest) (*usherv1.CheckResponse, error) {
	if err := checkCheck(r); err != nil {
		return nil, err
	}
	var c struct { // one allocation
		question policy.Request
		decision policy.Decision
		response usherv1.CheckResponse
		reason   usherv1.Reason
		tenant   *tenant
	}
	c.question = policy.Request{Subject: r.GetSubject(), Action: r.GetAction(), Resource: resourceOf(r.GetResource())}
	revision, err := d.server.consistently(ctx, func(f *facts) error {
		t, err := f.tenant(ctx, r.GetTenant())
		if err != nil {
			return err
		}
		holders, err := f.holders(ctx, t, r.GetSubject(), r.GetGroups())
		if err != nil {
			return err
		}
		c.tenant = t
		c.decision, err = t.table.Decide(holders, &c.question)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.server.metrics.decided(c.tenant, c.decision.Reason.Code, 1)
	writeReason(&c.reason, &c.decision.Reason)
	c.response.Decision = decisionMessage(c.decision.Allow)
	c.response.Reason = &c.reason
	c.response.Revision = revision.String()
	c.response.RecheckBy = timestampMessage(c.decision.RecheckBy)
	if log := d.server.decisionLog; log != nil && !log.leavesOut(c.decision.Allow) && log.chooses() {
		line := newLoggedDecision(r.GetTenant(), r.GetSubject(), len(r.GetGroups()), r.GetAction(), &c.question.Resource, &c.decision)
		line.Time, line.Caller, line.Revision = d.server.now(), access.CallerOf(ctx).Name(), c.response.Revision
		log.add(line)
	}
	if d.server.tracing != nil {
		traceDecision(ctx, &c.decision)
	}
	return &c.response, nil
}

// BatchCheck answers many questions, all at one revision.
func (d decisionService) BatchCheck(ctx context.Context, r *usherv1.BatchCheckRequest) (*usherv1.BatchCheckResponse, error) {
	if err := checkBatch(r); err != nil {
		return nil, err
	}
	var b *batch
	revision, err := d.server.consistently(ctx, func(f *facts) error {
		t, err := f.tenant(ctx, r.GetTenant())
		if err != nil {
			return err
		}
		b = &batch{facts: f, tenant: t, request: r, holders: make(map[string][]*policy.Holder), log: d.server.decisionLog}
		return b.decide(ctx)
	})
	if err != nil {
		return nil, err
	}
	for code, n := range b.counts {
		if n > 0 {
			d.server.metrics.decided(b.tenant, policy.Code(code), n)
		}
	}
	if len(b.lines) > 0 {
		at, caller, revision := d.server.now(), access.CallerOf(ctx).Name(), revision.String()
		for _, line := range b.lines {
			line.Time, line.Caller, line.Revision = at, caller, revision
			b.log.add(line)
		}
	}
	return &usherv1.BatchCheckResponse{
		Results:   b.results,
		Revision:  revision.String(),
		RecheckBy: timestampMessage(b.recheckBy),
	}, nil
}

// batch is the work on one BatchCheck.
type batch struct {
	facts   *facts
	tenant  *tenant
	request *usherv1.BatchCheckRequest
	// holders are those of who has been asked about, by subject and groups.
	holders map[string][]*policy.Holder
	// resource is that of the item that is being decided.
	resource policy.Resource

	results   []*usherv1.BatchCheckResult
	counts    [reasonCodes]int
	recheckBy time.Time

	log   *DecisionLog     // nil: there is none
	lines []loggedDecision // for it
}

func (b *batch) decide(ctx context.Context) error {
	actions := 0
	for _, item := range b.request.GetItems() {
		actions += len(item.GetActions())
	}
	// One allocation for all results and one for all decisions.
	results := make([]usherv1.BatchCheckResult, len(b.request.GetItems()))
	decisions := make([]usherv1.Decision, actions)
	b.results = make([]*usherv1.BatchCheckResult, len(results))
	for i, item := range b.request.GetItems() {
		result := &results[i]
		b.results[i] = result
		n := len(item.GetActions())
		result.Decisions, decisions = decisions[:n:n], decisions[n:]
		if err := b.decideItem(ctx, item, result); err != nil {
			if result.Error = itemError(err, i); result.Error == nil {
				return err
			}
			result.Decisions, result.Reasons = nil, nil
		}
	}
	return nil
}

// decideItem answers one item, action by action.
func (b *batch) decideItem(ctx context.Context, item *usherv1.BatchCheckItem, result *usherv1.BatchCheckResult) error {
	if err := checkItem(b.request, item); err != nil {
		return err
	}
	holders, err := b.holdersOf(ctx, item)
	if err != nil {
		return err
	}
	subject, groups := b.request.GetSubject(), b.request.GetGroups()
	if item.GetSubject() != "" {
		subject, groups = item.GetSubject(), item.GetGroups()
	}
	b.resource = resourceOf(item.GetResource())
	question := b.tenant.table.Ask(holders, subject, &b.resource)
	withReasons := b.request.GetDetail() == usherv1.Detail_DETAIL_REASONS
	var counts [reasonCodes]int
	logged, lines := b.log != nil && b.log.chooses(), b.lines
	for i, action := range item.GetActions() {
		decision, err := question.Decide(action)
		if err != nil {
			return inAction(err, i)
		}
		result.Decisions[i] = decisionMessage(decision.Allow)
		if withReasons {
			reason := new(usherv1.Reason)
			writeReason(reason, &decision.Reason)
			result.Reasons = append(result.Reasons, reason)
		}
		counts[decision.Reason.Code]++
		b.recheckBy = sooner(b.recheckBy, decision.RecheckBy)
		if logged && !b.log.leavesOut(decision.Allow) {
			lines = append(lines, newLoggedDecision(b.request.GetTenant(), subject, len(groups), action, &b.resource, &decision))
		}
	}
	b.lines = lines
	for code, n := range counts {
		b.counts[code] += n
	}
	return nil
}

// holdersOf finds the holders that decide an item. Items with the same subject and groups are
// looked up once.
func (b *batch) holdersOf(ctx context.Context, item *usherv1.BatchCheckItem) (holders []*policy.Holder, err error) {
	subject, groups := item.GetSubject(), item.GetGroups()
	who := subject // "": the request's
	switch {
	case subject == "":
		subject, groups = b.request.GetSubject(), b.request.GetGroups()
	case len(groups) > 0:
		who += "\n" + strings.Join(groups, "\n") // which no id has
	}
	holders, found := b.holders[who]
	if !found {
		holders, err = b.facts.holders(ctx, b.tenant, subject, groups)
		b.holders[who] = holders
	}
	return holders, err
}

// sooner returns the earlier of two instants; zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// inAction says which of an item's actions an error is about, if it is about one.
func inAction(err error, index int) error {
	var unknown *policy.UnknownNameError
	if errors.As(err, &unknown) && unknown.Field == "action" {
		unknown.Field = fmt.Sprintf("actions[%d]", index)
	}
	return err
}

// itemError returns what is wrong with the item at that index, or nil if the error is
// one of the whole call.
func itemError(err error, index int) *usherv1.ItemError {
	var input *inputError
	var unknown *policy.UnknownNameError
	switch {
	case errors.As(err, &input):
	case errors.As(err, &unknown):
		input = unknownNameInput(unknown)
	default:
		return nil
	}
	return &usherv1.ItemError{
		Reason:      input.reason,
		Field:       fmt.Sprintf("items[%d].%s", index, input.violations[0].GetField()),
		Description: input.violations[0].GetDescription(),
	}
}

func resourceOf(r *usherv1.Resource) policy.Resource {
	return policy.Resource{
		Type:       r.GetType(),
		ID:         r.GetId(),
		Scopes:     r.GetScopes(),
		Owner:      r.GetOwner(),
		Attributes: r.GetAttributes().GetFields(),
	}
}

func decisionMessage(allow bool) usherv1.Decision {
	if allow {
		return usherv1.Decision_DECISION_ALLOW
	}
	return usherv1.Decision_DECISION_DENY
}

// writeReason writes a reason into an empty message.
func writeReason(m *usherv1.Reason, r *policy.Reason) {
	m.Code = usherv1.ReasonCode(r.Code)
	m.Role = r.Role
	m.Holder = r.Holder
	m.Scope = r.Scope
	m.Toggle = r.Toggle
	m.Attribute = r.Attribute
	if r.Toggle != "" {
		m.ToggleState = toggleState(r.ToggleOn)
	}
}

func toggleState(on bool) usherv1.ToggleState {
	if on {
		return usherv1.ToggleState_TOGGLE_STATE_ON
	}
	return usherv1.ToggleState_TOGGLE_STATE_OFF
}

// timestampMessage returns nil for the zero time.
func timestampMessage(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
