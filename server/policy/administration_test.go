package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

// shop is a catalog with what the built-in ones lack: administrators of one team, and
// refused transitions between roles of which a person may hold several.
const shop = `
name: shop
version: 1
scope_types: [team, desk]
holders: [user, group]
default_role: guest
resource_types:
  - {name: till, actions: [open]}
toggles:
  - {name: tills_open, starts_on: true}
  - {name: sealed, starts_on: true, locked: true}
roles:
  - {name: guest, rules: [{allow: [till:open], reach: own}]}
  - {name: seller, held_in: [team, desk], rules: [{allow: [till:open], reach: assigned, while_on: tills_open}]}
  - {name: trainee, held_in: [team], rules: [{allow: [till:open], reach: own, while_on: sealed}]}
  - {name: auditor, holders: [user], rules: [{allow: [till:open], reach: tenant}]}
  - name: lead
    held_in: [team]
    rules:
      - {allow: [role:grant, role:revoke], reach: tenant, condition: 'resource.id in ["seller", "trainee", "owner"]'}
  - {name: owner, rules: [{allow: [role:grant, role:revoke, toggle:set], reach: tenant}]}
administration:
  protected_role: owner
  exclusive_roles: [trainee, auditor]
  refused_transitions:
    - {from: seller, to: trainee, remedy: {en: Nobody unlearns.}}
    - {from: auditor, operator_may: true, remedy: {en: Ask the board.}}
`

// shopNow is when the tests of the shop take place.
var shopNow = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func parseShop(t testing.TB) *policy.Catalog {
	t.Helper()
	catalog, err := policy.Parse("shop.yaml", []byte(shop), nil)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

// allCatalogs are the built-in catalogs and the shop.
func allCatalogs(t testing.TB) []*policy.Catalog {
	t.Helper()
	all := []*policy.Catalog{parseShop(t)}
	for _, source := range catalogs.All() {
		catalog, err := policy.Parse(source.Name, source.YAML, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, catalog)
	}
	return all
}

// holding reads assignments as "user:ann seller team:a", "user:ann seller" (in the tenant)
// and, with hours from shopNow, "user:ann seller team:a from -1 until 3".
func holding(t testing.TB, lines ...string) []store.Assignment {
	t.Helper()
	var held []store.Assignment
	for _, line := range lines {
		words := strings.Fields(line)
		a := store.Assignment{AssignmentKey: store.AssignmentKey{Subject: words[0], Role: words[1]}}
		rest := words[2:]
		if len(rest)%2 == 1 {
			a.Scope, rest = rest[0], rest[1:]
		}
		for ; len(rest) > 0; rest = rest[2:] {
			offset, err := time.ParseDuration(rest[1] + "h")
			switch {
			case err != nil:
				t.Fatal(err)
			case rest[0] == "from":
				a.Start = shopNow.Add(offset)
			default:
				a.End = shopNow.Add(offset)
			}
		}
		held = append(held, a)
	}
	return held
}

// actorWith is an actor, and the groups that the actor is in, by what they hold.
func actorWith(t testing.TB, catalog *policy.Catalog, held ...string) policy.Actor {
	t.Helper()
	actor := policy.Actor{Subject: "user:actor"}
	all := holding(t, held...)
	of := map[string][]store.Assignment{}
	for _, a := range all {
		of[a.Subject] = append(of[a.Subject], a)
		if a.Subject != actor.Subject && len(of[a.Subject]) == 1 {
			actor.Groups = append(actor.Groups, a.Subject)
		}
	}
	for _, name := range append([]string{actor.Subject}, actor.Groups...) {
		holder, err := policy.NewHolder(catalog, name, of[name], shopNow)
		if err != nil {
			t.Fatal(err)
		}
		actor.Holders = append(actor.Holders, holder)
	}
	return actor
}

var operator = policy.Actor{Operator: true}

// codeOf is the code of a refusal, "" for no error, or the text of another error.
func codeOf(err error) string {
	var refusal *policy.Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refusal):
		return string(refusal.Code)
	}
	return err.Error()
}
