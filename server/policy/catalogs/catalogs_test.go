package catalogs_test

import (
	"bytes"
	"fmt"
	"testing"
	"unicode/utf8"

	"buf.build/go/protoyaml"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

var languages = []string{"en", "de", "fr"}

// TestEveryTextInEveryLanguage checks that everything that people read has its texts in the
// languages of the products: roles, toggles, remedies and warnings, conditions that are not
// met, scope types and permissions.
func TestEveryTextInEveryLanguage(t *testing.T) {
	t.Parallel()
	for _, source := range catalogs.All() {
		catalog := read(t, source)
		check := func(what string, texts map[string]string) {
			for _, language := range languages {
				if texts[language] == "" {
					t.Errorf("%s: %s has no text in %q", source.Name, what, language)
				}
			}
		}
		check("the catalog", catalog.GetTitles())
		for _, role := range catalog.GetRoles() {
			check("role "+role.GetName(), role.GetTitles())
		}
		for _, role := range catalog.GetRoles() {
			for i, rule := range role.GetRules() {
				if rule.GetCondition() != "" {
					check(fmt.Sprintf("the condition of rule %d of %s", i, role.GetName()), rule.GetUnmet())
				}
			}
		}
		words := map[string]map[string]string{}
		for _, word := range catalog.GetWords() {
			words[word.GetName()] = word.GetTitles()
		}
		named := append([]string{"role:grant", "role:revoke", "toggle:set"}, catalog.GetScopeTypes()...)
		for _, resourceType := range catalog.GetResourceTypes() {
			for _, action := range resourceType.GetActions() {
				named = append(named, resourceType.GetName()+":"+action)
			}
		}
		for _, name := range named {
			check(name, words[name])
		}
		for _, toggle := range catalog.GetToggles() {
			check("toggle "+toggle.GetName(), toggle.GetTitles())
		}
		for _, transition := range catalog.GetAdministration().GetRefusedTransitions() {
			check("the transition from "+transition.GetFrom(), transition.GetRemedy())
		}
		for _, limit := range catalog.GetAdministration().GetAdvisoryLimits() {
			check("the advisory limit of "+limit.GetRole(), limit.GetWarning())
		}
	}
}

// TestLinesAreShort keeps the catalogs readable side by side with the tables.
func TestLinesAreShort(t *testing.T) {
	t.Parallel()
	const most = 110
	for _, source := range catalogs.All() {
		for i, line := range bytes.Split(source.YAML, []byte("\n")) {
			if length := utf8.RuneCount(line); length > most {
				t.Errorf("%s:%d is %d characters long, more than %d", source.Name, i+1, length, most)
			}
		}
	}
}

// TestAllIsACopy checks that nobody can change the catalogs for others.
func TestAllIsACopy(t *testing.T) {
	t.Parallel()
	first := catalogs.All()
	clear(first[0].YAML)
	if second := catalogs.All(); bytes.Equal(first[0].YAML, second[0].YAML) {
		t.Error("a change to what All returned is seen by the next caller")
	}
}

func read(t *testing.T, source catalogs.Source) *catalogv1.Catalog {
	t.Helper()
	catalog := &catalogv1.Catalog{}
	if err := (protoyaml.UnmarshalOptions{Path: source.Name}).Unmarshal(source.YAML, catalog); err != nil {
		t.Fatal(err)
	}
	return catalog
}
