package server

import (
	"context"
	"errors"
	"slices"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// Bounds of the search for those who may do an act.
const (
	maxPerformers = 10
	// maxTried is how many holders of a role in one place are tried for one act, and maxTriedInAll
	// how many in one explanation. If none of them may, although the role by itself would do, it is
	// taken that somebody else may.
	maxTried      = 200
	maxTriedInAll = 1_000
)

// performers finds who in the tenant may do an act, in the state that the planning has come to.
func (e *explaining) performers(ctx context.Context, p *planning, act *usherv1.Act) (*usherv1.Performers, error) {
	helping, err := p.helping(act)
	if err != nil {
		return nil, err
	}
	refused, err := p.refusalToHolder(helping, act)
	if err != nil || refused != nil && refused.Code != policy.ActorNotAllowed {
		return &usherv1.Performers{Operator: true}, err // a rule stands against it, whoever of the tenant does it
	}
	by := &usherv1.Performers{}
	var subjects, helpers []string
	for _, held := range helping {
		alone := []store.AssignmentKey{held}
		if held.Scope != "" {
			alone = slices.DeleteFunc(slices.Clone(helping), func(other store.AssignmentKey) bool {
				return other.Role != held.Role || other.Scope == ""
			})
		}
		refused, err := p.refusalToHolder(alone, act)
		if err != nil {
			return nil, err
		}
		some, more, err := e.holdersWhoMay(ctx, p, act, held)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, some...)
		// The default role is held by all who are not stored.
		more = more || held.Role == p.tenant.table.Catalog().Message().GetDefaultRole()
		switch {
		case refused == nil && (more || len(some) > 0):
			by.Roles = append(by.Roles, held.Role)
			by.MoreSubjects = by.MoreSubjects || more
		case len(some) > 0:
			helpers = append(helpers, held.Role)
		}
	}
	if may, err := e.may(p, act, e.question.Subject); err != nil {
		return nil, err
	} else if may { // through groups, which hold the roles
		subjects = append(subjects, e.question.Subject)
		helpers = append(helpers, e.helpingAskers(p, helping)...)
	}
	if len(by.Roles) == 0 {
		by.Roles = helpers // nobody may by one role alone
	}
	by.Roles = p.inOrder(by.Roles)
	by.Operator = len(by.Roles) == 0
	if e.request.GetAudience() != usherv1.Audience_AUDIENCE_ADMINISTRATOR {
		by.MoreSubjects = false
		return by, nil
	}
	slices.Sort(subjects)
	if subjects = slices.Compact(subjects); len(subjects) > maxPerformers {
		subjects, by.MoreSubjects = subjects[:maxPerformers], true
	}
	by.Subjects = subjects
	return by, nil
}

// needs are the permissions that it takes to do an act.
func (p *planning) needs(act *usherv1.Act) (needs []policy.Request, err error) {
	need := func(action, role, scope string) {
		resource := policy.Resource{Type: "role", ID: role}
		if scope != "" {
			resource.Scopes = []string{scope}
		}
		needs = append(needs, policy.Request{Action: action, Resource: resource})
	}
	revoke := func(subject, role string) error {
		for a, err := range p.draft.AssignmentsOf(p.tenant.ID, subject) {
			if err != nil {
				return err
			}
			if a.Role == role && !a.Ended(p.now) {
				need("revoke", role, a.Scope)
			}
		}
		return nil
	}
	switch act := act.GetAct().(type) {
	case *usherv1.Act_SetToggle:
		needs = append(needs, policy.Request{Action: "set", Resource: policy.Resource{Type: "toggle", ID: act.SetToggle.GetToggle()}})
	case *usherv1.Act_Grant:
		need("grant", act.Grant.GetRole(), act.Grant.GetScope())
	case *usherv1.Act_Revoke:
		if !act.Revoke.GetEverywhere() {
			need("revoke", act.Revoke.GetRole(), act.Revoke.GetScope())
			break
		}
		err = revoke(act.Revoke.GetSubject(), act.Revoke.GetRole())
	case *usherv1.Act_ChangeRole:
		scopes := act.ChangeRole.GetScopes()
		if len(scopes) == 0 {
			scopes = []string{""}
		}
		for _, scope := range scopes {
			need("grant", act.ChangeRole.GetTo(), scope)
		}
		err = revoke(act.ChangeRole.GetSubject(), act.ChangeRole.GetFrom())
	}
	return needs, err
}

// helping are the roles, in the order of the catalog, and the places in which somebody may hold
// them, by which one at least of the permissions is given that it takes to do an act.
func (p *planning) helping(act *usherv1.Act) (helping []store.AssignmentKey, err error) {
	needs, err := p.needs(act)
	if err != nil {
		return nil, err
	}
	places := []string{""} // it takes no other scopes than those of the roles that are given or taken away
	for _, n := range needs {
		places = append(places, n.Resource.Scopes...)
	}
	slices.Sort(places)
	places = slices.Compact(places)
	table := p.tenant.table
	for _, role := range table.Catalog().Message().GetRoles() {
		for _, place := range places {
			held := store.AssignmentKey{Subject: somebody, Role: role.GetName(), Scope: place}
			h, err := policy.NewHolder(table.Catalog(), somebody, []store.Assignment{{AssignmentKey: held}}, p.now)
			if err != nil {
				return nil, err
			}
			for _, n := range needs {
				n.Subject = somebody
				d, err := table.Decide([]*policy.Holder{h}, &n)
				if err != nil {
					return nil, err
				}
				if d.Allow {
					helping = append(helping, held)
					break
				}
			}
		}
	}
	return helping, nil
}

// somebody is a subject of which nothing is known but its roles. It is nobody's name, as the
// names of subjects have no control characters.
const somebody = "user:\n"

// refusalToHolder is why the holder of some roles, and of no others, may not do an act, or nil.
func (p *planning) refusalToHolder(held []store.AssignmentKey, act *usherv1.Act) (*policy.Refusal, error) {
	var assignments []store.Assignment
	for _, key := range held {
		assignments = append(assignments, store.Assignment{AssignmentKey: key})
	}
	h, err := policy.NewHolder(p.tenant.table.Catalog(), somebody, assignments, p.now)
	if err != nil {
		return nil, err
	}
	return p.refusalTo(policy.Actor{Subject: somebody, Holders: []*policy.Holder{h}}, act)
}

// refusalTo is why an actor may not do an act, or nil.
func (p *planning) refusalTo(actor policy.Actor, act *usherv1.Act) (*policy.Refusal, error) {
	tried := *p
	tried.actor = actor
	_, err := tried.plan(act)
	if refusal := (*policy.Refusal)(nil); errors.As(err, &refusal) {
		return refusal, nil
	}
	return nil, err
}

// holdersWhoMay finds, in byte order, subjects who hold a role in a place and may do an act, and
// whether there may be more of them. For end users one is enough.
func (e *explaining) holdersWhoMay(ctx context.Context, p *planning, act *usherv1.Act, role store.AssignmentKey) (some []string, more bool, err error) {
	enough := 1
	if e.request.GetAudience() == usherv1.Audience_AUDIENCE_ADMINISTRATOR {
		enough = maxPerformers
	}
	tried := 0
	// What is stored will do: a step before gives roles to those who ask only, and what it
	// takes away shows in the draft.
	stored := p.draft.Reader
	for a, err := range stored.AssignmentsByRole(p.tenant.ID, role.Role, store.AssignmentKey{Scope: role.Scope}) {
		switch {
		case err != nil:
			return nil, false, err
		case a.Scope != role.Scope:
			return some, false, nil
		case len(some) == enough || tried == maxTried || e.tried == maxTriedInAll:
			return some, true, nil
		}
		tried++
		e.tried++
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if !a.Contains(p.now) {
			continue
		}
		may, err := e.may(p, act, a.Subject)
		if err != nil {
			return nil, false, err
		}
		if may {
			some = append(some, a.Subject)
		}
	}
	return some, false, nil
}

// may reports whether a subject may do an act with all that it holds. Only of who asks the
// groups are known.
func (e *explaining) may(p *planning, act *usherv1.Act, subject string) (bool, error) {
	by := store.By{Subject: subject}
	if subject == e.question.Subject {
		by.Groups = e.askers()[1:]
	}
	actor, err := readActor(p.draft, p.tenant, by, p.now)
	if err != nil {
		return false, err
	}
	refused, err := p.refusalTo(actor, act)
	return err == nil && refused == nil, err
}

// helpingAskers are those of the roles that who asks and its groups hold now.
func (e *explaining) helpingAskers(p *planning, helping []store.AssignmentKey) (roles []string) {
	for _, held := range helping {
		if slices.ContainsFunc(e.situation.Subjects, func(s policy.Subject) bool {
			return slices.ContainsFunc(s.Held, func(a store.Assignment) bool {
				return a.Role == held.Role && a.Scope == held.Scope && a.Contains(p.now)
			})
		}) {
			roles = append(roles, held.Role)
		}
	}
	return roles
}

// inOrder are roles, each once, in the order of the catalog.
func (p *planning) inOrder(roles []string) (ordered []string) {
	for _, role := range p.tenant.table.Catalog().Message().GetRoles() {
		if slices.Contains(roles, role.GetName()) {
			ordered = append(ordered, role.GetName())
		}
	}
	return ordered
}
