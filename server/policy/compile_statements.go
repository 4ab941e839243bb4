package policy

import (
	"slices"
	"strings"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
)

// statement is a compiled statement. Exactly one of its kinds is set.
type statement struct {
	source *catalogv1.Statement
	role   *role // nil: everybody
	except map[*role]bool
	// never are the permissions that are never given; those of `only` are all others.
	never   []*permission
	always  []*permission
	alike   *likeness
	granted *granting

	within, beyond reach // reachNothing: not limited
	gate           gate
	where, unless  map[*resourceType]*condition
}

// likeness is two permissions that are answered alike.
type likeness struct {
	permission, as *permission
	// of is the id of the other's resource; empty: the same as the one's.
	of string
}

// granting is roles that only holders of some roles bring about.
type granting struct {
	roles, onlyBy map[*role]bool
}

// statementCompiler compiles one statement.
type statementCompiler struct {
	*compiler
	path string
	in   *catalogv1.Statement
	out  statement
}

func (c *compiler) compileStatements() {
	patterns := map[string][]*permission{}
	for i, in := range c.in.GetStatements() {
		s := statementCompiler{compiler: c, path: at("statements", i), in: in, out: statement{source: in}}
		s.compileKind(patterns)
		s.compileWhom()
		s.compileLimits()
		c.out.statements = append(c.out.statements, s.out)
	}
}

// compileKind compiles what is stated.
func (s *statementCompiler) compileKind(patterns map[string][]*permission) {
	in, kinds := s.in, 0
	for _, there := range []bool{
		len(in.GetNever()) > 0, len(in.GetOnly()) > 0, len(in.GetAlways()) > 0, in.GetAlike() != nil, in.GetGranted() != nil,
	} {
		if there {
			kinds++
		}
	}
	if kinds != 1 {
		s.fault(s.path, faultStatement, "a statement has exactly one of never, only, always, alike and granted: write one, and others in statements of their own")
		return
	}
	s.out.never = s.permissions("never", in.GetNever(), patterns)
	s.out.always = s.permissions("always", in.GetAlways(), patterns)
	if len(in.GetOnly()) > 0 {
		given := map[*permission]bool{}
		for _, p := range s.permissions("only", in.GetOnly(), patterns) {
			given[p] = true
		}
		all := s.like("*:*", patterns)
		s.out.never = slices.DeleteFunc(slices.Clone(all), func(p *permission) bool { return given[p] })
		if len(s.out.never) == 0 {
			s.fault(s.path+".only", faultStatement, "these are all permissions, so nothing is stated: name fewer")
		}
	}
	if in.GetAlike() != nil {
		s.compileLikeness(in.GetAlike())
	}
	if in.GetGranted() != nil {
		s.out.granted = &granting{
			roles:  s.roles(s.path+".granted", "roles", in.GetGranted().GetRoles()),
			onlyBy: s.roles(s.path+".granted", "only_by", in.GetGranted().GetOnlyBy()),
		}
		if d := s.compiler.out.defaultRole; d != nil && s.out.granted.roles[d] {
			s.fault(s.path+".granted.roles", faultStatement, "the default role %q is never granted: remove it here", d.name)
		}
	}
}

// permissions returns those that some patterns match, each once.
func (s *statementCompiler) permissions(field string, list []string, patterns map[string][]*permission) []*permission {
	var all []*permission
	found, written := map[*permission]bool{}, map[string]bool{}
	for i, pattern := range list {
		where := s.path + "." + at(field, i)
		s.unique(written[pattern], where, "permission", pattern)
		written[pattern] = true
		if !strings.Contains(pattern, "*") {
			s.permissionNamed(where, pattern)
		}
		matching := s.like(pattern, patterns)
		if len(matching) == 0 && strings.Contains(pattern, "*") {
			s.fault(where, faultStatement, "no permission is like %q: write one such as ticket:view, ticket:*, *:view or *:*", pattern)
		}
		for _, p := range matching {
			if !found[p] {
				found[p] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// like returns the permissions that a pattern matches, in byte order. It looks for each
// pattern once.
func (s *statementCompiler) like(pattern string, patterns map[string][]*permission) []*permission {
	all, known := patterns[pattern]
	if known {
		return all
	}
	typeName, action, _ := strings.Cut(pattern, ":")
	types := s.compiler.out.resourceTypes
	if typeName != "*" {
		types = map[string]*resourceType{typeName: types[typeName]}
	}
	for _, t := range types {
		switch {
		case t == nil:
		case action != "*":
			if p := t.actions[action]; p != nil {
				all = append(all, p)
			}
		default:
			for _, p := range t.actions {
				all = append(all, p)
			}
		}
	}
	slices.SortFunc(all, func(a, b *permission) int { return strings.Compare(a.name, b.name) })
	patterns[pattern] = all
	return all
}

func (s *statementCompiler) roles(path, field string, names []string) map[*role]bool {
	found := map[*role]bool{}
	for i, name := range names {
		where := path + "." + at(field, i)
		if r := s.roleNamed(where, name); r != nil {
			s.unique(found[r], where, "role", name)
			found[r] = true
		}
	}
	return found
}

func (s *statementCompiler) compileLikeness(in *catalogv1.Likeness) {
	path := s.path + ".alike"
	a := &likeness{s.permissionNamed(path+".permission", in.GetPermission()), s.permissionNamed(path+".as", in.GetAs()), in.GetOf()}
	if a.permission == nil || a.as == nil {
		return
	}
	one, other := a.permission.of, a.as.of
	switch {
	case a.of == "" && one != other && other.administrative:
		s.fault(path, faultStatement, "the id of the resource of %s is the name of a %s: write it in `of`", a.as.name, other.name)
	case a.of == "" && one != other && one.administrative:
		s.fault(path, faultStatement, "the id of the resource of %s is the name of a %s: write the two the other way round, and the name in `of`", a.permission.name, one.name)
	case a.of != "" && other.name == roleType:
		s.roleNamed(path+".of", a.of)
	case a.of != "" && other.name == toggleType && s.compiler.out.togglesByName[a.of] == nil:
		s.unknown(path+".of", "toggle", a.of, keys(s.compiler.out.togglesByName))
	case a.permission == a.as && a.of == "":
		s.fault(path, faultStatement, "a permission is always answered like itself: name another one")
	}
	s.out.alike = a
}

// compileWhom compiles whom the statement is about.
func (s *statementCompiler) compileWhom() {
	in := s.in
	s.out.except = s.roles(s.path, "except", in.GetExcept())
	if in.GetRole() != "" {
		s.out.role = s.roleNamed(s.path+".role", in.GetRole())
	}
	switch {
	case in.GetGranted() != nil && (in.GetRole() != "" || len(in.GetExcept()) > 0):
		s.fault(s.path, faultStatement, "`granted` is about everybody but the roles in only_by: leave role and except out")
	case in.GetRole() != "" && len(in.GetExcept()) > 0:
		s.fault(s.path+".except", faultStatement, "the statement is about the role %q alone: leave role or except out", in.GetRole())
	case in.GetRole() == "" && len(in.GetAlways()) > 0:
		s.fault(s.path, faultStatement, "`always` needs a role: write the one whose holders may always do it")
	case s.out.role != nil && len(in.GetAlways()) > 0 && !s.out.role.allows:
		s.fault(s.path+".role", faultStatement, "the role %q allows nothing, so it never gives what is stated", in.GetRole())
	}
}

// compileLimits compiles which resources and tenants the statement is about.
func (s *statementCompiler) compileLimits() {
	in := s.in
	if in.GetGranted() != nil {
		if in.GetWithin()+in.GetBeyond()+in.GetWhileOn()+in.GetWhileOff()+in.GetWhere()+in.GetUnless() != "" {
			s.fault(s.path, faultStatement, "`granted` is about all grants: leave within, beyond, while_on, while_off, where and unless out")
		}
		return
	}
	s.out.within = s.limit("within", in.GetWithin())
	s.out.beyond = s.limit("beyond", in.GetBeyond())
	if s.out.beyond.kind == reachTenant {
		s.fault(s.path+".beyond", faultStatement, "no resource is beyond the tenant: name another reach")
	}
	s.out.gate = s.parseGate(s.path, in.GetWhileOn(), in.GetWhileOff())
	if t := s.out.gate.toggle; t != nil && !s.out.gate.opens() {
		s.fault(s.path, faultStatement, "the toggle %q is locked and never stands so: remove the limit, or the statement", t.name)
	}
	types := map[*resourceType]bool{}
	for _, p := range append(s.out.never, s.out.always...) {
		types[p.of] = true
	}
	if s.out.alike != nil {
		types[s.out.alike.permission.of] = true
	}
	s.out.where = s.conditions("where", in.GetWhere(), types)
	s.out.unless = s.conditions("unless", in.GetUnless(), types)
}

func (s *statementCompiler) limit(field, text string) reach {
	if text == "" {
		return reach{}
	}
	if text == "assigned" && s.in.GetRole() == "" {
		s.fault(s.path+"."+field, faultStatement, "assigned are the scopes in which the role is held: write which role the statement is about")
	}
	return s.parseReach(s.path+"."+field, text)
}

// conditions compiles a condition for each type of resource.
func (s *statementCompiler) conditions(field, text string, types map[*resourceType]bool) map[*resourceType]*condition {
	compiled := map[*resourceType]*condition{}
	if text == "" {
		return compiled
	}
	for _, name := range sortedTypes(types) {
		t := s.compiler.out.resourceTypes[name]
		compiled[t] = s.conditionOf(s.path+"."+field, text, t)
	}
	return compiled
}

func sortedTypes(types map[*resourceType]bool) []string {
	var names []string
	for t := range types {
		names = append(names, t.name)
	}
	slices.Sort(names)
	return names
}
