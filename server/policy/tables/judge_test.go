package tables_test

import (
	"maps"
	"testing"

	"github.com/usher-pdp/usher/server/policy/tables"
	"github.com/usher-pdp/usher/store"
)

// TestAnswersAreJudgedByAllThatACaseSays changes one thing at a time in an answer that is right.
func TestAnswersAreJudgedByAllThatACaseSays(t *testing.T) {
	t.Parallel()
	table, err := tables.Read("kiosk_test.yaml", []byte(`catalog: kiosk
checks:
  - {who: user:amy, groups: group:shop, may: door:open, answer: allow clerk, through: group:shop, at: floor:one,
     recheck: 2026-02-01T00:00:00Z}
  - {who: user:amy, may: door:open, answer: allow clerk, at: tenant}
administration:
  - {as: operator, grant: clerk, to: user:bob, in: floor:one, answer: changed}
  - {as: user:amy, revoke: clerk, from: user:bob, answer: FAILED_PRECONDITION HELD_IN_SCOPES, remedy: name one}
  - {as: operator, remove: user:bob, answer: changed, warns: [NO_PRIMARY_ADMINISTRATOR, MANY_HOLDERS]}
  - {as: operator, name_primary: user:bob, answer: changed}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, steps := table.Plan()
	right := tables.Answer{Words: "allow clerk", Holder: "group:shop", Scope: "floor:one", Recheck: steps[0].Question.Recheck.Time}
	for want, change := range map[string]func(*tables.Answer){
		"":                               func(*tables.Answer) {},
		"allow clerk":                    func(a *tables.Answer) { a.Words = "allow boss" },
		"allow clerk held by group:shop": func(a *tables.Answer) { a.Holder = "user:amy" },
		"allow clerk held in floor:one":  func(a *tables.Answer) { a.Scope = "" },
		"allow clerk, to be asked again at 2026-02-01T00:00:00Z": func(a *tables.Answer) { a.Recheck = tables.Now },
	} {
		a := right
		change(&a)
		if got := steps[0].Question.Judge(a); got != want {
			t.Errorf("%+v: wanted is %q, not %q", a, got, want)
		}
	}
	if got := steps[1].Question.Judge(tables.Answer{Words: "allow clerk", Holder: "user:amy", Scope: "floor:one"}); got != "allow clerk held in tenant" {
		t.Errorf("a role that is held in a scope and not in the tenant: wanted is %q", got)
	}
	if got := steps[1].Question.Judge(tables.Answer{Words: "allow clerk", Holder: "group:shop"}); got != "allow clerk held by user:amy" {
		t.Errorf("a role of a group: wanted is %q", got)
	}

	nothing := tables.Facts{Held: map[store.AssignmentKey]store.Interval{}, Toggles: map[string]bool{"night": true}}
	granted := tables.Facts{Held: map[store.AssignmentKey]store.Interval{{Subject: "user:bob", Role: "clerk", Scope: "floor:one"}: {}}, Toggles: nothing.Toggles}
	switched := tables.Facts{Held: granted.Held, Toggles: map[string]bool{"night": false}}
	more := tables.Facts{Held: maps.Clone(granted.Held), Toggles: nothing.Toggles}
	more.Held[store.AssignmentKey{Subject: "user:eve", Role: "boss"}] = store.Interval{End: tables.Now}
	primary := tables.Facts{Held: granted.Held, Toggles: nothing.Toggles, Primary: "user:bob"}
	grant, revoke, remove, name := steps[2].Act, steps[3].Act, steps[4].Act, steps[5].Act
	const both = "MANY_HOLDERS, NO_PRIMARY_ADMINISTRATOR"
	refused := tables.Answer{Words: "FAILED_PRECONDITION HELD_IN_SCOPES", Remedy: "name one of these scopes"}
	for _, test := range []struct {
		name          string
		act           *tables.Act
		answer        tables.Answer
		before, after tables.Facts
		want          string
	}{
		{"right", grant, tables.Answer{Words: "changed"}, nothing, granted, ""},
		{"unchanged", grant, tables.Answer{Words: "unchanged"}, granted, granted, "changed"},
		{"nothing done", grant, tables.Answer{Words: "changed"}, nothing, nothing, "changed and no other change than it says; there is -user:bob is clerk in floor:one"},
		{"a toggle, too", grant, tables.Answer{Words: "changed"}, nothing, switched, "changed and no other change than it says; there is +night is on: false"},
		{
			"somebody else, too", grant, tables.Answer{Words: "changed"}, nothing, more,
			"changed and no other change than it says; there is +user:eve is boss until 2026-01-15 12:00:00 +0000 UTC",
		},
		{"somebody is primary, too", grant, tables.Answer{Words: "changed"}, nothing, primary, "changed and no other change than it says; there is +user:bob is the primary administrator"},
		{"a warning too much", grant, tables.Answer{Words: "changed", Warnings: both}, nothing, granted, "changed without a warning"},
		{"all warnings", remove, tables.Answer{Words: "changed", Warnings: both}, primary, nothing, ""},
		{"a warning too few", remove, tables.Answer{Words: "changed", Warnings: "MANY_HOLDERS"}, primary, nothing, "changed with the warning " + both},
		{"named", name, tables.Answer{Words: "changed"}, granted, primary, ""},
		{"named and not done", name, tables.Answer{Words: "changed"}, granted, granted, "changed and no other change than it says; there is +nobody is the primary administrator"},
		{"refused", revoke, refused, granted, granted, ""},
		{"refused and done", revoke, refused, granted, nothing, "FAILED_PRECONDITION HELD_IN_SCOPES and no other change than it says; there is -user:bob is clerk in floor:one"},
		{
			"another remedy", revoke, tables.Answer{Words: refused.Words, Remedy: "ask"}, granted, granted,
			`FAILED_PRECONDITION HELD_IN_SCOPES with "name one" in the remedy, which is "ask"`,
		},
	} {
		if got := test.act.Judge(test.answer, test.before, test.after); got != test.want {
			t.Errorf("%s: wanted is %q, not %q", test.name, got, test.want)
		}
	}
}
