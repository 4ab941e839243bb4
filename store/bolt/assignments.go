package bolt

import (
	"fmt"
	"iter"
	"strings"

	"github.com/usher-pdp/usher/store"
)

// Assignment returns the assignment with that key.
func (r *reader) Assignment(tenant store.TenantID, key store.AssignmentKey) (store.Assignment, error) {
	if !usable(key.Subject, key.Role, key.Scope) {
		return store.Assignment{}, store.ErrNotFound
	}
	value, found, err := r.get(bucketAssignments, assignmentKey(tenant, key))
	if err != nil {
		return store.Assignment{}, err
	}
	if !found {
		return store.Assignment{}, store.ErrNotFound
	}
	i, err := decodeInterval(value)
	return store.Assignment{AssignmentKey: key, Interval: i}, err
}

// Assignments yields the assignments of the tenant after a key.
func (r *reader) Assignments(tenant store.TenantID, after store.AssignmentKey) iter.Seq2[store.Assignment, error] {
	if err := checkAfter(after); err != nil {
		return none[store.Assignment](err)
	}
	return records(r, bucketAssignments, tenantKey(tenant), assignmentKey(tenant, after), decodeAssignment)
}

// AssignmentsOf yields the assignments of a subject.
func (r *reader) AssignmentsOf(tenant store.TenantID, subject string) iter.Seq2[store.Assignment, error] {
	if subject == "" || !usable(subject) {
		return none[store.Assignment](nil)
	}
	prefix := textKey(tenant, subject, "")
	return records(r, bucketAssignments, prefix, prefix, func(key, value []byte) (store.Assignment, error) {
		role, scope, ok := strings.Cut(string(key[len(prefix):]), "\x00")
		if !ok {
			return store.Assignment{}, damaged("the key of an assignment can't be read")
		}
		i, err := decodeInterval(value)
		return store.Assignment{
			AssignmentKey: store.AssignmentKey{Subject: subject, Role: role, Scope: scope},
			Interval:      i,
		}, err
	})
}

// AssignmentsByRole yields the assignments of a role after a scope and subject.
func (r *reader) AssignmentsByRole(tenant store.TenantID, role string, after store.AssignmentKey) iter.Seq2[store.Assignment, error] {
	if role == "" || !usable(role) {
		return none[store.Assignment](nil)
	}
	after.Role = role
	if err := checkAfter(after); err != nil {
		return none[store.Assignment](err)
	}
	prefix := textKey(tenant, role, "")
	return records(r, bucketByRole, prefix, byRoleKey(tenant, after), func(key, _ []byte) (store.Assignment, error) {
		parts, ok := splitTexts(key)
		if !ok {
			return store.Assignment{}, damaged("the key of an index entry can't be read")
		}
		a, err := r.Assignment(tenant, store.AssignmentKey{Subject: parts[2], Role: parts[0], Scope: parts[1]})
		if err == store.ErrNotFound {
			err = damaged("an index entry has no assignment")
		}
		return a, err
	})
}

// checkAfter refuses a position that would be taken for another one.
func checkAfter(after store.AssignmentKey) error {
	if !usable(after.Subject, after.Role, after.Scope) {
		return fmt.Errorf("can't go on after %q: it is not the key of an assignment", after)
	}
	return nil
}
