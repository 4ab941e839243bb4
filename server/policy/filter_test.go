package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/usher-pdp/usher/server/policy"
)

const filterCatalog = `
name: filters
version: 1
scope_types: [team, queue]
holders: [user, group]
resource_types:
  - name: ticket
    actions: [view, edit, note, tag, close]
    attributes:
      - {name: status, type: string}
      - {name: hours, type: int}
      - {name: vip, type: bool}
      - {name: tags, type: string_list}
toggles:
  - {name: wide, starts_on: false}
  - {name: noting, starts_on: false}
default_role: guest
roles:
  - name: guest
    rules:
      - {allow: ["ticket:view"], reach: own}
  - name: agent
    held_in: [team, queue]
    rules:
      - {allow: ["ticket:view"], reach: assigned, widen: {reach: any team, while_on: wide}}
      - {allow: ["ticket:edit"], reach: assigned, condition: resource.status == "open"}
      - {allow: ["ticket:edit"], reach: own, condition: resource.status == "open"}
      - {allow: ["ticket:note"], reach: assigned, while_on: noting}
      - {allow: ["ticket:tag"], reach: any team, condition: resource.vip}
      - {allow: ["role:revoke"], reach: any team}
      - {allow: ["role:revoke"], reach: own}
  - name: lead
    held_in: [team, queue]
    rules:
      - {allow: ["ticket:view", "ticket:edit"], reach: own}
      - {allow: ["ticket:edit"], reach: assigned}
      - {allow: ["ticket:tag"], reach: assigned, condition: resource.vip}
      - {allow: ["role:grant", "role:revoke"], reach: tenant, condition: resource.id == "agent"}
      - {allow: ["role:revoke"], reach: assigned}
  - name: suspended
    held_in: [team]
    rules:
      - {forbid: ["ticket:view"], reach: assigned}
      - {forbid: ["ticket:edit"], reach: any queue, condition: "!(resource.hours <= 10)"}
      - {forbid: ["ticket:note"], reach: tenant, while_on: noting}
  - name: deputy
    held_in: [team, queue]
    rules:
      - {allow: ["role:revoke"], reach: any team, condition: resource.id == "agent"}
      - {allow: ["role:revoke"], reach: own, condition: resource.id == "agent"}
  - name: roamer
    rules:
      - {allow: ["role:revoke"], reach: any queue}
  - name: boss
    rules:
      - {allow: ["role:grant", "role:revoke", "toggle:set", "ticket:edit", "ticket:tag"], reach: tenant}
      - {allow: ["ticket:edit"], reach: own, condition: resource.vip}
administration: {protected_role: boss}
`

// TestFilterHasEachThingOnce shows what filters are made of, and what is left out because
// something else covers it.
func TestFilterHasEachThingOnce(t *testing.T) {
	t.Parallel()
	catalog, err := policy.Parse("filters.yaml", []byte(filterCatalog), nil)
	if err != nil {
		t.Fatal(err)
	}
	const ann, group = "user:actor ", "group:g "
	for _, test := range []struct {
		held, on   []string
		permission string
		want       string
	}{
		{nil, nil, "ticket:view", "allow own"},
		{nil, nil, "ticket:edit", ""},
		{[]string{group + "agent"}, nil, "ticket:view", ""},
		{[]string{ann + "suspended team:a"}, nil, "ticket:view", "allow own; forbid team:a"},
		{[]string{ann + "agent team:a from 1"}, nil, "ticket:view", "allow own"},
		{[]string{ann + "agent team:b", ann + "agent", ann + "agent queue:a", group + "agent team:a", group + "agent team:b"}, nil, "ticket:view", "allow queue:a team:a team:b"},
		{[]string{ann + "agent team:b", ann + "agent queue:a", group + "lead team:c"}, []string{"wide"}, "ticket:view", "allow queue:a; allow any team; allow own"},
		{[]string{ann + "agent"}, []string{"wide"}, "ticket:view", "allow any team"},
		{[]string{ann + "agent team:a"}, nil, "ticket:note", ""},
		{[]string{ann + "agent team:a", group + "suspended"}, []string{"noting"}, "ticket:note", "allow team:a; forbid tenant"},

		// With conditions: what there is without one covers it.
		{[]string{ann + "agent team:a", ann + "agent team:b"}, nil, "ticket:edit", `allow team:a team:b if resource.status == "open"; allow own if resource.status == "open"`},
		{[]string{ann + "agent team:a", ann + "agent team:b", group + "lead team:b"}, nil, "ticket:edit", `allow team:b; allow own; allow team:a if resource.status == "open"`},
		{[]string{ann + "agent team:a", ann + "boss"}, nil, "ticket:edit", "allow tenant"},
		{[]string{ann + "agent team:a", group + "suspended"}, nil, "ticket:edit", `allow team:a if resource.status == "open"; allow own if resource.status == "open"; forbid any queue if !(resource.hours <= 10)`},
		{[]string{ann + "lead team:a", ann + "lead queue:a", ann + "agent team:b"}, nil, "ticket:tag", "allow queue:a if resource.vip; allow any team if resource.vip"},

		// The administration of what is held in scopes is limited to them.
		{[]string{ann + "boss"}, nil, "toggle:set", "allow tenant"},
		{[]string{ann + "lead team:a", ann + "lead team:b"}, nil, "role:grant", `allow team:a team:b if resource.id == "agent"`},
		{[]string{ann + "lead team:a", ann + "lead"}, nil, "role:grant", `allow tenant if resource.id == "agent"`},
		{[]string{ann + "agent queue:a", ann + "agent queue:b"}, nil, "role:revoke", "allow any team within queue:a queue:b; allow own within queue:a queue:b"},
		{[]string{ann + "agent team:a", ann + "agent queue:b"}, nil, "role:revoke", "allow team:a; allow any team within queue:b; allow own within queue:b"},
		{[]string{ann + "agent queue:a", ann + "agent queue:b", ann + "lead queue:b"}, nil, "role:revoke", "allow queue:b; allow any team within queue:a; allow own within queue:a"},
		{[]string{ann + "agent queue:a", ann + "agent team:b", group + "agent"}, nil, "role:revoke", "allow any team; allow own"},
		{[]string{ann + "agent queue:a", group + "roamer"}, nil, "role:revoke", "allow any queue"},
		{[]string{ann + "deputy queue:a", ann + "deputy team:a"}, nil, "role:revoke", `allow team:a if resource.id == "agent"; allow any team within queue:a if resource.id == "agent"; allow own within queue:a if resource.id == "agent"`},
		{[]string{ann + "deputy queue:a", ann + "deputy team:a", ann + "agent"}, nil, "role:revoke", "allow any team; allow own"},
		{[]string{ann + "deputy queue:a", ann + "deputy queue:b", ann + "agent queue:a"}, nil, "role:revoke", `allow any team within queue:a; allow own within queue:a; allow any team within queue:b if resource.id == "agent"; allow own within queue:b if resource.id == "agent"`},
		{[]string{ann + "deputy queue:a", ann + "lead queue:a"}, nil, "role:revoke", `allow queue:a`},
	} {
		on := map[string]bool{}
		for _, toggle := range test.on {
			on[toggle] = true
		}
		actor := actorWith(t, catalog, test.held...)
		resourceType, action, _ := strings.Cut(test.permission, ":")
		f, err := policy.NewTable(catalog, on).Filter(actor.Holders, actor.Subject, action, resourceType)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(slices.Concat(alternativeLines("allow", f.Allow), alternativeLines("forbid", f.Forbid)), "; ")
		if got != test.want {
			t.Errorf("%s of %q with %q on\n got %s\nwant %s", test.permission, test.held, test.on, got, test.want)
		}
	}

	f, err := policy.NewTable(catalog, nil).Filter([]*policy.Holder{actorWith(t, catalog).Holders[0]}, "group:g", "view", "ticket")
	if err != nil || len(f.Allow) > 0 {
		t.Errorf("a group, which owns nothing, sees %+v, %v", f.Allow, err)
	}
}

func alternativeLines(effect string, alternatives []policy.Alternative) (lines []string) {
	for _, a := range alternatives {
		line := effect + " "
		switch a.Reach {
		case policy.ReachTenant:
			line += "tenant"
		case policy.ReachScopes:
			line += strings.Join(a.Scopes, " ")
		case policy.ReachAnyScope:
			line += "any " + a.ScopeType
		case policy.ReachOwn:
			line += "own"
		}
		if len(a.LimitedTo) > 0 {
			line += " within " + strings.Join(a.LimitedTo, " ")
		}
		if a.Condition != "" {
			line += " if " + a.Condition
		}
		lines = append(lines, line)
	}
	return lines
}

// TestExpressionSaysWhatTheConditionMeans has a condition for every operator. Numbers beyond
// those that an attribute can have stay beyond them.
func TestExpressionSaysWhatTheConditionMeans(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		`true`:          `true`,
		`resource.vip`:  `vip == true`,
		`!resource.vip`: `not(vip == true)`,
		`has(resource.vip) || 3 < resource.hours || resource.hours <= -4 || false`:                                                                 `or(has vip, hours > 3, hours <= -4, false)`,
		`resource.vip && (resource.hours >= 0 && resource.id != "\u0000é") && ("a" in resource.tags || resource.status < "b")`:                     `and(vip == true, hours >= 0, id != "\u0000é", or("a" in tags, status < "b"))`,
		`resource.status in ["a", "b"] || resource.status in []`:                                                                                   `or(status in ["a","b"], status in [])`,
		`resource.hours == 9007199254740992 || resource.hours in [9007199254740993, -9007199254740993, 9223372036854775807, -9223372036854775807]`: `or(hours == 9007199254740992, hours in [9007199254740994,-9007199254740994,9223372036854775808,-9223372036854775808])`,
	} {
		source := strings.Replace(filterCatalog, `condition: "!(resource.hours <= 10)"`, fmt.Sprintf("condition: %q", condition), 1)
		catalog, err := policy.Parse("filters.yaml", []byte(source), nil)
		if err != nil {
			t.Fatal(err)
		}
		actor := actorWith(t, catalog, "user:actor suspended")
		f, err := policy.NewTable(catalog, nil).Filter(actor.Holders, actor.Subject, "edit", "ticket")
		if err != nil {
			t.Fatal(err)
		}
		if got := writeExpression(t, f.Forbid[0].Expression); got != want || f.Forbid[0].Condition != condition {
			t.Errorf("%s\n got %s of %s\nwant %s", condition, got, f.Forbid[0].Condition, want)
		}
	}
}

func writeExpression(t *testing.T, e *policy.Expression) string {
	var operands, constants []string
	for _, operand := range e.Operands {
		operands = append(operands, writeExpression(t, operand))
	}
	for _, c := range e.Constants {
		text, err := protojson.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		number := c.GetNumberValue()
		if number != 0 {
			text = fmt.Appendf(nil, "%.0f", number)
		}
		constants = append(constants, string(text))
	}
	switch e.Operator {
	case policy.OperatorConstant:
		return constants[0]
	case policy.OperatorAnd:
		return "and(" + strings.Join(operands, ", ") + ")"
	case policy.OperatorOr:
		return "or(" + strings.Join(operands, ", ") + ")"
	case policy.OperatorNot:
		return "not(" + operands[0] + ")"
	case policy.OperatorHas:
		return "has " + e.Attribute
	case policy.OperatorIn:
		return e.Attribute + " in [" + strings.Join(constants, ",") + "]"
	case policy.OperatorContains:
		return constants[0] + " in " + e.Attribute
	}
	sign := map[policy.Operator]string{
		policy.OperatorEqual: "==", policy.OperatorNotEqual: "!=", policy.OperatorLess: "<", policy.OperatorLessOrEqual: "<=",
		policy.OperatorGreater: ">", policy.OperatorGreaterOrEqual: ">=",
	}[e.Operator]
	return e.Attribute + " " + sign + " " + constants[0]
}
