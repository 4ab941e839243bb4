package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Diff is all in which two catalogs differ.
type Diff struct {
	// Decisions are those that change, grouped by who asks.
	Decisions []DecisionChange
	// Undecided are the permissions of which it can't be found out what changes: their rules
	// tell too many cases apart, or look at too many toggles. Nothing in Decisions is about them.
	Undecided []string
	// Rules are changes of who may hold what, of toggles and of what there is to ask about,
	// Statements those of what is stated, and Words those of texts for people.
	Rules, Statements, Words []SettingChange
}

// Same reports whether the catalogs decide and administer alike. What is stated and the words
// may differ.
func (d *Diff) Same() bool { return len(d.Decisions)+len(d.Undecided)+len(d.Rules) == 0 }

// DecisionChange is decisions that change for whoever holds some roles.
type DecisionChange struct {
	// Holder is who asks. Empty: whoever holds no role.
	Holder []HeldRole
	// Effect is what changes. The name of a scope in its Area is that of a HeldRole.
	Effect Effect
	// While says in which states of the toggles, each as one of some alternatives, in which
	// all toggles stand as said. Empty: always. A toggle that one catalog locks counts for the
	// other one only.
	While []map[string]bool
}

// HeldRole is a role that is held in the tenant or in a scope. Where one of the catalogs lets
// it not be held so, its holder holds nothing there.
type HeldRole struct {
	Role string
	// Scope is an example of the scopes in which it is held; "" is the tenant.
	Scope string
}

// SettingChange is a change of something that a catalog says. Old or New is empty where it is
// not there.
type SettingChange struct {
	// About is what it is about, such as "role advisor"; Setting is what of it.
	About, Setting string
	Old, New       string
}

// NewDiff compares two catalogs. It is exact: each decision about a user, whatever roles are
// held and however the toggles stand, that is not the same by both is in the area of one
// of the Decisions, for the holder of some of these roles.
//
// Single roles, and a role beside one that forbids otherwise or ends the default role, are
// enough. Where many roles together are allowed something by the one catalog only, either a
// rule that allows it is not in the other catalog, or a role forbids it there only. In the
// latter case it changes for who holds the two. In the former it changes for who holds the
// role of the rule alone; or, if there the default role steps in, for who holds besides what ends
// the default role. Several scopes of one type bring nothing new: what a rule reaches through
// one of them it reaches through another one that the resource lies in, too.
func NewDiff(from, to *Catalog) *Diff {
	d := &differ{catalogs: [2]*Catalog{from, to}, undecided: map[string]bool{}}
	d.listNames()
	d.singles = d.compareHolders(d.singleHolders(), d.concernsOne)
	pairs := d.compareHolders(d.pairHolders(), d.concernsPair)
	diff := &Diff{Decisions: append(d.singles, slices.DeleteFunc(pairs, d.isOfOne)...)}
	diff.Undecided = slices.Sorted(maps.Keys(d.undecided))
	diff.Decisions = slices.DeleteFunc(diff.Decisions, func(c DecisionChange) bool { return d.undecided[c.Effect.Permission] })
	slices.SortStableFunc(diff.Decisions, func(a, b DecisionChange) int {
		return cmp.Or(slices.Compare(d.ranks(a.Holder), d.ranks(b.Holder)), compareEffects(a.Effect, b.Effect))
	})
	diff.compareSettings(from, to)
	return diff
}

// differ is the work on a Diff.
type differ struct {
	catalogs    [2]*Catalog
	roles       []string // of both, in the order of the catalogs
	permissions []string // of both
	singles     []DecisionChange
	undecided   map[string]bool
}

func (d *differ) listNames() {
	permissions := map[string]bool{}
	for _, c := range d.catalogs {
		for _, r := range c.roles {
			if !slices.Contains(d.roles, r.name) {
				d.roles = append(d.roles, r.name)
			}
		}
		for _, t := range c.resourceTypes {
			for _, p := range t.actions {
				permissions[p.name] = true
			}
		}
	}
	d.permissions = slices.Sorted(maps.Keys(permissions))
}

// ranks orders holders: by the roles, and the tenant before scopes.
func (d *differ) ranks(held []HeldRole) []int {
	var ranks []int
	for _, h := range held {
		ranks = append(ranks, slices.Index(d.roles, h.Role), slices.Index(d.scopesOf(h.Role, scopeHeld), alone(h.Scope)))
	}
	return ranks
}

// The ids of scopes in which roles are held. They are not special: any would do.
const (
	scopeHeld   = ":held"
	scopeBeside = ":beside"
)

// scopesOf returns where a role can be held by either catalog, with one scope of each type.
func (d *differ) scopesOf(role, id string) []string {
	scopes := []string{""}
	for _, c := range d.catalogs {
		if r := c.rolesByName[role]; r != nil {
			for _, t := range slices.Sorted(maps.Keys(r.heldIn)) {
				if !slices.Contains(scopes, t+id) {
					scopes = append(scopes, t+id)
				}
			}
		}
	}
	return scopes
}

func (d *differ) singleHolders() [][]HeldRole {
	holders := [][]HeldRole{nil}
	for _, role := range d.roles {
		for _, scope := range d.scopesOf(role, scopeHeld) {
			holders = append(holders, []HeldRole{{role, scope}})
		}
	}
	return holders
}

// pairHolders returns a role beside each one that forbids something, or that ends the default role
// where the first one does not: another one, or the same one held in another kind of place.
func (d *differ) pairHolders() [][]HeldRole {
	var holders [][]HeldRole
	for _, beside := range d.roles {
		forbids := d.forbids(beside)
		for _, role := range d.roles {
			for _, scope := range d.scopesOf(role, scopeHeld) {
				for _, other := range d.scopesOf(beside, scopeBeside) {
					pair := []HeldRole{{role, scope}, {beside, other}}
					ends := d.secondEndsDefault(before, pair) || d.secondEndsDefault(after, pair)
					if (forbids || ends) && (role != beside || scope != alone(other)) {
						holders = append(holders, pair)
					}
				}
			}
		}
	}
	return holders
}

// forbids reports whether a role has a forbid rule on either side.
func (d *differ) forbids(role string) bool {
	for _, p := range d.permissions {
		for side := range d.catalogs {
			if slices.ContainsFunc(d.rules(side, p, role), func(r rule) bool { return r.forbid }) {
				return true
			}
		}
	}
	return false
}

// secondEndsDefault reports whether the second one of two roles ends the default role on one
// side, and the first one does not.
func (d *differ) secondEndsDefault(side int, held []HeldRole) bool {
	c := d.catalogs[side]
	return c.defaultRole != nil && !c.endsDefault(held[0]) && c.endsDefault(held[1])
}

func (c *Catalog) endsDefault(h HeldRole) bool {
	return c.canBeHeld(h) && c.rolesByName[h.Role].allows
}

// rules returns the rules of a role about a permission on one side.
func (d *differ) rules(side int, permission, role string) []rule {
	p, r := d.catalogs[side].permission(permission), d.catalogs[side].rolesByName[role]
	if p == nil || r == nil {
		return nil
	}
	return p.rules[r.index]
}

// compareHolders compares the decisions for each of the holders.
func (d *differ) compareHolders(holders [][]HeldRole, concerns func(held []HeldRole, permission string) bool) []DecisionChange {
	var found []DecisionChange
	for _, held := range holders {
		sides := d.held(held)
		if sides[before].Empty() && sides[after].Empty() && len(held) > 0 {
			continue // neither lets it be held
		}
		for _, permission := range d.permissions {
			if !concerns(held, permission) {
				continue
			}
			changes, err := d.compare(held, sides, permission)
			if err != nil {
				d.undecided[permission] = true
			}
			found = append(found, changes...)
		}
	}
	return found
}

// held returns what the holder holds on both sides.
func (d *differ) held(held []HeldRole) (sides [2]*Holder) {
	for side, c := range d.catalogs {
		var all []store.Assignment
		for _, h := range held {
			if c.canBeHeld(h) {
				all = append(all, store.Assignment{AssignmentKey: store.AssignmentKey{Role: h.Role, Scope: h.Scope}})
			}
		}
		holder, err := NewHolder(c, "", all, time.Time{})
		if err != nil {
			panic(err) // all roles are there
		}
		sides[side] = holder
	}
	return sides
}

func (c *Catalog) canBeHeld(h HeldRole) bool {
	r := c.rolesByName[h.Role]
	return r != nil && r != c.defaultRole && (h.Scope == "" || r.heldIn[typeOf(h.Scope)])
}

// maxDiffToggles bounds how many toggles may matter for one holder and permission: their states
// are gone through.
const maxDiffToggles = 10

// compare compares the decisions about a permission in all states of the toggles.
func (d *differ) compare(held []HeldRole, holders [2]*Holder, permission string) ([]DecisionChange, error) {
	toggles := d.togglesFor(held, permission)
	if len(toggles) > maxDiffToggles {
		return nil, &TooManyCasesError{Permission: permission}
	}
	var effects []Effect // in the order in which they are found
	states := map[Effect][]uint{}
	for state := range uint(1) << len(toggles) {
		set := map[string]bool{}
		for i, t := range toggles {
			set[t] = state>>i&1 == 1
		}
		comparison := newComparison(NewTable(d.catalogs[before], set), NewTable(d.catalogs[after], set), permission)
		found, err := comparison.Effects(holders[before], holders[after])
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			if states[e] == nil {
				effects = append(effects, e)
			}
			states[e] = append(states[e], state)
		}
	}
	var changes []DecisionChange
	for _, e := range effects {
		changes = append(changes, DecisionChange{Holder: held, Effect: e, While: namedStates(toggles, states[e])})
	}
	return changes, nil
}

// togglesFor returns the toggles that matter for the holder's decisions about a permission
// and that stand in one way or the other, in byte order.
func (d *differ) togglesFor(held []HeldRole, permission string) []string {
	names := map[string]bool{}
	for side, c := range d.catalogs {
		for _, role := range d.counted(side, held) {
			for _, r := range d.rules(side, permission, role) {
				gates := []gate{r.gate}
				if r.widening != nil {
					gates = append(gates, r.widening.gate)
				}
				for _, g := range gates {
					if g.toggle != nil && !c.togglesByName[g.toggle.name].locked {
						names[g.toggle.name] = true
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// counted are the roles whose rules may count for the holder on one side.
func (d *differ) counted(side int, held []HeldRole) []string {
	var roles []string
	for _, h := range held {
		if d.catalogs[side].canBeHeld(h) {
			roles = append(roles, h.Role)
		}
	}
	if standard := d.catalogs[side].defaultRole; standard != nil {
		roles = append(roles, standard.name)
	}
	return roles
}

// concernsOne reports whether the decisions about a permission may change for a holder: not
// if the same roles count, with rules that are the same.
func (d *differ) concernsOne(held []HeldRole, permission string) bool {
	counted := [2][]string{d.counted(before, held), d.counted(after, held)}
	if !slices.Equal(counted[before], counted[after]) {
		return true
	}
	for _, role := range counted[before] {
		for _, side := range []int{before, after} {
			if other := d.catalogs[1-side].rolesByName[role]; other.allows != d.catalogs[side].rolesByName[role].allows {
				return true
			}
		}
		if d.ruleText(before, permission, role, false) != d.ruleText(after, permission, role, false) {
			return true
		}
	}
	return false
}

// concernsPair reports whether the second one of two roles may forbid a permission in one of
// the catalogs only, or may end what the default role allows in one, and the first one in the other.
func (d *differ) concernsPair(held []HeldRole, permission string) bool {
	for side, c := range d.catalogs {
		if d.secondEndsDefault(side, held) && slices.ContainsFunc(d.rules(side, permission, c.defaultRole.name), rule.allows) &&
			slices.ContainsFunc(d.rules(1-side, permission, held[0].Role), rule.allows) {
			return true
		}
	}
	b := held[1]
	if d.catalogs[before].canBeHeld(b) != d.catalogs[after].canBeHeld(b) {
		return true
	}
	return d.ruleText(before, permission, b.Role, true) != d.ruleText(after, permission, b.Role, true)
}

// isOfOne reports whether a change for the holder of two roles is one for the holder of one
// of them alone, too.
func (d *differ) isOfOne(c DecisionChange) bool {
	return slices.ContainsFunc(d.singles, func(single DecisionChange) bool {
		return len(single.Holder) == 1 && slices.ContainsFunc(c.Holder, func(h HeldRole) bool {
			e := c.Effect
			if e.Area.Kind == AreaScope {
				if e.Area.Name != h.Scope {
					return false
				}
				e.Area.Name = alone(h.Scope)
			}
			return single.Holder[0] == HeldRole{h.Role, alone(h.Scope)} && single.Effect == e &&
				slices.EqualFunc(single.While, c.While, maps.Equal)
		})
	})
}

// alone is where a role is held that is held alone.
func alone(scope string) string {
	if t, beside := strings.CutSuffix(scope, scopeBeside); beside {
		return t + scopeHeld
	}
	return scope
}

// permission returns the permission of that name, or nil.
func (c *Catalog) permission(name string) *permission {
	t := c.resourceTypes[typeOf(name)]
	if t == nil {
		return nil
	}
	return t.actions[name[len(t.name)+1:]]
}
