package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// The name of the variable in conditions, and of its type.
const (
	resourceVariable = "resource"
	resourceTypeName = "usher.Resource"
)

// compileCondition parses and type-checks a condition with cel-go against the
// attributes of the resource type, and compiles the part of CEL that Usher has. Anything
// else is an error which says what is possible.
func compileCondition(text string, t *resourceType) (*condition, error) {
	if t.cel == nil {
		env, err := celEnvironment(t.attributes)
		if err != nil {
			return nil, err
		}
		t.cel = env
	}
	checked, issues := t.cel.Compile(text)
	if issues.Err() != nil {
		return nil, readable(issues, t)
	}
	c := conditionCompiler{attributes: t.attributes, ast: checked.NativeRep()}
	root := c.boolean(c.ast.Expr())
	if len(c.errors) > 0 {
		return nil, errors.Join(c.errors...)
	}
	return &condition{text: text, root: root, mentioned: c.mentioned}, nil
}

// readable tells what cel-go found without its multi-line layout, since the caller
// shows the line already.
func readable(issues *cel.Issues, t *resourceType) error {
	var all []error
	for _, e := range issues.Errors() {
		text := fmt.Sprintf("column %d: %s", e.Location.Column()+1, e.Message)
		if field, isField := strings.CutPrefix(e.Message, "undefined field '"); isField {
			text += ": " + Suggest(strings.TrimSuffix(field, "'"), keys(t.attributes))
		}
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}

func celEnvironment(attributes map[string]attribute) (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	return cel.NewEnv(
		cel.CustomTypeProvider(resourceProvider{registry, attributes}),
		cel.Variable(resourceVariable, cel.ObjectType(resourceTypeName)),
	)
}

// resourceProvider tells cel-go which fields a resource has.
type resourceProvider struct {
	*types.Registry
	attributes map[string]attribute
}

func (p resourceProvider) FindStructType(name string) (*types.Type, bool) {
	if name == resourceTypeName {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

func (p resourceProvider) FindStructFieldNames(name string) ([]string, bool) {
	if name == resourceTypeName {
		return slices.Collect(maps.Keys(p.attributes)), true
	}
	return p.Registry.FindStructFieldNames(name)
}

func (p resourceProvider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != resourceTypeName {
		return p.Registry.FindStructFieldType(name, field)
	}
	a, found := p.attributes[field]
	if !found {
		return nil, false
	}
	return &types.FieldType{Type: celTypes[a.kind]}, true
}

var celTypes = map[kind]*types.Type{
	kindBool:       types.BoolType,
	kindString:     types.StringType,
	kindInt:        types.IntType,
	kindDouble:     types.DoubleType,
	kindStringList: types.NewListType(types.StringType),
}

// conditionCompiler walks a checked expression from left to right, which is the order
// of the text.
type conditionCompiler struct {
	attributes map[string]attribute
	ast        *ast.AST
	mentioned  []attribute
	errors     []error
}

func (c *conditionCompiler) fail(e ast.Expr, format string, args ...any) *node {
	column := c.ast.SourceInfo().GetStartLocation(e.ID()).Column() + 1
	c.errors = append(c.errors, fmt.Errorf("column %d: %s", column, fmt.Sprintf(format, args...)))
	return nil
}

// boolean compiles an expression that is true, false or undecided.
func (c *conditionCompiler) boolean(e ast.Expr) *node {
	switch e.Kind() {
	case ast.LiteralKind:
		if v, k, ok := constant(e); ok && k == kindBool {
			return &node{op: opConstant, constant: v}
		}
	case ast.SelectKind:
		a, ok := c.selected(e)
		switch {
		case ok && e.AsSelect().IsTestOnly():
			return &node{op: opHas, attribute: a}
		case ok && a.kind == kindBool:
			return &node{op: opEqual, attribute: a, constant: value{b: true}}
		}
	case ast.CallKind:
		return c.call(e)
	}
	return c.fail(e, "this can't be used as a condition: compare an attribute with a constant, as in resource.status == \"open\"")
}

func (c *conditionCompiler) call(e ast.Expr) *node {
	call := e.AsCall()
	args := call.Args()
	switch name := call.FunctionName(); name {
	case operators.LogicalAnd:
		return &node{op: opAnd, left: c.boolean(args[0]), right: c.boolean(args[1])}
	case operators.LogicalOr:
		return &node{op: opOr, left: c.boolean(args[0]), right: c.boolean(args[1])}
	case operators.LogicalNot:
		return &node{op: opNot, left: c.boolean(args[0])}
	case operators.In:
		return c.in(e, args[0], args[1])
	default:
		if compare, ok := comparisons[name]; ok {
			return c.comparison(e, compare, args[0], args[1])
		}
		return c.fail(e, "%s is not available in conditions: there are ==, !=, <, <=, >, >=, in, has, &&, || and !", name)
	}
}

// comparison is an operator, and the one that means the same with its sides swapped.
type comparison struct{ straight, swapped op }

var comparisons = map[string]comparison{
	operators.Equals:        {opEqual, opEqual},
	operators.NotEquals:     {opNotEqual, opNotEqual},
	operators.Less:          {opLess, opGreater},
	operators.LessEquals:    {opLessEqual, opGreaterEqual},
	operators.Greater:       {opGreater, opLess},
	operators.GreaterEquals: {opGreaterEqual, opLessEqual},
}

func (c *conditionCompiler) comparison(e ast.Expr, compare comparison, left, right ast.Expr) *node {
	n := &node{op: compare.straight}
	if left.Kind() == ast.LiteralKind {
		n.op = compare.swapped
		left, right = right, left
	}
	a, isAttribute := c.selected(left)
	v, k, isConstant := constant(right)
	switch {
	case !isAttribute || !isConstant || left.AsSelect().IsTestOnly():
		return c.fail(e, "a comparison is between an attribute and a constant, as in resource.status == \"open\"")
	case a.kind != k:
		return c.fail(e, "resource.%s has another type than the constant", a.name)
	case a.kind == kindBool && n.op != opEqual && n.op != opNotEqual:
		return c.fail(e, "a bool can be compared with == and != only")
	}
	n.attribute, n.constant = a, v
	return n
}

func (c *conditionCompiler) in(e, element, list ast.Expr) *node {
	if list.Kind() != ast.ListKind {
		a, isAttribute := c.selected(list)
		v, k, isConstant := constant(element)
		if !isAttribute || !isConstant || k != kindString || a.kind != kindStringList {
			return c.fail(e, "in is between an attribute and a list of constants, or a string and a list attribute")
		}
		return &node{op: opContains, attribute: a, constant: v}
	}
	a, isAttribute := c.selected(element)
	if !isAttribute || element.AsSelect().IsTestOnly() {
		return c.fail(e, "in is between an attribute and a list of constants, as in resource.status in [\"open\", \"new\"]")
	}
	n := &node{op: opIn, attribute: a}
	for _, item := range list.AsList().Elements() {
		v, k, ok := constant(item)
		if !ok || k != a.kind {
			return c.fail(item, "the list after in has constants of the type of resource.%s only", a.name)
		}
		n.constants = append(n.constants, v)
	}
	return n
}

// selected returns the attribute that an expression of the form resource.name reads.
func (c *conditionCompiler) selected(e ast.Expr) (attribute, bool) {
	if e.Kind() != ast.SelectKind {
		return attribute{}, false
	}
	s := e.AsSelect()
	if s.Operand().Kind() != ast.IdentKind || s.Operand().AsIdent() != resourceVariable {
		return attribute{}, false
	}
	a, found := c.attributes[s.FieldName()]
	if found && !slices.Contains(c.mentioned, a) {
		c.mentioned = append(c.mentioned, a)
	}
	return a, found
}

// constant returns the value of a literal of a type that attributes have.
func constant(e ast.Expr) (value, kind, bool) {
	if e.Kind() != ast.LiteralKind {
		return value{}, 0, false
	}
	switch v := e.AsLiteral().(type) {
	case types.Bool:
		return value{b: bool(v)}, kindBool, true
	case types.String:
		return value{s: string(v)}, kindString, true
	case types.Int:
		return value{i: int64(v)}, kindInt, true
	case types.Double:
		return value{d: float64(v)}, kindDouble, true
	}
	return value{}, 0, false
}
