package server_test

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// brute goes through every state and request of a small world, decides them as the judge
// does, and sees whether a statement is broken, as the format of catalogs says it in words. It
// knows nothing of how statements are proved.
type brute struct {
	*judge
	// values are those that attributes and ids can have; "" and nil are missing.
	ids    []string
	values map[string][]any
}

// bruteScopes are those in which resources lie; nothing is held in the last one.
var bruteScopes = []string{"team:a", "team:b", "team:c"}

// bruteState is a state of a tenant and a request in it.
type bruteState struct {
	toggles  map[string]bool
	held     []judgeAssignment
	groups   []string
	resource *usherv1.Resource
}

const bruteSubject = "user:ann"

// allowed decides about a permission on the resource of a state; of is another id, or "".
func (b *brute) allowed(s bruteState, permission, of string) bool {
	typeName, action, _ := strings.Cut(permission, ":")
	r := &usherv1.Resource{
		Type: typeName, Id: s.resource.GetId(), Scopes: s.resource.GetScopes(), Owner: s.resource.GetOwner(), Attributes: s.resource.GetAttributes(),
	}
	if of != "" {
		r.Id = of
	}
	verdict := b.decide(judgeFacts{toggles: s.toggles, assignments: s.held}, judgeQuestion{bruteSubject, s.groups, action, r})
	return verdict.decision == usherv1.Decision_DECISION_ALLOW
}

// aboutState reports whether a statement is about a state.
func (b *brute) aboutState(st *catalogv1.Statement, s bruteState) bool {
	held := map[string]bool{}
	allows := false
	for _, a := range s.held {
		held[a.role] = true
		allows = allows || b.allowsAnything(a.role)
	}
	if standard := b.catalog.GetDefaultRole(); standard != "" && !allows {
		held[standard] = true
	}
	if role := st.GetRole(); role != "" && (len(held) != 1 || !held[role]) {
		return false
	}
	for _, role := range st.GetExcept() {
		if held[role] {
			return false
		}
	}
	return (st.GetWhileOn() == "" || b.isOn(judgeFacts{toggles: s.toggles}, st.GetWhileOn())) &&
		(st.GetWhileOff() == "" || !b.isOn(judgeFacts{toggles: s.toggles}, st.GetWhileOff()))
}

// aboutResource reports whether a statement is about a resource.
func (b *brute) aboutResource(st *catalogv1.Statement, s bruteState) bool {
	if st.GetWithin() != "" && !b.covers(st.GetWithin(), s) || st.GetBeyond() != "" && b.covers(st.GetBeyond(), s) {
		return false
	}
	if st.GetWhere() != "" {
		if truth, _ := b.evaluate(st.GetWhere(), s.resource); truth != isTrue {
			return false
		}
	}
	if st.GetUnless() != "" {
		if truth, _ := b.evaluate(st.GetUnless(), s.resource); truth == isTrue {
			return false
		}
	}
	return true
}

func (b *brute) covers(reach string, s bruteState) bool {
	switch reach {
	case "tenant":
		return true
	case "own":
		return s.resource.GetOwner() == bruteSubject
	case "assigned":
		return slices.ContainsFunc(s.held, func(a judgeAssignment) bool { return slices.Contains(s.resource.GetScopes(), a.scope) })
	}
	return slices.ContainsFunc(s.resource.GetScopes(), func(scope string) bool {
		return strings.HasPrefix(scope, strings.TrimPrefix(reach, "any ")+":")
	})
}

// broken reports whether a statement does not hold for a request in a state that it is about.
func (b *brute) broken(st *catalogv1.Statement, s bruteState) bool {
	ofType := b.actionsOf(s.resource.GetType())
	like := func(list []string) func(string) bool {
		return func(p string) bool {
			return slices.ContainsFunc(list, func(pattern string) bool { return isLike(p, pattern) })
		}
	}
	var never, always []string
	for _, p := range ofType {
		if like(st.GetNever())(p) || len(st.GetOnly()) > 0 && !like(st.GetOnly())(p) {
			never = append(never, p)
		}
		if like(st.GetAlways())(p) {
			always = append(always, p)
		}
	}
	one := st.GetAlike().GetPermission()
	if len(never)+len(always) == 0 && !slices.Contains(ofType, one) || !b.aboutResource(st, s) {
		return false
	}
	if one != "" {
		return b.allowed(s, one, "") != b.allowed(s, st.GetAlike().GetAs(), st.GetAlike().GetOf())
	}
	return slices.ContainsFunc(never, func(p string) bool { return b.allowed(s, p, "") }) ||
		slices.ContainsFunc(always, func(p string) bool { return !b.allowed(s, p, "") })
}

func isLike(permission, pattern string) bool {
	t, action, _ := strings.Cut(permission, ":")
	likeType, likeAction, _ := strings.Cut(pattern, ":")
	return (likeType == "*" || likeType == t) && (likeAction == "*" || likeAction == action)
}

func (b *brute) actionsOf(resourceType string) []string {
	var all []string
	for _, t := range b.types() {
		for _, action := range t.GetActions() {
			if t.GetName() == resourceType {
				all = append(all, resourceType+":"+action)
			}
		}
	}
	return all
}

func (b *brute) types() []*catalogv1.ResourceType {
	return append(slices.Clone(b.catalog.GetResourceTypes()),
		&catalogv1.ResourceType{Name: "role", Actions: []string{"grant", "revoke"}},
		&catalogv1.ResourceType{Name: "toggle", Actions: []string{"set"}})
}

// possible reports whether the catalog lets everybody hold that at once.
func (b *brute) possible(held []judgeAssignment) bool {
	exclusive := map[string]string{}
	for _, a := range held {
		holderType, _, _ := strings.Cut(a.subject, ":")
		role := b.role(a.role)
		holders := role.GetHolders()
		if len(holders) == 0 {
			holders = b.catalog.GetHolders()
		}
		if a.role == b.catalog.GetDefaultRole() || !slices.Contains(holders, holderType) {
			return false
		}
		if a.scope != "" && len(role.GetHeldIn()) == 0 {
			return false
		}
		if slices.Contains(b.catalog.GetAdministration().GetExclusiveRoles(), a.role) {
			if other, found := exclusive[a.subject]; found && other != a.role {
				return false
			}
			exclusive[a.subject] = a.role
		}
	}
	return true
}

// holdings returns every way in which a subject and its groups can hold at most so many
// assignments, these among them.
func (b *brute) holdings(most int, these ...judgeAssignment) [][]judgeAssignment {
	var places []judgeAssignment
	for _, role := range b.catalog.GetRoles() {
		for _, scope := range append([]string{""}, bruteScopes[:2]...) {
			places = append(places, judgeAssignment{role: role.GetName(), scope: scope})
		}
	}
	var all [][]judgeAssignment
	var extend func(held []judgeAssignment, from int)
	extend = func(held []judgeAssignment, from int) {
		all = append(all, held)
		if len(held) == most {
			return
		}
		for i, place := range places[from:] {
			// By the subject if that is possible, else by a group. It is the same to the judge.
			for _, holder := range []string{bruteSubject, "group:g", "group:h"} {
				place.subject = holder
				if more := append(slices.Clone(held), place); !slices.Contains(held, place) && b.possible(more) {
					extend(more, from+i+1)
					break
				}
			}
		}
	}
	extend(these, 0)
	return all
}

// states visits all states of the toggles.
func (b *brute) states() []map[string]bool {
	all := []map[string]bool{{}}
	for _, t := range b.catalog.GetToggles() {
		for _, set := range slices.Clone(all) {
			other := maps.Clone(set)
			other[t.GetName()] = !t.GetStartsOn()
			all = append(all, other)
		}
	}
	return all
}

// resources returns all resources.
func (b *brute) resources() []*usherv1.Resource {
	var all []*usherv1.Resource
	for _, t := range b.types() {
		ids, attributes := b.ids, []map[string]any{{}}
		for name, values := range b.values {
			for _, a := range slices.Clone(attributes) {
				for _, v := range values {
					more := maps.Clone(a)
					more[name] = v
					attributes = append(attributes, more)
				}
			}
		}
		switch t.GetName() {
		case "role":
			ids = []string{""}
			for _, role := range b.catalog.GetRoles() {
				ids = append(ids, role.GetName())
			}
		case "toggle":
			ids = []string{""}
			for _, toggle := range b.catalog.GetToggles() {
				ids = append(ids, toggle.GetName())
			}
		}
		for _, id := range ids {
			for _, a := range attributes {
				stated, err := structpb.NewStruct(a)
				if err != nil {
					panic(err)
				}
				for in := range 1 << len(bruteScopes) {
					var scopes []string
					for i, scope := range bruteScopes {
						if in&(1<<i) != 0 {
							scopes = append(scopes, scope)
						}
					}
					for _, owner := range []string{"", bruteSubject} {
						all = append(all, &usherv1.Resource{Type: t.GetName(), Id: id, Scopes: scopes, Owner: owner, Attributes: stated})
					}
				}
			}
		}
	}
	return all
}

// judgeAll returns which of the statements are broken in some state.
func (b *brute) judgeAll(statements []*catalogv1.Statement, most int) []bool {
	broken := make([]bool, len(statements))
	resources := b.resources()
	for _, held := range b.holdings(most) {
		for _, toggles := range b.states() {
			for i, st := range statements {
				switch {
				case broken[i]:
				case st.GetGranted() != nil:
					broken[i] = len(held) == 0 && len(toggles) == 0 && b.comesAbout(st.GetGranted())
				case b.aboutState(st, bruteState{toggles: toggles, held: held}):
					for _, r := range resources {
						if b.broken(st, bruteState{toggles, held, groupsIn(held), r}) {
							broken[i] = true
							break
						}
					}
				}
			}
		}
	}
	return broken
}

func groupsIn(held []judgeAssignment) []string {
	var groups []string
	for _, a := range held {
		if strings.HasPrefix(a.subject, "group:") && !slices.Contains(groups, a.subject) {
			groups = append(groups, a.subject)
		}
	}
	return groups
}

// comesAbout reports whether people without the roles `only_by` can bring about one of the
// roles, when everybody may hold up to two assignments that have come about.
func (b *brute) comesAbout(g *catalogv1.Granting) bool {
	come := map[judgeAssignment]bool{}
	everything := b.holdings(1)[1:]
	for _, held := range everything {
		a := held[0]
		a.subject = ""
		come[a] = !slices.Contains(g.GetOnlyBy(), a.role)
	}
	for changed := true; changed; {
		changed = false
		for _, actor := range b.holdings(2) {
			counts := len(actor) > 0 || !slices.Contains(g.GetOnlyBy(), b.catalog.GetDefaultRole())
			allows := false
			for _, a := range actor {
				allows = allows || b.allowsAnything(a.role)
				a.subject = ""
				counts = counts && come[a]
			}
			if !allows && slices.Contains(g.GetOnlyBy(), b.catalog.GetDefaultRole()) {
				continue
			}
			if !counts {
				continue
			}
			for target := range maps.Clone(come) {
				if !b.someoneMayGrant(actor, target, nil) {
					continue
				}
				if slices.Contains(g.GetRoles(), target.role) {
					return true
				}
				if !come[target] {
					come[target], changed = true, true
				}
			}
		}
	}
	return false
}

// someoneMayGrant asks as somebody who holds that, in one state of the toggles, or in all.
func (b *brute) someoneMayGrant(actor []judgeAssignment, target judgeAssignment, toggles map[string]bool) bool {
	all := []map[string]bool{toggles}
	if toggles == nil {
		all = b.states()
	}
	r := &usherv1.Resource{Type: "role", Id: target.role}
	if target.scope != "" {
		r.Scopes = []string{target.scope}
	}
	return slices.ContainsFunc(all, func(toggles map[string]bool) bool {
		return b.allowed(bruteState{toggles, actor, groupsIn(actor), r}, "role:grant", "")
	})
}

// bruteLife is a state that a tenant can come to: how the toggles stand, what its one
// administrator holds, and what others hold, each person one thing.
type bruteLife struct {
	toggles map[string]bool
	keeper  []judgeAssignment
	others  []judgeAssignment
}

func (l bruteLife) String() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l.toggles)) {
		text.WriteString(name)
		if l.toggles[name] {
			text.WriteString("+")
		}
	}
	for _, list := range [][]judgeAssignment{l.keeper, l.others} {
		var names []string
		for _, a := range list {
			names = append(names, a.role+"@"+a.scope)
		}
		slices.Sort(names)
		text.WriteString("|" + strings.Join(names, " "))
	}
	return text.String()
}

// lockedOut reports whether some tenant can't be administered any more.
func (b *brute) lockedOut(most int) bool {
	protected := judgeAssignment{subject: bruteSubject, role: b.catalog.GetAdministration().GetProtectedRole()}
	for _, held := range b.holdings(most, protected) {
		for _, toggles := range b.states() {
			if !b.recovers(bruteLife{toggles: toggles, keeper: held}) {
				return true
			}
		}
	}
	return false
}

// recovers tries everything that people in the tenant can do.
func (b *brute) recovers(start bruteLife) bool {
	protected := judgeAssignment{role: b.catalog.GetAdministration().GetProtectedRole()}
	seen, next := map[string]bool{}, []bruteLife{start}
	for len(next) > 0 {
		l := next[0]
		next = next[1:]
		if seen[l.String()] {
			continue
		}
		seen[l.String()] = true
		others := [][]judgeAssignment{nil} // somebody who holds nothing
		for _, a := range l.others {
			others = append(others, []judgeAssignment{a})
		}
		for _, actor := range append(others, l.keeper) {
			if b.someoneMayGrant(actor, protected, l.toggles) {
				return true
			}
			for _, target := range b.holdings(1)[1:] {
				given := target[0]
				if !slices.Contains(l.others, given) && b.someoneMayGrant(actor, given, l.toggles) {
					next = append(next, bruteLife{l.toggles, l.keeper, append(slices.Clone(l.others), given)})
				}
			}
			for _, t := range b.catalog.GetToggles() {
				r := &usherv1.Resource{Type: "toggle", Id: t.GetName()}
				if b.allowed(bruteState{l.toggles, actor, groupsIn(actor), r}, "toggle:set", "") {
					set := maps.Clone(l.toggles)
					set[t.GetName()] = !b.isOn(judgeFacts{toggles: l.toggles}, t.GetName())
					next = append(next, bruteLife{set, l.keeper, l.others})
				}
			}
		}
		for i, burden := range l.keeper {
			r := &usherv1.Resource{Type: "role", Id: burden.role}
			if burden.scope != "" {
				r.Scopes = []string{burden.scope}
			}
			for _, actor := range others {
				if burden.role != protected.role && b.allowed(bruteState{l.toggles, actor, groupsIn(actor), r}, "role:revoke", "") {
					next = append(next, bruteLife{l.toggles, slices.Delete(slices.Clone(l.keeper), i, i+1), l.others})
					break
				}
			}
		}
	}
	return false
}
