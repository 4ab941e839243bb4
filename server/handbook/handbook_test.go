package handbook_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/usher-pdp/usher/server/handbook"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

func parse(t *testing.T, name string, source []byte) *policy.Catalog {
	t.Helper()
	catalog, err := policy.Parse(name, source, nil)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

// TestPage compares the page of a small catalog, in which there is one of everything, with the
// one in testdata, in each language.
func TestPage(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("testdata/kiosk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	catalog := parse(t, "kiosk.yaml", source)
	for locale, file := range map[string]string{
		"en": "kiosk.en.md", "de": "kiosk.de.md", "fr": "kiosk.fr.md",
		"de-CH": "kiosk.de.md", // the parents of a language
		"sv":    "kiosk.en.md", // none that there is
	} {
		want, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if got := handbook.Page(catalog, locale); got != string(want) {
			t.Errorf("in %s the page is not %s:\n%s", locale, file, got)
		}
	}
}

// TestPlainCellsAreDecisions compares the cells of the table that need no note with decisions: ✓
// is always allowed, and an empty cell never, whatever the toggles and the resource.
func TestPlainCellsAreDecisions(t *testing.T) {
	t.Parallel()
	for _, source := range catalogs.All() {
		catalog := parse(t, source.Name, source.YAML)
		message := catalog.Message()
		var scopes []string
		for _, scopeType := range message.GetScopeTypes() {
			scopes = append(scopes, scopeType+":a")
		}
		on, off := map[string]bool{}, map[string]bool{}
		for _, toggle := range message.GetToggles() {
			on[toggle.GetName()], off[toggle.GetName()] = true, false
		}
		compared := 0
		for _, line := range strings.Split(handbook.Page(catalog, "en"), "\n") {
			_, permission, found := strings.Cut(line, "`")
			permission, rest, _ := strings.Cut(permission, "`")
			resourceType, action, isPermission := strings.Cut(permission, ":")
			cells := strings.Split(rest, " | ")
			if !found || !isPermission || len(cells) != 1+len(message.GetRoles()) {
				continue
			}
			for i, role := range message.GetRoles() {
				cell := strings.Trim(cells[1+i], " |")
				if cell != "" && cell != "✓" {
					continue
				}
				var held []store.Assignment
				if role.GetName() != message.GetDefaultRole() {
					held = append(held, store.Assignment{AssignmentKey: store.AssignmentKey{Role: role.GetName()}})
				}
				for _, scopeType := range role.GetHeldIn() {
					held = append(held, store.Assignment{AssignmentKey: store.AssignmentKey{Role: role.GetName(), Scope: scopeType + ":a"}})
				}
				h, err := policy.NewHolder(catalog, "user:ann", held, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				for _, set := range []map[string]bool{on, off} {
					for _, resource := range []policy.Resource{
						{Type: resourceType}, {Type: resourceType, Owner: "user:ann", Scopes: scopes},
					} {
						d, err := policy.NewTable(catalog, set).Decide([]*policy.Holder{h}, &policy.Request{Subject: "user:ann", Action: action, Resource: resource})
						if err != nil || d.Allow != (cell == "✓") {
							t.Errorf("%s: the cell of %s and %s is %q, and the decision is %+v, %v", source.Name, permission, role.GetName(), cell, d, err)
						}
						compared++
					}
				}
			}
		}
		if compared < 200 {
			t.Errorf("%s: only %d decisions were compared", source.Name, compared)
		}
	}
}
