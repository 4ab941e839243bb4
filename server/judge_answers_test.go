package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// askEach asks a question in each of the ways in which it can be asked alone. All have to
// agree with the verdict, and so with each other and with BatchCheck.
func (u *judgeTenant) askEach(ctx context.Context, q judgeQuestion, v judgeVerdict) error {
	for _, way := range []struct {
		name string
		ask  func(context.Context, judgeQuestion, judgeVerdict) error
	}{
		{"Check", u.askCheck},
		{"Explain", u.askExplain},
		{"ListActions", u.askListActions},
		{"ListScopes", u.askListScopes},
		{"ListSubjects", u.askListSubjects},
	} {
		if err := way.ask(ctx, q, v); err != nil {
			return fmt.Errorf("%s\n%s\n%w\nwant: %s", way.name, q, err, v)
		}
	}
	return nil
}

func (u *judgeTenant) check(q judgeQuestion) *usherv1.CheckRequest {
	return &usherv1.CheckRequest{Tenant: u.name, Subject: q.subject, Groups: q.groups, Action: q.action, Resource: q.resource}
}

func (u *judgeTenant) askCheck(ctx context.Context, q judgeQuestion, v judgeVerdict) error {
	got, err := u.h.decisions.Check(ctx, u.check(q))
	if err != nil {
		return err
	}
	return v.differsFromCheck(got)
}

func (v judgeVerdict) differsFromCheck(got *usherv1.CheckResponse) error {
	if got.GetDecision() != v.decision || !proto.Equal(got.GetReason(), v.reason) || !sameInstant(got.GetRecheckBy(), v.recheck) {
		return fmt.Errorf("got:  %v", got)
	}
	return nil
}

func (u *judgeTenant) askExplain(ctx context.Context, q judgeQuestion, v judgeVerdict) error {
	got, err := u.h.decisions.Explain(ctx, &usherv1.ExplainRequest{Check: u.check(q)})
	if err != nil {
		return err
	}
	return v.differsFromCheck(got.GetAnswer())
}

func (u *judgeTenant) askListActions(ctx context.Context, q judgeQuestion, v judgeVerdict) error {
	for _, denied := range []bool{false, true} {
		got, err := u.h.decisions.ListActions(ctx, &usherv1.ListActionsRequest{
			Tenant: u.name, Subject: q.subject, Groups: q.groups, Resource: q.resource, IncludeDenied: denied,
		})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(got.GetActions(), func(a *usherv1.ListedAction) bool { return a.GetAction() == q.action })
		allowed := v.decision == usherv1.Decision_DECISION_ALLOW
		switch {
		case i < 0 && (allowed || denied):
			return fmt.Errorf("got none among %v", got.GetActions())
		case i < 0:
			continue
		}
		listed := got.GetActions()[i]
		now := listed.GetPossibility() == usherv1.Possibility_POSSIBILITY_NOW
		if listed.GetDecision() != v.decision || !proto.Equal(listed.GetReason(), v.reason) || now != allowed || !sameInstant(got.GetRecheckBy(), v.recheck) {
			return fmt.Errorf("got:  %v, recheck by %v", listed, got.GetRecheckBy())
		}
	}
	return nil
}

func (u *judgeTenant) askListScopes(ctx context.Context, q judgeQuestion, v judgeVerdict) error {
	request := &usherv1.ListScopesRequest{
		Tenant: u.name, Subject: q.subject, Groups: q.groups, Action: q.action, ResourceType: q.resource.GetType(),
		PageSize: int32(u.decided % 4),
	}
	var allow, forbid []*usherv1.Alternative
	for {
		got, err := u.h.decisions.ListScopes(ctx, request)
		if err != nil {
			return err
		}
		if !sameInstant(got.GetRecheckBy(), v.recheck) {
			return fmt.Errorf("got:  recheck by %v", got.GetRecheckBy())
		}
		allow, forbid = append(allow, got.GetAllow()...), append(forbid, got.GetForbid()...)
		if request.PageToken = got.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	allowed := slices.ContainsFunc(allow, func(a *usherv1.Alternative) bool { return u.matches(a, q, isTrue) }) &&
		!slices.ContainsFunc(forbid, func(a *usherv1.Alternative) bool { return u.matches(a, q, isUndecided) })
	if allowed != (v.decision == usherv1.Decision_DECISION_ALLOW) {
		return fmt.Errorf("got:  allow %v, forbid %v", allow, forbid)
	}
	return nil
}

// matches reports whether an alternative matches the resource of a question, where its
// condition has to come to so much at least.
func (u *judgeTenant) matches(a *usherv1.Alternative, q judgeQuestion, least truth) bool {
	scopes := q.resource.GetScopes()
	lies := func(in []string) bool {
		return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(in, s) })
	}
	switch reach := a.GetReach().(type) {
	case *usherv1.Alternative_Tenant:
	case *usherv1.Alternative_Own:
		if q.resource.GetOwner() != q.subject {
			return false
		}
	case *usherv1.Alternative_Scopes:
		if !lies(reach.Scopes.GetScopes()) {
			return false
		}
	case *usherv1.Alternative_AnyScopeOfType:
		if !slices.ContainsFunc(scopes, func(s string) bool { return strings.HasPrefix(s, reach.AnyScopeOfType+":") }) {
			return false
		}
	default:
		return false
	}
	if len(a.GetLimitedTo()) > 0 && !lies(a.GetLimitedTo()) {
		return false
	}
	if a.GetCondition() == nil {
		return true
	}
	return conditionOf(a.GetCondition().GetExpression()).evaluate(func(name string) (any, bool) { return u.attribute(q.resource, name) }) >= least
}

// conditionOf reads a condition from its tree.
func conditionOf(e *usherv1.Expression) condition {
	var both condition
	switch node := e.GetNode().(type) {
	case *usherv1.Expression_Constant:
		return boolLiteral(node.Constant)
	case *usherv1.Expression_Has:
		return hasAttribute{node.Has}
	case *usherv1.Expression_Not:
		return negation{conditionOf(node.Not)}
	case *usherv1.Expression_Contains:
		return listContains{value: node.Contains.GetText(), name: node.Contains.GetAttribute()}
	case *usherv1.Expression_And:
		for _, part := range node.And.GetExpressions() {
			if both == nil {
				both = conditionOf(part)
			} else {
				both = conjunction{both, conditionOf(part)}
			}
		}
	case *usherv1.Expression_Or:
		for _, part := range node.Or.GetExpressions() {
			if both == nil {
				both = conditionOf(part)
			} else {
				both = disjunction{both, conditionOf(part)}
			}
		}
	case *usherv1.Expression_In:
		c := oneOf{name: node.In.GetAttribute()}
		for _, constant := range node.In.GetConstants() {
			c.values = append(c.values, constant.AsInterface())
		}
		return anyNumber{c}
	case *usherv1.Expression_Compare:
		return anyNumber{comparison{
			name: node.Compare.GetAttribute(), op: operators[node.Compare.GetOperator()], value: node.Compare.GetConstant().AsInterface(),
		}}
	}
	return both
}

var operators = map[usherv1.ComparisonOperator]string{
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_EQUAL:            "==",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_NOT_EQUAL:        "!=",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_LESS:             "<",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_LESS_OR_EQUAL:    "<=",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_GREATER:          ">",
	usherv1.ComparisonOperator_COMPARISON_OPERATOR_GREATER_OR_EQUAL: ">=",
}

// anyNumber is a condition whose constants came as JSON, where all numbers are float64. An int
// lies within ±2^53, so nothing is lost.
type anyNumber struct{ condition }

func (c anyNumber) evaluate(look func(name string) (any, bool)) truth {
	return c.condition.evaluate(func(name string) (any, bool) {
		value, ok := look(name)
		if whole, is := value.(int64); is {
			return float64(whole), ok
		}
		return value, ok
	})
}

func (u *judgeTenant) askListSubjects(ctx context.Context, q judgeQuestion, _ judgeVerdict) error {
	request := &usherv1.ListSubjectsRequest{Tenant: u.name, Action: q.action, Resource: q.resource, PageSize: int32(u.decided % 4)}
	listed := map[string]*usherv1.ListedSubject{}
	var everyone usherv1.Decision
	for {
		got, err := u.h.decisions.ListSubjects(ctx, request)
		if err != nil {
			return err
		}
		for i, s := range slices.Concat(got.GetSubjects(), got.GetGroups()) {
			if strings.HasPrefix(s.GetSubject(), "group:") != (i >= len(got.GetSubjects())) || listed[s.GetSubject()] != nil {
				return fmt.Errorf("got %v in the wrong list, or twice", s)
			}
			listed[s.GetSubject()] = s
		}
		everyone = got.GetEveryoneWithoutARole()
		if request.PageToken = got.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	nobody := judgeQuestion{subject: "user:who holds and owns nothing", action: q.action, resource: q.resource}
	if want := u.decide(u.facts, nobody).decision; everyone != want {
		return fmt.Errorf("got everyone_without_a_role %v, want %v", everyone, want)
	}
	candidates := map[string]bool{}
	for _, a := range u.facts.assignments {
		candidates[a.subject] = true
	}
	if owner := q.resource.GetOwner(); owner != "" && !strings.HasPrefix(owner, "group:") {
		candidates[owner] = true
	}
	for subject := range listed {
		if !candidates[subject] {
			return fmt.Errorf("got %s, who holds and owns nothing", subject)
		}
	}
	for subject := range candidates {
		v := u.decide(u.facts, judgeQuestion{subject: subject, action: q.action, resource: q.resource})
		got := listed[subject]
		if (got != nil) != (v.decision == usherv1.Decision_DECISION_ALLOW) ||
			got != nil && (got.GetRole() != v.reason.GetRole() || got.GetScope() != v.reason.GetScope()) {
			return fmt.Errorf("got %v for %s, want %s", got, subject, v)
		}
	}
	return nil
}
