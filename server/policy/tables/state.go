package tables

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// State is a tenant in memory: it answers as a server does.
type State struct {
	catalog *policy.Catalog
	table   *policy.Table
	tenant  store.Tenant
	held    assignments
	toggles map[string]bool
	// holders are made when they are asked for, as they are at Now.
	holders map[string]*policy.Holder
}

// assignments are what each subject and group holds. The lists are never changed in place.
type assignments map[string][]store.Assignment

// AssignmentsOf implements policy.Assignments.
func (a assignments) AssignmentsOf(_ store.TenantID, subject string) iter.Seq2[store.Assignment, error] {
	return func(yield func(store.Assignment, error) bool) {
		for _, held := range a[subject] {
			if !yield(held, nil) {
				return
			}
		}
	}
}

// AssignmentsByRole implements policy.Assignments, in any order.
func (a assignments) AssignmentsByRole(_ store.TenantID, role string, _ store.AssignmentKey) iter.Seq2[store.Assignment, error] {
	return func(yield func(store.Assignment, error) bool) {
		for _, all := range a {
			for _, held := range all {
				if held.Role == role && !yield(held, nil) {
					return
				}
			}
		}
	}
}

// newState makes a tenant in which the first administrator holds the protected role, and
// nobody anything else.
func newState(c *policy.Catalog, first string) *State {
	s := &State{
		catalog: c,
		table:   policy.NewTable(c, nil),
		held:    assignments{},
		toggles: map[string]bool{},
		holders: map[string]*policy.Holder{},
	}
	changes, err := c.PlanFirstAdministrator(first)
	if err != nil {
		panic(err) // a catalog lets users hold the protected role
	}
	s.apply(changes)
	return s
}

func (s *State) clone() *State {
	return &State{s.catalog, s.table, s.tenant, maps.Clone(s.held), maps.Clone(s.toggles), maps.Clone(s.holders)}
}

// Facts are what acts can change.
func (s *State) Facts() Facts {
	f := Facts{Held: make(map[store.AssignmentKey]store.Interval, len(s.held)), Toggles: map[string]bool{}, Primary: s.tenant.Primary}
	for _, all := range s.held {
		for _, a := range all {
			f.Held[a.AssignmentKey] = a.Interval
		}
	}
	for i, t := range s.catalog.Message().GetToggles() {
		f.Toggles[t.GetName()] = s.table.On(i)
	}
	return f
}

// Ask answers a question.
func (s *State) Ask(q *Question) Answer {
	holders, err := s.holdersOf(q.Asker, q.Groups)
	if err != nil {
		return errorAnswer(err)
	}
	d, err := s.table.Decide(holders, q.Request())
	if err != nil {
		return errorAnswer(err)
	}
	return AnswerOf(d.Reason, d.RecheckBy)
}

func (s *State) holdersOf(subject string, groups []string) ([]*policy.Holder, error) {
	holders := make([]*policy.Holder, 0, 1+len(groups))
	for i := range 1 + len(groups) {
		name := subject
		if i > 0 {
			name = groups[i-1]
		}
		h := s.holders[name]
		if h == nil {
			var err error
			if h, err = policy.NewHolder(s.catalog, name, s.held[name], Now); err != nil {
				return nil, err
			}
			s.holders[name] = h
		}
		holders = append(holders, h)
	}
	return holders, nil
}

// Do does an act.
func (s *State) Do(a *Act) Answer {
	actor := policy.Actor{Operator: a.Actor == OperatorWord}
	if !actor.Operator {
		actor.Subject, actor.Groups = a.Actor, a.Groups
		var err error
		if actor.Holders, err = s.holdersOf(a.Actor, a.Groups); err != nil {
			return errorAnswer(err)
		}
	}
	changes, err := s.planned(actor, a)
	if err != nil {
		return errorAnswer(err)
	}
	if len(changes) == 0 {
		return Answer{Words: unchangedWord}
	}
	return Answer{Words: ChangedWord, Warnings: joined(s.write(changes, Now))}
}

// errInterval is for what could never be in force.
var errInterval = errors.New("the end has to lie in the future and after the start")

// planned returns what the act changes. It looks at its names in the order of a server.
func (s *State) planned(actor policy.Actor, a *Act) ([]store.Change, error) {
	switch {
	case len(a.Grant) > 0:
		return s.planGrant(actor, store.Assignment{
			AssignmentKey: store.AssignmentKey{Subject: a.Subject, Role: a.What, Scope: a.Scope}, Interval: a.Interval(),
		}, Now)
	case len(a.Revoke) > 0:
		if err := s.checkNames(a.What, a.Scope); err != nil {
			return nil, err
		}
		return s.table.PlanRevoke(actor, s.subject(a.Subject, Now), a.What, a.Scope, a.Everywhere, Now)
	case len(a.Change) > 0:
		if err := checkInterval(a.Interval(), Now); err != nil {
			return nil, err
		}
		if err := s.checkNames(a.What); err != nil {
			return nil, err
		}
		if err := s.checkNames(a.NewRole, a.In...); err != nil {
			return nil, err
		}
		return s.table.PlanChangeRole(actor, s.subject(a.Subject, Now), a.What, a.NewRole, a.In, a.Interval(), Now)
	case len(a.Remove) > 0:
		return s.table.PlanRemoveSubject(actor, s.subject(a.Subject, Now), Now)
	case len(a.Primary) > 0:
		keeps := slices.ContainsFunc(s.held[a.Subject], func(held store.Assignment) bool { return s.catalog.Keeps(held, Now) })
		return s.table.PlanSetPrimary(actor, s.tenant, a.Subject, keeps)
	}
	return s.planToggle(actor, a.What, len(a.TurnOn) > 0)
}

func (s *State) planGrant(actor policy.Actor, grant store.Assignment, now time.Time) ([]store.Change, error) {
	if err := checkInterval(grant.Interval, now); err != nil {
		return nil, err
	}
	if err := s.checkNames(grant.Role, grant.Scope); err != nil {
		return nil, err
	}
	return s.table.PlanGrant(actor, s.subject(grant.Subject, now), grant, now)
}

func (s *State) planToggle(actor policy.Actor, name string, on bool) ([]store.Change, error) {
	if err := s.catalog.CheckToggle("toggle", name); err != nil {
		return nil, err
	}
	return s.table.PlanToggle(actor, 0, name, on)
}

func checkInterval(i store.Interval, now time.Time) error {
	if i.Ended(now) || !startsBeforeEnd(i) {
		return errInterval
	}
	return nil
}

func (s *State) checkNames(role string, scopes ...string) error {
	if err := s.catalog.CheckRole("role", role); err != nil {
		return err
	}
	for _, scope := range scopes {
		if scope == "" {
			continue
		}
		if err := s.catalog.CheckScope("scope", scope); err != nil {
			return err
		}
	}
	return nil
}

// subject is what has to be known of a subject to change its roles.
func (s *State) subject(name string, now time.Time) policy.Subject {
	subject := policy.Subject{Name: name, Held: s.held[name]}
	for other, all := range s.held {
		for _, a := range all {
			subject.OthersKeep = subject.OthersKeep || other != name && s.catalog.Keeps(a, now)
		}
	}
	return subject
}

// write makes changes with what they entail, and returns the codes of what is warned of.
func (s *State) write(changes []store.Change, now time.Time) (codes []string) {
	before := maps.Clone(s.held)
	s.apply(changes)
	more, warnings, err := s.catalog.Consequences(s.tenant, changes, before, s.held, now)
	if err != nil {
		panic(err) // reading from memory does not fail
	}
	s.apply(more)
	for _, w := range warnings {
		codes = append(codes, string(w.Code))
	}
	return codes
}

func (s *State) apply(changes []store.Change) {
	for _, change := range changes {
		switch c := change.(type) {
		case store.SetAssignment:
			s.replace(c.Assignment.AssignmentKey, &c.Assignment)
		case store.RemoveAssignment:
			s.replace(c.Key, nil)
		case store.SetToggle:
			s.toggles[c.Toggle] = c.On
			s.table = policy.NewTable(s.catalog, s.toggles)
		case store.SetPrimary:
			s.tenant.Primary = c.Subject
		}
	}
}

// replace takes the assignment with a key away and, if there is another one, puts it there.
func (s *State) replace(key store.AssignmentKey, with *store.Assignment) {
	var all []store.Assignment
	for _, a := range s.held[key.Subject] {
		if a.AssignmentKey != key {
			all = append(all, a)
		}
	}
	if with != nil {
		all = append(all, *with)
	}
	s.held[key.Subject] = all
	delete(s.holders, key.Subject)
}

// errorAnswer writes an error as a server answers it.
func errorAnswer(err error) Answer {
	var (
		refusal *policy.Refusal
		unknown *policy.UnknownNameError
		status  code.Code
		reason  string
		remedy  string
	)
	switch {
	case errors.As(err, &refusal):
		status, reason, remedy = code.Code_FAILED_PRECONDITION, string(refusal.Code), refusal.Remedy
		if refusal.Code == policy.ActorNotAllowed {
			status = code.Code_PERMISSION_DENIED
		}
	case errors.As(err, &unknown):
		status, reason = code.Code_INVALID_ARGUMENT, "UNKNOWN_"+unknown.Kind
	case errors.Is(err, errInterval):
		status, reason = code.Code_INVALID_ARGUMENT, "MALFORMED_REQUEST"
	default:
		status, reason = code.Code_INTERNAL, "INTERNAL"
	}
	return Answer{Words: fmt.Sprintf("%s %s", status, reason), Remedy: remedy, Why: err.Error()}
}
