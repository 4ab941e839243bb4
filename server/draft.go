package server

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/usher-pdp/usher/store"
)

// draft is the state that some changes of one tenant would make of what a reader sees: what
// a subject holds, who holds a role, and the toggles. All else is that of the reader.
type draft struct {
	store.Reader
	changes []store.Change
	// bySubject and byRole have the intervals of the assignments that are changed; nil: there
	// is none any more.
	bySubject, byRole map[string]intervals
	toggles           map[string]bool
}

type intervals map[store.AssignmentKey]*store.Interval

func newDraft(r store.Reader) *draft {
	return &draft{Reader: r, bySubject: map[string]intervals{}, byRole: map[string]intervals{}, toggles: map[string]bool{}}
}

// apply adds changes.
func (d *draft) apply(changes []store.Change) {
	d.changes = append(d.changes, changes...)
	for _, c := range changes {
		switch c := c.(type) {
		case store.SetAssignment:
			d.set(c.Assignment.AssignmentKey, &c.Assignment.Interval)
		case store.RemoveAssignment:
			d.set(c.Key, nil)
		case store.SetToggle:
			d.toggles[c.Toggle] = c.On
		}
	}
}

func (d *draft) set(key store.AssignmentKey, interval *store.Interval) {
	put := func(m map[string]intervals, name string) {
		if m[name] == nil {
			m[name] = intervals{}
		}
		m[name][key] = interval
	}
	put(d.bySubject, key.Subject)
	put(d.byRole, key.Role)
}

// subjects returns those whose assignments are changed, in byte order.
func (d *draft) subjects() []string { return slices.Sorted(maps.Keys(d.bySubject)) }

// Toggles returns the state of each toggle that has been set.
func (d *draft) Toggles(tenant store.TenantID) (map[string]bool, error) {
	toggles, err := d.Reader.Toggles(tenant)
	if err == nil {
		maps.Copy(toggles, d.toggles)
	}
	return toggles, err
}

// AssignmentsOf yields the assignments of a subject.
func (d *draft) AssignmentsOf(tenant store.TenantID, subject string) iter.Seq2[store.Assignment, error] {
	return merge(d.Reader.AssignmentsOf(tenant, subject), d.bySubject[subject], compareKeys)
}

// AssignmentsByRole yields all assignments of a role, ordered by scope and subject. It is not
// for going on after one.
func (d *draft) AssignmentsByRole(tenant store.TenantID, role string, _ store.AssignmentKey) iter.Seq2[store.Assignment, error] {
	return merge(d.Reader.AssignmentsByRole(tenant, role, store.AssignmentKey{}), d.byRole[role], compareByRole)
}

func compareKeys(a, b store.AssignmentKey) int {
	return cmp.Or(strings.Compare(a.Subject, b.Subject), strings.Compare(a.Role, b.Role), strings.Compare(a.Scope, b.Scope))
}

func compareByRole(a, b store.AssignmentKey) int {
	return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Scope, b.Scope), strings.Compare(a.Subject, b.Subject))
}

// merge yields what is stored, as it is changed, in order.
func merge(stored iter.Seq2[store.Assignment, error], changes intervals, order func(a, b store.AssignmentKey) int) iter.Seq2[store.Assignment, error] {
	if len(changes) == 0 {
		return stored
	}
	return func(yield func(store.Assignment, error) bool) {
		changed := slices.SortedFunc(maps.Keys(changes), order)
		// before yields those of the changed ones that come before a key.
		before := func(limit *store.AssignmentKey) bool {
			for len(changed) > 0 && (limit == nil || order(changed[0], *limit) < 0) {
				key := changed[0]
				changed = changed[1:]
				if i := changes[key]; i != nil && !yield(store.Assignment{AssignmentKey: key, Interval: *i}, nil) {
					return false
				}
			}
			return true
		}
		for a, err := range stored {
			if err != nil {
				yield(a, err)
				return
			}
			if !before(&a.AssignmentKey) {
				return
			}
			if len(changed) > 0 && changed[0] == a.AssignmentKey {
				continue // it comes from the changed ones
			}
			if !yield(a, nil) {
				return
			}
		}
		before(nil)
	}
}
