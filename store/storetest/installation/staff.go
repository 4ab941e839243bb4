package installation

import (
	"time"

	"github.com/usher-pdp/usher/store"
)

// Most roles are held for ever. The few other intervals reach so far that they are running,
// or not yet, whatever the clock says.
var (
	past   = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	future = time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC)
)

// member is what a member of staff is.
type member struct {
	job      *job
	held     [2][3]int // the scopes, by duty
	counts   [2]int    // how many of them; a role that is held in the tenant has one, of no account
	interval store.Interval
}

func (m member) size() int { return m.counts[0] + m.counts[1] }

// member returns what the n-th member of a tenant's staff is.
func (i *Installation) member(tenant, n int) member {
	model := modelOf(tenant)
	if n == 0 {
		return member{job: &model.jobs[0], counts: [2]int{1}}
	}
	d := i.dice(forMember, tenant, n)
	m := member{job: model.jobFor(d.below(100))}
	for j, duty := range m.job.duties {
		if duty.scopes == 0 {
			m.counts[j] = 1
			continue
		}
		want := 1 + d.below(1+d.below(duty.scopes)) // one is more frequent than two, and so on
		all := i.scopes(tenant)
		scope := d.below(all)
		for range min(all, 2*duty.scopes) { // neighbours, without those that won't do
			if m.counts[j] < want && model.scopeType(scope) != duty.notHeldIn {
				m.held[j][m.counts[j]] = scope
				m.counts[j]++
			}
			scope = (scope + 1) % all
		}
	}
	switch day := time.Duration(d.below(3650)) * 24 * time.Hour; d.below(100) {
	case 0:
		m.interval.Start = future.Add(day)
	case 1, 2:
		m.interval.Start, m.interval.End = past, future.Add(day)
	}
	return m
}

// AssignmentsOf returns what the n-th member of a tenant's staff holds. For a number beyond
// the staff it is what that person would be given if they were hired.
func (i *Installation) AssignmentsOf(tenant, n int) []store.Assignment {
	m := i.member(tenant, n)
	assignments := make([]store.Assignment, 0, m.size())
	for j, duty := range m.job.duties {
		for _, scope := range m.held[j][:m.counts[j]] {
			key := store.AssignmentKey{Subject: i.Subject(tenant, n), Role: duty.role}
			if duty.scopes > 0 {
				key.Scope = scopeName(tenant, scope)
			}
			assignments = append(assignments, store.Assignment{AssignmentKey: key, Interval: m.interval})
		}
	}
	return assignments
}
