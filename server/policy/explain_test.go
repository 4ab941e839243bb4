package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// desk is a catalog in which tickets depend on everything that there is.
const desk = `
name: desk
version: 1
scope_types: [team, queue]
holders: [user, group]
default_role: guest
resource_types:
  - name: ticket
    actions: [view, close, tag]
    attributes: [{name: status, type: string}, {name: level, type: int}, {name: tags, type: string_list}, {name: vip, type: bool}, {name: cost, type: double}]
toggles:
  - {name: closing, starts_on: false}
  - {name: narrow, starts_on: true}
  - {name: sealed, starts_on: false, locked: true}
roles:
  - {name: guest, rules: [{allow: [ticket:view], reach: own}]}
  - name: agent
    held_in: [team, queue]
    rules:
      - {allow: [ticket:view], reach: assigned, widen: {reach: any queue, while_off: narrow}}
      - {allow: [ticket:close], reach: tenant, while_on: closing, condition: 'resource.status == "solved"', unmet: {en: the ticket is not solved}}
      - {allow: [ticket:tag], reach: tenant, while_on: sealed}
      - {allow: [ticket:tag], reach: tenant, condition: '"a" in resource.tags && !("b" in resource.tags) && resource.cost > 1.0 && resource.cost < 1.5'}
  - name: suspended
    held_in: [team]
    rules:
      - {forbid: [ticket:view], reach: assigned}
      - {forbid: [ticket:close], reach: tenant, condition: resource.level > 3 || resource.vip}
      - {forbid: [ticket:tag], reach: tenant, while_on: closing, condition: resource.vip}
  - {name: boss, inherits: [{role: agent, reach: tenant}], rules: [{allow: [role:grant, role:revoke, toggle:set], reach: tenant}]}
administration: {protected_role: boss}
`

// situationOf is what user:ann and her groups hold.
func situationOf(t testing.TB, source string, toggles map[string]bool, held ...string) policy.Situation {
	t.Helper()
	catalog, err := policy.Parse("test.yaml", []byte(source), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := policy.Situation{Table: policy.NewTable(catalog, toggles), Subjects: []policy.Subject{{Name: "user:ann"}}, Now: shopNow}
	for _, a := range holding(t, held...) {
		i := slices.IndexFunc(s.Subjects, func(other policy.Subject) bool { return other.Name == a.Subject })
		if i < 0 {
			i, s.Subjects = len(s.Subjects), append(s.Subjects, policy.Subject{Name: a.Subject})
		}
		s.Subjects[i].Held = append(s.Subjects[i].Held, a)
	}
	for _, subject := range s.Subjects {
		h, err := policy.NewHolder(catalog, subject.Name, subject.Held, s.Now)
		if err != nil {
			t.Fatal(err)
		}
		s.Holders = append(s.Holders, h)
	}
	return s
}

// ticket is a question about a ticket, in YAML's words for attributes.
func ticket(t testing.TB, action string, scopes string, attributes map[string]any) *policy.Request {
	t.Helper()
	values, err := structpb.NewStruct(attributes)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Request{Subject: "user:ann", Action: action, Resource: policy.Resource{
		Type: "ticket", Scopes: strings.Fields(scopes), Owner: "user:ann", Attributes: values.GetFields(),
	}}
}

// TestExplainTellsEachRule has each result of a rule, in the order of roles, rules and holders.
func TestExplainTellsEachRule(t *testing.T) {
	for _, c := range []struct {
		name    string
		held    []string
		toggles map[string]bool
		ask     *policy.Request
		want    []string
	}{
		{
			name: "the default role", ask: ticket(t, "view", "", nil),
			want: []string{"guest of user:ann in [] allows own: matches"},
		},
		{
			name: "reach and widening, in force and not",
			held: []string{"group:g agent team:a", "user:ann agent team:c", "user:ann agent team:b", "user:ann agent queue:b until -1", "user:ann suspended team:z"},
			ask:  ticket(t, "view", "team:c", nil), toggles: map[string]bool{"narrow": false},
			want: []string{
				"agent of user:ann in [team:b team:c] allows assigned or any queue: matches",
				"agent of user:ann in [queue:b] allows assigned or any queue: not active, ended at 11",
				"agent of group:g in [team:a] allows assigned or any queue: out of reach",
				"suspended of user:ann in [team:z] forbids assigned: out of reach",
			},
		},
		{
			name: "conditions and toggles, of forbid rules too",
			held: []string{"user:ann agent", "user:ann suspended", "group:g suspended from 2"},
			ask:  ticket(t, "close", "", map[string]any{"status": "new", "level": 4}),
			want: []string{
				"agent of user:ann in [] allows tenant while closing is true if resource.status == \"solved\": condition false (the ticket is not solved)",
				"suspended of user:ann in [] forbids tenant if resource.level > 3 || resource.vip: matches",
				"suspended of group:g in [] forbids tenant if resource.level > 3 || resource.vip: not active, starts at 14",
			},
		},
		{
			name: "undecided: an allow rule does not hold, a forbid rule does if its toggle lets it",
			held: []string{"user:ann agent", "user:ann suspended"}, ask: ticket(t, "tag", "", map[string]any{"tags": []any{"a"}}),
			want: []string{
				"agent of user:ann in [] allows tenant while sealed is true: toggle",
				`agent of user:ann in [] allows tenant if "a" in resource.tags && !("b" in resource.tags) && resource.cost > 1.0 && resource.cost < 1.5: undecided for want of cost`,
				"suspended of user:ann in [] forbids tenant while closing is true if resource.vip: toggle",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := situationOf(t, desk, c.toggles, c.held...)
			e, err := s.Explain(c.ask)
			if err != nil {
				t.Fatal(err)
			}
			if d, err := s.Table.Decide(s.Holders, c.ask); err != nil || d != e.Decision {
				t.Errorf("got the decision %+v, want %+v, %v", e.Decision, d, err)
			}
			var got []string
			for _, rule := range e.Rules {
				got = append(got, describeRule(rule))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func describeRule(r policy.RuleOutcome) string {
	scopes := slices.DeleteFunc(slices.Clone(r.Scopes), func(s string) bool { return s == "" })
	text := fmt.Sprintf("%s of %s in %v ", r.Role, r.Holder, scopes) + map[bool]string{false: "allows ", true: "forbids "}[r.Forbid] + r.Reach
	if r.Widened != "" {
		text += " or " + r.Widened
	}
	if r.Toggle != "" {
		text += fmt.Sprintf(" while %s is %v", r.Toggle, r.ToggleWanted)
	}
	if r.Condition != "" {
		text += " if " + r.Condition
	}
	text += ": " + []string{"", "matches", "out of reach", "condition false", "undecided", "toggle", "not active"}[r.Result]
	if r.Attribute != "" {
		text += " for want of " + r.Attribute
	}
	if r.Result == policy.RuleConditionFalse && len(r.Unmet) > 0 {
		text += " (" + r.Unmet["en"] + ")"
	}
	if !r.Starts.IsZero() {
		text += ", starts at " + r.Starts.Format("15")
	}
	if !r.Ended.IsZero() {
		text += ", ended at " + r.Ended.Format("15")
	}
	return text
}

// TestRemedies has what the built-in catalogs have not: forbid rules, attributes of all types,
// and steps that have to come together.
func TestRemedies(t *testing.T) {
	for _, c := range []struct {
		name    string
		held    []string
		toggles map[string]bool
		ask     *policy.Request
		want    []string
	}{
		{
			name: "an allow has none", ask: ticket(t, "view", "", nil),
		},
		{
			name: "a role that forbids in one scope stays in the other", held: []string{"user:ann agent team:a", "user:ann suspended team:a", "user:ann suspended team:b"},
			ask: ticket(t, "view", "team:a", nil), want: []string{"revoke suspended of user:ann [team:a]"},
		},
		{
			name: "a role that forbids wherever it is held", held: []string{"user:ann agent", "user:ann suspended team:a", "user:ann suspended"}, toggles: map[string]bool{"closing": true},
			ask:  ticket(t, "close", "", map[string]any{"status": "solved", "level": 9, "vip": false}),
			want: []string{"resource level=3", "revoke suspended of user:ann [ team:a]"},
		},
		{
			name: "two that forbid, one through a group", held: []string{"user:ann agent team:a", "group:g suspended team:a", "user:ann suspended team:a"},
			ask: ticket(t, "view", "team:a", nil), want: []string{"revoke suspended of user:ann [team:a], revoke suspended of group:g [team:a]"},
		},
		{
			name: "what is missing is stated", held: []string{"user:ann agent", "user:ann suspended"}, toggles: map[string]bool{"closing": true},
			ask:  ticket(t, "close", "", map[string]any{"status": "solved", "level": 1}),
			want: []string{"resource vip=false", "revoke suspended of user:ann []"},
		},
		{
			name: "as few attributes as will do, and of a list the rest stays", held: []string{"user:ann agent"},
			ask:  ticket(t, "tag", "", map[string]any{"tags": []any{"z", "b"}, "cost": 7}),
			want: []string{`resource cost=1.25 tags=["z","a"]`, "grant boss to user:ann []"},
		},
		{
			name: "a toggle and the resource, or a role that needs no toggle", held: []string{"user:ann agent team:a"}, ask: ticket(t, "close", "", map[string]any{"status": "new"}),
			want: []string{`toggle closing true, resource status="solved"`, `grant boss to user:ann [], resource status="solved"`},
		},
		{
			name: "a role that starts now, in another scope", held: []string{"user:ann agent team:a from 1 until 5"}, ask: ticket(t, "view", "team:a queue:b", nil),
			want: []string{"grant agent to user:ann [team:a] early for 5h0m0s", "grant agent to user:ann [queue:b]"},
		},
		{
			name: "three steps are too many", ask: ticket(t, "view", "team:a", nil),
			held: []string{"user:ann suspended team:a", "group:g suspended team:a", "group:h suspended team:a"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.name, "a role that starts now") {
				c.ask.Resource.Owner = "" // so that the default role does not allow it
			}
			s := situationOf(t, desk, c.toggles, c.held...)
			ways, err := s.Remedies(c.ask)
			if err != nil {
				t.Fatal(err)
			}
			if got := describeWays(ways); !slices.Equal(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func describeWays(ways [][]policy.Step) (lines []string) {
	for _, way := range ways {
		var steps []string
		for _, step := range way {
			steps = append(steps, describeStep(step))
		}
		lines = append(lines, strings.Join(steps, ", "))
	}
	return lines
}

func describeStep(s policy.Step) string {
	text := ""
	switch s.Kind {
	case policy.StepSetToggle:
		text = fmt.Sprintf("toggle %s %v", s.Toggle, s.On)
	case policy.StepGrant:
		text = fmt.Sprintf("grant %s to %s %v", s.Role, s.Subject, s.Scopes)
	case policy.StepChangeRole:
		text = fmt.Sprintf("change %s to %s of %s %v", s.From, s.Role, s.Subject, s.Scopes)
	case policy.StepRevoke:
		text = fmt.Sprintf("revoke %s of %s %v", s.Role, s.Subject, s.Scopes)
	case policy.StepResource:
		text = "resource"
		for _, name := range slices.Sorted(maps.Keys(s.Attributes)) {
			value, err := s.Attributes[name].MarshalJSON()
			if err != nil {
				panic(err)
			}
			text += fmt.Sprintf(" %s=%s", name, strings.ReplaceAll(string(value), " ", ""))
		}
	}
	if s.Early {
		text += " early"
	}
	if s.Interval != (store.Interval{}) {
		text += fmt.Sprintf(" for %v", s.Interval.End.Sub(shopNow))
	}
	return text
}

// TestRemediesOfLargeCatalogs finds the one toggle for each of many roles. Where a role that is
// held looks at all toggles too, or at many values of many attributes, there is more to try than may
// be tried, and nothing is said rather than something that may not be the best. To give up must not
// take long: a server has its data open all the while.
func TestRemediesOfLargeCatalogs(t *testing.T) {
	const n = 200
	var roles, toggles, watching, reading, scopes strings.Builder
	for i := range n {
		fmt.Fprintf(&toggles, "  - {name: t%d, starts_on: false}\n", i)
		fmt.Fprintf(&roles, "  - {name: r%d, held_in: [team], rules: [{allow: [ticket:view], reach: assigned, while_on: t%d}]}\n", i, i)
		fmt.Fprintf(&watching, "      - {allow: [ticket:view], reach: own, while_on: t%d}\n", i)
		fmt.Fprintf(&reading, "      - {allow: [ticket:view], reach: tenant, condition: 'resource.a == \"%d\" && resource.b == \"%d\" && resource.c == %d && resource.id == \"x\"'}\n", i, i, i)
		fmt.Fprintf(&scopes, " team:%d", i%10)
	}
	source := "name: large\nversion: 1\nscope_types: [team]\nholders: [user]\nresource_types:\n" +
		"  - {name: ticket, actions: [view], attributes: [{name: a, type: string}, {name: b, type: string}, {name: c, type: int}]}\n" +
		"toggles:\n" + toggles.String() + "roles:\n  - name: watching\n    rules:\n" + watching.String() +
		"  - name: reading\n    rules:\n" + reading.String() + roles.String() +
		"  - {name: boss, rules: [{allow: [role:grant, role:revoke, toggle:set], reach: tenant}]}\nadministration: {protected_role: boss}\n"
	ask := ticket(t, "view", "team:1", nil)
	ask.Resource.Owner = ""
	for _, c := range []struct {
		held, scopes string
		want         int
	}{
		{"user:ann boss", "team:1", n},
		{"user:ann watching", scopes.String(), 0},
		{"user:ann reading", "", 0},
	} {
		ask.Resource.Scopes = strings.Fields(c.scopes)
		situation := situationOf(t, source, nil, c.held)
		start := time.Now()
		ways, err := situation.Remedies(ask)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: the search took %v", c.held, took)
		}
		if err != nil || len(ways) != c.want {
			t.Errorf("%s: got %d ways, %v, want %d", c.held, len(ways), err, c.want)
		}
	}
}
