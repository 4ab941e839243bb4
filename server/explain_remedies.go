package server

import (
	"context"

	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// addRemedies adds the ways to an allow, with who may take each step.
func (e *explaining) addRemedies(ctx context.Context, reader store.Reader, ways [][]policy.Step) error {
	first := map[string]*usherv1.Performers{} // of acts with which many ways begin
	for _, way := range ways {
		remedy := &usherv1.Remediation{}
		var texts []string
		p := &planning{server: e.server, draft: newDraft(reader), tenant: e.tenant, actor: policy.Actor{Operator: true}, now: e.now}
		for i, step := range way {
			if err := ctx.Err(); err != nil {
				return err
			}
			m := &usherv1.RemediationStep{}
			if step.Kind == policy.StepResource {
				change := &usherv1.ResourceChange{Attributes: &structpb.Struct{Fields: step.Attributes}}
				m.Step = &usherv1.RemediationStep_Resource{Resource: change}
			} else {
				act := actOf(step)
				m.Step = &usherv1.RemediationStep_Act{Act: act}
				if i == 0 {
					m.By = first[act.String()]
				}
				if m.By == nil {
					var err error
					if m.By, err = e.performers(ctx, p, act); err != nil {
						return err
					}
				}
				if i == 0 {
					first[act.String()] = m.By
				}
				if _, err := p.doOne(act); err != nil {
					return err
				}
			}
			m.Text = e.words.Step(e.question, step, m.GetBy().GetRoles(), m.GetBy().GetOperator())
			texts = append(texts, m.GetText())
			remedy.Steps = append(remedy.Steps, m)
		}
		remedy.Text = e.words.Way(texts)
		e.response.Remedies = append(e.response.Remedies, remedy)
	}
	return nil
}

// actOf is the act that a step comes to.
func actOf(step policy.Step) *usherv1.Act {
	scope := ""
	if len(step.Scopes) == 1 {
		scope = step.Scopes[0]
	}
	starts, ends := timestampMessage(step.Interval.Start), timestampMessage(step.Interval.End)
	switch step.Kind {
	case policy.StepSetToggle:
		return &usherv1.Act{Act: &usherv1.Act_SetToggle{SetToggle: &usherv1.SetToggleAct{Toggle: step.Toggle, State: toggleState(step.On)}}}
	case policy.StepGrant:
		return &usherv1.Act{Act: &usherv1.Act_Grant{Grant: &usherv1.GrantAct{
			Subject: step.Subject, Role: step.Role, Scope: scope, StartsAt: starts, ExpiresAt: ends,
		}}}
	case policy.StepChangeRole:
		return &usherv1.Act{Act: &usherv1.Act_ChangeRole{ChangeRole: &usherv1.ChangeRoleAct{
			Subject: step.Subject, From: step.From, To: step.Role, Scopes: step.Scopes, StartsAt: starts, ExpiresAt: ends,
		}}}
	case policy.StepRevoke:
		return &usherv1.Act{Act: &usherv1.Act_Revoke{Revoke: &usherv1.RevokeAct{
			Subject: step.Subject, Role: step.Role, Scope: scope, Everywhere: len(step.Scopes) > 1,
		}}}
	}
	return nil
}
