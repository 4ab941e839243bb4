package policy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// basesOf finds extended catalogs among sources by their names.
func basesOf(sources map[string]string) policy.Bases {
	var find policy.Bases
	find = func(ref store.CatalogRef) (*policy.Catalog, error) {
		source, found := sources[ref.Name]
		if !found {
			return nil, fmt.Errorf("there is no catalog %q", ref.Name)
		}
		return policy.Parse(ref.Name+".yaml", []byte(source), find)
	}
	return find
}

// clinic is a product with a role that forbids, one that inherits, and toggles.
const clinic = `name: clinic
version: 1
titles: {en: Clinic}
scope_types: [ward]
holders: [user]
default_role: visitor
resource_types:
  - {name: file, actions: [read, write, copy]}
  - {name: ward, actions: [enter]}
roles:
  - name: visitor
    rules:
      - {allow: [ward:enter], reach: own}
  - name: nurse
    held_in: [ward]
    rules:
      - {allow: [ward:enter, file:read], reach: assigned}
      - {allow: [file:write], reach: assigned, while_on: nurses_write}
      - {forbid: [file:copy], reach: tenant}
  - name: doctor
    inherits: [{role: nurse, reach: tenant}]
    rules:
      - {allow: [file:write], reach: tenant}
  - name: suspended
    rules:
      - {forbid: [file:read, file:write, file:copy], reach: tenant}
      - {allow: [ward:enter], reach: tenant}
  - name: head
    rules:
      - {allow: [role:grant, role:revoke, toggle:set], reach: tenant}
toggles:
  - {name: nurses_write, starts_on: true}
  - {name: locked_off, starts_on: false, locked: true}
administration:
  protected_role: head
  exclusive_roles: [nurse, doctor]
  refused_transitions:
    - {from: doctor, to: nurse, remedy: {en: Ask the board.}}
  advisory_limits:
    - {role: doctor, holders: 2, warning: {en: Few.}}
statements:
  - {title: Nurses never copy files, role: nurse, never: [file:copy]}
  - {title: Nurses always read and enter, role: nurse, within: assigned, always: ["*:enter", file:read]}
  - {title: Nurses always enter, role: nurse, within: assigned, always: [ward:enter]}
words:
  - {name: file:read, titles: {en: read files}}
`

// A toggle has to be looked at; the base of this file has one that only says so.
var clinicSource = strings.Replace(clinic, "      - {allow: [file:write], reach: tenant}\n",
	"      - {allow: [file:write], reach: tenant}\n      - {allow: [file:copy], reach: tenant, while_on: locked_off}\n", 1)

// sources are the clinic, an extension of it, and an extension of that.
var sources = map[string]string{
	"clinic": clinicSource,
	"county": `name: county
version: 3
extends: {name: clinic, version: 1}
scope_types: [site]
resource_types:
  - {name: van, actions: [drive]}
narrow:
  - {role: nurse, without: ["ward:*"]}
roles:
  - name: carer
    titles: {en: Carer}
    held_in: [ward, site]
    inherits: [{role: nurse, keep_toggles: true, without: ["*:write"]}]
    rules:
      - {allow: [van:drive], reach: any site, while_on: vans}
toggles:
  - {name: vans, starts_on: true}
administration:
  exclusive_roles: [carer]
  refused_transitions:
    - {from: carer, to: nurse, remedy: {en: Ask the county.}}
  advisory_limits:
    - {role: carer, holders: 5, warning: {en: Few.}}
statements:
  - {title: Carers never write, role: carer, never: [file:write]}
words:
  - {name: file:read, titles: {de: Akten lesen}}
  - {name: van:drive, titles: {en: drive vans}}
`,
	"town": `name: town
version: 1
titles: {en: Town}
extends: {name: county, version: 3}
narrow:
  - {role: nurse, without: [file:write]}
  - {role: carer, without: ["van:drive"]}
roles:
  - {name: helper, held_in: [ward], inherits: [{role: nurse}]}
  - {name: second_carer, held_in: [site], inherits: [{role: carer, keep_toggles: true}]}
`,
}

func parseSource(t testing.TB, name string) *policy.Catalog {
	t.Helper()
	catalog, err := basesOf(sources)(store.CatalogRef{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

// may asks whether who holds a role in ward:a, site:a and the tenant may do something there.
func may(t *testing.T, catalog *policy.Catalog, toggles map[string]bool, permission string, roles ...string) bool {
	t.Helper()
	var held []store.Assignment
	for _, role := range roles {
		for _, scope := range []string{"", "ward:a", "site:a"} {
			held = append(held, store.Assignment{AssignmentKey: store.AssignmentKey{Subject: "user:ann", Role: role, Scope: scope}})
		}
	}
	holder, err := policy.NewHolder(catalog, "user:ann", held, compareNow)
	if err != nil {
		t.Fatal(err)
	}
	resourceType, action, _ := strings.Cut(permission, ":")
	resource := policy.Resource{Type: resourceType}
	for _, s := range catalog.Message().GetScopeTypes() {
		resource.Scopes = append(resource.Scopes, s+":a")
	}
	decision, err := policy.NewTable(catalog, toggles).Decide([]*policy.Holder{holder}, &policy.Request{Subject: "user:ann", Action: action, Resource: resource})
	if err != nil {
		t.Fatal(err)
	}
	return decision.Allow
}

// TestExtensions: what roles give in an extension, and in an extension of that.
func TestExtensions(t *testing.T) {
	for _, test := range []struct{ catalog, role, all string }{
		{"clinic", "nurse", "file:read file:write ward:enter"},
		{"clinic", "doctor", "file:read file:write ward:enter"},
		// Narrowed, while who inherits from it in the extended catalog keeps all.
		{"county", "nurse", "file:read file:write"},
		{"county", "doctor", "file:read file:write ward:enter"},
		// What is added inherits what is left.
		{"county", "carer", "file:read van:drive"},
		{"town", "nurse", "file:read"},
		{"town", "doctor", "file:read file:write ward:enter"},
		{"town", "carer", "file:read"},
		{"town", "helper", "file:read"},
		{"town", "second_carer", "file:read"},
	} {
		catalog, given := parseSource(t, test.catalog), ""
		for _, permission := range []string{"file:copy", "file:read", "file:write", "van:drive", "ward:enter"} {
			if catalog.Message().GetName() == "clinic" && permission == "van:drive" {
				continue
			}
			if may(t, catalog, nil, permission, test.role) {
				given += " " + permission
			}
		}
		if given = strings.TrimSpace(given); given != test.all {
			t.Errorf("%s: who holds %s may %s; want %s", test.catalog, test.role, given, test.all)
		}
	}
}

// TestExtensionIsWhole: the message has all, and says what was extended; what was written
// is kept beside it.
func TestExtensionIsWhole(t *testing.T) {
	county, town := parseSource(t, "county"), parseSource(t, "town")
	m := town.Message()
	if m.GetName() != "town" || m.GetVersion() != 1 || m.GetTitles()["en"] != "Town" || m.GetExtends().GetName() != "county" ||
		len(m.GetNarrow()) != 0 || len(m.GetRoles()) != 8 || m.GetDefaultRole() != "visitor" || m.GetHolders()[0] != "user" ||
		len(m.GetScopeTypes()) != 2 || len(m.GetToggles()) != 3 || m.GetAdministration().GetProtectedRole() != "head" ||
		len(m.GetAdministration().GetExclusiveRoles()) != 3 || len(m.GetAdministration().GetRefusedTransitions()) != 2 {
		t.Errorf("got %v", m)
	}
	if w := m.GetWords(); len(w) != 2 || w[0].GetTitles()["en"] != "read files" || w[0].GetTitles()["de"] != "Akten lesen" {
		t.Errorf("got the words %v", w)
	}
	if county.Message().GetTitles()["en"] != "Clinic" {
		t.Error("the title is not that of the extended catalog")
	}
	if w := town.Written(); len(w.GetRoles()) != 2 || len(w.GetNarrow()) != 2 || len(w.GetWords()) != 0 {
		t.Errorf("got as written %v", w)
	}
	if c := parseSource(t, "clinic"); c.Written() != c.Message() || c.Base() != nil || c.Extends("clinic") {
		t.Error("what extends nothing is other than written")
	}
	if town.Base().Ref() != county.Ref() || !town.Extends("county") || !town.Extends("clinic") || town.Extends("town") {
		t.Error("town extends county, which extends clinic")
	}
	if c, o := county.InheritedStatements(), town.InheritedStatements(); c != 2 || o != 3 {
		t.Errorf("county inherits %d statements and town %d, want 2 and 3: one is narrowed away", c, o)
	}
	if s := county.Message().GetStatements()[1]; !slices.Equal(s.GetAlways(), []string{"file:read"}) {
		t.Errorf("county states %v to be given always, want what it leaves", s.GetAlways())
	}
	if s := parseSource(t, "clinic").Message().GetStatements()[1]; !slices.Equal(s.GetAlways(), []string{"*:enter", "file:read"}) {
		t.Errorf("an extension has changed the statement to %v", s)
	}
	again, err := policy.Parse("town.yaml", []byte(sources["town"]), func(store.CatalogRef) (*policy.Catalog, error) { return county, nil })
	if err != nil || again.Base() != county {
		t.Fatal(err)
	}
	if w := county.Message().GetWords()[0].GetTitles(); len(w) != 2 || len(parseSource(t, "clinic").Message().GetWords()[0].GetTitles()) != 1 {
		t.Errorf("an extension has changed what it extends: %v", w)
	}
}

// TestNothingForbiddenIsLifted tries to get at what the clinic forbids or locks, in every way
// that an extension has.
func TestNothingForbiddenIsLifted(t *testing.T) {
	const head = "name: mine\nversion: 1\nextends: {name: clinic, version: 1}\n"
	all := policy.Bases(basesOf(sources))
	for name, try := range map[string]struct{ add, role string }{
		"a role that allows it, held beside": {"roles:\n  - {name: mine, rules: [{allow: [file:copy], reach: tenant}]}\n", "mine"},
		"a clone without it":                 {"roles:\n  - {name: mine, inherits: [{role: nurse, without: [\"file:*\"]}], rules: [{allow: [file:copy], reach: tenant}]}\n", "mine"},
		"a narrowed role":                    {"narrow:\n  - {role: nurse, without: [\"file:*\", \"ward:*\"]}\nroles:\n  - {name: mine, inherits: [{role: nurse}], rules: [{allow: [file:copy], reach: tenant}]}\n", "mine"},
		"a clone without toggles":            {"roles:\n  - {name: mine, inherits: [{role: doctor, keep_toggles: false}], rules: [{allow: [file:copy], reach: tenant}]}\n", "mine"},
		"a toggle of the same effect":        {"toggles:\n  - {name: lift, starts_on: true}\nroles:\n  - {name: mine, rules: [{allow: [file:copy], reach: tenant, while_on: lift}]}\n", "mine"},
	} {
		catalog, err := policy.Parse("mine.yaml", []byte(head+try.add), all)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, role := range []string{"nurse", "doctor", "suspended"} {
			if may(t, catalog, map[string]bool{"locked_off": true, "lift": true}, "file:copy", role, try.role) {
				t.Errorf("%s: who holds %s copies files", name, role)
			}
		}
	}
	for name, add := range map[string]string{
		"the role is declared again": "roles:\n  - {name: nurse, rules: [{allow: [file:copy], reach: tenant}]}\n",
		"forbid rules are narrowed":  "narrow:\n  - {role: nurse, without: [file:copy]}\n",
		"forbid rules are left out":  "roles:\n  - {name: mine, inherits: [{role: nurse, without: [file:copy]}]}\n",
		"the lock is taken off":      "toggles:\n  - {name: locked_off, starts_on: true}\n",
		"another default role":       "default_role: doctor\n",
		"other holders":              "holders: [user, group]\n",
		"another protected role":     "administration: {protected_role: nurse}\n",
	} {
		if _, err := policy.Parse("mine.yaml", []byte(head+add), all); err == nil {
			t.Errorf("%s: it is allowed", name)
		}
	}
}

// TestNarrowedToggleMayBeIdle: a narrowing may take the only rule that looks at a toggle of
// the extended catalog.
func TestNarrowedToggleMayBeIdle(t *testing.T) {
	source := "name: mine\nversion: 1\nextends: {name: clinic, version: 1}\nnarrow:\n  - {role: nurse, without: [file:write]}\n"
	if _, err := policy.Parse("mine.yaml", []byte(source), basesOf(sources)); err != nil {
		t.Error(err)
	}
}

// TestExtensionsInARow: so many may extend one another, and no more.
func TestExtensionsInARow(t *testing.T) {
	row := map[string]string{"c0": strings.Replace(clinicSource, "name: clinic", "name: c0", 1)}
	for i := 1; i <= 9; i++ {
		name := fmt.Sprintf("c%d", i)
		row[name] = fmt.Sprintf("name: %s\nversion: 1\nextends: {name: c%d, version: 1}\n", name, i-1)
		_, err := basesOf(row)(store.CatalogRef{Name: name})
		if i <= 8 != (err == nil) || err != nil && !strings.Contains(err.Error(), ":3:10 extends: more than 8 catalogs extend one another") {
			t.Errorf("%d in a row: %v", i, err)
		}
	}
}

// TestExtendedCatalogThatIsNotThere: the error of whoever looks for it is passed on, and
// without anybody to look there is none to extend.
func TestExtendedCatalogThatIsNotThere(t *testing.T) {
	missing := errors.New("it is not there")
	_, err := policy.Parse("town.yaml", []byte(sources["town"]), func(store.CatalogRef) (*policy.Catalog, error) { return nil, missing })
	if !errors.Is(err, missing) {
		t.Errorf("got %v", err)
	}
	_, err = policy.Parse("town.yaml", []byte(sources["town"]), nil)
	if err == nil || !strings.Contains(err.Error(), "town.yaml:4:10 extends: a catalog that extends another one can't be read here") {
		t.Errorf("got %v", err)
	}
}

// TestRandomExtensions narrows and clones roles of random catalogs, and asks everything: a
// role that is not narrowed decides as before, a narrowed one gives nothing of what was taken
// and all else, and a clone gives what its original gives there, less what it leaves out.
func TestRandomExtensions(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &compareWorld{Rand: rand.New(rand.NewPCG(seed, 0))}
	pattern := func() string { return w.one("ticket:view", "ticket:*", "*:edit", "role:*", "toggle:set") }
	changed, cloned := 0, 0
	for range 150 {
		w.drawVersions()
		if strings.Contains(w.versions[0], "default_role") {
			continue // it decides for those whose roles only forbid, so that more than a role changes
		}
		w.versions[1] = w.versions[0]
		narrowed, taken := w.one("r1", "r2", "boss"), pattern()
		original, left := w.one("r1", "r2"), pattern()
		source := fmt.Sprintf("name: mine\nversion: 1\nextends: {name: random, version: 1}\nnarrow: [{role: %s, without: [%q]}]\n"+
			"roles:\n  - {name: clone, inherits: [{role: %s, keep_toggles: true, without: [%q]}]}\n", narrowed, taken, original, left)
		extension, err := policy.Parse("mine.yaml", []byte(source), basesOf(map[string]string{"random": w.versions[0]}))
		if err != nil {
			continue // nothing matches, nothing is left, or nobody grants
		}
		toggles := w.drawToggles()
		u := w.universe([2]*policy.Table{policy.NewTable(extension.Base(), toggles), policy.NewTable(extension, toggles)})
		hold := func(side int, role string) []*policy.Holder {
			return []*policy.Holder{u.holder(t, side, "user:ann", []store.AssignmentKey{{Role: role, Scope: "team:a"}, {Role: role, Scope: "queue:a"}})}
		}
		was, is := hold(0, narrowed), hold(1, narrowed)
		other := map[string]string{"r1": "r2", "r2": "r1", "boss": "r1"}[narrowed]
		otherWas, otherIs := hold(0, other), hold(1, other)
		from, clone := hold(1, original), hold(1, "clone")
		for resourceType, actions := range u.actions() {
			for _, r := range u.resources(resourceType) {
				for _, action := range actions {
					decide := func(side int, holders []*policy.Holder) policy.Decision {
						d, _ := u.tables[side].Decide(holders, &policy.Request{Subject: "user:ann", Action: action, Resource: r.known[side]})
						return d
					}
					if before, now := decide(0, otherWas), decide(1, otherIs); before != now && r.known[0].ID != "clone" {
						t.Fatalf("seed %d: %s: %s of %+v was %+v, is %+v\n%s\n%s", seed, other, action, r.known[1], before, now, w.versions[0], source)
					}
					matches := func(pattern string) bool {
						return pattern == resourceType+":"+action || pattern == resourceType+":*" || pattern == "*:"+action
					}
					if r.known[0].ID != "clone" {
						before, now := decide(0, was).Allow, decide(1, is).Allow
						if want := before && !matches(taken); now != want {
							t.Fatalf("seed %d: %s: %s of %+v is %t, want %t\n%s\n%s", seed, narrowed, action, r.known[1], now, want, w.versions[0], source)
						}
						if before != now {
							changed++
						}
					}
					original, now := decide(1, from).Allow, decide(1, clone).Allow
					if want := original && !matches(left); now != want {
						t.Fatalf("seed %d: the clone: %s of %+v is %t, want %t\n%s\n%s", seed, action, r.known[1], now, want, w.versions[0], source)
					}
					if now {
						cloned++
					}
				}
			}
		}
	}
	if changed == 0 || cloned == 0 {
		t.Errorf("%d decisions of narrowed roles changed, and %d of clones allow", changed, cloned)
	}
}
