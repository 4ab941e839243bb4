package tables

import (
	"fmt"

	"github.com/usher-pdp/usher/server/policy"
)

// Result is what came of a table.
type Result struct {
	// Checks and Acts are how many there were.
	Checks, Acts int
	// Failures are those that were answered otherwise, in the order of the table.
	Failures []Failure
}

// Failure is something that a table says and that is not so.
type Failure struct {
	// Place is where the table says it, as file:line.
	Place string
	// Asked is the question or act.
	Asked string
	// Want is what the table wants, Got what came and why.
	Want, Got string
}

func (f Failure) String() string {
	return fmt.Sprintf("%s: %s: want %s; got %s", f.Place, f.Asked, f.Want, f.Got)
}

// Run asks all that a table says of a catalog.
func (t *Table) Run(c *policy.Catalog) Result {
	var result Result
	states, failures := t.States(c)
	result.Failures = failures
	for _, step := range t.steps {
		state := states[step.Tenant]
		if q := step.Question; q != nil {
			result.Checks++
			got := state.Ask(q)
			if want := q.Judge(got); want != "" {
				result.Failures = append(result.Failures, Failure{q.Place, q.String(), want, got.String()})
			}
			continue
		}
		a := step.Act
		result.Acts++
		before := state.Facts()
		got := state.Do(a)
		if want := a.Judge(got, before, state.Facts()); want != "" {
			result.Failures = append(result.Failures, Failure{a.Place, a.String(), want, got.String()})
		}
	}
	return result
}

// States are the tenants of the plan, and what the table says of them and can't be so: a role
// that can't be held, a toggle that can't stand so.
func (t *Table) States(c *policy.Catalog) ([]*State, []Failure) {
	base := newState(c, First)
	failures := base.hold(t.Holds)
	states := make([]*State, len(t.tenants))
	for i, p := range t.tenants {
		if p.First != First {
			states[i] = newState(c, p.First)
			continue
		}
		states[i] = base.clone()
		failures = append(failures, states[i].hold(p.Holds[len(t.Holds):])...)
		failures = append(failures, states[i].set(p.On, true, p.Place)...)
		failures = append(failures, states[i].set(p.Off, false, p.Place)...)
	}
	return states, failures
}

// hold gives roles at the Epoch, on behalf of the operator.
func (s *State) hold(all []Holding) (failures []Failure) {
	for _, h := range all {
		a := h.Assignment()
		changes, err := s.planGrant(policy.Actor{Operator: true}, a, Epoch)
		if err != nil {
			failures = append(failures, Failure{h.Place, describe(a.AssignmentKey, a.Interval), "that it can be held", errorAnswer(err).String()})
		}
		s.write(changes, Epoch)
	}
	return failures
}

// set sets toggles on behalf of the operator.
func (s *State) set(toggles []string, on bool, place string) (failures []Failure) {
	for _, toggle := range toggles {
		changes, err := s.planToggle(policy.Actor{Operator: true}, toggle, on)
		if err != nil {
			failures = append(failures, Failure{place, fmt.Sprintf("%s is on: %t", toggle, on), "that it can stand so", errorAnswer(err).String()})
		}
		s.apply(changes)
	}
	return failures
}
