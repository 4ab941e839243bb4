package server_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// proveWorld draws catalogs that are small enough to go through all states, and statements
// about them.
type proveWorld struct {
	*rand.Rand
	roles, toggles, mentioned []string
	// allowing are the roles that allow something.
	allowing []string
}

func (w *proveWorld) one(from ...string) string { return from[w.IntN(len(from))] }

func (w *proveWorld) chance(percent int) bool { return w.IntN(100) < percent }

// some returns so many of the names, each once.
func (w *proveWorld) some(most int, from ...string) string {
	names := slices.Clone(from)
	w.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	return `["` + strings.Join(names[:min(len(names), 1+w.IntN(most))], `", "`) + `"]`
}

// catalog draws a catalog without statements.
func (w *proveWorld) catalog() string {
	var text strings.Builder
	text.WriteString("name: random\nversion: 1\nscope_types: [team]\n")
	fmt.Fprintf(&text, "holders: [%s]\n", w.one("user", "user, group"))
	text.WriteString(`resource_types:
  - name: ticket
    actions: [view, edit]
    attributes: [{name: x, type: string}, {name: flag, type: bool}]
  - name: note
    actions: [view]
    attributes: [{name: x, type: string}, {name: flag, type: bool}]
`)
	w.mentioned = [][]string{{"x"}, {"flag"}, {"id"}, {"x", "flag"}, {"flag", "id"}}[w.IntN(5)]
	w.roles, w.toggles = []string{"r1", "r2", "boss"}, []string{"t1", "t2"}[:1+w.IntN(2)]
	w.allowing = nil
	hasDefault := w.chance(50)
	if hasDefault {
		text.WriteString("default_role: r0\n")
		w.roles = append(w.roles, "r0")
	}
	text.WriteString("roles:\n")
	for i, name := range w.roles {
		fmt.Fprintf(&text, "  - name: %s\n", name)
		from := text.Len()
		inherits := false
		if i < 2 && w.chance(85) {
			text.WriteString("    held_in: [team]\n")
		}
		if i == 1 && w.chance(40) || i == 2 && w.chance(20) {
			inherits = true
			fmt.Fprintf(&text, "    inherits: [{role: r1, keep_toggles: %t%s}]\n", w.chance(50), w.one("", "", ", reach: tenant", ", reach: own"))
		}
		text.WriteString("    rules:\n")
		forbids := 0
		switch {
		case name == "r0":
			fmt.Fprintf(&text, "      - {allow: [%s], reach: own}\n", w.one("ticket:view", "note:view"))
		case name == "boss":
			text.WriteString("      - {allow: ['role:grant'], reach: tenant}\n")
			fmt.Fprintf(&text, "      - {allow: [%s], reach: tenant}\n", w.one("'role:revoke'", "'toggle:set'", "'role:revoke', 'toggle:set'", "'ticket:view'"))
			for _, t := range w.toggles { // each is looked at
				fmt.Fprintf(&text, "      - {allow: ['note:view'], reach: own, while_on: %s}\n", t)
			}
		case w.chance(25):
			forbids = 100 // a role that only forbids
		default:
			forbids = 25
		}
		for range w.IntN(3) + (len(name)-1)%2 {
			fmt.Fprintf(&text, "      - %s\n", w.rule(forbids))
		}
		if strings.Contains(text.String()[from:], "{allow") || inherits && slices.Contains(w.allowing, "r1") {
			w.allowing = append(w.allowing, name)
		}
	}
	text.WriteString("toggles:\n")
	for _, t := range w.toggles {
		fmt.Fprintf(&text, "  - {name: %s, starts_on: %t}\n", t, w.chance(50))
	}
	text.WriteString("administration:\n  protected_role: boss\n")
	if w.chance(40) {
		fmt.Fprintf(&text, "  exclusive_roles: [%s]\n", w.one("r1, r2", "r1, boss", "r1, r2, boss"))
	}
	return text.String()
}

func (w *proveWorld) reach() string {
	return w.one("tenant", "tenant", "assigned", "assigned", "own", "any team")
}

func (w *proveWorld) rule(forbids int) string {
	effect := "allow"
	if w.chance(forbids) {
		effect = "forbid"
	}
	administers := w.chance(35) || forbids == 100 && w.chance(40)
	permissions := w.some(2, "ticket:view", "ticket:edit", "note:view")
	if administers {
		permissions = w.some(2, "role:grant", "role:revoke", "toggle:set")
		if forbids == 100 && w.chance(40) {
			return "{forbid: ['role:grant', 'toggle:set'], reach: tenant}"
		}
	}
	parts := []string{effect + ": " + permissions, "reach: " + w.reach()}
	if w.chance(45) {
		parts = append(parts, "condition: '"+w.condition(administers, 2)+"'")
	}
	if w.chance(30) {
		parts = append(parts, w.gate())
	}
	if w.chance(30) {
		parts = append(parts, "widen: {reach: "+w.reach()+", "+w.gate()+"}")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (w *proveWorld) gate() string { return w.one("while_on: ", "while_off: ") + w.one(w.toggles...) }

func (w *proveWorld) condition(administers bool, depth int) string {
	if depth > 0 && !administers {
		switch w.IntN(6) {
		case 0:
			return "!(" + w.condition(administers, depth-1) + ")"
		case 1:
			return "(" + w.condition(administers, depth-1) + " && " + w.condition(administers, depth-1) + ")"
		case 2:
			return "(" + w.condition(administers, depth-1) + " || " + w.condition(administers, depth-1) + ")"
		}
	}
	if administers {
		return w.one(`resource.id == "r1"`, `resource.id != "boss"`, `resource.id in ["r1", "r2", "t1"]`, `has(resource.id)`)
	}
	switch w.one(w.mentioned...) {
	case "flag":
		return w.one("resource.flag", "has(resource.flag)")
	case "id":
		return w.one(`resource.id == "7"`, `resource.id != "7"`, "has(resource.id)")
	}
	return w.one(`resource.x == "a"`, `resource.x != "b"`, `resource.x in ["a", "b"]`, "has(resource.x)")
}

// statement draws a statement of a kind.
func (w *proveWorld) statement(kind string) string {
	parts := []string{"title: " + kind}
	if kind == "granted" {
		grantable := slices.DeleteFunc(slices.Clone(w.roles), func(r string) bool { return r == "r0" })
		return fmt.Sprintf("{title: granted, granted: {roles: %s, only_by: %s}}", w.some(2, grantable...), w.some(3, w.roles...))
	}
	role := w.one(w.roles...)
	if kind == "always" {
		role = w.one(append(w.allowing, "boss")...)
	}
	ofRole := kind == "always" || w.chance(65)
	if ofRole {
		parts = append(parts, "role: "+role)
	} else if w.chance(60) {
		parts = append(parts, "except: "+w.some(3, w.roles...))
	}
	administers := w.chance(30)
	permissions := w.some(2, "ticket:view", "ticket:edit", "note:view", "*:view")
	if administers {
		permissions = w.some(2, "role:grant", "role:revoke", "toggle:set")
	}
	switch kind {
	case "alike":
		one := w.one("ticket:view", "ticket:edit")
		parts = append(parts, "alike: "+w.one(
			"{permission: '"+one+"', as: 'note:view'}", "{permission: '"+one+"', as: 'note:view', of: '7'}",
			"{permission: 'ticket:view', as: 'ticket:edit'}", "{permission: '"+one+"', as: 'role:grant', of: r1}",
			"{permission: 'role:grant', as: 'role:revoke'}", "{permission: 'role:grant', as: 'toggle:set', of: t1}",
			"{permission: 'role:revoke', as: 'note:view', of: '7'}"))
		administers = true // no condition fits all of these
	case "only":
		parts = append(parts, "only: "+w.some(3, "ticket:view", "ticket:edit", "note:view", "role:*", "toggle:set", "*:view"))
		administers = true
	default:
		parts = append(parts, kind+": "+permissions)
	}
	if w.chance(35) {
		field := w.one("within: ", "beyond: ")
		reach := w.one("own", "any team", "assigned")
		if ofRole || reach != "assigned" {
			parts = append(parts, field+reach)
		}
	}
	if w.chance(35) {
		parts = append(parts, w.gate())
	}
	if kind != "alike" && kind != "only" && w.chance(35) {
		parts = append(parts, w.one("where: '", "unless: '")+w.condition(administers, 1)+"'")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
