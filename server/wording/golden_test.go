package wording_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/server/wording"
	"github.com/usher-pdp/usher/store"
)

var update = flag.Bool("update", false, "write testdata/texts.txt anew, to be read and committed")

var languages = []string{"en", "de", "fr"}

const (
	asker = "user:ann@dealer.example"
	group = "group:night-shift"
)

// examples are values of attributes.
var examples = map[string]*structpb.Value{
	"string": structpb.NewStringValue("open"),
	"bool":   structpb.NewBoolValue(true),
	"int":    structpb.NewNumberValue(10),
}

// TestTextsAreThoseThatWereRead compares every kind of text about the built-in catalogs with
// testdata/texts.txt, which somebody has read who puts himself in the place of an end user.
func TestTextsAreThoseThatWereRead(t *testing.T) {
	const file = "testdata/texts.txt"
	var page page
	for _, source := range catalogs.All() {
		page.describe(t, parse(t, source))
	}
	got := page.String()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := string(content); got != want {
		a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
		i := 0
		for i < min(len(a), len(b))-1 && a[i] == b[i] {
			i++
		}
		t.Errorf("line %d of %s:\n got %s\nwant %s\ngo test ./server/wording -update writes it anew: read it", i+1, file, a[i], b[i])
	}
}

func parse(t *testing.T, source catalogs.Source) *policy.Catalog {
	t.Helper()
	catalog, err := policy.Parse(source.Name, source.YAML, nil)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

// page collects texts in all languages.
type page struct {
	strings.Builder
	writers []*wording.Writer
}

func (p *page) text(about string, write func(*wording.Writer) string) {
	fmt.Fprintf(p, "\n%s\n", about)
	for _, w := range p.writers {
		fmt.Fprintf(p, "  %s  %s\n", w.Locale(), write(w))
	}
}

func (p *page) decision(about string, question policy.Request, d policy.Reason, rules ...policy.RuleOutcome) {
	question.Subject = asker
	d.Holder = cmp.Or(d.Holder, asker)
	e := policy.Explanation{Decision: policy.Decision{Allow: d.Code == policy.Granted, Reason: d}}
	for _, r := range rules {
		r.Role, r.Holder = d.Role, d.Holder
		e.Rules = append(e.Rules, r)
	}
	p.text(about, func(w *wording.Writer) string { return w.Decision(question, e) })
}

func (p *page) step(about string, s policy.Step, by []string, operator bool) {
	s.Subject = cmp.Or(s.Subject, asker)
	p.text(about, func(w *wording.Writer) string { return w.Step(policy.Request{Subject: asker}, s, by, operator) })
}

func (p *page) describe(t *testing.T, compiled *policy.Catalog) {
	catalog := compiled.Message()
	p.writers = nil
	for _, locale := range languages {
		w, err := wording.New(compiled, locale)
		if err != nil {
			t.Fatal(err)
		}
		p.writers = append(p.writers, w)
	}
	fmt.Fprintf(p, "== %s\n", catalog.GetName())
	p.describeActivities(catalog)
	p.describeReasons(catalog)
	p.describeConditions(catalog)
	p.describeSteps(catalog)
	p.WriteString("\n")
}

// describeActivities says each permission in a no; and one in a yes.
func (p *page) describeActivities(catalog *catalogv1.Catalog) {
	top := catalog.GetAdministration().GetProtectedRole()
	for _, t := range catalog.GetResourceTypes() {
		for _, action := range t.GetActions() {
			question := policy.Request{Action: action, Resource: policy.Resource{Type: t.GetName()}}
			p.decision("NO_ROLE "+t.GetName()+":"+action, question, policy.Reason{Code: policy.NoRole})
		}
	}
	first := catalog.GetRoles()[0].GetName()
	for _, question := range []policy.Request{
		{Action: "grant", Resource: policy.Resource{Type: "role"}},
		{Action: "grant", Resource: policy.Resource{Type: "role", ID: top}},
		{Action: "revoke", Resource: policy.Resource{Type: "role"}},
		{Action: "revoke", Resource: policy.Resource{Type: "role", ID: top}},
		{Action: "set", Resource: policy.Resource{Type: "toggle"}},
	} {
		about := " " + question.Resource.Type + ":" + question.Action + " " + question.Resource.ID
		p.decision("ROLE_LACKS_PERMISSION"+about, question, policy.Reason{Code: policy.RoleLacksPermission, Role: first})
		p.decision("GRANTED"+about, question, policy.Reason{Code: policy.Granted, Role: top})
	}
	for _, toggle := range catalog.GetToggles()[:min(1, len(catalog.GetToggles()))] {
		question := policy.Request{Action: "set", Resource: policy.Resource{Type: "toggle", ID: toggle.GetName()}}
		p.decision("ROLE_LACKS_PERMISSION toggle:set "+toggle.GetName(), question, policy.Reason{Code: policy.RoleLacksPermission, Role: first})
	}
}

// describeReasons gives every reason for one permission, by a role that is held in scopes.
func (p *page) describeReasons(catalog *catalogv1.Catalog) {
	i := slices.IndexFunc(catalog.GetRoles(), func(r *catalogv1.Role) bool { return len(r.GetHeldIn()) > 0 })
	role := catalog.GetRoles()[i]
	question := firstQuestion(role)
	scopeType := role.GetHeldIn()[0]
	harvest, parts, service := scopeType+":harvest", scopeType+":parts", scopeType+":service"
	about := func(code string) string { return code + " " + question.Resource.Type + ":" + question.Action }
	reason := func(code policy.Code) policy.Reason {
		return policy.Reason{Code: code, Role: role.GetName(), Scope: harvest}
	}
	ofGroup := func(code policy.Code) policy.Reason {
		r := reason(code)
		r.Holder = group
		return r
	}
	at := func(scopes ...string) policy.Request {
		q := question
		q.Resource.Scopes = scopes
		return q
	}
	outside := func(reach string, held ...string) policy.RuleOutcome {
		return policy.RuleOutcome{Result: policy.RuleOutOfReach, Reach: reach, Scopes: held}
	}

	p.decision(about("GRANTED"), question, reason(policy.Granted))
	p.decision(about("GRANTED in the tenant"), question, policy.Reason{Code: policy.Granted, Role: role.GetName()})
	p.decision(about("GRANTED by a group"), question, ofGroup(policy.Granted))
	p.decision(about("FORBIDDEN"), question, reason(policy.Forbidden))
	p.decision(about("FORBIDDEN by a group"), question, ofGroup(policy.Forbidden))
	p.decision(about("MISSING_ATTRIBUTE"), question, policy.Reason{Code: policy.MissingAttribute, Role: role.GetName(), Attribute: "wrap_up_seconds"})
	p.decision(about("OUT_OF_SCOPE"), at(service), reason(policy.OutOfScope), outside("assigned", harvest))
	p.decision(about("OUT_OF_SCOPE held in two"), at(service), reason(policy.OutOfScope), outside("assigned", harvest, parts))
	p.decision(about("OUT_OF_SCOPE in two, beside another"), at(service, "other:parts", scopeType+":north"), reason(policy.OutOfScope), outside("assigned", harvest))
	p.decision(about("OUT_OF_SCOPE in none"), question, reason(policy.OutOfScope), outside("assigned", harvest, parts))
	p.decision(about("OUT_OF_SCOPE held in the tenant only"), at(service), reason(policy.OutOfScope), outside("assigned", ""))
	p.decision(about("OUT_OF_SCOPE held in many"), at(service), reason(policy.OutOfScope),
		outside("assigned", scopeType+":1", scopeType+":2", scopeType+":3", scopeType+":4", scopeType+":5", scopeType+":6"))
	p.decision(about("OUT_OF_SCOPE by a group"), at(service), ofGroup(policy.OutOfScope), outside("assigned", harvest))
	p.decision(about("OUT_OF_SCOPE any "+scopeType), question, reason(policy.OutOfScope), outside("any "+scopeType, harvest))
	p.decision(about("NOT_OWNER"), question, reason(policy.NotOwner), outside("own", harvest))
	noon := time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)
	p.decision(about("NOT_ACTIVE"), question, reason(policy.NotActive), policy.RuleOutcome{Result: policy.RuleNotActive})
	p.decision(about("NOT_ACTIVE starts"), question, reason(policy.NotActive), policy.RuleOutcome{Result: policy.RuleNotActive, Starts: noon})
	p.decision(about("NOT_ACTIVE ended"), question, reason(policy.NotActive), policy.RuleOutcome{Result: policy.RuleNotActive, Ended: noon})
	p.decision(about("NOT_ACTIVE ended, by a group"), question, ofGroup(policy.NotActive), policy.RuleOutcome{Result: policy.RuleNotActive, Ended: noon})
	p.decision(about("ROLE_LACKS_PERMISSION"), question, reason(policy.RoleLacksPermission))
	p.decision(about("ROLE_LACKS_PERMISSION by a group"), question, ofGroup(policy.RoleLacksPermission))
}

// firstQuestion asks for the first permission of a role.
func firstQuestion(role *catalogv1.Role) policy.Request {
	i := slices.IndexFunc(role.GetRules(), func(r *catalogv1.Rule) bool { return r.GetReach() == "assigned" })
	return questionAbout(role.GetRules()[i].GetAllow()[0])
}

func questionAbout(permission string) policy.Request {
	resource, action, _ := strings.Cut(permission, ":")
	return policy.Request{Action: action, Resource: policy.Resource{Type: resource}}
}

// describeConditions says of each rule with a toggle or a condition that this is what is missing,
// with what the catalog wants told, and without.
func (p *page) describeConditions(catalog *catalogv1.Catalog) {
	facts := map[string]*structpb.Value{
		"status": structpb.NewStringValue("closed"), "visibility": structpb.NewStringValue("internal"),
		"team_visibility": structpb.NewStringValue("private"), "logged_in": structpb.NewBoolValue(false),
		"wrap_up_seconds": structpb.NewNumberValue(0),
	}
	for _, role := range catalog.GetRoles() {
		for _, rule := range role.GetRules() {
			question := questionAbout(rule.GetAllow()[0])
			question.Resource.Attributes = facts
			about := role.GetName() + " " + rule.GetAllow()[0]
			if toggle := rule.GetWhileOn(); toggle != "" {
				p.decision("TOGGLE "+about, question, policy.Reason{Code: policy.Toggled, Role: role.GetName(), Toggle: toggle})
			}
			if rule.GetCondition() == "" {
				continue
			}
			outcome := policy.RuleOutcome{Result: policy.RuleConditionFalse, Condition: rule.GetCondition(), Unmet: rule.GetUnmet()}
			reason := policy.Reason{Code: policy.ConditionNotMet, Role: role.GetName()}
			p.decision("CONDITION_NOT_MET "+about, question, reason, outcome)
			if len(outcome.Unmet) == 0 {
				continue
			}
			outcome.Unmet = nil
			p.decision("CONDITION_NOT_MET "+about+", if the catalog did not say what to tell", question, reason, outcome)
			if question.Resource.Type == "role" {
				question.Resource.ID = role.GetName()
			}
			question.Resource.Attributes = nil
			p.decision("CONDITION_NOT_MET "+about+" "+question.Resource.ID+", if nothing was known either", question, reason, outcome)
		}
	}
}

// describeSteps has every step: each toggle on, and each role in the first type of scope.
func (p *page) describeSteps(catalog *catalogv1.Catalog) {
	roles := catalog.GetRoles()
	top := catalog.GetAdministration().GetProtectedRole()
	second := slices.IndexFunc(roles, func(r *catalogv1.Role) bool { return r.GetName() != top && r.GetName() != catalog.GetDefaultRole() })
	two := []string{top, roles[second].GetName()}
	for i, toggle := range catalog.GetToggles() {
		p.step("switch on "+toggle.GetName(), policy.Step{Kind: policy.StepSetToggle, Toggle: toggle.GetName(), On: true}, []string{top}, false)
		if i == 0 {
			p.step("switch off "+toggle.GetName(), policy.Step{Kind: policy.StepSetToggle, Toggle: toggle.GetName()}, two, false)
		}
	}
	for _, role := range roles {
		if role.GetName() == catalog.GetDefaultRole() {
			continue
		}
		var scopes []string
		for _, t := range role.GetHeldIn()[:min(1, len(role.GetHeldIn()))] {
			scopes = []string{t + ":harvest"}
		}
		p.step("grant "+role.GetName(), policy.Step{Kind: policy.StepGrant, Role: role.GetName(), Scopes: scopes}, []string{top}, false)
	}
	i := slices.IndexFunc(roles, func(r *catalogv1.Role) bool { return len(r.GetHeldIn()) > 0 })
	role := roles[i].GetName()
	scope := []string{roles[i].GetHeldIn()[0] + ":harvest"}
	until := store.Interval{End: time.Date(2027, 1, 31, 17, 30, 0, 0, time.UTC)}
	three := append(two, roles[len(roles)-1].GetName())
	p.step("grant, by the operator only", policy.Step{Kind: policy.StepGrant, Role: role, Scopes: scope}, nil, true)
	p.step("grant to a group", policy.Step{Kind: policy.StepGrant, Subject: group, Role: role, Scopes: scope}, three, false)
	p.step("start now", policy.Step{Kind: policy.StepGrant, Role: role, Scopes: scope, Early: true}, []string{top}, false)
	p.step("start now, with an end", policy.Step{Kind: policy.StepGrant, Role: role, Scopes: scope, Early: true, Interval: until}, []string{top}, false)
	p.step("start now, of a group", policy.Step{Kind: policy.StepGrant, Subject: group, Role: role, Scopes: scope, Early: true}, []string{top}, false)
	p.step("change", policy.Step{Kind: policy.StepChangeRole, From: top, Role: role, Scopes: scope}, two, false)
	p.step("change, by the operator only", policy.Step{Kind: policy.StepChangeRole, From: role, Role: top}, nil, true)
	p.step("revoke", policy.Step{Kind: policy.StepRevoke, Role: role, Scopes: scope}, []string{top}, false)
	p.step("revoke from a group", policy.Step{Kind: policy.StepRevoke, Subject: group, Role: role}, two, false)
	p.step("resource", policy.Step{Kind: policy.StepResource, Attributes: map[string]*structpb.Value{
		"status": structpb.NewStringValue("open"), "logged_in": structpb.NewBoolValue(true),
		"wrap_up_seconds": structpb.NewNumberValue(1), "spam": structpb.NewNullValue(),
	}}, nil, false)
	for _, t := range catalog.GetResourceTypes() {
		if len(t.GetAttributes()) == 0 {
			continue
		}
		attributes := map[string]*structpb.Value{}
		for _, a := range t.GetAttributes() {
			attributes[a.GetName()] = examples[a.GetType()]
		}
		question := policy.Request{Subject: asker, Resource: policy.Resource{Type: t.GetName()}}
		p.text("resource "+t.GetName(), func(w *wording.Writer) string {
			return w.Step(question, policy.Step{Kind: policy.StepResource, Attributes: attributes}, nil, false)
		})
	}
	p.text("two steps", func(w *wording.Writer) string {
		return w.Way([]string{
			w.Step(policy.Request{Subject: asker}, policy.Step{Kind: policy.StepGrant, Subject: asker, Role: role, Scopes: scope}, []string{top}, false),
			w.Step(policy.Request{Subject: asker}, policy.Step{Kind: policy.StepResource, Attributes: map[string]*structpb.Value{"status": structpb.NewStringValue("open")}}, nil, false),
		})
	})
}
