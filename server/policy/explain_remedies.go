package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Situation is what has to be known of a tenant to explain a decision and to find remedies.
type Situation struct {
	// Table is the tenant's.
	Table *Table
	// Subjects are who asks, first, and its groups, each once.
	Subjects []Subject
	// Holders are what each of the Subjects holds, in their order, current now.
	Holders []*Holder
	// Now is the instant at which it is asked.
	Now time.Time
}

// Explain is Explain of the Table, and tells too when roles start or have ended that are not in
// force.
func (s Situation) Explain(r *Request) (Explanation, error) {
	e, err := s.Table.Explain(s.Holders, r)
	if err != nil {
		return e, err
	}
	intervals := map[store.AssignmentKey]store.Interval{}
	for _, subject := range s.Subjects {
		for _, a := range subject.Held {
			intervals[a.AssignmentKey] = a.Interval
		}
	}
	for i := range e.Rules {
		rule := &e.Rules[i]
		if rule.Result != RuleNotActive {
			continue
		}
		interval := intervals[store.AssignmentKey{Subject: rule.Holder, Role: rule.Role, Scope: rule.Scopes[0]}]
		if interval.Ended(s.Now) {
			rule.Ended = interval.End
		} else {
			rule.Starts = interval.Start
		}
	}
	return e, nil
}

// Remedies answers what would turn the deny of a request into an allow, as far as the rules
// of administration let the operator do it. If single steps are enough, each way has one
// step; else each way has two, in the order in which they are done; and there are none if
// two are not enough either, or if it would take too long to find out. Of the steps that give a
// role, those that give more than another one are left out. An allow has no remedies. The
// error is an *UnknownNameError.
func (s Situation) Remedies(r *Request) ([][]Step, error) {
	q := s.Table.Ask(s.Holders, r.Subject, &r.Resource)
	d, err := q.Decide(r.Action)
	if err != nil || d.Allow {
		return nil, err
	}
	search := &search{subject: r.Subject, permission: q.permission, now: s.Now, left: searchEffort}
	search.gives, search.texts = map[*role]map[*permission]bool{}, map[string][]string{}
	start := state{table: s.Table, subjects: s.Subjects, holders: s.Holders, resource: &r.Resource}
	ways := search.singles(start)
	if len(ways) == 0 {
		ways = search.pairs(start)
	}
	if search.left < 0 {
		return nil, nil // what was found may not be the best
	}
	return ways, nil
}

// searchEffort bounds a search for remedies: to about as many decisions, some tens of
// milliseconds.
const searchEffort = 40_000

// search is a search for remedies.
type search struct {
	subject    string
	permission *permission
	now        time.Time
	// gives are the permissions that roles have allow rules about, as far as asked for.
	gives map[*role]map[*permission]bool
	// texts are the texts with which conditions compare attributes, as far as asked for.
	texts map[string][]string
	// left is the effort that may be spent yet. Below 0, the search has failed.
	left int
}

// looksAt reports whether a rule of a role about the permission looks at a toggle.
func (s *search) looksAt(r *role, t *toggle) bool {
	return slices.ContainsFunc(s.permission.rules[r.index], func(r rule) bool {
		return r.gate.toggle == t || r.widening != nil && r.widening.gate.toggle == t
	})
}

// matters reports whether a rule of a role in force looks at a toggle.
func (s *search) matters(at state, t *toggle) bool {
	for h := range s.question(at).inForce {
		if s.left >= 0 && s.looksAt(h.role, t) {
			return true
		}
	}
	return false
}

// question is what is asked, in some state. It takes the more effort, the more rules are tested on
// the more scopes.
func (s *search) question(at state) *Question {
	tested := len(at.holders)
	for _, h := range at.holders {
		for i := range h.holdings {
			tested += 1 + len(s.permission.rules[h.holdings[i].role.index])
		}
	}
	s.left -= 1 + tested*(8+len(at.resource.Scopes))/128
	q := at.table.Ask(at.holders, s.subject, at.resource)
	q.permission = s.permission // the names in the resource have been checked
	return q
}

func (s *search) allowed(at state) bool {
	return s.left >= 0 && s.question(at).best().rank == rankGranted
}

// singles are the steps that are enough.
func (s *search) singles(at state) (ways [][]Step) {
	for _, step := range slices.Concat(
		s.toggling(at, at.table.catalog.toggles),
		s.resources(at),
		s.sufficient(at, s.revokes(at)),
		s.giving(at, s.gifts(at)),
	) {
		ways = append(ways, []Step{step})
	}
	return ways
}

// pairs are the pairs of steps that are enough where no single step is. To give two roles is
// never needed, as one of them would do. So one of the steps is about a toggle, the resource or
// a role that is taken away.
func (s *search) pairs(start state) (ways [][]Step) {
	add := func(first Step, then ...[]Step) {
		for _, second := range slices.Concat(then...) {
			ways = append(ways, []Step{first, second})
		}
	}
	gifts := s.gifts(start)
	toggles := start.table.catalog.toggles
	for i, t := range toggles {
		first, at, ok := s.toggle(start, t)
		switch {
		case !ok:
		case s.matters(start, t):
			add(first, s.toggling(at, toggles[i+1:]), s.resources(at), s.sufficient(at, s.revokes(at)), s.giving(at, gifts))
		default: // it has to do with other roles only
			add(first, s.giving(at, slices.DeleteFunc(slices.Clone(gifts), func(g gift) bool { return !s.looksAt(g.role, t) })))
		}
	}
	revokes := s.revokes(start)
	for i, first := range revokes {
		if at, _, ok := s.perform(start, first); ok {
			add(first, s.resources(at), s.sufficient(at, revokes[i+1:]), s.giving(at, gifts))
		}
	}
	for _, first := range s.exclusives(start, revokes) {
		if at, _, ok := s.perform(start, first); ok && !s.allowed(at) {
			add(first, s.giving(at, gifts))
		}
	}
	var given []gift
	for _, g := range gifts {
		if slices.ContainsFunc(given, func(lesser gift) bool { return s.exceeds(g, lesser) }) {
			continue
		}
		first, at, ok := s.give(start, g, func(at state) bool { return len(s.resources(at)) > 0 })
		if ok {
			given = append(given, g)
			add(first, s.resources(at))
		}
	}
	return ways
}

// toggling are the steps that switch one of the toggles and are enough.
func (s *search) toggling(at state, toggles []*toggle) (steps []Step) {
	for _, t := range toggles {
		if !s.matters(at, t) {
			continue
		}
		if step, after, ok := s.toggle(at, t); ok && s.allowed(after) {
			steps = append(steps, step)
		}
	}
	return steps
}

// toggle switches a toggle.
func (s *search) toggle(at state, t *toggle) (Step, state, bool) {
	step := Step{Kind: StepSetToggle, Toggle: t.name, On: !at.table.on[t.index]}
	after, _, ok := s.perform(at, step)
	return step, after, ok
}

// sufficient are those of the steps that are enough.
func (s *search) sufficient(at state, steps []Step) []Step {
	return slices.DeleteFunc(slices.Clone(steps), func(step Step) bool {
		after, _, ok := s.perform(at, step)
		return !ok || !s.allowed(after)
	})
}

// revokes are the steps that take away the roles that forbid: where they are held, one
// assignment if that is enough, else all.
func (s *search) revokes(at state) (steps []Step) {
	for i := range at.holders {
		for _, r := range s.forbidding(at, i) {
			places := at.subjects[i].places(r, s.now)
			candidates := [][]string{places}
			if len(places) > 1 {
				candidates = nil
				for _, place := range places {
					if place == "" || slices.Contains(at.resource.Scopes, place) {
						candidates = append(candidates, []string{place})
					}
				}
				candidates = append(candidates, places)
			}
			for _, from := range candidates {
				step := Step{Kind: StepRevoke, Subject: at.subjects[i].Name, Role: r.name, Scopes: scopesAt(from)}
				if after, _, ok := s.perform(at, step); ok && !slices.Contains(s.forbidding(after, i), r) {
					steps = append(steps, step)
					break
				}
			}
		}
	}
	return steps
}

// forbidding are the roles of a holder by which the request is forbidden, in the order of the
// catalog.
func (s *search) forbidding(at state, holder int) (roles []*role) {
	q, h := s.question(at), at.holders[holder]
	for i := range h.active {
		held := &h.holdings[i]
		rules := s.permission.rules[held.role.index]
		for k := range rules {
			if rules[k].forbid && q.ruleResult(&rules[k], held) == RuleMatches {
				roles = append(roles, held.role)
				break
			}
		}
	}
	return roles
}

// exclusives are the steps that take an exclusive role away from who asks, so that another one
// can be granted where a change from the one to the other is refused. Those that are among
// others are left out.
func (s *search) exclusives(at state, others []Step) (steps []Step) {
	asker := at.subjects[0]
	for _, r := range asker.exclusives(at.table.catalog, nil, s.now) {
		step := Step{Kind: StepRevoke, Subject: asker.Name, Role: r.name, Scopes: scopesAt(asker.places(r, s.now))}
		if !slices.ContainsFunc(others, func(o Step) bool { return o.Subject == step.Subject && o.Role == step.Role }) {
			steps = append(steps, step)
		}
	}
	return steps
}

// places are where a subject holds a role, now or later, in byte order; "" is the tenant.
func (s Subject) places(r *role, now time.Time) (places []string) {
	for _, a := range s.live(now) {
		if a.Role == r.name {
			places = append(places, a.Scope)
		}
	}
	slices.Sort(places)
	return places
}

// exclusives are the exclusive roles but one that a subject holds, now or later, in the order of
// the catalog.
func (s Subject) exclusives(c *Catalog, but *role, now time.Time) (roles []*role) {
	for _, a := range s.live(now) {
		if r := c.rolesByName[a.Role]; r != nil && r.exclusive && r != but && !slices.Contains(roles, r) {
			roles = append(roles, r)
		}
	}
	slices.SortFunc(roles, func(a, b *role) int { return cmp.Compare(a.index, b.index) })
	return roles
}

// scopesAt are places as a Step has them.
func scopesAt(places []string) []string {
	if len(places) == 1 && places[0] == "" {
		return nil
	}
	return places
}
