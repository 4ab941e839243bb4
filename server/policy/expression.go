package policy

import (
	"math"

	"google.golang.org/protobuf/types/known/structpb"
)

// Expression is a node of a condition. Its logic has three values: a comparison with an
// attribute that is missing, or not of its declared type, is undecided.
type Expression struct {
	Operator Operator
	// Operands are those of and, or and not.
	Operands []*Expression
	// Attribute is the attribute that all others but constants look at.
	Attribute string
	// Constants are one for a constant, a comparison or contains, and any number for in. An int
	// is a number.
	Constants []*structpb.Value
}

// Operator is what an Expression does.
type Operator uint8

// The operators.
const (
	OperatorConstant Operator = iota // the constant, which is a bool
	OperatorAnd                      // all operands are true
	OperatorOr                       // at least one operand is true
	OperatorNot                      // the operand is not true
	OperatorHas                      // the attribute is not missing
	OperatorEqual
	OperatorNotEqual
	OperatorLess
	OperatorLessOrEqual
	OperatorGreater
	OperatorGreaterOrEqual
	OperatorIn       // the attribute is one of the constants
	OperatorContains // the attribute is a list that has the constant
)

var operatorOf = map[op]Operator{
	opConstant: OperatorConstant, opAnd: OperatorAnd, opOr: OperatorOr, opNot: OperatorNot, opHas: OperatorHas,
	opEqual: OperatorEqual, opNotEqual: OperatorNotEqual, opLess: OperatorLess, opLessEqual: OperatorLessOrEqual,
	opGreater: OperatorGreater, opGreaterEqual: OperatorGreaterOrEqual, opIn: OperatorIn, opContains: OperatorContains,
}

// expression returns what the node means, with chains of && and of || as one node each.
func (n *node) expression() *Expression {
	e := &Expression{Operator: operatorOf[n.op], Attribute: n.attribute.name}
	switch n.op {
	case opAnd, opOr:
		e.Operands = n.chain(n.op, nil)
	case opNot:
		e.Operands = []*Expression{n.left.expression()}
	case opConstant:
		e.Constants = []*structpb.Value{structpb.NewBoolValue(n.constant.b)}
	case opHas:
	case opIn:
		for _, c := range n.constants {
			e.Constants = append(e.Constants, c.message(n.attribute.kind))
		}
	case opContains:
		e.Constants = []*structpb.Value{n.constant.message(kindString)}
	default:
		e.Constants = []*structpb.Value{n.constant.message(n.attribute.kind)}
	}
	return e
}

// chain appends the operands of a chain of one operator, in the order of the text.
func (n *node) chain(of op, operands []*Expression) []*Expression {
	if n.op != of {
		return append(operands, n.expression())
	}
	return n.right.chain(of, n.left.chain(of, operands))
}

// message returns the value of a kind that is no list.
func (v value) message(k kind) *structpb.Value {
	switch k {
	case kindBool:
		return structpb.NewBoolValue(v.b)
	case kindInt:
		return structpb.NewNumberValue(number(v.i))
	case kindDouble:
		return structpb.NewNumberValue(v.d)
	}
	return structpb.NewStringValue(v.s)
}

// number returns an integer as a number that compares with those within ±2^53 as the integer
// does. Rounding alone would make 2^53 of 2^53+1.
func number(i int64) float64 {
	const beyond = maxInt + 2
	switch {
	case i > maxInt:
		return math.Max(float64(i), beyond)
	case i < -maxInt:
		return math.Min(float64(i), -beyond)
	}
	return float64(i)
}
