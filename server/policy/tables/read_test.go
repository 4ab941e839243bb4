package tables_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/policy/tables"
)

// TestFaultsOfTablesAreShownWithTheirLines writes one fault at a time into a good table.
func TestFaultsOfTablesAreShownWithTheirLines(t *testing.T) {
	t.Parallel()
	const good = `catalog: kiosk
holds:
  - {who: user:amy, role: clerk}
checks:
  - {who: user:amy, may: door:open, answer: allow clerk}
administration:
  - {as: operator, grant: clerk, to: user:bob,
     answer: changed}
sequences:
  - - {as: operator, turn_on: night, answer: unchanged}
    - {who: user:amy, may: door:open, answer: TOGGLE clerk night}
`
	if _, err := tables.Read("kiosk_test.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, new, fault string }{
		{"catalog: kiosk\n", "", "kiosk_test.yaml:1: the catalog is missing"},
		{"who: user:amy, role", "whom: user:amy, role", `kiosk_test.yaml:3: the word "whom" has no meaning here: correct or remove it`},
		{"who: user:amy, role", "who: amy, role", `kiosk_test.yaml:3: who "amy": it is written type:id, such as user:ann`},
		{"role: clerk}", "role: Clerk}", `kiosk_test.yaml:3: role "Clerk": a name has lower-case letters, digits and _, and begins with a letter`},
		{"role: clerk}", "role: clerk, in: north}", `kiosk_test.yaml:3: in "north": it is written type:id`},
		{"role: clerk}", "role: clerk, ends: 2025-11-01T00:00:00Z}", "kiosk_test.yaml:3: ends has to lie after starts, and after 2025-12-01"},
		{"role: clerk}", "role: clerk, ends: soon}", `kiosk_test.yaml:3: "soon" is no time: write one such as`},
		{"door:open, answer: allow", "door.open, answer: allow", `kiosk_test.yaml:5: may "door.open": a permission is written type:action`},
		{"answer: allow clerk", "answer: allowed clerk", `kiosk_test.yaml:5: answer "allowed clerk": it is allow with a role`},
		{"answer: allow clerk", "answer: allow", `kiosk_test.yaml:5: answer "allow": it is allow with a role`},
		{"answer: allow clerk", "answer: ''", "kiosk_test.yaml:5: the answer is missing"},
		{"answer: allow clerk", "remedy: none, answer: allow clerk", "kiosk_test.yaml:5: a check says who may what, and nothing of an act"},
		{"answer: allow clerk", "owner: amy, answer: allow clerk", `kiosk_test.yaml:5: owner "amy"`},
		{"answer: allow clerk", "groups: user:all, answer: allow clerk", `kiosk_test.yaml:5: groups "user:all": a group is written group:id`},
		{"answer: allow clerk", "tenant: t2, answer: allow clerk", `kiosk_test.yaml:5: tenant "t2": it is other, or left out`},
		{"answer: allow clerk", "facts: {at: 2026-01-01}, answer: allow clerk", "kiosk_test.yaml:5: facts: "},
		{"as: operator, grant", "as: max, grant", `kiosk_test.yaml:7: as "max"`},
		{"as: operator, grant", "grant", "kiosk_test.yaml:7: write who … may …, or as … grant, revoke"},
		{", to: user:bob", "", "kiosk_test.yaml:7: it is grant … to …, and revoke … from …"},
		{"grant: clerk, to: user:bob", "grant: clerk, to: user:bob, remove: user:bob", "kiosk_test.yaml:7: an act is one of grant, revoke"},
		{"grant: clerk, to: user:bob", "change: clerk, of: user:bob", "kiosk_test.yaml:7: it is change … of … into …"},
		{"to: user:bob", "to: user:bob, in: [team:a, team:b]", "kiosk_test.yaml:7: an act but a change is in one scope at most"},
		{"to: user:bob", "to: user:bob, everywhere: true", "kiosk_test.yaml:7: everywhere is for a revoke, without a scope"},
		{"answer: changed", "answer: changed, warns: [MANY]", `kiosk_test.yaml:7: warns "MANY": it is MANY_HOLDERS or NO_PRIMARY_ADMINISTRATOR`},
		{"answer: changed", "answer: unchanged, warns: MANY_HOLDERS", "kiosk_test.yaml:7: only what is changed is warned of"},
		{"grant: clerk, to: user:bob", "name_primary: bob", `kiosk_test.yaml:7: name_primary "bob": it is written type:id`},
		{"grant: clerk, to: user:bob", "grant: clerk, to: user:bob, name_primary: user:bob", "kiosk_test.yaml:7: an act is one of grant, revoke"},
		{"answer: allow clerk", "warns: MANY_HOLDERS, answer: allow clerk", "kiosk_test.yaml:5: a check says who may what, and nothing of an act"},
		{"answer: changed", "answer: done", `kiosk_test.yaml:7: answer "done": it is changed, unchanged, or an error`},
		{"turn_on: night", "turn_on: Night", `kiosk_test.yaml:10: turn_on "Night"`},
		{"TOGGLE clerk night", "TOGGLE clerk", `kiosk_test.yaml:11: answer "TOGGLE clerk"`},
		{"sequences:", "sequence:", `kiosk_test.yaml:9: the word "sequence" has no meaning here`},
		{"catalog: kiosk", "---\ncatalog: kiosk\n---\n", "kiosk_test.yaml: there is a second document"},
		{good, "", "kiosk_test.yaml:1: the table is empty"},
	} {
		_, err := tables.Read("kiosk_test.yaml", []byte(strings.Replace(good, test.old, test.new, 1)))
		invalid, is := errors.AsType[*tables.InvalidTableError](err)
		if !is || !strings.Contains(invalid.Error(), test.fault) {
			t.Errorf("%q instead of %q:\n got %v\nwant %s", test.new, test.old, err, test.fault)
		}
	}
}
