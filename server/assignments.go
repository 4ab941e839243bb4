package server

import (
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// defaultPageSize is how much a page has if the request does not say.
const defaultPageSize = 100

// maxScanned is how many assignments are looked at for one page at most, so that a
// filter which few of them pass does not hold a read transaction open for long.
const maxScanned = 10_000

// listAssignments makes one page of the assignments that pass a filter.
func listAssignments(r store.Reader, tenant store.TenantID, request *usherv1.ListAssignmentsRequest, now time.Time) (*usherv1.ListAssignmentsResponse, error) {
	filter := assignmentFilter(tenant, request)
	after, err := filter.assignment(request.GetPageToken())
	if err != nil {
		return nil, err
	}
	response := &usherv1.ListAssignmentsResponse{Revision: r.Revision().String()}
	scanned := 0
	for a, err := range candidates(r, tenant, request, after) {
		if err != nil {
			return nil, err
		}
		if len(response.Assignments) == pageSize(request.GetPageSize()) || scanned == maxScanned {
			response.NextPageToken = filter.token(after.Subject, after.Role, after.Scope)
			break
		}
		scanned++
		after = a.AssignmentKey
		if passes(request, a, now) {
			response.Assignments = append(response.Assignments, assignmentMessage(a, now))
		}
	}
	return response, nil
}

// assignmentFilter is the digest of what a list of assignments is about.
func assignmentFilter(tenant store.TenantID, r *usherv1.ListAssignmentsRequest) filter {
	return pageFilter("assignments", tenant, r.GetSubject(), r.GetRole(), r.GetScope(), r.GetState(),
		instantOf(r.GetEndsBefore()), instantOf(r.GetAsOf().GetTime()), r.GetAsOf().GetRevision())
}

// assignment reads the token of a page after an assignment.
func (f filter) assignment(token string) (after store.AssignmentKey, err error) {
	position, err := f.position(token, 3)
	if err != nil {
		return after, err
	}
	return store.AssignmentKey{Subject: position[0], Role: position[1], Scope: position[2]}, nil
}

// candidates yields the assignments after a key that can pass the filter, from the
// order of keys in which fewest have to be looked at.
func candidates(r store.Reader, tenant store.TenantID, request *usherv1.ListAssignmentsRequest, after store.AssignmentKey) iter.Seq2[store.Assignment, error] {
	switch {
	case request.GetSubject() != "":
		return skipUntil(r.AssignmentsOf(tenant, request.GetSubject()), after)
	case request.GetRole() != "":
		return r.AssignmentsByRole(tenant, request.GetRole(), after)
	}
	return r.Assignments(tenant, after)
}

// skipUntil leaves out what does not come after the key, of the assignments of one
// subject.
func skipUntil(assignments iter.Seq2[store.Assignment, error], after store.AssignmentKey) iter.Seq2[store.Assignment, error] {
	return func(yield func(store.Assignment, error) bool) {
		for a, err := range assignments {
			first := after == store.AssignmentKey{}
			later := a.Role > after.Role || a.Role == after.Role && a.Scope > after.Scope
			if (err != nil || first || later) && !yield(a, err) {
				return
			}
		}
	}
}

func passes(request *usherv1.ListAssignmentsRequest, a store.Assignment, now time.Time) bool {
	state := request.GetState()
	endsBefore := request.GetEndsBefore()
	return (request.GetRole() == "" || a.Role == request.GetRole()) &&
		(request.GetScope() == "" || a.Scope == request.GetScope()) &&
		(state == usherv1.AssignmentState_ASSIGNMENT_STATE_UNSPECIFIED || state == stateOf(a.Interval, now)) &&
		(endsBefore == nil || !a.End.IsZero() && !a.Ended(now) && a.End.Before(endsBefore.AsTime()))
}

func pageSize(requested int32) int {
	if requested == 0 {
		return defaultPageSize
	}
	return int(requested)
}

func assignmentMessage(a store.Assignment, now time.Time) *usherv1.Assignment {
	return &usherv1.Assignment{
		Subject:   a.Subject,
		Role:      a.Role,
		Scope:     a.Scope,
		StartsAt:  timestampMessage(a.Start),
		ExpiresAt: timestampMessage(a.End),
		State:     stateOf(a.Interval, now),
	}
}

func stateOf(i store.Interval, now time.Time) usherv1.AssignmentState {
	switch {
	case i.Ended(now):
		return usherv1.AssignmentState_ASSIGNMENT_STATE_ENDED
	case i.Contains(now):
		return usherv1.AssignmentState_ASSIGNMENT_STATE_ACTIVE
	}
	return usherv1.AssignmentState_ASSIGNMENT_STATE_SCHEDULED
}

// timeOf returns the zero time for nil.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
