package wording_test

import (
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/server/wording"
)

// A catalog of an organization with titles in Portuguese, and in German for Switzerland.
const lobby = `
name: lobby
version: 1
scope_types: [floor, wing]
holders: [user]
words:
  - {name: floor, titles: {pt: andar, de: Etage}}
  - {name: door:open, titles: {pt: abrir portas, de: Türen öffnen, DE-ch: Türen aufmachen}}
resource_types:
  - {name: door, actions: [open, close]}
roles:
  - name: guard
    titles: {pt: Vigia, de: Wächter, de-CH: Wächter (Schweiz)}
    held_in: [floor]
    rules:
      - allow: [door:open]
        reach: assigned
        condition: resource.id != "7"
        unmet: {pt: a porta está trancada, de: die Tür ist verriegelt}
  - name: boss
    titles: {en: Boss}
    rules:
      - {allow: [role:grant, role:revoke], reach: tenant}
administration: {protected_role: boss}
`

func writer(t *testing.T, locale string) *wording.Writer {
	t.Helper()
	w, err := wording.New(parse(t, catalogs.Source{Name: "lobby.yaml", YAML: []byte(lobby)}), locale)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestLocaleFallsBackToItsParents(t *testing.T) {
	guard := policy.Decision{Reason: policy.Reason{Code: policy.RoleLacksPermission, Role: "guard", Holder: asker}}
	boss := policy.Decision{Reason: policy.Reason{Code: policy.RoleLacksPermission, Role: "boss", Holder: asker}}
	open := policy.Request{Subject: asker, Action: "open", Resource: policy.Resource{Type: "door"}}
	shut := policy.Request{Subject: asker, Action: "close", Resource: policy.Resource{Type: "door"}}
	for _, test := range []struct {
		locale, sentences string
		question          policy.Request
		decision          policy.Decision
		want              string
	}{
		{"", "en", open, boss, "You can’t do this here: door:open. Your role “Boss” does not include this."},
		{"en-GB", "en", open, guard, "You can’t do this here: door:open. Your role “guard” does not include this."},
		{"de", "de", open, guard, "Das ist Ihnen hier nicht möglich: Türen öffnen. Ihre Rolle „Wächter“ umfasst das nicht."},
		{"de-AT", "de", open, guard, "Das ist Ihnen hier nicht möglich: Türen öffnen. Ihre Rolle „Wächter“ umfasst das nicht."},
		{"de-CH", "de", open, guard, "Das ist Ihnen hier nicht möglich: Türen aufmachen. Ihre Rolle „Wächter (Schweiz)“ umfasst das nicht."},
		{"de-ch-1996", "de", open, guard, "Das ist Ihnen hier nicht möglich: Türen aufmachen. Ihre Rolle „Wächter (Schweiz)“ umfasst das nicht."},
		{"de", "de", shut, boss, "Das ist Ihnen hier nicht möglich: door:close. Ihre Rolle „Boss“ umfasst das nicht."},
		{"fr-CA", "fr", open, boss, "Ceci ne vous est pas possible ici : door:open. Votre rôle « Boss » ne le prévoit pas."},
		{"pt-BR", "en", open, guard, "You can’t do this here: abrir portas. Your role “Vigia” does not include this."},
		{"xx-ZZ", "en", open, boss, "You can’t do this here: door:open. Your role “Boss” does not include this."},
	} {
		w := writer(t, test.locale)
		if got := w.Decision(test.question, policy.Explanation{Decision: test.decision}); got != test.want || w.Locale() != test.sentences {
			t.Errorf("%q: in %s %q\nwant %q", test.locale, w.Locale(), got, test.want)
		}
	}
}

// TestWhatTheCatalogWantsToldIsASentence looks at unmet, and at a language that has no sentences.
func TestWhatTheCatalogWantsToldIsASentence(t *testing.T) {
	catalog := parse(t, catalogs.Source{Name: "lobby.yaml", YAML: []byte(lobby)})
	question := policy.Request{Subject: asker, Action: "open", Resource: policy.Resource{Type: "door", ID: "7"}}
	e := policy.Explanation{
		Decision: policy.Decision{Reason: policy.Reason{Code: policy.ConditionNotMet, Role: "guard", Holder: asker}},
		Rules: []policy.RuleOutcome{
			{Role: "guard", Holder: group, Result: policy.RuleConditionFalse, Unmet: map[string]string{"en": "another's"}},
			{Role: "guard", Holder: asker, Result: policy.RuleOutOfReach, Unmet: map[string]string{"en": "another rule's"}},
			{Role: "guard", Holder: asker, Result: policy.RuleConditionFalse, Unmet: catalog.Message().GetRoles()[0].GetRules()[0].GetUnmet()},
		},
	}
	for locale, want := range map[string]string{
		"pt": "You can’t do this here: abrir portas. A porta está trancada.",
		"de": "Das ist Ihnen hier nicht möglich: Türen öffnen. Die Tür ist verriegelt.",
		"fr": "Ceci ne vous est pas possible ici : door:open. Votre rôle « guard » ne le permet que dans certains cas, et celui-ci n’en fait pas partie.",
	} {
		if got := writer(t, locale).Decision(question, e); got != want {
			t.Errorf("%s: %q\nwant %q", locale, got, want)
		}
	}
}

func TestLocaleThatIsNoLanguageTagIsRefused(t *testing.T) {
	catalog := parse(t, catalogs.Source{Name: "lobby.yaml", YAML: []byte(lobby)})
	for _, locale := range []string{"-", "deutsch-deutsch", "d€", "de CH", "C.UTF-8", "1"} {
		_, err := wording.New(catalog, locale)
		if err == nil || !strings.Contains(err.Error(), "is no BCP 47 language tag: write one such as en, de-CH or pt-BR") {
			t.Errorf("%q: %v", locale, err)
		}
	}
}

func TestTitleFallsBackToEnglishAndThenToTheName(t *testing.T) {
	titles := map[string]string{"en": "Agent", "de": "Berater", "de-CH": "Beraterin", "pt": "", "zh-Hant": "客服", "es-419": "agente"}
	for _, test := range []struct{ locale, want string }{
		{"de", "Berater"},
		{"de-DE", "Berater"},
		{"de-CH", "Beraterin"},
		{"DE-ch", "Beraterin"},
		{"zh-TW", "客服"},
		{"es-MX", "agente"},
		{"es", "Agent"},
		{"pt", "Agent"},
		{"fr", "Agent"},
		{"", "Agent"},
		{"no tag", "Agent"},
	} {
		if got := wording.Title(titles, test.locale, "agent"); got != test.want {
			t.Errorf("%q: %q, want %q", test.locale, got, test.want)
		}
	}
	if got := wording.Title(map[string]string{"fr": "Agent"}, "de", "agent"); got != "agent" {
		t.Errorf("without a text in German or English: %q", got)
	}
}
