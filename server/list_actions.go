package server

import (
	"context"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
)

// ListActions answers what a subject may do on a resource.
func (d decisionService) ListActions(ctx context.Context, r *usherv1.ListActionsRequest) (*usherv1.ListActionsResponse, error) {
	if err := d.server.validator.Validate(r); err != nil {
		return nil, err
	}
	var response *usherv1.ListActionsResponse
	revision, err := d.server.consistently(ctx, func(f *facts) (err error) {
		response, err = f.listActions(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	response.Revision = revision.String()
	return response, nil
}

func (f *facts) listActions(ctx context.Context, r *usherv1.ListActionsRequest) (*usherv1.ListActionsResponse, error) {
	t, err := f.tenant(ctx, r.GetTenant())
	if err != nil {
		return nil, err
	}
	holders, err := f.holders(ctx, t, r.GetSubject(), r.GetGroups())
	if err != nil {
		return nil, err
	}
	resource := resourceOf(r.GetResource())
	actions, err := t.table.Catalog().Actions(resource.Type)
	if err != nil {
		return nil, err
	}
	response := &usherv1.ListActionsResponse{}
	question := t.table.Ask(holders, r.GetSubject(), &resource)
	var denied []string
	for _, action := range actions {
		decision, err := question.Decide(action)
		if err != nil {
			return nil, err
		}
		response.RecheckBy = timestampMessage(decision.RecheckBy) // the same for all
		if !decision.Allow {
			denied = append(denied, action)
		}
		if decision.Allow || r.GetIncludeDenied() {
			listed := &usherv1.ListedAction{
				Action:      action,
				Decision:    decisionMessage(decision.Allow),
				Reason:      new(usherv1.Reason),
				Possibility: usherv1.Possibility_POSSIBILITY_NOW,
			}
			writeReason(listed.Reason, &decision.Reason)
			response.Actions = append(response.Actions, listed)
		}
	}
	if !r.GetIncludeDenied() || len(denied) == 0 {
		return response, nil
	}
	prospects := policy.NewProspects(t.table, r.GetSubject(), &resource, denied)
	prospects.Consider(holders)
	if response.RecheckBy != nil {
		held, err := f.held(ctx, t, r.GetSubject(), r.GetGroups())
		if err != nil {
			return nil, err
		}
		if err := prospects.ConsiderLater(held, f.now); err != nil {
			return nil, err
		}
	}
	for _, listed := range response.Actions {
		switch {
		case listed.Decision == usherv1.Decision_DECISION_ALLOW:
		case prospects.Possible(listed.Action):
			listed.Possibility = usherv1.Possibility_POSSIBILITY_WITH_CHANGE
		default:
			listed.Possibility = usherv1.Possibility_POSSIBILITY_NEVER
		}
	}
	return response, nil
}
