package policy

import "google.golang.org/protobuf/types/known/structpb"

// Truth is how a condition comes out.
type Truth = truth

// The three truths.
const (
	IsFalse   = isFalse
	Undecided = undecided
	IsTrue    = isTrue
)

// TestAttributes are one attribute of each type, named like its type.
var TestAttributes = &resourceType{name: "thing", attributes: map[string]attribute{
	"id":          {"id", kindString},
	"bool":        {"bool", kindBool},
	"string":      {"string", kindString},
	"int":         {"int", kindInt},
	"double":      {"double", kindDouble},
	"string_list": {"string_list", kindStringList},
}}

// EvalCondition compiles a condition on TestAttributes and evaluates it.
func EvalCondition(text, id string, attributes map[string]*structpb.Value) (Truth, string, error) {
	c, err := compileCondition(text, TestAttributes)
	if err != nil {
		return 0, "", err
	}
	r := &Resource{ID: id, Attributes: attributes}
	return c.holds(r), c.firstMissing(r), nil
}

// CELEnvironment is what conditions on TestAttributes are type-checked with.
var CELEnvironment = celEnvironment

// Attributes are the attributes of the type.
func (t *resourceType) Attributes() map[string]attribute { return t.attributes }

// Condition compiles a condition on resources of a type of the catalog.
func (c *Catalog) Condition(text, resourceType string) (func(*Resource) bool, error) {
	t := *c.resourceTypes[resourceType]
	compiled, err := compileCondition(text, &t)
	if err != nil {
		return nil, err
	}
	return func(r *Resource) bool { return compiled.holds(r) == isTrue }, nil
}
