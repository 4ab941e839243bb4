package server

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/usher-pdp/usher/store"
)

// draft is the state that some changes of one tenant would make of what a reader sees:
// its assignments and toggles. All else is that of the reader.
type draft struct {
	store.Reader
	tenant  store.TenantID
	changes []store.Change
	// intervals are those of the assignments that are changed; nil: there is none any more.
	intervals map[store.AssignmentKey]*store.Interval
	toggles   map[string]bool
}

func newDraft(r store.Reader, tenant store.TenantID) *draft {
	return &draft{Reader: r, tenant: tenant, intervals: map[store.AssignmentKey]*store.Interval{}, toggles: map[string]bool{}}
}

// apply adds changes.
func (d *draft) apply(changes []store.Change) {
	d.changes = append(d.changes, changes...)
	for _, c := range changes {
		switch c := c.(type) {
		case store.SetAssignment:
			d.intervals[c.Assignment.AssignmentKey] = &c.Assignment.Interval
		case store.RemoveAssignment:
			d.intervals[c.Key] = nil
		case store.SetToggle:
			d.toggles[c.Toggle] = c.On
		}
	}
}

// granted returns the roles of which assignments are set, in byte order.
func (d *draft) granted() []string {
	roles := map[string]bool{}
	for key, interval := range d.intervals {
		if interval != nil {
			roles[key.Role] = true
		}
	}
	return slices.Sorted(maps.Keys(roles))
}

// subjects returns those whose assignments are changed, in byte order.
func (d *draft) subjects() []string {
	subjects := map[string]bool{}
	for key := range d.intervals {
		subjects[key.Subject] = true
	}
	return slices.Sorted(maps.Keys(subjects))
}

// Toggles returns the state of each toggle that has been set.
func (d *draft) Toggles(tenant store.TenantID) (map[string]bool, error) {
	toggles, err := d.Reader.Toggles(tenant)
	if err == nil {
		maps.Copy(toggles, d.toggles)
	}
	return toggles, err
}

// Assignments yields all assignments after a key.
func (d *draft) Assignments(tenant store.TenantID, after store.AssignmentKey) iter.Seq2[store.Assignment, error] {
	return d.merge(d.Reader.Assignments(tenant, after), compareKeys, func(k store.AssignmentKey) bool { return compareKeys(k, after) > 0 })
}

// AssignmentsOf yields the assignments of a subject.
func (d *draft) AssignmentsOf(tenant store.TenantID, subject string) iter.Seq2[store.Assignment, error] {
	return d.merge(d.Reader.AssignmentsOf(tenant, subject), compareKeys, func(k store.AssignmentKey) bool { return k.Subject == subject })
}

// AssignmentsByRole yields the assignments of a role after a scope and subject.
func (d *draft) AssignmentsByRole(tenant store.TenantID, role string, after store.AssignmentKey) iter.Seq2[store.Assignment, error] {
	after.Role = role
	return d.merge(d.Reader.AssignmentsByRole(tenant, role, after), compareByRole, func(k store.AssignmentKey) bool {
		return k.Role == role && compareByRole(k, after) > 0
	})
}

func compareKeys(a, b store.AssignmentKey) int {
	return cmp.Or(strings.Compare(a.Subject, b.Subject), strings.Compare(a.Role, b.Role), strings.Compare(a.Scope, b.Scope))
}

func compareByRole(a, b store.AssignmentKey) int {
	return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Scope, b.Scope), strings.Compare(a.Subject, b.Subject))
}

// merge yields what is stored, as it is changed, and what is new of those keys, in order.
func (d *draft) merge(stored iter.Seq2[store.Assignment, error], order func(a, b store.AssignmentKey) int, wanted func(store.AssignmentKey) bool) iter.Seq2[store.Assignment, error] {
	changed := slices.SortedFunc(maps.Keys(d.intervals), order)
	changed = slices.DeleteFunc(changed, func(k store.AssignmentKey) bool { return !wanted(k) })
	if len(changed) == 0 {
		return stored
	}
	return func(yield func(store.Assignment, error) bool) {
		changed := changed
		// before yields those of the changed ones that come before a key.
		before := func(limit *store.AssignmentKey) bool {
			for len(changed) > 0 && (limit == nil || order(changed[0], *limit) < 0) {
				key := changed[0]
				changed = changed[1:]
				if i := d.intervals[key]; i != nil && !yield(store.Assignment{AssignmentKey: key, Interval: *i}, nil) {
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
