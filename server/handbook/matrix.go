package handbook

import (
	"fmt"
	"slices"
	"strings"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/wording"
)

// writeMatrix writes the table of permissions and roles, with its notes.
func (p *page) writeMatrix() {
	p.heading(p.permissions)
	head := []string{p.permission}
	for _, r := range p.message.GetRoles() {
		head = append(head, p.titleOf(r))
	}
	p.head(head...)
	for _, t := range p.message.GetResourceTypes() {
		group := slices.Repeat([]string{""}, len(head))
		group[0] = "**" + escaped(t.GetName()) + "**"
		p.row(group...)
		for _, action := range t.GetActions() {
			name := t.GetName() + ":" + action
			cells := []string{"`" + name + "`"}
			if _, there := p.words[name]; there {
				cells[0] = p.word(name) + " " + cells[0]
			}
			for _, r := range p.message.GetRoles() {
				cells = append(cells, p.cell(r.GetName(), name))
			}
			p.row(cells...)
		}
	}
	p.printf("\n%s\n", p.legend)
	if len(p.notes) > 0 {
		p.printf("\n")
	}
	for i, note := range p.notes {
		p.printf("%d. %s\n", i+1, note)
	}
}

// cell says what a role gives. What a wider rule gives anyhow is not repeated.
func (p *page) cell(role, permission string) string {
	rules := p.catalog.RulesOf(role, permission)
	everywhere := func(r policy.RoleRule) bool {
		return !r.Forbid && r.Reach == "tenant" && r.Condition == "" && r.Toggle == ""
	}
	if i := slices.IndexFunc(rules, everywhere); i >= 0 {
		wide := rules[i]
		rules = slices.DeleteFunc(slices.Clone(rules), func(r policy.RoleRule) bool { return !r.Forbid && r != wide })
	}
	var marks []string
	for _, r := range rules {
		if mark := p.mark(r); !slices.Contains(marks, mark) {
			marks = append(marks, mark)
		}
	}
	return strings.Join(marks, "; ")
}

// mark is the reach of a rule, with the numbers of its notes.
func (p *page) mark(r policy.RoleRule) string {
	mark := p.reach(r.Reach)
	if r.Forbid {
		mark = strings.TrimSpace(fmt.Sprintf(p.never, strings.TrimPrefix(mark, "✓")))
	}
	var notes []string
	if r.Widened != "" {
		format := p.widenedOff
		if r.WidenOn {
			format = p.widenedOn
		}
		t := p.toggle(r.WidenToggle)
		notes = append(notes, fmt.Sprintf(format, p.reach(r.Widened), p.toggleTitle(t), p.firstState(t)))
	}
	if r.Condition != "" {
		note := fmt.Sprintf(p.onlyIf, code(r.Condition))
		if unmet := wording.Title(p.unmetTexts(r.Condition), p.locale, ""); unmet != "" {
			note = fmt.Sprintf(p.unmet, escaped(unmet), code(r.Condition))
		}
		notes = append(notes, note)
	}
	if r.Toggle != "" {
		format := p.whileOff
		if r.On {
			format = p.whileOn
		}
		t := p.toggle(r.Toggle)
		notes = append(notes, fmt.Sprintf(format, p.toggleTitle(t), p.firstState(t)))
	}
	for _, note := range notes {
		mark += fmt.Sprintf(" (%d)", p.note(note))
	}
	return mark
}

func (p *page) reach(reach string) string {
	switch reach {
	case "tenant":
		return "✓"
	case "own":
		return p.own
	case "assigned":
		return p.assigned
	}
	return fmt.Sprintf(p.anyScope, p.word(strings.TrimPrefix(reach, "any ")))
}

// note returns the number of a note. The same one is written once.
func (p *page) note(text string) int {
	i := slices.Index(p.notes, text)
	if i < 0 {
		i, p.notes = len(p.notes), append(p.notes, text)
	}
	return i + 1
}

func (p *page) toggle(name string) *catalogv1.Toggle {
	i := slices.IndexFunc(p.message.GetToggles(), func(t *catalogv1.Toggle) bool { return t.GetName() == name })
	return p.message.GetToggles()[i]
}

// unmetTexts are what the catalog tells somebody who does not meet a condition.
func (p *page) unmetTexts(condition string) map[string]string {
	for _, role := range p.message.GetRoles() {
		for _, rule := range role.GetRules() {
			if rule.GetCondition() == condition && len(rule.GetUnmet()) > 0 {
				return rule.GetUnmet()
			}
		}
	}
	return nil
}
