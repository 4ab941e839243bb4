package wording_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

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
  - {name: door.alarm, titles: {en: alarm is on, de: Alarm eingeschaltet}}
  - {name: door:open, titles: {pt: abrir portas, de: Türen öffnen, DE-ch: Türen aufmachen}}
resource_types:
  - {name: door, actions: [open, close], attributes: [{name: alarm, type: bool}, {name: locked_by, type: string}]}
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
		{"fr-CA", "fr", open, boss, "Cela ne vous est pas possible ici : door:open. Votre rôle « Boss » ne le prévoit pas."},
		{"pt-BR", "en", open, guard, "You can’t do this here: abrir portas. Your role “Vigia” does not include this."},
		{"xx-ZZ", "en", open, boss, "You can’t do this here: door:open. Your role “Boss” does not include this."},
	} {
		w := writer(t, test.locale)
		if got := w.Decision(test.question, policy.Explanation{Decision: test.decision}); got != test.want || w.Locale() != test.sentences {
			t.Errorf("%q: in %s %q\nwant %q", test.locale, w.Locale(), got, test.want)
		}
	}
}

// TestReasonsInWords has what the built-in catalogs give no occasion for.
func TestReasonsInWords(t *testing.T) {
	w := writer(t, "en")
	six := []string{"floor:1", "floor:2", "floor:3", "floor:4", "floor:5", "floor:6"}
	door := policy.Resource{Type: "door", Scopes: six, Attributes: map[string]*structpb.Value{
		"material": structpb.NewStringValue("oak"), "hung": structpb.NewStringValue("left"),
		"panes": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewNumberValue(2), structpb.NewNumberValue(2.5)}}),
	}}
	for _, test := range []struct {
		about  policy.Resource
		action string
		reason policy.Reason
		rule   policy.RuleOutcome
		want   string
	}{
		{
			door, "open", policy.Reason{Code: policy.Toggled, Toggle: "night", ToggleOn: true}, policy.RuleOutcome{},
			"You can’t do this here: door:open. The setting “night” is switched on in your organization.",
		}, {
			door, "open", policy.Reason{Code: policy.OutOfScope}, policy.RuleOutcome{Result: policy.RuleOutOfReach, Reach: "assigned", Scopes: []string{"floor:7"}},
			"You can’t do this here: door:open. Your role “guard” covers only floor “7”, and this does not belong there.",
		}, {
			door, "open", policy.Reason{Code: policy.ConditionNotMet},
			policy.RuleOutcome{Result: policy.RuleConditionFalse, Condition: `resource.material == "iron" || resource.material == "steel" || 3 in resource.panes || resource.height > 2`},
			"You can’t do this here: door:open. Your role “guard” allows it only in certain cases, and this is not one of them " +
				"(“material: oak” and “panes: 2 and 2.5”).",
		}, {
			policy.Resource{Type: "toggle", ID: "night"}, "set", policy.Reason{Code: policy.ConditionNotMet},
			policy.RuleOutcome{Result: policy.RuleConditionFalse, Condition: `resource.id == "day"`},
			"You can’t switch the setting “night” on or off here. Your role “guard” allows it for some other settings, but not for this one.",
		},
	} {
		test.reason.Role, test.rule.Role = "guard", "guard"
		test.reason.Holder, test.rule.Holder = asker, asker
		got := w.Decision(policy.Request{Subject: asker, Action: test.action, Resource: test.about},
			policy.Explanation{Decision: policy.Decision{Reason: test.reason}, Rules: []policy.RuleOutcome{test.rule}})
		if got != test.want {
			t.Errorf("%q\nwant %q", got, test.want)
		}
	}
}

func TestStepsInWords(t *testing.T) {
	w := writer(t, "en")
	guard := policy.Step{Kind: policy.StepGrant, Subject: asker, Role: "guard", Scopes: []string{"floor:1", "floor:2"}}
	const want = "Somebody with the role “Boss” can give you the role “guard” in floor “1” and floor “2”."
	if got := w.Step(policy.Request{Subject: asker}, guard, []string{"boss"}, false); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	if got := w.Way([]string{want}); got != want {
		t.Errorf("one step alone: %q", got)
	}
	if got := w.Way(nil); got != "" {
		t.Errorf("no step: %q", got)
	}
	guard.Scopes = []string{"floor:1", "floor:2", "floor:3", "floor:4", "floor:5", "floor:6"}
	const many = "Only the vendor’s support can give you the role “guard” in several areas."
	for _, by := range [][]string{nil, {"boss"}} {
		if got := w.Step(policy.Request{Subject: asker}, guard, by, by != nil); got != many {
			t.Errorf("%q\nwant %q", got, many)
		}
	}
}

func TestAttributesAreCalledWhatTheCatalogCallsThem(t *testing.T) {
	question := policy.Request{Subject: asker, Resource: policy.Resource{Type: "door"}}
	step := policy.Step{Kind: policy.StepResource, Attributes: map[string]*structpb.Value{
		"alarm": structpb.NewBoolValue(false), "locked_by": structpb.NewStringValue("Ann"),
	}}
	for locale, want := range map[string]string{
		"en": "This becomes possible when the following is so: “alarm is on: no” and “locked by: Ann”.",
		"de": "Möglich wird es, wenn Folgendes gilt: „Alarm eingeschaltet: nein“ und „locked by: Ann“.",
		"fr": "Cela devient possible dans le cas suivant : « alarm is on : non » et « locked by : Ann ».",
	} {
		if got := writer(t, locale).Step(question, step, nil, false); got != want {
			t.Errorf("%s: %q\nwant %q", locale, got, want)
		}
	}
}

// TestStepsThatAreAllNeededAreNumbered begins each with a capital letter, as sentences do.
func TestStepsThatAreAllNeededAreNumbered(t *testing.T) {
	for locale, want := range map[string]string{
		"en": "This takes more than one step, in this order: (1) One. (2) Two.",
		"de": "Dazu braucht es mehr als einen Schritt, in dieser Reihenfolge: (1) One. (2) Two.",
		"fr": "Il faut plus d’une étape, dans cet ordre : (1) One. (2) Two.",
	} {
		if got := writer(t, locale).Way([]string{"One.", "Two."}); got != want {
			t.Errorf("%s: %q\nwant %q", locale, got, want)
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
			{Role: "boss", Holder: asker, Result: policy.RuleConditionFalse, Unmet: map[string]string{"en": "another role's"}},
			{Role: "guard", Holder: asker, Result: policy.RuleConditionFalse, Forbid: true, Unmet: map[string]string{"en": "a prohibition's"}},
			{Role: "guard", Holder: group, Result: policy.RuleConditionFalse, Unmet: map[string]string{"en": "another's"}},
			{Role: "guard", Holder: asker, Result: policy.RuleOutOfReach, Unmet: map[string]string{"en": "another rule's"}},
			{Role: "guard", Holder: asker, Result: policy.RuleConditionFalse, Unmet: catalog.Message().GetRoles()[0].GetRules()[0].GetUnmet()},
		},
	}
	for locale, want := range map[string]string{
		"pt": "You can’t do this here: abrir portas. A porta está trancada.",
		"de": "Das ist Ihnen hier nicht möglich: Türen öffnen. Die Tür ist verriegelt.",
		"fr": "Cela ne vous est pas possible ici : door:open. Votre rôle « guard » ne le permet que dans certains cas, et celui-ci n’en fait pas partie.",
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
