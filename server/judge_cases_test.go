package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// readCatalog reads the YAML of a catalog that is known to be right, without the help
// of the loader that the server has.
func readCatalog(t testing.TB, text string) *catalogv1.Catalog {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	catalog := &catalogv1.Catalog{}
	if err := protojson.Unmarshal(asJSON, catalog); err != nil {
		t.Fatal(err)
	}
	return catalog
}

const judgeCatalog = `
name: by_hand
version: 1
scope_types: [team, queue]
holders: [user, group]
default_role: guest
resource_types:
  - name: ticket
    actions: [view, close, merge, split]
    attributes:
      - {name: status, type: string}
      - {name: n, type: int}
      - {name: x, type: double}
      - {name: vip, type: bool}
      - {name: tags, type: string_list}
toggles:
  - {name: closing, starts_on: false}
  - {name: strict, starts_on: true}
  - {name: fixed, starts_on: true, locked: true}
roles:
  - name: guest
    rules:
      - {allow: ["ticket:view"], reach: own}
  - name: suspended
    rules:
      - {forbid: ["ticket:view"], reach: own, condition: resource.n > 5}
  - name: agent
    held_in: [team, queue]
    rules:
      - {allow: ["ticket:view"], reach: assigned, widen: {reach: any queue, while_off: strict}}
      - {allow: ["ticket:close"], reach: assigned, condition: 'resource.status == "open" && resource.vip', while_on: closing}
      - {allow: ["role:grant"], reach: tenant}
  - name: lead
    inherits:
      - {role: agent, reach: tenant}
    rules:
      - {allow: ["ticket:merge"], reach: tenant, while_off: fixed}
  - name: heir
    held_in: [team]
    inherits:
      - {role: agent}
  - name: owner
    held_in: [team]
    inherits:
      - {role: agent, reach: own, keep_toggles: true}
  - name: clerk
    rules:
      - {allow: ["ticket:merge"], reach: tenant, condition: resource.n > 5}
      - {allow: ["ticket:merge"], reach: tenant, condition: resource.x > 1.0}
  - name: boss
    inherits:
      - {role: agent, keep_toggles: true}
    rules:
      - {allow: ["role:grant", "role:revoke", "toggle:set"], reach: tenant}
administration:
  protected_role: boss
`

// judgeCase is an answer that was worked out from the text of the specification.
// Instants are hours of a day; it is 12 now.
type judgeCase struct {
	name       string
	holds      []judgeHolding
	toggles    map[string]bool
	groups     string
	permission string
	id         string
	scopes     string
	owner      string
	attributes map[string]any
	// Code, role, holder, scope, toggle and its state, attribute; the hour to ask again.
	want string
}

type judgeHolding struct {
	subject, role, scope string
	from, to             int // 0: unset
}

var judgeCases = []judgeCase{
	{name: "default role, own ticket",
		permission: "ticket:view", owner: "user:ann", want: "GRANTED guest user:ann"},
	{name: "default role, other's ticket",
		permission: "ticket:view", owner: "user:bob", want: "NOT_OWNER guest user:ann"},
	{name: "default role has no such rule",
		permission: "ticket:close", want: "ROLE_LACKS_PERMISSION guest user:ann"},
	{name: "forbid-only role keeps the default role",
		holds:      []judgeHolding{{subject: "user:ann", role: "suspended"}},
		permission: "ticket:view", owner: "user:ann", attributes: map[string]any{"n": 5},
		want: "GRANTED guest user:ann"},
	{name: "forbid rule that is true",
		holds:      []judgeHolding{{subject: "user:ann", role: "suspended"}},
		permission: "ticket:view", owner: "user:ann", attributes: map[string]any{"n": 6},
		want: "FORBIDDEN suspended user:ann"},
	{name: "forbid rule that is undecided",
		holds:      []judgeHolding{{subject: "user:ann", role: "suspended"}},
		permission: "ticket:view", owner: "user:ann", attributes: map[string]any{"n": 6.5},
		want: "FORBIDDEN suspended user:ann"},
	{name: "a role with an allow rule ends the default role",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "ticket:view", scopes: "team:b", owner: "user:ann",
		want: "OUT_OF_SCOPE agent user:ann team:a"},
	{name: "a role that has not started does not end the default role",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a", from: 13, to: 14}},
		permission: "ticket:view", scopes: "team:a", owner: "user:ann",
		want: "GRANTED guest user:ann; 13"},
	{name: "not active, of two the smaller scope",
		holds: []judgeHolding{
			{subject: "user:ann", role: "agent", scope: "team:b", to: 11},
			{subject: "user:ann", role: "agent", scope: "team:a", from: 15}},
		permission: "ticket:close", scopes: "team:a",
		want: "NOT_ACTIVE agent user:ann team:a; 15"},
	{name: "it starts at its start",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a", from: 12, to: 13}},
		permission: "ticket:view", scopes: "team:a",
		want: "GRANTED agent user:ann team:a; 13"},
	{name: "it ends at its end",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a", to: 12}},
		permission: "ticket:view", scopes: "team:a",
		want: "NOT_OWNER guest user:ann"},
	{name: "held without scope it is assigned nothing",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent"}},
		permission: "ticket:view", scopes: "team:a",
		want: "OUT_OF_SCOPE agent user:ann"},
	{name: "widened",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		toggles:    map[string]bool{"strict": false},
		permission: "ticket:view", scopes: "team:b queue:b",
		want: "GRANTED agent user:ann team:a"},
	{name: "the widening's toggle stands the other way",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "ticket:view", scopes: "team:b queue:b",
		want: "OUT_OF_SCOPE agent user:ann team:a"},
	{name: "beyond both reaches",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		toggles:    map[string]bool{"strict": false},
		permission: "ticket:view", scopes: "team:b",
		want: "OUT_OF_SCOPE agent user:ann team:a"},
	{name: "toggle off",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "ticket:close", scopes: "team:a", attributes: map[string]any{"status": "open", "vip": true},
		want: "TOGGLE agent user:ann team:a closing OFF"},
	{name: "toggle on",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		toggles:    map[string]bool{"closing": true},
		permission: "ticket:close", scopes: "team:a", attributes: map[string]any{"status": "open", "vip": true},
		want: "GRANTED agent user:ann team:a"},
	{name: "condition false, although one part is undecided",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "ticket:close", scopes: "team:a", attributes: map[string]any{"status": 3, "vip": false},
		want: "CONDITION_NOT_MET agent user:ann team:a"},
	{name: "both attributes missing, the first is named",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "ticket:close", scopes: "team:a", attributes: map[string]any{"status": nil},
		want: "MISSING_ATTRIBUTE agent user:ann team:a status"},
	{name: "the second attribute missing",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "ticket:close", scopes: "team:a", attributes: map[string]any{"status": "open"},
		want: "MISSING_ATTRIBUTE agent user:ann team:a vip"},
	{name: "scope before condition",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "ticket:close", scopes: "team:b",
		want: "OUT_OF_SCOPE agent user:ann team:a"},
	{name: "the assignment that gets furthest",
		holds: []judgeHolding{
			{subject: "user:ann", role: "agent", scope: "team:a"},
			{subject: "group:g", role: "agent", scope: "team:b"}},
		groups:     "group:g",
		permission: "ticket:close", scopes: "team:b", attributes: map[string]any{"status": "shut"},
		want: "CONDITION_NOT_MET agent group:g team:b"},
	{name: "the subject before its groups, the tenant before scopes",
		holds: []judgeHolding{
			{subject: "group:a", role: "agent", scope: "team:a"},
			{subject: "user:ann", role: "agent", scope: "team:b"},
			{subject: "user:ann", role: "agent"}},
		groups:     "group:a",
		permission: "ticket:close",
		want:       "OUT_OF_SCOPE agent user:ann"},
	{name: "inherited with reach, toggles lost",
		holds:      []judgeHolding{{subject: "user:ann", role: "lead"}},
		permission: "ticket:close", attributes: map[string]any{"status": "open", "vip": true},
		want: "GRANTED lead user:ann"},
	{name: "inherited with toggles kept",
		holds:      []judgeHolding{{subject: "user:ann", role: "boss"}},
		toggles:    map[string]bool{"strict": false},
		permission: "ticket:view", scopes: "queue:q",
		want: "GRANTED boss user:ann"},
	{name: "the role that comes first in the catalog",
		holds: []judgeHolding{
			{subject: "user:ann", role: "lead"},
			{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "ticket:view", scopes: "team:a",
		want: "GRANTED agent user:ann team:a"},
	{name: "a locked toggle stands as it starts",
		holds:      []judgeHolding{{subject: "user:ann", role: "lead"}},
		toggles:    map[string]bool{"fixed": false},
		permission: "ticket:merge",
		want:       "TOGGLE lead user:ann fixed ON"},
	{name: "an administrator in a scope",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "role:grant", id: "agent", scopes: "team:b",
		want: "OUT_OF_SCOPE agent user:ann team:a"},
	{name: "an administrator in that scope",
		holds:      []judgeHolding{{subject: "user:ann", role: "agent", scope: "team:a"}},
		permission: "role:grant", id: "agent", scopes: "team:a",
		want: "GRANTED agent user:ann team:a"},
	{name: "no role has such a rule, the first that counts is named",
		holds: []judgeHolding{
			{subject: "user:ann", role: "lead", to: 20},
			{subject: "user:ann", role: "suspended", to: 18}},
		permission: "ticket:split",
		want:       "ROLE_LACKS_PERMISSION suspended user:ann; 18"},
	{name: "a condition that is false before one that is undecided",
		holds:      []judgeHolding{{subject: "user:ann", role: "clerk"}},
		permission: "ticket:merge", attributes: map[string]any{"x": 0.5},
		want: "CONDITION_NOT_MET clerk user:ann"},
	{name: "of two that are undecided the first rule",
		holds:      []judgeHolding{{subject: "user:ann", role: "clerk"}},
		permission: "ticket:merge",
		want:       "MISSING_ATTRIBUTE clerk user:ann n"},
	{name: "inherited without keep_toggles, the widening is lost",
		holds:      []judgeHolding{{subject: "user:ann", role: "heir", scope: "team:a"}},
		toggles:    map[string]bool{"strict": false},
		permission: "ticket:view", scopes: "queue:q",
		want: "OUT_OF_SCOPE heir user:ann team:a"},
	{name: "inherited with reach, the widening is lost although toggles are kept",
		holds:      []judgeHolding{{subject: "user:ann", role: "owner"}},
		toggles:    map[string]bool{"strict": false},
		permission: "ticket:view", scopes: "queue:q",
		want: "NOT_OWNER owner user:ann"},
	{name: "inherited with reach, the toggle is kept",
		holds:      []judgeHolding{{subject: "user:ann", role: "owner"}},
		permission: "ticket:close", owner: "user:ann", attributes: map[string]any{"status": "open", "vip": true},
		want: "TOGGLE owner user:ann closing OFF"},
	{name: "owner in a scope, administering beyond it",
		holds:      []judgeHolding{{subject: "user:ann", role: "owner", scope: "team:a"}},
		permission: "role:grant", id: "agent", scopes: "team:b", owner: "user:ann",
		want: "OUT_OF_SCOPE owner user:ann team:a"},
	{name: "in a scope, not the owner",
		holds:      []judgeHolding{{subject: "user:ann", role: "owner", scope: "team:a"}},
		permission: "role:grant", id: "agent", scopes: "team:b",
		want: "NOT_OWNER owner user:ann team:a"},
}

// TestJudgeByHand holds the judge to answers that were worked out by hand, and the
// server to both.
func TestJudgeByHand(t *testing.T) {
	catalog := readCatalog(t, judgeCatalog)
	p := &judgePlay{h: newHarness(t), seen: map[string]int{}}
	for i, test := range judgeCases {
		t.Run(test.name, func(t *testing.T) {
			q := test.question(t)
			tenant := &judgeTenant{
				judgePlay: p,
				judge:     newJudge(catalog, nil),
				name:      fmt.Sprintf("by-hand-%d", i),
				facts: judgeFacts{
					toggles:     map[string]bool{},
					assignments: []judgeAssignment{{subject: judgeAdmin, role: "boss"}},
					now:         judgeHour(12),
				},
			}
			p.h.clock.Set(judgeHour(1))
			err := tenant.create(t.Context())
			if err == nil {
				err = tenant.write(t.Context(), test.writes())
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tenant.decide(tenant.facts, q).summary(); got != test.want {
				t.Errorf("the judge says %s, want %s", got, test.want)
			}
			p.h.clock.Set(judgeHour(12))
			if err := tenant.ask(t.Context(), judgeMoment{
				subject: q.subject, groups: q.groups, single: []bool{true},
				items: []*usherv1.BatchCheckItem{{Resource: q.resource, Actions: []string{q.action}}},
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// judgeHour is an hour of the day of all cases; 0 is no instant.
func judgeHour(n int) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return judgeEpoch.Add(time.Duration(n) * time.Hour)
}

func (c judgeCase) writes() []judgeWrite {
	var writes []judgeWrite
	for _, h := range c.holds {
		writes = append(writes, judgeWrite{grant: &judgeAssignment{
			subject: h.subject, role: h.role, scope: h.scope, starts: judgeHour(h.from), ends: judgeHour(h.to),
		}})
	}
	for toggle, on := range c.toggles {
		writes = append(writes, judgeWrite{toggle: toggle, on: on})
	}
	return writes
}

func (c judgeCase) question(t *testing.T) judgeQuestion {
	t.Helper()
	attributes, err := structpb.NewStruct(c.attributes)
	if err != nil {
		t.Fatal(err)
	}
	resourceType, action := cutPermission(c.permission)
	return judgeQuestion{
		subject: "user:ann", groups: strings.Fields(c.groups), action: action,
		resource: &usherv1.Resource{
			Type: resourceType, Id: c.id, Scopes: strings.Fields(c.scopes),
			Owner: c.owner, Attributes: attributes,
		},
	}
}

// summary writes a verdict as the cases do.
func (v judgeVerdict) summary() string {
	r := v.reason
	text := strings.TrimPrefix(r.GetCode().String(), "REASON_CODE_")
	for _, part := range []string{
		r.GetRole(), r.GetHolder(), r.GetScope(), r.GetToggle(),
		strings.TrimPrefix(r.GetToggleState().String(), "TOGGLE_STATE_"), r.GetAttribute(),
	} {
		if part != "" && part != "UNSPECIFIED" {
			text += " " + part
		}
	}
	if !v.recheck.IsZero() {
		text += fmt.Sprint("; ", v.recheck.Hour())
	}
	if (v.decision == usherv1.Decision_DECISION_ALLOW) != strings.HasPrefix(text, "GRANTED") {
		text += " with " + v.decision.String()
	}
	return text
}

// TestJudgeReadsConditions covers the values that a condition can have.
func TestJudgeReadsConditions(t *testing.T) {
	const big = 1 << 53
	j := newJudge(readCatalog(t, judgeCatalog), nil)
	for _, test := range []struct {
		text       string
		attributes map[string]any
		want       truth
	}{
		{`resource.n == 2`, map[string]any{"n": 2.0}, isTrue},
		{`resource.n == 2`, map[string]any{"n": 2.5}, isUndecided},
		{`resource.n == 2`, map[string]any{"n": "2"}, isUndecided},
		{`resource.n > 2`, map[string]any{"n": float64(big)}, isTrue},
		{`resource.n > 2`, map[string]any{"n": float64(big + 2)}, isUndecided},
		{`-3 <= resource.n`, map[string]any{"n": float64(-big)}, isFalse},
		{`resource.n in [1, -2]`, map[string]any{"n": -2}, isTrue},
		{`resource.x < 1.5`, map[string]any{"x": 1}, isTrue},
		{`resource.x == 1e3`, map[string]any{"x": 1000}, isTrue},
		{`resource.status >= "b"`, map[string]any{"status": "a"}, isFalse},
		{`resource.status in ['a', "b"]`, map[string]any{"status": "b"}, isTrue},
		{`resource.status != "b"`, map[string]any{"status": 1}, isUndecided},
		{`"a" in resource.tags`, map[string]any{"tags": []any{"a"}}, isTrue},
		{`"a" in resource.tags`, map[string]any{"tags": []any{}}, isFalse},
		{`"a" in resource.tags`, map[string]any{"tags": []any{"a", 1}}, isUndecided},
		{`resource.vip`, map[string]any{"vip": true}, isTrue},
		{`!resource.vip`, map[string]any{"vip": nil}, isUndecided},
		{`resource.vip != true`, map[string]any{"vip": false}, isTrue},
		{`has(resource.vip)`, map[string]any{"vip": "yes"}, isFalse},
		{`!has(resource.vip) || resource.vip`, nil, isTrue},
		{`resource.vip || true`, nil, isTrue},
		{`resource.vip && false`, nil, isFalse},
		{`resource.vip || false`, nil, isUndecided},
		{`true || false && false`, nil, isTrue},
		{`(true || false) && false`, nil, isFalse},
		{`resource.id == "7"`, nil, isTrue},
		{`resource.id == "7"`, map[string]any{"id": "8"}, isTrue},
	} {
		attributes, err := structpb.NewStruct(test.attributes)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := j.evaluate(test.text, &usherv1.Resource{Type: "ticket", Id: "7", Attributes: attributes})
		if got != test.want {
			t.Errorf("%s with %v: got %v, want %v", test.text, test.attributes, got, test.want)
		}
		// What is written with all its parentheses means the same.
		again := parseCondition(test.text).String()
		if got, _ := j.evaluate(again, &usherv1.Resource{Type: "ticket", Id: "7", Attributes: attributes}); got != test.want {
			t.Errorf("%s, written as %s, with %v: got %v, want %v", test.text, again, test.attributes, got, test.want)
		}
	}
}
