package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// compareWorld draws catalogs that are small, so that all requests can be asked.
type compareWorld struct {
	*rand.Rand
	// kinds are the types of the attributes x and y, and of x in the other version.
	kinds    [3]string
	versions [2]string
	// mentioned is what conditions look at.
	mentioned []string
	// reaches and toggles are those of the version that is drawn.
	reaches, toggles []string
	// scopes are those in which something may be held.
	scopes []string
}

// drawVersions draws two versions of a catalog. They may have other actions, roles,
// toggles, scope types and types of attributes.
func (w *compareWorld) drawVersions() {
	w.kinds[0] = w.one("bool", "string", "int", "double", "string_list")
	w.kinds[1] = w.one("string", "int", "string_list")
	w.kinds[2] = w.kinds[0]
	if w.chance(40) {
		w.kinds[2] = w.one("string", "int", "double")
	}
	w.mentioned = [][]string{
		{"resource.x"}, {"resource.y"}, {"resource.x", "resource.id"}, {"resource.x", "resource.y"},
	}[w.IntN(4)]
	w.versions[0] = w.catalog([2]string{w.kinds[0], w.kinds[1]})
	w.versions[1] = w.catalog([2]string{w.kinds[2], w.kinds[1]})
}

func (w *compareWorld) one(from ...string) string { return from[w.IntN(len(from))] }

func (w *compareWorld) chance(percent int) bool { return w.IntN(100) < percent }

func (w *compareWorld) reach() string {
	return w.one(w.reaches...)
}

func (w *compareWorld) catalog(kinds [2]string) string {
	var text strings.Builder
	scopeTypes := "team, queue"
	w.reaches = []string{"tenant", "assigned", "assigned", "own", "any team", "any queue"}
	if w.chance(15) {
		scopeTypes = "queue, team, site"
		w.reaches = append(w.reaches, "any site", "any site")
	}
	fmt.Fprintf(&text, "name: random\nversion: 1\nscope_types: [%s]\nholders: [user, group]\n", scopeTypes)
	fmt.Fprintf(&text, "resource_types:\n  - name: ticket\n    actions: [%s]\n    attributes:\n      - {name: x, type: %s}\n      - {name: y, type: %s}\n",
		w.one("view, edit", "view, edit", "edit, view, close"), kinds[0], kinds[1])
	names := []string{"r1", "r2", "r3"}[:2+w.IntN(2)]
	var roles strings.Builder
	w.toggles = []string{"t1", "t2"}[:1+w.IntN(2)]
	defaultRole := w.chance(50)
	if defaultRole {
		names = append(names, "r0")
		fmt.Fprintf(&text, "default_role: r0\n")
	}
	for i, name := range names {
		fmt.Fprintf(&roles, "  - name: %s\n", name)
		if name != "r0" && w.chance(90) {
			fmt.Fprintf(&roles, "    held_in: [team, queue]\n")
		}
		if i > 0 && w.chance(40) {
			fmt.Fprintf(&roles, "    inherits: [{role: %s", names[w.IntN(i)])
			if w.chance(40) {
				fmt.Fprintf(&roles, ", reach: %s", w.reach())
			}
			fmt.Fprintf(&roles, ", keep_toggles: %t}]\n", w.chance(60))
		}
		fmt.Fprintf(&roles, "    rules:\n")
		if name == "r0" {
			fmt.Fprintf(&roles, "      - {allow: [ticket:edit], reach: own}\n")
		}
		for range 1 + w.IntN(3) {
			fmt.Fprintf(&roles, "      - %s\n", w.rule(kinds))
		}
	}
	fmt.Fprintf(&roles, "  - name: boss\n    rules:\n      - {allow: ['role:grant', 'toggle:set', 'ticket:view'], reach: tenant}\n")
	for _, t := range w.toggles { // each is looked at
		fmt.Fprintf(&roles, "      - {allow: ['role:revoke'], reach: tenant, while_on: %s}\n", t)
	}
	text.WriteString("roles:\n" + roles.String() + "toggles:\n")
	for _, t := range w.toggles {
		fmt.Fprintf(&text, "  - {name: %s, starts_on: %t}\n", t, w.chance(50))
	}
	text.WriteString("administration: {protected_role: boss}\n")
	return text.String()
}

func (w *compareWorld) rule(kinds [2]string) string {
	parts := []string{"allow"}
	if w.chance(20) {
		parts[0] = "forbid"
	}
	administers := w.chance(20)
	permissions := w.one("ticket:view", "ticket:edit", "'ticket:view', 'ticket:edit'")
	if administers {
		permissions = w.one("role:grant", "toggle:set", "'role:grant', 'toggle:set'")
	}
	parts[0] += ": [" + permissions + "]"
	parts = append(parts, "reach: "+w.reach())
	if w.chance(50) {
		parts = append(parts, "condition: '"+w.condition(administers, kinds, 2)+"'")
	}
	if w.chance(30) {
		parts = append(parts, w.gate())
	}
	if w.chance(35) {
		parts = append(parts, "widen: {reach: "+w.reach()+", "+w.gate()+"}")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (w *compareWorld) gate() string { return w.one("while_on: ", "while_off: ") + w.one(w.toggles...) }

func (w *compareWorld) condition(administers bool, kinds [2]string, depth int) string {
	if depth > 0 {
		switch w.IntN(8) {
		case 0:
			return "!(" + w.condition(administers, kinds, depth-1) + ")"
		case 1, 2:
			return "(" + w.condition(administers, kinds, depth-1) + " && " + w.condition(administers, kinds, depth-1) + ")"
		case 3, 4:
			return "(" + w.condition(administers, kinds, depth-1) + " || " + w.condition(administers, kinds, depth-1) + ")"
		}
	}
	name, kind := "resource.id", "string"
	if !administers {
		name = w.one(w.mentioned...)
	}
	if i := slices.Index([]string{"resource.x", "resource.y"}, name); i >= 0 {
		kind = kinds[i]
	}
	if w.chance(15) {
		return "has(" + name + ")"
	}
	order := w.one("==", "!=", "<", "<=", ">", ">=")
	switch kind {
	case "bool":
		return w.one(name, name+" != true")
	case "int":
		return name + order + w.one("0", "2")
	case "double":
		return w.one("0.5", "2.0") + order + name
	case "string_list":
		return w.one(`"a"`, `"b"`) + " in " + name
	}
	constants := []string{`"a"`, `"c"`}
	if administers {
		constants = []string{`"r1"`, `"boss"`, `"t1"`}
	}
	if w.chance(30) {
		return name + ` in [` + w.one(constants...) + `, ` + w.one(constants...) + `]`
	}
	return name + order + w.one(constants...)
}

// The values that are asked about: more than the constants of the conditions.
var compareValues = []any{
	true, false, "", "a", "aa", "c", "d", -1, 0, 0.25, 0.5, 1, 1.5, 2, 2.5, 3,
	[]any{}, []any{"a"}, []any{"b"}, []any{"b", "a"}, []any{"c", 1},
}

// valuesOf returns the values of some kinds.
func valuesOf(kinds ...string) []any {
	return slices.DeleteFunc(slices.Clone(compareValues), func(v any) bool {
		kind := ""
		switch v.(type) {
		case bool:
			kind = "bool"
		case string:
			kind = "string"
		case int:
			kind = "int double"
		case float64:
			kind = "double"
		case []any:
			kind = "string_list"
		}
		return !slices.ContainsFunc(kinds, func(k string) bool { return strings.Contains(kind, k) })
	})
}
