package policy

import (
	"cmp"
	"slices"
)

// condition is a compiled condition.
type condition struct {
	text string
	root *node
	// mentioned are the attributes in the order of the text.
	mentioned []attribute
	// unmet says, by language, what to tell if it is not met.
	unmet map[string]string
}

// truth is a value of three-valued logic. The order is that of && as minimum and
// || as maximum.
type truth int8

const (
	isFalse   truth = -1
	undecided truth = 0
	isTrue    truth = 1
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

// node is one operation of a condition.
type node struct {
	op          op
	left, right *node     // of and, or; left of not
	attribute   attribute // of all others but constant
	constant    value     // of constant and comparisons
	constants   []value   // of in
}

type op uint8

const (
	opConstant op = iota
	opAnd
	opOr
	opNot
	opHas
	opEqual
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opIn       // attribute in [constants]
	opContains // constant in attribute
)

// holds evaluates the condition. A nil condition is true.
func (c *condition) holds(r *Resource) truth {
	if c == nil {
		return isTrue
	}
	return c.root.eval(r)
}

// firstMissing returns the name of the first attribute that the condition mentions
// and that is missing.
func (c *condition) firstMissing(r *Resource) string {
	for _, a := range c.mentioned {
		if _, ok := a.of(r); !ok {
			return a.name
		}
	}
	return ""
}

func (n *node) eval(r *Resource) truth {
	switch n.op {
	case opConstant:
		return truthOf(n.constant.b)
	case opAnd:
		if left := n.left.eval(r); left != isFalse {
			return min(left, n.right.eval(r))
		}
		return isFalse
	case opOr:
		if left := n.left.eval(r); left != isTrue {
			return max(left, n.right.eval(r))
		}
		return isTrue
	case opNot:
		return -n.left.eval(r)
	}
	v, ok := n.attribute.of(r)
	if n.op == opHas {
		return truthOf(ok)
	}
	if !ok {
		return undecided
	}
	return truthOf(n.test(v, r))
}

// test evaluates an operation on an attribute that is there.
func (n *node) test(v value, r *Resource) bool {
	switch n.op {
	case opEqual:
		return v == n.constant
	case opNotEqual:
		return v != n.constant
	case opIn:
		return slices.Contains(n.constants, v)
	case opContains:
		return n.attribute.contains(r, n.constant.s)
	}
	c := n.constant
	order := cmp.Or(cmp.Compare(v.s, c.s), cmp.Compare(v.i, c.i), cmp.Compare(v.d, c.d))
	switch n.op {
	case opLess:
		return order < 0
	case opLessEqual:
		return order <= 0
	case opGreater:
		return order > 0
	case opGreaterEqual:
		return order >= 0
	}
	return false
}
