package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
)

// settings are what a catalog says beside its rules, as texts.
type settings struct {
	order  []SettingChange // with New only
	values map[[2]string]int
}

func (s *settings) add(about, setting, value string) {
	if value == "" {
		return
	}
	key := [2]string{about, setting}
	if i, again := s.values[key]; again {
		s.order[i].New += "; " + value
		return
	}
	s.values[key] = len(s.order)
	s.order = append(s.order, SettingChange{About: about, Setting: setting, New: value})
}

func (s *settings) addTexts(about, setting string, texts map[string]string) {
	for _, tag := range slices.Sorted(maps.Keys(texts)) {
		s.add(about, setting+" ("+tag+")", texts[tag])
	}
}

// compareSettings fills in all changes but those of decisions.
func (d *Diff) compareSettings(from, to *Catalog) {
	d.Rules = changedSettings(from, to, (*Catalog).ruleSettings)
	d.Statements = changedSettings(from, to, (*Catalog).statementSettings)
	d.Words = changedSettings(from, to, (*Catalog).wordSettings)
}

func changedSettings(from, to *Catalog, of func(*Catalog, *settings)) []SettingChange {
	old, new := &settings{values: map[[2]string]int{}}, &settings{values: map[[2]string]int{}}
	of(from, old)
	of(to, new)
	var changes []SettingChange
	for _, s := range old.order {
		change := SettingChange{About: s.About, Setting: s.Setting, Old: s.New}
		if i, there := new.values[[2]string{s.About, s.Setting}]; there {
			change.New = new.order[i].New
		}
		if change.Old != change.New {
			changes = append(changes, change)
		}
	}
	for _, s := range new.order {
		if _, there := old.values[[2]string{s.About, s.Setting}]; !there {
			changes = append(changes, s)
		}
	}
	return changes
}

// ruleSettings are those of what there is, who may hold what, and the rules of administration.
func (c *Catalog) ruleSettings(s *settings) {
	s.add("catalog", "scope types", sorted(c.scopeTypes))
	s.add("catalog", "default role", c.source.GetDefaultRole())
	for _, name := range slices.Sorted(maps.Keys(c.resourceTypes)) {
		t := c.resourceTypes[name]
		s.add("resource type "+name, "actions", sorted(keys(t.actions)))
	}
	for _, t := range c.source.GetResourceTypes() {
		for _, a := range t.GetAttributes() {
			s.add("resource type "+t.GetName(), "attribute "+a.GetName(), a.GetType())
		}
	}
	for _, r := range c.roles {
		s.add("role "+r.name, "held in", r.placesText())
		if r.name != c.source.GetDefaultRole() { // which nobody is granted
			s.add("role "+r.name, "held by", sorted(keys(r.holders)))
		}
		if r.exclusive {
			s.add("role "+r.name, "beside other exclusive roles", "never")
		}
	}
	for _, t := range c.source.GetToggles() {
		s.add("toggle "+t.GetName(), "at the start", stateText(t.GetStartsOn()))
		s.add("toggle "+t.GetName(), "belongs to", t.GetBelongsTo())
		if t.GetLocked() {
			s.add("toggle "+t.GetName(), "locked", stateText(t.GetStartsOn()))
		}
	}
	a := c.source.GetAdministration()
	s.add("administration", "protected role", a.GetProtectedRole())
	if a.GetHasPrimary() {
		s.add("administration", "primary administrator", "there is one")
	}
	for _, l := range a.GetAdvisoryLimits() {
		s.add("role "+l.GetRole(), "holders that are advised at most", fmt.Sprint(l.GetHolders()))
	}
	for _, t := range a.GetRefusedTransitions() {
		s.add(transitionName(t), "refused", transitionText(t))
	}
}

func (r *role) placesText() string {
	switch {
	case r == r.catalog.defaultRole:
		return "never granted"
	case len(r.heldIn) == 0:
		return "the tenant"
	}
	return "the tenant, " + sorted(keys(r.heldIn))
}

func stateText(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func transitionName(t *catalogv1.Transition) string {
	if t.GetTo() == "" {
		return "taking away " + t.GetFrom()
	}
	return fmt.Sprintf("change of %s into %s", t.GetFrom(), t.GetTo())
}

// transitionText says for whom a transition is refused, and what kind of remedy there is.
func transitionText(t *catalogv1.Transition) string {
	text := "to everybody"
	if t.GetOperatorMay() {
		text = "to everybody but the operator"
	}
	switch request := t.GetSupportRequest(); {
	case request != nil:
		text += fmt.Sprintf(", with a support request (%s) by %s", strings.Join(request.GetFields(), ", "), request.GetFiledBy())
	case t.GetInviteAgain():
		text += ", with a new invitation"
	}
	return text
}

func sorted(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}

func (c *Catalog) statementSettings(s *settings) {
	for _, statement := range c.source.GetStatements() {
		// The text form has spaces at random; the fields are in the order of the proto.
		text := strings.Join(strings.Fields(prototext.MarshalOptions{}.Format(statement)), " ")
		s.add(statement.GetTitle(), "statement", text)
	}
}

// wordSettings are the texts for people.
func (c *Catalog) wordSettings(s *settings) {
	s.addTexts("catalog", "title", c.source.GetTitles())
	for _, r := range c.source.GetRoles() {
		s.addTexts("role "+r.GetName(), "title", r.GetTitles())
		s.add("role "+r.GetName(), "aliases", strings.Join(r.GetAliases(), ", "))
		for i, rule := range r.GetRules() {
			s.addTexts(fmt.Sprintf("rule %d of role %s", i+1, r.GetName()), "told if it is not met", rule.GetUnmet())
		}
	}
	for _, t := range c.source.GetToggles() {
		s.addTexts("toggle "+t.GetName(), "title", t.GetTitles())
	}
	for _, w := range c.source.GetWords() {
		s.addTexts(w.GetName(), "word", w.GetTitles())
	}
	a := c.source.GetAdministration()
	for _, l := range a.GetAdvisoryLimits() {
		s.addTexts("role "+l.GetRole(), "warning", l.GetWarning())
	}
	for _, t := range a.GetRefusedTransitions() {
		s.addTexts(transitionName(t), "remedy", t.GetRemedy())
	}
}
