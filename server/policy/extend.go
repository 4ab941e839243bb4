package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
)

// maxExtensions is how many catalogs may extend one another in a row.
const maxExtensions = 8

// extension puts a catalog together from the one that it extends and what it adds.
type extension struct {
	base    *Catalog
	written *catalogv1.Catalog
	// merged has all: it names what is extended and needs it no more.
	merged *catalogv1.Catalog
	faults []fault
	// ownWords are the indexes of the words that were added behind those of the base.
	ownWords []int
}

// extend returns the compiled extension, or what is wrong with what was written.
func extend(base *Catalog, written *catalogv1.Catalog) (*Catalog, []fault) {
	e := &extension{base: base, written: written}
	e.checkPlace()
	e.checkFixed()
	e.checkNames()
	if len(e.faults) > 0 {
		return nil, e.faults
	}
	e.merged = proto.CloneOf(base.source)
	e.narrow()
	e.keepPromises()
	e.add()
	if len(e.faults) > 0 {
		return nil, e.faults
	}
	compiled, faults := compile(e.merged, base)
	for i := range faults {
		faults[i].path = e.pathAsWritten(faults[i].path)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	compiled.written = written
	compiled.extendedStatements = len(base.statements)
	return compiled, nil
}

func (e *extension) fault(path string, rule faultRule, format string, args ...any) {
	e.faults = append(e.faults, fault{path, rule, fmt.Sprintf(format, args...)})
}

// checkPlace refuses long rows of extensions, and a name that the row has already: a
// tenant of the one would be moved to the other as if it was a newer version.
func (e *extension) checkPlace() {
	depth := 1
	for b := e.base; b != nil; b = b.base {
		if b.source.GetName() == e.written.GetName() {
			e.fault("name", faultExtension, "the catalog extends one of the name %q: give it a name of its own", e.written.GetName())
		}
		if depth++; depth > maxExtensions+1 {
			e.fault("extends", faultExtension, "more than %d catalogs extend one another in a row: extend one nearer to the beginning", maxExtensions)
			return
		}
	}
}

// checkFixed refuses what is settled by the extended catalog.
func (e *extension) checkFixed() {
	in := e.written.GetAdministration()
	for _, field := range []struct {
		path string
		set  bool
	}{
		{"holders", len(e.written.GetHolders()) > 0},
		{"default_role", e.written.GetDefaultRole() != ""},
		{"administration.protected_role", in.GetProtectedRole() != ""},
		{"administration.has_primary", in.GetHasPrimary()},
	} {
		if field.set {
			name := field.path[strings.LastIndexByte(field.path, '.')+1:]
			e.fault(field.path, faultExtension, "%s is that of the extended catalog: leave it out", name)
		}
	}
}

// checkNames refuses names that the extended catalog has. The compiler reports those that
// are there twice otherwise.
func (e *extension) checkNames() {
	redeclared := func(path, what, name, instead string) {
		e.fault(path, faultRedeclared, "the extended catalog has the %s %q already: %s", what, name, instead)
	}
	for i, name := range e.written.GetScopeTypes() {
		if slices.Contains(e.base.scopeTypes, name) {
			redeclared(at("scope_types", i), "scope type", name, "leave it out here")
		}
	}
	for i, t := range e.written.GetResourceTypes() {
		if name := t.GetName(); e.base.resourceTypes[name] != nil && name != roleType && name != toggleType {
			redeclared(at("resource_types", i)+".name", "resource type", name, "add one of another name")
		}
	}
	for i, t := range e.written.GetToggles() {
		if e.base.togglesByName[t.GetName()] != nil {
			redeclared(at("toggles", i)+".name", "toggle", t.GetName(), "add one of another name")
		}
	}
	for i, r := range e.written.GetRoles() {
		if e.base.rolesByName[r.GetName()] != nil {
			redeclared(at("roles", i)+".name", "role", r.GetName(), "clone it by `inherits` under another name, or narrow it")
		}
	}
}

// narrow takes permissions from roles of the extended catalog. Roles that inherit from
// them there get the rules themselves, so that they keep what they have.
func (e *extension) narrow() {
	c := &compiler{in: e.base.source, out: e.base, expanded: map[*role][]ruleSource{}, used: map[*toggle]bool{}}
	narrowed := map[*role][]ruleSource{}
	for i, n := range e.written.GetNarrow() {
		path := at("narrow", i)
		r := e.base.rolesByName[n.GetRole()]
		if r == nil {
			c.unknown(path+".role", "role of the extended catalog", n.GetRole(), keys(e.base.rolesByName))
			continue
		}
		c.unique(narrowed[r] != nil, path+".role", "narrowings of the role", n.GetRole())
		left := c.without(path, n.GetWithout(), c.expand(r, nil))
		allows := slices.ContainsFunc(left, func(s ruleSource) bool { return !s.rule.forbid })
		if len(left) == 0 || r == e.base.defaultRole && !allows {
			c.fault(path+".without", faultEmptyRole, "the role %q allows nothing any more: leave it something", r.name)
			left = []ruleSource{{}}
		}
		narrowed[r] = left
	}
	e.faults = append(e.faults, c.faults...)
	if len(e.faults) > 0 {
		return
	}
	for i, r := range e.merged.GetRoles() {
		rules := narrowed[e.base.roles[i]]
		if rules == nil && !slices.ContainsFunc(r.GetInherits(), func(in *catalogv1.Inheritance) bool {
			return narrowed[e.base.rolesByName[in.GetRole()]] != nil
		}) {
			continue
		}
		if rules == nil {
			rules = c.expand(e.base.roles[i], nil)
		}
		r.Inherits, r.Rules = nil, nil
		for _, s := range rules {
			r.Rules = append(r.Rules, s.asWritten())
		}
	}
}

// keepPromises makes what the extended catalog states to be always given mean its own
// permissions, not those that are added, less what a narrowing takes.
func (e *extension) keepPromises() {
	taken := map[string][]string{}
	for _, n := range e.written.GetNarrow() {
		taken[n.GetRole()] = n.GetWithout()
	}
	var permissions []string
	for _, t := range e.base.resourceTypes {
		permissions = append(permissions, t.permissionNames()...)
	}
	slices.Sort(permissions)
	e.merged.Statements = slices.DeleteFunc(e.merged.GetStatements(), func(s *catalogv1.Statement) bool {
		if len(s.GetAlways()) == 0 {
			return false
		}
		s.Always = slices.DeleteFunc(slices.Clone(permissions), func(p string) bool {
			covers := func(pattern string) bool { return matchesPattern(pattern, p) }
			return !slices.ContainsFunc(s.GetAlways(), covers) || slices.ContainsFunc(taken[s.GetRole()], covers)
		})
		return len(s.Always) == 0
	})
}

// asWritten is the rule as it would be written in the role that has it.
func (s ruleSource) asWritten() *catalogv1.Rule {
	r := &catalogv1.Rule{Allow: s.permissions, Reach: s.rule.reach.String(), Condition: s.condition, Unmet: s.unmet}
	if s.rule.forbid {
		r.Allow, r.Forbid = nil, s.permissions
	}
	r.WhileOn, r.WhileOff = s.rule.gate.asWritten()
	if w := s.rule.widening; w != nil {
		r.Widen = &catalogv1.Widening{Reach: w.reach.String()}
		r.Widen.WhileOn, r.Widen.WhileOff = w.gate.asWritten()
	}
	return r
}

func (g gate) asWritten() (whileOn, whileOff string) {
	switch {
	case g.toggle == nil:
		return "", ""
	case g.on:
		return g.toggle.name, ""
	}
	return "", g.toggle.name
}

// String is the reach as it is written in a catalog.
func (r reach) String() string {
	switch r.kind {
	case reachTenant:
		return "tenant"
	case reachAssigned:
		return "assigned"
	case reachOwn:
		return "own"
	case reachAnyScope:
		return "any " + strings.TrimSuffix(r.prefix, ":")
	}
	return ""
}

// add puts what the extension has behind what the extended catalog has.
func (e *extension) add() {
	m, w := e.merged, e.written
	m.Name, m.Version, m.Extends = w.GetName(), w.GetVersion(), w.GetExtends()
	if len(w.GetTitles()) > 0 {
		m.Titles = w.GetTitles()
	}
	m.ScopeTypes = append(m.ScopeTypes, w.GetScopeTypes()...)
	m.ResourceTypes = append(m.ResourceTypes, w.GetResourceTypes()...)
	m.Roles = append(m.Roles, w.GetRoles()...)
	m.Toggles = append(m.Toggles, w.GetToggles()...)
	m.Statements = append(m.Statements, w.GetStatements()...)
	a := w.GetAdministration()
	m.Administration.ExclusiveRoles = append(m.Administration.ExclusiveRoles, a.GetExclusiveRoles()...)
	m.Administration.RefusedTransitions = append(m.Administration.RefusedTransitions, a.GetRefusedTransitions()...)
	m.Administration.AdvisoryLimits = append(m.Administration.AdvisoryLimits, a.GetAdvisoryLimits()...)
	e.addWords()
}

// addWords adds words. To those of the extended catalog further languages can be added.
func (e *extension) addWords() {
	there := map[string]*catalogv1.Word{}
	for _, w := range e.merged.GetWords() {
		there[w.GetName()] = w
	}
	said := map[string]bool{}
	for i, w := range e.written.GetWords() {
		word := there[w.GetName()]
		if word == nil {
			e.merged.Words = append(e.merged.Words, w)
			e.ownWords = append(e.ownWords, i)
			continue
		}
		if said[w.GetName()] {
			e.fault(at("words", i)+".name", faultDuplicate, "there are two of the words %q: join them", w.GetName())
		}
		for _, tag := range slices.Sorted(maps.Keys(w.GetTitles())) {
			path := fmt.Sprintf("%s.titles[%q]", at("words", i), tag)
			switch {
			case !isLanguage(tag):
				e.fault(path, faultLanguage, "%s", noLanguage(tag))
			case word.GetTitles()[tag] != "":
				e.fault(path, faultRedeclared, "there are words for %q in %q already: leave them out here", w.GetName(), tag)
			default:
				word.Titles[tag] = w.GetTitles()[tag]
			}
		}
		said[w.GetName()] = true
	}
}

// pathAsWritten translates a path of a fault in the merged catalog into what was written.
// What does not lie there comes of extending this catalog.
func (e *extension) pathAsWritten(path string) string {
	list, rest, found := strings.Cut(path, "[")
	number, after, _ := strings.Cut(rest, "]")
	index, err := strconv.Atoi(number)
	if !found || err != nil {
		return path
	}
	b := e.base.source
	a := b.GetAdministration()
	before, known := map[string]int{
		"scope_types":                        len(b.GetScopeTypes()),
		"resource_types":                     len(b.GetResourceTypes()),
		"roles":                              len(b.GetRoles()),
		"toggles":                            len(b.GetToggles()),
		"statements":                         len(e.merged.GetStatements()) - len(e.written.GetStatements()),
		"words":                              len(b.GetWords()),
		"administration.exclusive_roles":     len(a.GetExclusiveRoles()),
		"administration.refused_transitions": len(a.GetRefusedTransitions()),
		"administration.advisory_limits":     len(a.GetAdvisoryLimits()),
	}[list]
	switch {
	case !known:
		return path
	case index < before:
		return "extends"
	case list == "words":
		return at(list, e.ownWords[index-before]) + after
	}
	return at(list, index-before) + after
}
