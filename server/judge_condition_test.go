package server_test

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// truth is one of three values, in an order in which "and" is the smaller and "or" the
// greater of two.
type truth int

const (
	isFalse truth = iota
	isUndecided
	isTrue
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

// condition is a node of a parsed condition. Values are bool, string, int64, float64
// and []string.
type condition interface {
	evaluate(look func(name string) (any, bool)) truth
	// mentions returns the names of the attributes in the order of the text.
	mentions() []string
	// String writes it with all its parentheses.
	String() string
}

type (
	boolLiteral   bool
	bareAttribute struct{ name string }
	hasAttribute  struct{ name string }
	// comparison has an attribute on one side and a constant on the other.
	comparison struct {
		name  string
		op    string
		value any
		// Whether the constant comes first, as in 3 < resource.n.
		swapped bool
	}
	oneOf struct {
		name   string
		values []any
	}
	listContains struct {
		value string
		name  string
	}
	negation    struct{ of condition }
	conjunction struct{ left, right condition }
	disjunction struct{ left, right condition }
)

func (c boolLiteral) evaluate(func(string) (any, bool)) truth { return truthOf(bool(c)) }

func (c bareAttribute) evaluate(look func(string) (any, bool)) truth {
	value, ok := look(c.name)
	if !ok {
		return isUndecided
	}
	return truthOf(value.(bool))
}

func (c hasAttribute) evaluate(look func(string) (any, bool)) truth {
	_, ok := look(c.name)
	return truthOf(ok)
}

func (c comparison) evaluate(look func(string) (any, bool)) truth {
	value, ok := look(c.name)
	if !ok {
		return isUndecided
	}
	left, right := value, c.value
	if c.swapped {
		left, right = right, left
	}
	switch c.op {
	case "==":
		return truthOf(left == right)
	case "!=":
		return truthOf(left != right)
	case "<":
		return truthOf(lessThan(left, right))
	case ">":
		return truthOf(lessThan(right, left))
	case "<=":
		return truthOf(lessThan(left, right) || left == right)
	case ">=":
		return truthOf(lessThan(right, left) || left == right)
	}
	panic("no such operator: " + c.op)
}

func lessThan(a, b any) bool {
	switch a := a.(type) {
	case string:
		return a < b.(string)
	case int64:
		return a < b.(int64)
	case float64:
		return a < b.(float64)
	}
	panic(fmt.Sprintf("%T has no order", a))
}

func (c oneOf) evaluate(look func(string) (any, bool)) truth {
	value, ok := look(c.name)
	if !ok {
		return isUndecided
	}
	return truthOf(slices.Contains(c.values, value))
}

func (c listContains) evaluate(look func(string) (any, bool)) truth {
	list, ok := look(c.name)
	if !ok {
		return isUndecided
	}
	return truthOf(slices.Contains(list.([]string), c.value))
}

func (c negation) evaluate(look func(string) (any, bool)) truth { return isTrue - c.of.evaluate(look) }

func (c conjunction) evaluate(look func(string) (any, bool)) truth {
	return min(c.left.evaluate(look), c.right.evaluate(look))
}

func (c disjunction) evaluate(look func(string) (any, bool)) truth {
	return max(c.left.evaluate(look), c.right.evaluate(look))
}

func (c boolLiteral) mentions() []string   { return nil }
func (c bareAttribute) mentions() []string { return []string{c.name} }
func (c hasAttribute) mentions() []string  { return []string{c.name} }
func (c comparison) mentions() []string    { return []string{c.name} }
func (c oneOf) mentions() []string         { return []string{c.name} }
func (c listContains) mentions() []string  { return []string{c.name} }
func (c negation) mentions() []string      { return c.of.mentions() }
func (c conjunction) mentions() []string   { return append(c.left.mentions(), c.right.mentions()...) }
func (c disjunction) mentions() []string   { return append(c.left.mentions(), c.right.mentions()...) }

func (c boolLiteral) String() string   { return strconv.FormatBool(bool(c)) }
func (c bareAttribute) String() string { return "resource." + c.name }
func (c hasAttribute) String() string  { return "has(resource." + c.name + ")" }
func (c comparison) String() string {
	if c.swapped {
		return writeConstant(c.value) + " " + c.op + " resource." + c.name
	}
	return "resource." + c.name + " " + c.op + " " + writeConstant(c.value)
}
func (c oneOf) String() string {
	var values []string
	for _, value := range c.values {
		values = append(values, writeConstant(value))
	}
	return "resource." + c.name + " in [" + strings.Join(values, ", ") + "]"
}
func (c listContains) String() string { return writeConstant(c.value) + " in resource." + c.name }
func (c negation) String() string     { return "!(" + c.of.String() + ")" }
func (c conjunction) String() string {
	return "(" + c.left.String() + ") && (" + c.right.String() + ")"
}
func (c disjunction) String() string {
	return "(" + c.left.String() + ") || (" + c.right.String() + ")"
}

func writeConstant(value any) string {
	switch value := value.(type) {
	case string:
		return strconv.Quote(value)
	case float64:
		text := strconv.FormatFloat(value, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return text
	}
	return fmt.Sprint(value)
}

// convert makes of a stated value one of the declared type, if it can be one.
func convertAttribute(declared string, stated *structpb.Value) (any, bool) {
	switch value := stated.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return value.BoolValue, declared == "bool"
	case *structpb.Value_StringValue:
		return value.StringValue, declared == "string"
	case *structpb.Value_NumberValue:
		n := value.NumberValue
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, false
		}
		if declared == "double" {
			return n, true
		}
		whole := n == math.Trunc(n) && n >= -(1<<53) && n <= 1<<53
		return int64(n), declared == "int" && whole
	case *structpb.Value_ListValue:
		list := []string{}
		for _, element := range value.ListValue.GetValues() {
			s, ok := element.GetKind().(*structpb.Value_StringValue)
			if !ok {
				return nil, false
			}
			list = append(list, s.StringValue)
		}
		return list, declared == "string_list"
	}
	return nil, false // null, an object, or nothing at all
}

var conditionToken = regexp.MustCompile(
	`^\s*(resource\.[a-z0-9_]+|has|in|true|false|"(?:[^"\\]|\\.)*"|'[^'\\]*'|-?[0-9][0-9.]*(?:e[+-]?[0-9]+)?|&&|\|\||[=!<>]=|[!<>()\[\],])`)

// parseCondition reads the text of a condition that is known to be right, and panics
// at any other.
func parseCondition(text string) condition {
	p := &conditionParser{}
	for rest := text; strings.TrimSpace(rest) != ""; {
		match := conditionToken.FindStringSubmatch(rest)
		if match == nil {
			panic("not in the fragment: " + rest)
		}
		p.tokens = append(p.tokens, match[1])
		rest = rest[len(match[0]):]
	}
	c := p.or()
	if len(p.tokens) > 0 {
		panic(fmt.Sprintf("%s: left over: %q", text, p.tokens))
	}
	return c
}

type conditionParser struct{ tokens []string }

func (p *conditionParser) next() string {
	if len(p.tokens) == 0 {
		panic("the condition ends too soon")
	}
	token := p.tokens[0]
	p.tokens = p.tokens[1:]
	return token
}

func (p *conditionParser) isNext(tokens ...string) bool {
	return len(p.tokens) > 0 && slices.Contains(tokens, p.tokens[0])
}

func (p *conditionParser) expect(token string) {
	if got := p.next(); got != token {
		panic(fmt.Sprintf("%q where %q was expected", got, token))
	}
}

func (p *conditionParser) or() condition {
	c := p.and()
	for p.isNext("||") {
		p.next()
		c = disjunction{c, p.and()}
	}
	return c
}

func (p *conditionParser) and() condition {
	c := p.unary()
	for p.isNext("&&") {
		p.next()
		c = conjunction{c, p.unary()}
	}
	return c
}

func (p *conditionParser) unary() condition {
	switch {
	case p.isNext("!"):
		p.next()
		return negation{p.unary()}
	case p.isNext("("):
		p.next()
		c := p.or()
		p.expect(")")
		return c
	case p.isNext("has"):
		p.next()
		p.expect("(")
		name := p.attribute()
		p.expect(")")
		return hasAttribute{name}
	}
	return p.relation()
}

func (p *conditionParser) relation() condition {
	if strings.HasPrefix(p.tokens[0], "resource.") {
		name := p.attribute()
		switch {
		case p.isNext("in"):
			p.next()
			p.expect("[")
			c := oneOf{name: name}
			for !p.isNext("]") {
				if len(c.values) > 0 {
					p.expect(",")
				}
				c.values = append(c.values, p.constant())
			}
			p.expect("]")
			return c
		case p.isNext("==", "!=", "<", "<=", ">", ">="):
			return comparison{name: name, op: p.next(), value: p.constant()}
		}
		return bareAttribute{name}
	}
	value := p.constant()
	switch {
	case p.isNext("in"):
		p.next()
		return listContains{value: value.(string), name: p.attribute()}
	case p.isNext("==", "!=", "<", "<=", ">", ">="):
		return comparison{op: p.next(), name: p.attribute(), value: value, swapped: true}
	}
	return boolLiteral(value.(bool))
}

func (p *conditionParser) attribute() string {
	token := p.next()
	name, ok := strings.CutPrefix(token, "resource.")
	if !ok {
		panic(fmt.Sprintf("%q where an attribute was expected", token))
	}
	return name
}

func (p *conditionParser) constant() any {
	token := p.next()
	switch {
	case token == "true":
		return true
	case token == "false":
		return false
	case token[0] == '\'':
		return token[1 : len(token)-1]
	case token[0] == '"':
		s, err := strconv.Unquote(token)
		if err != nil {
			panic(token + ": " + err.Error())
		}
		return s
	}
	if n, err := strconv.ParseInt(token, 10, 64); err == nil {
		return n
	}
	x, err := strconv.ParseFloat(token, 64)
	if err != nil {
		panic(fmt.Sprintf("%q where a constant was expected", token))
	}
	return x
}

// eachConstant calls visit with each constant of a condition, and the attribute that
// it is compared with.
func eachConstant(c condition, visit func(attribute string, constant any)) {
	switch c := c.(type) {
	case comparison:
		visit(c.name, c.value)
	case oneOf:
		for _, value := range c.values {
			visit(c.name, value)
		}
	case listContains:
		visit(c.name, []any{c.value})
	case negation:
		eachConstant(c.of, visit)
	case conjunction:
		eachConstant(c.left, visit)
		eachConstant(c.right, visit)
	case disjunction:
		eachConstant(c.left, visit)
		eachConstant(c.right, visit)
	}
}
