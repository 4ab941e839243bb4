package policy

import (
	"errors"
	"slices"

	"github.com/usher-pdp/usher/store"
)

// state is a state of a tenant and a resource: the one that there is, or one to which steps
// have led.
type state struct {
	table    *Table
	subjects []Subject
	holders  []*Holder // of the subjects, in their order
	resource *Resource
}

// perform returns the state after an act of the operator. It reports false if the act is
// refused, with the code, or changes nothing.
func (s *search) perform(at state, step Step) (state, RefusalCode, bool) {
	if s.left < 0 {
		return at, "", false
	}
	i := max(0, slices.IndexFunc(at.subjects, func(subject Subject) bool { return subject.Name == step.Subject }))
	s.left -= 8 + len(at.subjects[i].Held)/8
	changes, err := s.plan(at, at.subjects[i], step)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return at, refusal.Code, false
	}
	if err != nil || len(changes) == 0 {
		return at, "", false
	}
	if step.Kind == StepSetToggle {
		at.table = &Table{catalog: at.table.catalog, on: slices.Clone(at.table.on)}
		at.table.on[at.table.catalog.togglesByName[step.Toggle].index] = step.On
		return at, "", true
	}
	at.subjects, at.holders = slices.Clone(at.subjects), slices.Clone(at.holders)
	at.subjects[i].Held = changedBy(changes, at.subjects[i].Held)
	at.holders[i], err = NewHolder(at.table.catalog, step.Subject, at.subjects[i].Held, s.now)
	return at, "", err == nil
}

// plan plans an act of the operator.
func (s *search) plan(at state, subject Subject, step Step) ([]store.Change, error) {
	operator := Actor{Operator: true}
	scope := ""
	if len(step.Scopes) > 0 {
		scope = step.Scopes[0]
	}
	switch step.Kind {
	case StepSetToggle:
		return at.table.PlanToggle(operator, subject.Tenant, step.Toggle, step.On)
	case StepGrant:
		key := store.AssignmentKey{Subject: step.Subject, Role: step.Role, Scope: scope}
		return at.table.PlanGrant(operator, subject, store.Assignment{AssignmentKey: key, Interval: step.Interval}, s.now)
	case StepChangeRole:
		return at.table.PlanChangeRole(operator, subject, step.From, step.Role, step.Scopes, step.Interval, s.now)
	case StepRevoke:
		return at.table.PlanRevoke(operator, subject, step.Role, scope, len(step.Scopes) > 1, s.now)
	}
	return nil, nil
}

// changedBy returns what a subject holds after changes.
func changedBy(changes []store.Change, held []store.Assignment) []store.Assignment {
	gone := map[store.AssignmentKey]bool{}
	var set []store.Assignment
	for _, c := range changes {
		switch c := c.(type) {
		case store.SetAssignment:
			gone[c.Assignment.AssignmentKey] = true
			set = append(set, c.Assignment)
		case store.RemoveAssignment:
			gone[c.Key] = true
		}
	}
	kept := slices.DeleteFunc(slices.Clone(held), func(a store.Assignment) bool { return gone[a.AssignmentKey] })
	return append(kept, set...)
}
