package listfilter_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// world draws catalogs, grants and tickets. There are few names, so that things meet.
type world struct{ *rand.Rand }

var (
	subjects = []string{"user:ann", "user:bob", "user:eve", "group:a", "group:b"}
	scopes   = []string{"team:a", "team:B", "team:é_%", "team_x:a", "queue:a"}
	texts    = []string{"a", "A", "", "é", `quote " ' \`, "[]", "1"}
	wholes   = []float64{0, 1, -1, 7, 1 << 53, -(1 << 53)}
	reals    = []float64{0, 0.5, -1.5, 1e300}
)

// attributeTypes are the attributes that Tickets has columns for.
var attributeTypes = map[string]string{
	"status": "string", "priority": "int", "hours": "double", "vip": "bool", "tags": "string_list",
}

func (w world) chance(percent int) bool { return w.IntN(100) < percent }

func pick[T any](w world, from []T) T { return from[w.IntN(len(from))] }

func some[T any](w world, from []T, most int) []T {
	shuffled := slices.Clone(from)
	w.Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
	return shuffled[:w.IntN(min(most, len(from))+1)]
}

// catalog draws a catalog with the roles r0 to r4, which can be held anywhere.
func (w world) catalog(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\nversion: 1\nscope_types: [team, team_x, queue]\nholders: [user, group]\n", name)
	b.WriteString("resource_types:\n  - name: ticket\n    actions: [view, edit]\n    attributes:\n")
	for _, attribute := range attributeNames() {
		fmt.Fprintf(&b, "      - {name: %s, type: %s}\n", attribute, attributeTypes[attribute])
	}
	fmt.Fprintf(&b, "toggles:\n  - {name: t, starts_on: %t}\n", w.chance(50))
	if w.chance(50) {
		b.WriteString("default_role: guest\n")
	}
	b.WriteString("roles:\n")
	b.WriteString("  - name: guest\n    rules:\n      - {allow: ['ticket:view'], reach: own}\n")
	b.WriteString("      - {allow: ['ticket:edit'], reach: any queue, widen: {reach: own, while_on: t}}\n")
	for i := range 5 {
		fmt.Fprintf(&b, "  - name: r%d\n    held_in: [team, team_x, queue]\n    rules:\n", i)
		for range 1 + w.IntN(3) {
			b.WriteString(w.rule(i == 4))
		}
	}
	b.WriteString("  - name: boss\n    rules:\n      - {allow: ['role:grant', 'role:revoke', 'toggle:set'], reach: tenant}\n")
	b.WriteString("administration: {protected_role: boss}\n")
	return b.String()
}

func attributeNames() []string { return []string{"status", "priority", "hours", "vip", "tags"} }

func (w world) rule(forbids bool) string {
	reaches := []string{"tenant", "assigned", "assigned", "own", "any team", "any team_x", "any queue"}
	effect := "allow"
	if forbids || w.chance(15) {
		effect = "forbid"
	}
	permissions := pick(w, []string{"'ticket:view'", "'ticket:edit'", "'ticket:view', 'ticket:edit'"})
	rule := fmt.Sprintf("      - {%s: [%s], reach: %s", effect, permissions, pick(w, reaches))
	if w.chance(65) {
		rule += ", condition: " + quoteYAML(w.condition(2))
	}
	if w.chance(20) {
		rule += ", " + pick(w, []string{"while_on", "while_off"}) + ": t"
	}
	if w.chance(20) {
		rule += fmt.Sprintf(", widen: {reach: %s, while_on: t}", pick(w, reaches))
	}
	return rule + "}\n"
}

func quoteYAML(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// condition draws a condition with so many levels of operators.
func (w world) condition(depth int) string {
	if depth > 0 && w.chance(60) {
		left, right := w.condition(depth-1), w.condition(depth-1)
		return pick(w, []string{"!(" + left + ")", "(" + left + ") && (" + right + ")", "(" + left + ") || (" + right + ")"})
	}
	name := pick(w, append(attributeNames(), "id"))
	attribute := "resource." + name
	switch {
	case w.chance(5):
		return pick(w, []string{"true", "false"})
	case w.chance(15):
		return "has(" + attribute + ")"
	case name == "tags":
		return w.constant("string") + " in " + attribute
	case w.chance(25):
		var list []string
		for range w.IntN(4) {
			list = append(list, w.constant(attributeTypes[name]))
		}
		return attribute + " in [" + strings.Join(list, ", ") + "]"
	case name == "vip":
		return pick(w, []string{attribute, attribute + " == false", attribute + " != true"})
	}
	return attribute + " " + pick(w, []string{"==", "!=", "<", "<=", ">", ">="}) + " " + w.constant(attributeTypes[name])
}

// constant writes a constant of a type; that of the id is a string.
func (w world) constant(attributeType string) string {
	switch attributeType {
	case "bool":
		return pick(w, []string{"true", "false"})
	case "int":
		// The last two are larger than what an attribute can be.
		return pick(w, []string{"0", "1", "-1", "7", "9007199254740992", "9007199254740993", "-9007199254740993"})
	case "double":
		return pick(w, []string{"0.0", "0.5", "-1.5", "1e300", "1.0"})
	}
	text, err := json.Marshal(pick(w, append([]string{"T-01", "T-30"}, texts...)))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// grant draws what somebody is granted. Some of it has not begun.
func (w world) grant(tenant string) *usherv1.GrantRequest {
	r := &usherv1.GrantRequest{Tenant: tenant, Subject: pick(w, subjects), Role: fmt.Sprintf("r%d", w.IntN(5))}
	if w.chance(75) {
		r.Scope = pick(w, scopes)
	}
	if w.chance(15) {
		r.StartsAt = timestamppb.New(now.Add(1))
	}
	return r
}

// ticket draws a ticket, as checks are asked about it. Attributes may be missing, or of a type that
// is not the declared one.
func (w world) ticket(id string) *usherv1.Resource {
	r := &usherv1.Resource{Type: "ticket", Id: id, Scopes: some(w, scopes, 3), Attributes: &structpb.Struct{Fields: map[string]*structpb.Value{}}}
	if w.chance(70) {
		r.Owner = pick(w, append([]string{"user:ANN"}, subjects...))
	}
	for name, attributeType := range attributeTypes {
		switch {
		case w.chance(70):
			r.Attributes.Fields[name] = w.value(attributeType)
		case w.chance(40):
			r.Attributes.Fields[name] = w.value(pick(w, []string{"string", "int", "double", "bool", "string_list", "odd"}))
		}
	}
	return r
}

func (w world) value(attributeType string) *structpb.Value {
	switch attributeType {
	case "string":
		return structpb.NewStringValue(pick(w, texts))
	case "int":
		return structpb.NewNumberValue(pick(w, wholes))
	case "double":
		return structpb.NewNumberValue(pick(w, reals))
	case "bool":
		return structpb.NewBoolValue(w.chance(50))
	case "string_list":
		list := &structpb.ListValue{}
		for _, text := range some(w, texts, 3) {
			list.Values = append(list.Values, structpb.NewStringValue(text))
		}
		return structpb.NewListValue(list)
	}
	return pick(w, []*structpb.Value{
		structpb.NewNullValue(), structpb.NewNumberValue(1<<53 + 2), structpb.NewNumberValue(math.NaN()), structpb.NewNumberValue(math.Inf(1)),
		structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("a"), structpb.NewNumberValue(1)}}),
	})
}

// column is what a column holds of a value: nil if it is missing or not of the type.
func column(attributeType string, v *structpb.Value) any {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		if attributeType == "string" {
			return k.StringValue
		}
	case *structpb.Value_BoolValue:
		if attributeType == "bool" {
			return k.BoolValue
		}
	case *structpb.Value_NumberValue:
		n := k.NumberValue
		switch {
		case attributeType == "int" && n == math.Trunc(n) && math.Abs(n) <= 1<<53:
			return int64(n)
		case attributeType == "double" && !math.IsNaN(n) && !math.IsInf(n, 0):
			return n
		}
	case *structpb.Value_ListValue:
		if attributeType != "string_list" {
			return nil
		}
		list := []string{}
		for _, element := range k.ListValue.GetValues() {
			if _, isText := element.GetKind().(*structpb.Value_StringValue); !isText {
				return nil
			}
			list = append(list, element.GetStringValue())
		}
		text, err := json.Marshal(list)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	return nil
}
