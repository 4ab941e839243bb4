package server

import (
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
)

// alternativeMessage is an alternative with a part of its scopes.
func alternativeMessage(a *policy.Alternative, from, to int) *usherv1.Alternative {
	m := &usherv1.Alternative{}
	switch a.Reach {
	case policy.ReachTenant:
		m.Reach = &usherv1.Alternative_Tenant{Tenant: true}
	case policy.ReachScopes:
		m.Reach = &usherv1.Alternative_Scopes{Scopes: &usherv1.ScopeList{Scopes: a.Scopes[from:to]}}
	case policy.ReachAnyScope:
		m.Reach = &usherv1.Alternative_AnyScopeOfType{AnyScopeOfType: a.ScopeType}
	case policy.ReachOwn:
		m.Reach = &usherv1.Alternative_Own{Own: true}
	}
	if len(a.LimitedTo) > 0 {
		m.LimitedTo = a.LimitedTo[from:to]
	}
	if a.Expression != nil {
		m.Condition = &usherv1.Condition{Text: a.Condition, Expression: expressionMessage(a.Expression)}
	}
	return m
}

func expressionMessage(e *policy.Expression) *usherv1.Expression {
	switch e.Operator {
	case policy.OperatorAnd:
		return &usherv1.Expression{Node: &usherv1.Expression_And{And: expressionMessages(e.Operands)}}
	case policy.OperatorOr:
		return &usherv1.Expression{Node: &usherv1.Expression_Or{Or: expressionMessages(e.Operands)}}
	case policy.OperatorNot:
		return &usherv1.Expression{Node: &usherv1.Expression_Not{Not: expressionMessage(e.Operands[0])}}
	case policy.OperatorHas:
		return &usherv1.Expression{Node: &usherv1.Expression_Has{Has: e.Attribute}}
	case policy.OperatorIn:
		return &usherv1.Expression{Node: &usherv1.Expression_In{In: &usherv1.Membership{Attribute: e.Attribute, Constants: e.Constants}}}
	case policy.OperatorContains:
		return &usherv1.Expression{Node: &usherv1.Expression_Contains{Contains: &usherv1.Containment{
			Attribute: e.Attribute, Text: e.Constants[0].GetStringValue(),
		}}}
	case policy.OperatorConstant:
		return &usherv1.Expression{Node: &usherv1.Expression_Constant{Constant: e.Constants[0].GetBoolValue()}}
	}
	return &usherv1.Expression{Node: &usherv1.Expression_Compare{Compare: &usherv1.Comparison{
		Attribute: e.Attribute, Operator: comparisonOperators[e.Operator], Constant: e.Constants[0],
	}}}
}

var comparisonOperators = map[policy.Operator]usherv1.ComparisonOperator{
	policy.OperatorEqual:          usherv1.ComparisonOperator_COMPARISON_OPERATOR_EQUAL,
	policy.OperatorNotEqual:       usherv1.ComparisonOperator_COMPARISON_OPERATOR_NOT_EQUAL,
	policy.OperatorLess:           usherv1.ComparisonOperator_COMPARISON_OPERATOR_LESS,
	policy.OperatorLessOrEqual:    usherv1.ComparisonOperator_COMPARISON_OPERATOR_LESS_OR_EQUAL,
	policy.OperatorGreater:        usherv1.ComparisonOperator_COMPARISON_OPERATOR_GREATER,
	policy.OperatorGreaterOrEqual: usherv1.ComparisonOperator_COMPARISON_OPERATOR_GREATER_OR_EQUAL,
}

func expressionMessages(of []*policy.Expression) *usherv1.Expressions {
	all := &usherv1.Expressions{}
	for _, e := range of {
		all.Expressions = append(all.Expressions, expressionMessage(e))
	}
	return all
}
