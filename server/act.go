package server

import (
	"context"
	"fmt"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// planning is what the plan of a write knows. Acts are planned one after the other, each
// on the draft that the ones before it have left.
type planning struct {
	server *Server
	draft  *draft
	tenant *tenant
	actor  policy.Actor
	now    time.Time
}

// newPlanning reads what the plan of a write in a tenant has to know.
func (s *Server) newPlanning(r store.Reader, tenantName string, by store.By, now time.Time) (*planning, error) {
	t, err := s.readTenant(r, tenantName, now)
	if err != nil {
		return nil, err
	}
	p := &planning{server: s, draft: newDraft(r), tenant: t, now: now}
	p.actor, err = readActor(r, t, by, now)
	return p, err
}

func readActor(r store.Reader, t *tenant, by store.By, now time.Time) (policy.Actor, error) {
	actor := policy.Actor{Operator: by.Operator, Subject: by.Subject, Groups: by.Groups}
	if by.Operator {
		return actor, nil
	}
	for _, name := range append([]string{by.Subject}, by.Groups...) {
		h, err := readHolder(r, t, name, now)
		if err != nil {
			return policy.Actor{}, err
		}
		actor.Holders = append(actor.Holders, h)
	}
	return actor, nil
}

// do plans acts, adds what they change to the draft, and returns whether each changes
// anything. In a batch an error says which act it is about.
func (p *planning) do(ctx context.Context, acts []*usherv1.Act, batch bool) (outcomes []usherv1.Outcome, err error) {
	for i, act := range acts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		changes, err := p.doOne(act)
		if err != nil && batch {
			err = &actError{index: i, kind: actName(act), err: err}
		}
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, outcomeOf(len(changes) > 0))
	}
	return outcomes, nil
}

func (p *planning) doOne(act *usherv1.Act) ([]store.Change, error) {
	if err := p.checkExpected(act); err != nil {
		return nil, err
	}
	changes, err := p.plan(act)
	if err != nil {
		return nil, err
	}
	p.draft.apply(changes)
	if len(p.draft.changes) > maxChanges {
		return nil, malformed("", "this makes more than %d changes with what comes before it: make two writes of it", maxChanges)
	}
	return changes, p.follow(changes)
}

// maxChanges is how many changes a write may make, so that others don't wait long for it: all
// that a subject may hold taken away, and as much given.
const maxChanges = 2 * policy.MaxAssignments

// actName is the name of the field of an act that says what to do.
func actName(act *usherv1.Act) string {
	m := act.ProtoReflect()
	return string(m.WhichOneof(m.Descriptor().Oneofs().ByName("act")).Name())
}

// follow sees to it that what comes next is decided with the toggles as they are then.
func (p *planning) follow(changes []store.Change) error {
	for _, c := range changes {
		if _, is := c.(store.SetToggle); is {
			toggles, err := p.draft.Toggles(p.tenant.ID)
			if err != nil {
				return err
			}
			changed := *p.tenant
			changed.table = policy.NewTable(p.tenant.table.Catalog(), toggles)
			p.tenant = &changed
			return nil
		}
	}
	return nil
}

// plan returns the changes of one act.
func (p *planning) plan(act *usherv1.Act) ([]store.Change, error) {
	table := p.tenant.table
	switch act := act.GetAct().(type) {
	case *usherv1.Act_Grant:
		grant := grantOf(act.Grant)
		if err := checkInterval(grant.Interval, p.now); err != nil {
			return nil, err
		}
		if err := p.checkNames("role", grant.Role, "scope", grant.Scope); err != nil {
			return nil, err
		}
		s, err := p.subject(grant.Subject)
		if err != nil {
			return nil, err
		}
		return table.PlanGrant(p.actor, s, grant, p.now)
	case *usherv1.Act_Revoke:
		r := act.Revoke
		if r.GetEverywhere() && r.GetScope() != "" {
			return nil, malformed("everywhere", "name a scope or say everywhere, not both")
		}
		if err := p.checkNames("role", r.GetRole(), "scope", r.GetScope()); err != nil {
			return nil, err
		}
		s, err := p.subject(r.GetSubject())
		if err != nil {
			return nil, err
		}
		return table.PlanRevoke(p.actor, s, r.GetRole(), r.GetScope(), r.GetEverywhere(), p.now)
	case *usherv1.Act_ChangeRole:
		return p.planChangeRole(act.ChangeRole)
	case *usherv1.Act_RemoveSubject:
		s, err := p.subject(act.RemoveSubject.GetSubject())
		if err != nil {
			return nil, err
		}
		return table.PlanRemoveSubject(p.actor, s, p.now)
	case *usherv1.Act_SetToggle:
		toggle := act.SetToggle
		if err := table.Catalog().CheckToggle("toggle", toggle.GetToggle()); err != nil {
			return nil, err
		}
		return table.PlanToggle(p.actor, p.tenant.ID, toggle.GetToggle(), toggle.GetState() == usherv1.ToggleState_TOGGLE_STATE_ON)
	}
	return nil, malformed("act", "say what to do: grant, revoke, change_role, remove_subject or set_toggle")
}

func (p *planning) planChangeRole(r *usherv1.ChangeRoleAct) ([]store.Change, error) {
	interval := store.Interval{Start: timeOf(r.GetStartsAt()), End: timeOf(r.GetExpiresAt())}
	if err := checkInterval(interval, p.now); err != nil {
		return nil, err
	}
	if err := p.checkNames("from", r.GetFrom(), "", ""); err != nil {
		return nil, err
	}
	if err := p.checkNames("to", r.GetTo(), "", ""); err != nil {
		return nil, err
	}
	for i, scope := range r.GetScopes() {
		if err := p.checkNames("to", r.GetTo(), fmt.Sprintf("scopes[%d]", i), scope); err != nil {
			return nil, err
		}
	}
	s, err := p.subject(r.GetSubject())
	if err != nil {
		return nil, err
	}
	return p.tenant.table.PlanChangeRole(p.actor, s, r.GetFrom(), r.GetTo(), r.GetScopes(), interval, p.now)
}

func (p *planning) checkNames(roleField, role, scopeField, scope string) error {
	catalog := p.tenant.table.Catalog()
	if err := catalog.CheckRole(roleField, role); err != nil {
		return err
	}
	if scope == "" {
		return nil
	}
	return catalog.CheckScope(scopeField, scope)
}

// subject reads what has to be known of a subject to administer its roles.
func (p *planning) subject(name string) (policy.Subject, error) {
	s := policy.Subject{Tenant: p.tenant.ID, Name: name}
	var err error
	if s.Held, err = collect(p.draft.AssignmentsOf(p.tenant.ID, name)); err != nil {
		return s, err
	}
	catalog := p.tenant.table.Catalog()
	keeps := false
	for _, a := range s.Held {
		keeps = keeps || catalog.Keeps(a, p.now)
	}
	if !keeps {
		return s, nil // nothing can be taken away that others would have to keep
	}
	for a, err := range p.draft.AssignmentsByRole(p.tenant.ID, catalog.ProtectedRole(), store.AssignmentKey{}) {
		if err != nil {
			return s, err
		}
		if a.Subject != name && catalog.Keeps(a, p.now) {
			s.OthersKeep = true
			break
		}
		if a.Scope != "" {
			break // only those in the tenant count, and they come first
		}
	}
	return s, nil
}

// checkExpected refuses an act that rests on an older state of what it is about.
func (p *planning) checkExpected(act *usherv1.Act) error {
	if act.GetExpectedRevision() == "" {
		return nil
	}
	expected, err := parseRevision(p.draft, expectedRevision, act.GetExpectedRevision())
	if err != nil {
		return err
	}
	if expected > p.draft.Revision().Number {
		return malformed(expectedRevision, "there is no such revision yet: use one that an answer carried")
	}
	chain, err := p.draft.Chain(p.tenant.ID)
	if err != nil {
		return err
	}
	if expected < chain.Trimmed.Revision { // nobody knows what has changed since
		return &changedError{about: "the tenant", at: store.Revision{Epoch: p.draft.Revision().Epoch, Number: chain.Trimmed.Revision}}
	}
	beginning, found, err := first(p.draft.History(p.tenant.ID, store.Range{}))
	if err != nil {
		return err
	}
	if found && chain.Trimmed.Length == 0 && beginning.Revision.Number > expected { // it was another tenant then
		return &changedError{about: "the tenant", at: beginning.Revision}
	}
	change, found, err := first(p.draft.History(p.tenant.ID, store.Range{Object: objectOf(act), NewestFirst: true}))
	if err == nil && found && change.Revision.Number > expected {
		err = &changedError{about: string(objectOf(act)), at: change.Revision}
	}
	return err
}

// objectOf is what an act changes.
func objectOf(act *usherv1.Act) store.Object {
	switch act := act.GetAct().(type) {
	case *usherv1.Act_Grant:
		return store.SubjectObject(act.Grant.GetSubject())
	case *usherv1.Act_Revoke:
		return store.SubjectObject(act.Revoke.GetSubject())
	case *usherv1.Act_ChangeRole:
		return store.SubjectObject(act.ChangeRole.GetSubject())
	case *usherv1.Act_RemoveSubject:
		return store.SubjectObject(act.RemoveSubject.GetSubject())
	case *usherv1.Act_SetToggle:
		return store.ToggleObject(act.SetToggle.GetToggle())
	}
	return ""
}

func grantOf(r *usherv1.GrantAct) store.Assignment {
	return store.Assignment{
		AssignmentKey: store.AssignmentKey{Subject: r.GetSubject(), Role: r.GetRole(), Scope: r.GetScope()},
		Interval:      store.Interval{Start: timeOf(r.GetStartsAt()), End: timeOf(r.GetExpiresAt())},
	}
}

// checkInterval refuses what could never be in force.
func checkInterval(i store.Interval, now time.Time) error {
	switch {
	case i.End.IsZero():
	case i.Ended(now):
		return malformed("expires_at", "it has to lie in the future; to end an assignment now, revoke it")
	case !i.Start.IsZero() && !i.Start.Before(i.End):
		return malformed("expires_at", "it has to lie after starts_at")
	}
	return nil
}

// actError is what is wrong with one act of a batch.
type actError struct {
	index int
	kind  string
	err   error
}

func (e *actError) Error() string { return fmt.Sprintf("acts[%d]: %v", e.index, e.err) }

func (e *actError) Unwrap() error { return e.err }

// path is that of a field in the request.
func (e *actError) path(field string) string {
	switch field {
	case "":
		return fmt.Sprintf("acts[%d]", e.index)
	case expectedRevision:
		return fmt.Sprintf("acts[%d].%s", e.index, field)
	}
	return fmt.Sprintf("acts[%d].%s.%s", e.index, e.kind, field)
}

// expectedRevision is the field of that name.
const expectedRevision = "expected_revision"

// changedError says that something has changed since the revision that a write rests on.
type changedError struct {
	about string
	at    store.Revision
}

func (e *changedError) Error() string {
	return fmt.Sprintf("%s has changed at revision %s, after the expected one: read again, and decide again", e.about, e.at)
}
