package policy

import (
	"fmt"
	"slices"
)

// administration is a state of a tenant, as far as it matters to whether the tenant can still
// be administered: how the toggles stand, which roles the keeper of the protected role holds
// besides, as bits, and which roles somebody else holds.
type administration struct {
	changed uint
	burdens uint
	others  string // a byte for each role of the catalog: '1' if somebody else holds it
}

// lockOuts looks for a state in which nobody can administer a tenant.
type lockOuts struct {
	*prover
	toggles []*toggle
	// burdens are roles that forbid something about administration.
	burdens []*role
}

// lockOut returns a state in which nobody can bring about another holder of the protected
// role, whatever is done in the tenant, or nil. Such a state is looked for where
// one person keeps the protected role, in the tenant and alone, and holds any roles that forbid
// something besides; nobody else holds anything, and the toggles stand in any way. Whoever held
// more could only do more. What is held in a scope matters to grants in that scope only, so it
// is left out.
func (p *prover) lockOut() (*Counterexample, error) {
	var about []*permission
	for _, t := range []*resourceType{p.catalog.resourceTypes[roleType], p.catalog.resourceTypes[toggleType]} {
		for _, action := range []string{grantAction, revokeAction, setAction} {
			if permission := t.actions[action]; permission != nil {
				about = append(about, permission)
			}
		}
	}
	p.next(roleType + ":" + grantAction)
	toggles, err := p.togglesOf(about...)
	if err != nil {
		return nil, err
	}
	l := &lockOuts{prover: p, toggles: toggles}
	for _, r := range p.catalog.roles {
		forbids := slices.ContainsFunc(about, func(permission *permission) bool { return p.forbids(r, permission) })
		if _, ok := l.keeper([]*role{r}); ok && forbids && r != p.catalog.defaultRole && r != p.catalog.protectedRole {
			l.burdens = append(l.burdens, r)
		}
	}
	if len(l.burdens)+len(toggles) > maxToggles {
		return nil, &TooManyCasesError{Permission: p.about}
	}
	for _, burdens := range byCount(len(l.burdens)) {
		keeper, ok := l.keeper(l.burdensOf(burdens))
		if !ok {
			continue
		}
		for _, changed := range byCount(len(toggles)) {
			nobody := string(slices.Repeat([]byte{'0'}, len(p.catalog.roles)))
			recovers, err := l.recovers(administration{changed, burdens, nobody}, map[administration]bool{})
			if err != nil {
				return nil, err
			}
			if !recovers {
				return &Counterexample{
					Toggles: toggled(toggles, changed),
					Held:    keeper.roles()[1:],
					Request: Request{Subject: keeper.subject, Action: grantAction, Resource: Resource{Type: roleType, ID: p.catalog.protectedRole.name}},
					Groups:  keeper.groups,
				}, nil
			}
		}
	}
	return nil, nil
}

// keeper returns who keeps the protected role and holds other roles besides. It reports false
// if nobody can hold them all.
func (l *lockOuts) keeper(besides []*role) (asker, bool) {
	positions := []position{{role: l.catalog.protectedRole}}
	for _, r := range besides {
		positions = append(positions, position{role: r})
	}
	keeper := asker{subject: FirstAdministrator}
	return keeper, keeper.carryAll(positions, userType, nil) && keeper.assignments[0].Subject == FirstAdministrator
}

func (l *lockOuts) burdensOf(bits uint) []*role {
	var all []*role
	for i, r := range l.burdens {
		if bits&(1<<i) != 0 {
			all = append(all, r)
		}
	}
	return all
}

// recovers reports whether somebody can bring about another holder of the protected role from a
// state on. What has been granted to others stays and only helps; toggles can be set, and roles
// that forbid be revoked, in any order.
func (l *lockOuts) recovers(state administration, seen map[administration]bool) (bool, error) {
	if seen[state] {
		return false, nil
	}
	seen[state] = true
	table := l.table(l.toggles, state.changed)
	keeper, _ := l.keeper(l.burdensOf(state.burdens))
	actors := []Actor{l.actor(keeper), l.actor(asker{subject: userType + anyone})}
	others := []byte(state.others)
	for i, r := range l.catalog.roles {
		if others[i] == '1' {
			actors = append(actors, l.other(r))
		}
	}
	for i := 0; i < len(actors); i++ {
		for _, r := range l.catalog.roles {
			if others[r.index] == '1' || r == l.catalog.defaultRole || len(r.holders) == 0 {
				continue
			}
			if err := l.spend(1); err != nil {
				return false, err
			}
			if !table.may(actors[i], grantAction, r, "").Allow {
				continue
			}
			if r == l.catalog.protectedRole {
				return true, nil
			}
			others[r.index] = '1'
			actors = append(actors, l.other(r))
		}
	}
	state.others = string(others)
	for i, t := range l.toggles {
		next := state
		next.changed ^= 1 << i
		may := func(a Actor) bool {
			return table.mustDecide(a, setAction, Resource{Type: toggleType, ID: t.name}).Allow
		}
		if recovers, err := l.after(next, seen, actors, may); recovers || err != nil {
			return recovers, err
		}
	}
	for i, r := range l.burdens {
		if state.burdens&(1<<i) == 0 {
			continue
		}
		next := state
		next.burdens &^= 1 << i
		may := func(a Actor) bool {
			return table.may(a, revokeAction, r, "").Allow && table.checkTransition(a, r, nil) == nil
		}
		// Nobody changes their own roles.
		if recovers, err := l.after(next, seen, actors[1:], may); recovers || err != nil {
			return recovers, err
		}
	}
	return false, nil
}

// after is recovers for a state that one of the actors may bring about.
func (l *lockOuts) after(next administration, seen map[administration]bool, actors []Actor, may func(Actor) bool) (bool, error) {
	if err := l.spend(len(actors)); err != nil {
		return false, err
	}
	if !slices.ContainsFunc(actors, may) {
		return false, nil
	}
	return l.recovers(next, seen)
}

// other is somebody else, who holds a role in the tenant.
func (l *lockOuts) other(r *role) Actor {
	a, _ := carry([]position{{role: r}}, fmt.Sprintf("%s-%d", anyone, r.index))
	return l.actor(a)
}

func (l *lockOuts) actor(a asker) Actor {
	return Actor{Holders: a.holders(l.catalog), Subject: a.subject, Groups: a.groups}
}
