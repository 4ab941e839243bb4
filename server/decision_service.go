package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
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
	var decision policy.Decision
	revision, err := d.server.consistently(ctx, func(f *facts) error {
		t, err := f.tenant(ctx, r.GetTenant())
		if err != nil {
			return err
		}
		holders, err := f.holders(ctx, t, r.GetSubject(), r.GetGroups())
		if err != nil {
			return err
		}
		decision, err = t.table.Decide(holders, &policy.Request{
			Subject:  r.GetSubject(),
			Action:   r.GetAction(),
			Resource: resourceOf(r.GetResource()),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	d.server.metrics.decisions[decision.Reason.Code].Inc()
	return &usherv1.CheckResponse{
		Decision:  decisionMessage(decision),
		Reason:    reasonMessage(decision.Reason),
		Revision:  revision.String(),
		RecheckBy: timestampMessage(decision.RecheckBy),
	}, nil
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
		b = &batch{facts: f, tenant: t, request: r, results: make([]*usherv1.BatchCheckResult, 0, len(r.GetItems()))}
		return b.decide(ctx)
	})
	if err != nil {
		return nil, err
	}
	for code, n := range b.counts {
		if n > 0 {
			d.server.metrics.decisions[code].Add(float64(n))
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
	// holders are those of the request's subject and groups, once an item needs them.
	holders []*policy.Holder

	results   []*usherv1.BatchCheckResult
	counts    [reasonCodes]int
	recheckBy time.Time
}

func (b *batch) decide(ctx context.Context) error {
	for i, item := range b.request.GetItems() {
		result, err := b.decideItem(ctx, item, fmt.Sprintf("items[%d].", i))
		if err != nil {
			return err
		}
		b.results = append(b.results, result)
	}
	return nil
}

// decideItem answers one item. What is wrong with the item is in the result; the error
// is one of the whole call.
func (b *batch) decideItem(ctx context.Context, item *usherv1.BatchCheckItem, prefix string) (*usherv1.BatchCheckResult, error) {
	if err := checkItem(b.request, item, prefix); err != nil {
		return itemError(err, prefix, 0)
	}
	holders, err := b.holdersOf(ctx, item)
	if err != nil {
		return nil, err
	}
	subject := b.request.GetSubject()
	if item.GetSubject() != "" {
		subject = item.GetSubject()
	}
	request := &policy.Request{Subject: subject, Resource: resourceOf(item.GetResource())}
	result := &usherv1.BatchCheckResult{Decisions: make([]usherv1.Decision, len(item.GetActions()))}
	withReasons := b.request.GetDetail() == usherv1.Detail_DETAIL_REASONS
	var counts [reasonCodes]int
	for i, action := range item.GetActions() {
		request.Action = action
		decision, err := b.tenant.table.Decide(holders, request)
		if err != nil {
			return itemError(err, prefix, i)
		}
		result.Decisions[i] = decisionMessage(decision)
		if withReasons {
			result.Reasons = append(result.Reasons, reasonMessage(decision.Reason))
		}
		counts[decision.Reason.Code]++
		b.recheck(decision.RecheckBy)
	}
	for code, n := range counts {
		b.counts[code] += n
	}
	return result, nil
}

func (b *batch) holdersOf(ctx context.Context, item *usherv1.BatchCheckItem) ([]*policy.Holder, error) {
	if item.GetSubject() != "" {
		return b.facts.holders(ctx, b.tenant, item.GetSubject(), item.GetGroups())
	}
	if b.holders == nil {
		holders, err := b.facts.holders(ctx, b.tenant, b.request.GetSubject(), b.request.GetGroups())
		if err != nil {
			return nil, err
		}
		b.holders = holders
	}
	return b.holders, nil
}

func (b *batch) recheck(by time.Time) {
	if !by.IsZero() && (b.recheckBy.IsZero() || by.Before(b.recheckBy)) {
		b.recheckBy = by
	}
}

// itemError makes the result of an item with something wrong in it; an unknown action
// is the one at that index.
func itemError(err error, prefix string, action int) (*usherv1.BatchCheckResult, error) {
	var input *inputError
	var unknown *policy.UnknownNameError
	switch {
	case errors.As(err, &input):
	case errors.As(err, &unknown):
		input = unknownNameInput(unknown)
		field := unknown.Field
		if field == "action" {
			field = fmt.Sprintf("actions[%d]", action)
		}
		input.violations[0].Field = prefix + field
	default:
		return nil, err
	}
	return &usherv1.BatchCheckResult{Error: &usherv1.ItemError{
		Reason:      input.reason,
		Field:       input.violations[0].GetField(),
		Description: input.violations[0].GetDescription(),
	}}, nil
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

func decisionMessage(d policy.Decision) usherv1.Decision {
	if d.Allow {
		return usherv1.Decision_DECISION_ALLOW
	}
	return usherv1.Decision_DECISION_DENY
}

func reasonMessage(r policy.Reason) *usherv1.Reason {
	m := &usherv1.Reason{
		Code:      usherv1.ReasonCode(r.Code),
		Role:      r.Role,
		Holder:    r.Holder,
		Scope:     r.Scope,
		Toggle:    r.Toggle,
		Attribute: r.Attribute,
	}
	if r.Toggle != "" {
		m.ToggleState = toggleState(r.ToggleOn)
	}
	return m
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
