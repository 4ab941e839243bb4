package policy_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"

	"github.com/usher-pdp/usher/server/policy"
)

// TestConditionTruth is the truth table of conditions: what holds, what does not, and
// what can't be decided, with the attribute that is then missing.
func TestConditionTruth(t *testing.T) {
	for _, test := range []struct {
		condition  string
		attributes string // JSON
		want       string // true, false, or ? and the missing attribute
	}{
		{`resource.string == "open"`, `{"string": "open"}`, "true"},
		{`resource.string == "open"`, `{"string": "closed"}`, "false"},
		{`resource.string == "open"`, `{}`, "? string"},
		{`resource.string != "open"`, `{}`, "? string"},
		{`resource.string != "open"`, `{"string": 3}`, "? string"},
		{`resource.string != "open"`, `{"string": null}`, "? string"},
		{`"open" == resource.string`, `{"string": "open"}`, "true"},
		{`resource.string < "b"`, `{"string": "a"}`, "true"},
		{`"b" < resource.string`, `{"string": "a"}`, "false"},
		{`"b" > resource.string`, `{"string": "a"}`, "true"},
		{`resource.bool`, `{"bool": true}`, "true"},
		{`resource.bool`, `{"bool": "true"}`, "? bool"},
		{`!resource.bool`, `{"bool": false}`, "true"},
		{`!resource.bool`, `{}`, "? bool"},
		{`resource.bool == false`, `{"bool": false}`, "true"},
		{`resource.int > 0`, `{"int": 1}`, "true"},
		{`resource.int > 0`, `{"int": 0}`, "false"},
		{`resource.int > -1`, `{"int": 0}`, "true"},
		{`resource.int > 0`, `{"int": 0.5}`, "? int"},
		{`resource.int > 0`, `{"int": 9007199254740992}`, "true"},
		{`resource.int > 0`, `{"int": 9007199254740994}`, "? int"},
		{`resource.int >= 0`, `{"int": "1"}`, "? int"},
		{`resource.double > 0.5`, `{"double": 1}`, "true"},
		{`resource.double > 0.5`, `{"double": "1"}`, "? double"},
		{`resource.int in [1, 2]`, `{"int": 2}`, "true"},
		{`resource.int in [1, 2]`, `{"int": 3}`, "false"},
		{`resource.int in []`, `{"int": 3}`, "false"},
		{`resource.int in []`, `{}`, "? int"},
		{`"a" in resource.string_list`, `{"string_list": ["b", "a"]}`, "true"},
		{`"a" in resource.string_list`, `{"string_list": []}`, "false"},
		{`"a" in resource.string_list`, `{"string_list": ["a", 1]}`, "? string_list"},
		{`"a" in resource.string_list`, `{"string_list": "a"}`, "? string_list"},
		{`has(resource.string)`, `{"string": "x"}`, "true"},
		{`has(resource.string)`, `{"string": 1}`, "false"},
		{`has(resource.string)`, `{}`, "false"},
		{`resource.bool || resource.int > 0`, `{"int": 1}`, "true"},
		{`resource.int > 0 || resource.bool`, `{"int": 1}`, "true"},
		{`resource.bool || resource.int > 0`, `{"int": 0}`, "? bool"},
		{`resource.bool && resource.int > 0`, `{"int": 0}`, "false"},
		{`resource.int > 0 && resource.bool`, `{"int": 1}`, "? bool"},
		{`resource.int > 0 && resource.bool`, `{}`, "? int"},
		{`resource.bool && resource.int > 0`, `{}`, "? bool"},
		{`resource.id == "7"`, `{"id": "8"}`, "true"}, // the resource's id, not the attribute
		{`true`, `{}`, "true"},
		{`resource.string == "a" && !(resource.string == "b")`, `{"string": "a"}`, "true"},
	} {
		t.Run(test.condition+" "+test.attributes, func(t *testing.T) {
			attributes := &structpb.Struct{}
			if err := attributes.UnmarshalJSON([]byte(test.attributes)); err != nil {
				t.Fatal(err)
			}
			truth, missing, err := policy.EvalCondition(test.condition, "7", attributes.GetFields())
			if err != nil {
				t.Fatal(err)
			}
			got := map[policy.Truth]string{policy.IsTrue: "true", policy.IsFalse: "false", policy.Undecided: "? " + missing}[truth]
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestConditionRefused has conditions that are CEL but beyond the fragment, or no CEL.
func TestConditionRefused(t *testing.T) {
	for condition, want := range map[string]string{
		`resource.string`:                          "can't be used as a condition",
		`resource.strin == "x"`:                    `did you mean "string"?`,
		`resource.string == resource.string`:       "between an attribute and a constant",
		`resource.string == 3`:                     "no matching overload",
		`resource.int == 3.0`:                      "no matching overload",
		`resource.bool < true`:                     "with == and != only",
		`resource.string.startsWith("x")`:          "not available",
		`resource.string.matches("x")`:             "not available",
		`size(resource.string) > 1`:                "between an attribute and a constant",
		`resource.int + 1 > 2`:                     "between an attribute and a constant",
		`resource.bool ? true : false`:             "not available",
		`"a" in ["a"]`:                             "in is between",
		`resource.string in resource.string_list`:  "in is between",
		`resource.int in [1, resource.int]`:        "constants",
		`resource.string_list == ["a"]`:            "between an attribute and a constant",
		`resource.string_list.exists(x, x == "a")`: "can't be used",
		`resource`:                     "can't be used",
		`has(resource.string) == true`: "between an attribute and a constant",
		`resource["string"] == "x"`:    "",
		`resource.string == "x`:        "Syntax error",
		`1 == 1`:                       "between an attribute and a constant",
		`resource.string == "a" &&`:    "Syntax error",
		`unknown == 1`:                 "undeclared reference",
		strings.Repeat("(", 1000) + strings.Repeat(")", 9): "",
	} {
		_, _, err := policy.EvalCondition(condition, "", nil)
		if err == nil {
			t.Errorf("%s: accepted", condition)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want something with %q", condition, err, want)
		}
	}
}

// oracle evaluates a condition with cel-go on the values that are there and of the
// declared type.
func oracle(condition, id string, values map[string]any) (policy.Truth, error) {
	env, err := policy.CELEnvironment(policy.TestAttributes.Attributes())
	if err != nil {
		return 0, err
	}
	checked, issues := env.Compile(condition)
	if issues.Err() != nil {
		return 0, issues.Err()
	}
	program, err := env.Program(checked)
	if err != nil {
		return 0, err
	}
	resource := map[string]any{}
	for name, value := range values {
		if typed, ok := convert(name, value); ok {
			resource[name] = typed
		}
	}
	if id != "" {
		resource["id"] = id
	}
	out, _, err := program.Eval(map[string]any{"resource": resource})
	switch {
	case err != nil:
		return policy.Undecided, nil // an attribute is missing
	case out.Value() == true:
		return policy.IsTrue, nil
	}
	return policy.IsFalse, nil
}

// convert is the conversion of docs/decisions.md, section 4, written apart from the
// one it tests.
func convert(name string, v any) (any, bool) {
	switch name {
	case "bool":
		b, ok := v.(bool)
		return b, ok
	case "string":
		s, ok := v.(string)
		return s, ok
	case "int":
		f, ok := v.(float64)
		if !ok || f != math.Floor(f) || f > 9007199254740992 || f < -9007199254740992 {
			return nil, false
		}
		return int64(f), true
	case "double":
		f, ok := v.(float64)
		return f, ok && !math.IsNaN(f) && !math.IsInf(f, 0)
	case "string_list":
		list, ok := v.([]any)
		strs := []string{}
		for _, e := range list {
			s, isString := e.(string)
			ok = ok && isString
			strs = append(strs, s)
		}
		return strs, ok
	}
	return nil, false
}

func genCondition(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth > 0 && rapid.Bool().Draw(t, "branch") {
			sub := genCondition(depth - 1)
			switch rapid.IntRange(0, 2).Draw(t, "op") {
			case 0:
				return fmt.Sprintf("!(%s)", sub.Draw(t, "not"))
			case 1:
				return fmt.Sprintf("(%s) && (%s)", sub.Draw(t, "left"), sub.Draw(t, "right"))
			}
			return fmt.Sprintf("(%s) || (%s)", sub.Draw(t, "left"), sub.Draw(t, "right"))
		}
		compare := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="})
		constants := map[string][]string{
			"id":     {`"7"`, `"8"`},
			"string": {`"a"`, `"b"`, `""`, `"é"`},
			"int":    {"0", "1", "-1", "9007199254740992"},
			"double": {"0.0", "1.5", "-1.5"},
		}
		name := rapid.SampledFrom([]string{"id", "string", "int", "double"}).Draw(t, "attribute")
		constant := rapid.SampledFrom(constants[name])
		switch rapid.IntRange(0, 7).Draw(t, "leaf") {
		case 0:
			return "resource.bool"
		case 1:
			return "resource.bool " + rapid.SampledFrom([]string{"== true", "!= true", "== false"}).Draw(t, "bool")
		case 2:
			return fmt.Sprintf("%s in resource.string_list", rapid.SampledFrom(constants["string"]).Draw(t, "element"))
		case 3:
			return fmt.Sprintf("has(resource.%s)", rapid.SampledFrom([]string{name, "bool", "string_list"}).Draw(t, "has"))
		case 4:
			return fmt.Sprintf("resource.%s in [%s]", name, strings.Join(rapid.SliceOfN(constant, 1, 3).Draw(t, "list"), ", "))
		case 5:
			return fmt.Sprintf("%s %s resource.%s", constant.Draw(t, "constant"), compare.Draw(t, "compare"), name)
		}
		return fmt.Sprintf("resource.%s %s %s", name, compare.Draw(t, "compare"), constant.Draw(t, "constant"))
	})
}

func genValues(t *rapid.T) map[string]any {
	values := map[string]any{}
	for _, name := range []string{"id", "bool", "string", "int", "double", "string_list", "undeclared"} {
		value := rapid.SampledFrom([]any{
			nil, true, false, "", "a", "b", "é", 0.0, 1.0, -1.0, 0.5, 1.5, -1.5, math.Copysign(0, -1),
			9007199254740992.0, 9007199254740994.0, 1e300, math.NaN(), math.Inf(1),
			[]any{}, []any{"a"}, []any{"b", "a"}, []any{"a", 1.0}, map[string]any{"a": "b"},
		}).Draw(t, name)
		if rapid.IntRange(0, 3).Draw(t, "there") > 0 {
			values[name] = value
		}
	}
	return values
}

// TestConditionAgainstCEL compares the native evaluation with cel-go on random
// conditions and values.
func TestConditionAgainstCEL(t *testing.T) {
	seen := map[policy.Truth]int{}
	rapid.Check(t, func(t *rapid.T) {
		condition := genCondition(4).Draw(t, "condition")
		for range 10 {
			compareWithCEL(t, condition, genValues(t), seen)
		}
	})
	if seen[policy.IsTrue] < 50 || seen[policy.IsFalse] < 50 || seen[policy.Undecided] < 50 {
		t.Errorf("outcomes are too one-sided to mean much: %v", seen)
	}
}

func compareWithCEL(t rapid.TB, condition string, values map[string]any, seen map[policy.Truth]int) {
	fields := map[string]*structpb.Value{}
	for name, v := range values {
		value, err := structpb.NewValue(v)
		if err != nil {
			t.Fatal(err)
		}
		fields[name] = value
	}
	got, missing, err := policy.EvalCondition(condition, "7", fields)
	if err != nil {
		t.Fatalf("%s: %v", condition, err)
	}
	want, err := oracle(condition, "7", values)
	if err != nil {
		t.Fatalf("%s: %v", condition, err)
	}
	if got != want {
		t.Fatalf("%s with %v: got %d, cel-go says %d", condition, values, got, want)
	}
	if got == policy.Undecided && missing == "" {
		t.Fatalf("%s with %v: undecided, but nothing is missing", condition, values)
	}
	seen[got]++
}

// FuzzCondition checks that no text makes the compiler panic, and that what it accepts
// means what it means to cel-go.
func FuzzCondition(f *testing.F) {
	f.Add(`resource.string == "open" && resource.int > 0`, `{"string": "open", "int": 1}`)
	f.Add(`!has(resource.bool) || "a" in resource.string_list`, `{"string_list": ["a"]}`)
	f.Add(`resource.double in [1.5, -0.0]`, `{"double": -0.0}`)
	f.Fuzz(func(t *testing.T, condition, attributes string) {
		if len(condition) > 4096 {
			return
		}
		var values map[string]any
		if json.Unmarshal([]byte(attributes), &values) != nil {
			return
		}
		fields, err := structpb.NewStruct(values)
		if err != nil {
			return
		}
		got, _, err := policy.EvalCondition(condition, "7", fields.GetFields())
		if err != nil {
			return
		}
		want, err := oracle(condition, "7", values)
		if err != nil {
			t.Fatalf("accepted %q, which cel-go does not: %v", condition, err)
		}
		if got != want {
			t.Fatalf("%s with %s: got %d, cel-go says %d", condition, attributes, got, want)
		}
	})
}

// FuzzAttributes evaluates conditions on attributes as they come from the wire, with values of any
// type or none at all, and compares with cel-go.
func FuzzAttributes(f *testing.F) {
	conditions := []string{
		`resource.bool`,
		`resource.string == "open" || resource.string in ["a", ""]`,
		`resource.int >= 3`,
		`resource.int == 9007199254740992 || resource.int < -1`,
		`resource.double < 1.5`,
		`resource.double in [1.5, -0.0]`,
		`"a" in resource.string_list`,
		`has(resource.bool) || has(resource.string) && has(resource.int)`,
		`!has(resource.double) && !has(resource.string_list)`,
		`resource.bool && resource.string == "open" || !(resource.int > 0) && "" in resource.string_list`,
	}
	text, number := structpb.NewStringValue, structpb.NewNumberValue
	list := func(values ...*structpb.Value) *structpb.Value {
		return structpb.NewListValue(&structpb.ListValue{Values: values})
	}
	for i, fields := range []map[string]*structpb.Value{
		{"bool": structpb.NewBoolValue(true), "string": text("open"), "int": number(3), "double": number(-0.5), "string_list": list(text("a"), text(""))},
		{"bool": text("true"), "string": structpb.NewNullValue(), "int": number(0.5), "double": number(math.Inf(1)), "string_list": list(text("a"), number(1))},
		{"bool": {}, "string": list(), "int": number(1 << 53), "double": number(math.NaN()), "string_list": list(&structpb.Value{})},
		{"bool": structpb.NewStructValue(&structpb.Struct{}), "int": number(-1 << 54), "double": number(math.Copysign(0, -1)), "string_list": list()},
		{"": number(1), "other": text("x"), "id": text("8"), "double": number(1e308)},
	} {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&structpb.Struct{Fields: fields})
		if err != nil {
			f.Fatal(err)
		}
		for j := range conditions {
			f.Add(uint8(j), raw)
		}
		f.Add(uint8(i), slices.Concat(raw, raw))
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		var attributes structpb.Struct
		if proto.Unmarshal(raw, &attributes) != nil {
			return
		}
		values := map[string]any{}
		for name, value := range attributes.GetFields() {
			values[name] = native(value)
		}
		condition := conditions[int(which)%len(conditions)]
		got, missing, err := policy.EvalCondition(condition, "7", attributes.GetFields())
		if err != nil {
			t.Fatal(err)
		}
		want, err := oracle(condition, "7", values)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("%s with %v: got %d, cel-go says %d", condition, values, got, want)
		}
		if got == policy.Undecided && missing == "" {
			t.Fatalf("%s with %v: undecided, but nothing is missing", condition, values)
		}
	})
}

// native is a value as Go has it. A number that JSON does not have stays one.
func native(v *structpb.Value) any {
	switch k := v.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return k.BoolValue
	case *structpb.Value_StringValue:
		return k.StringValue
	case *structpb.Value_NumberValue:
		return k.NumberValue
	case *structpb.Value_ListValue:
		elements := []any{}
		for _, e := range k.ListValue.GetValues() {
			elements = append(elements, native(e))
		}
		return elements
	}
	return nil
}
