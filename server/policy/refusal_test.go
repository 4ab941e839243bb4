package policy_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// TestEveryRefusalHasItsRemedies provokes a refusal of every code, and looks at what it
// says to do instead, in every language.
func TestEveryRefusalHasItsRemedies(t *testing.T) {
	t.Parallel()
	catalog := map[string]*policy.Catalog{}
	for _, c := range allCatalogs(t) {
		catalog[c.Ref().Name] = c
	}
	full := make([]store.Assignment, policy.MaxAssignments)
	for i := range full {
		full[i] = holding(t, fmt.Sprintf("user:ann seller desk:%d", i))[0]
	}
	grant := func(catalog *policy.Catalog, actor policy.Actor, held []store.Assignment, line string) error {
		a := holding(t, line)[0]
		_, err := policy.NewTable(catalog, nil).PlanGrant(actor, policy.Subject{Name: a.Subject, Held: held}, a, shopNow)
		return err
	}
	revoke := func(catalog *policy.Catalog, held string) error {
		a := holding(t, held)[0]
		_, err := policy.NewTable(catalog, nil).PlanRevoke(operator, policy.Subject{Name: a.Subject, Held: []store.Assignment{a}}, a.Role, "", false, shopNow)
		return err
	}
	set := func(catalog *policy.Catalog) error {
		_, err := policy.NewTable(catalog, nil).PlanSetPrimary(operator, store.Tenant{}, "user:ann", false)
		return err
	}
	_, notHeld := policy.NewTable(catalog["shop"], nil).PlanChangeRole(operator, policy.Subject{Name: "user:ann"}, "seller", "lead", nil, store.Interval{}, shopNow)
	_, locked := policy.NewTable(catalog["shop"], nil).PlanToggle(operator, 1, "sealed", false)
	_, demoted := policy.NewTable(catalog["expertconnect"], nil).PlanRemoveSubject(actorWith(t, catalog["expertconnect"], "user:actor administrator"),
		policy.Subject{Name: "user:ann", Held: holding(t, "user:ann administrator")}, shopNow)
	seen := map[policy.RefusalCode]bool{}
	for _, c := range []struct {
		code  policy.RefusalCode
		kind  policy.RemedyKind
		about string // what the texts in every language name
		err   error
	}{
		{policy.ActorNotAllowed, policy.AskSomebody, "", grant(catalog["shop"], actorWith(t, catalog["shop"]), nil, "user:ann seller")},
		{policy.OwnRoles, policy.AskSomebody, "", grant(catalog["shop"], actorWith(t, catalog["shop"], "user:actor owner"), nil, "user:actor seller")},
		{policy.NotAssignable, policy.RevokeFirst, "", grant(catalog["shop"], operator, nil, "user:ann guest")},
		{policy.NotAssignableToHolder, policy.CorrectRequest, "user", grant(catalog["shop"], operator, nil, "group:g auditor")},
		{policy.NotAssignableInScope, policy.CorrectRequest, "team", grant(catalog["shop"], operator, nil, "user:ann lead desk:a")},
		{policy.NotAssignableInScope, policy.CorrectRequest, "", grant(catalog["shop"], operator, nil, "user:ann owner team:a")},
		{policy.HeldInScopes, policy.CorrectRequest, "", revoke(catalog["shop"], "user:ann seller team:a")},
		{policy.NotHeld, policy.CorrectRequest, "", notHeld},
		{policy.TransitionRefused, policy.FileRequest, "", demoted},
		{policy.TransitionRefused, policy.InviteAgain, "", grant(catalog["expertconnect"], operator, holding(t, "user:ann manager"), "user:ann view_only")},
		{policy.OneRoleOnly, policy.RevokeFirst, "auditor", grant(catalog["shop"], operator, holding(t, "user:ann auditor"), "user:ann trainee")},
		{policy.LastHolder, policy.GrantAnotherFirst, "", revoke(catalog["shop"], "user:ann owner")},
		{policy.TooManyAssignments, policy.RevokeFirst, "", grant(catalog["shop"], operator, full, "user:ann lead")},
		{policy.ToggleLocked, policy.NoRemedy, "", locked},
		{policy.NoPrimary, policy.NoRemedy, "owner", set(catalog["shop"])},
		{policy.NotAHolder, policy.CorrectRequest, "", set(catalog["expertconnect"])},
	} {
		seen[c.code] = true
		var refusal *policy.Refusal
		if !errors.As(c.err, &refusal) || refusal.Code != c.code || refusal.Kind != c.kind {
			t.Errorf("%s: got %+v, want a refusal of that code and kind %d", c.code, refusal, c.kind)
			continue
		}
		if refusal.Remedy != refusal.Remedies["en"] || !strings.HasSuffix(refusal.Error(), refusal.Remedy) {
			t.Errorf("%s: the remedy is %q and in English %q; the error %v", c.code, refusal.Remedy, refusal.Remedies["en"], refusal)
		}
		texts := map[string]bool{}
		for _, language := range []string{"en", "de", "fr"} {
			text := refusal.Remedies[language]
			if text == "" || texts[text] || strings.ContainsAny(text, "{}%") || !strings.Contains(text, c.about) {
				t.Errorf("%s: the remedy in %s is %q, want one of its own that names %q", c.code, language, text, c.about)
			}
			texts[text] = true
		}
		if isRequest := refusal.Kind == policy.FileRequest; isRequest != (refusal.FiledBy != "") || isRequest != (len(refusal.Fields) > 0) {
			t.Errorf("%s of kind %d: got fields %q, filed by %q", c.code, refusal.Kind, refusal.Fields, refusal.FiledBy)
		}
	}
	code, err := os.ReadFile("refusal.go")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`RefusalCode = "(\w+)"`).FindAllSubmatch(code, -1)
	if len(all) < 14 {
		t.Errorf("found %d codes only in refusal.go", len(all))
	}
	for _, found := range all {
		if !seen[policy.RefusalCode(found[1])] {
			t.Errorf("nothing provokes %s", found[1])
		}
	}
}

// TestRemediesOfTheCatalog reads the remedies of refused transitions as the catalogs have them.
func TestRemediesOfTheCatalog(t *testing.T) {
	t.Parallel()
	refused := func(catalog *policy.Catalog, from, to string) *policy.Refusal {
		_, err := policy.NewTable(catalog, nil).PlanChangeRole(actorWith(t, catalog, "user:actor "+catalog.ProtectedRole()),
			policy.Subject{Name: "user:ann", Held: holding(t, "user:ann "+from)}, from, to, nil, store.Interval{}, shopNow)
		var refusal *policy.Refusal
		if !errors.As(err, &refusal) || refusal.Code != policy.TransitionRefused {
			t.Fatalf("%s → %s: got %v, want TRANSITION_REFUSED", from, to, err)
		}
		return refusal
	}
	for _, catalog := range allCatalogs(t) {
		switch catalog.Ref().Name {
		case "shop":
			if r := refused(catalog, "seller", "trainee"); r.Kind != policy.AskSomebody || len(r.Remedies) != 1 {
				t.Errorf("seller → trainee: got kind %d and %q, want AskSomebody and English only", r.Kind, r.Remedies)
			}
		case "expertconnect":
			r := refused(catalog, "administrator", "manager")
			if r.Kind != policy.FileRequest || !slices.Equal(r.Fields, []string{"name", "email", "new_role"}) || r.FiledBy != "administrator" {
				t.Errorf("administrator → manager: got kind %d, fields %q, filed by %q", r.Kind, r.Fields, r.FiledBy)
			}
			r.Remedies["en"], r.Fields[0] = "spoilt", "spoilt"
			if r := refused(catalog, "administrator", "manager"); r.Remedy == "spoilt" || r.Fields[0] == "spoilt" {
				t.Error("a refusal shares its remedies with the catalog")
			}
			for _, from := range []string{"advisor", "manager"} {
				if r := refused(catalog, from, "view_only"); r.Kind != policy.InviteAgain || len(r.Remedies) != 3 {
					t.Errorf("%s → view_only: got kind %d and %q, want InviteAgain in three languages", from, r.Kind, r.Remedies)
				}
			}
		}
	}
}
