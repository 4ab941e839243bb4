package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Conflict is something that is stored and that a catalog would not have allowed. It
// stands against moving the tenant to that catalog.
type Conflict struct {
	// Assignment is the assignment that it is about, or nil.
	Assignment *store.Assignment
	// Toggle is the name of the toggle that it is about, or "". If it is about neither, it
	// is about the tenant as a whole.
	Toggle string
	// Text says what is wrong with it.
	Text string
}

// ConflictsOfSubject returns what a subject holds and the catalog would not have allowed,
// given all of its assignments. One that has ended is no conflict, unless it could not be
// read with that catalog.
func (c *Catalog) ConflictsOfSubject(held []store.Assignment, now time.Time) []Conflict {
	var conflicts []Conflict
	var exclusive []store.Assignment // of each role, those with different intervals
	for _, a := range held {
		r := c.rolesByName[a.Role]
		switch {
		case r == nil && a.Ended(now):
			conflicts = append(conflicts, Conflict{Assignment: &a, Text: fmt.Sprintf(
				"there is no role %q; the assignment has ended and will be cleared away: try again then", a.Role)})
			continue
		case r == nil:
			conflicts = append(conflicts, Conflict{Assignment: &a, Text: fmt.Sprintf("there is no role %q: revoke it", a.Role)})
			continue
		case a.Ended(now):
			continue
		}
		var refusal *Refusal
		if errors.As(r.checkAssignable(a.Subject, a.Scope), &refusal) {
			conflicts = append(conflicts, Conflict{Assignment: &a, Text: refusal.Text})
			continue
		}
		if !r.exclusive {
			continue
		}
		known := false
		for _, b := range exclusive {
			if b.Role != a.Role && b.Overlaps(a.Interval) {
				conflicts = append(conflicts, Conflict{Assignment: &a, Text: oneRoleOnly(r, b).Text})
				break
			}
			known = known || b.Role == a.Role && b.Equal(a.Interval)
		}
		if !known {
			exclusive = append(exclusive, a)
		}
	}
	return conflicts
}

// ConflictsOfToggles returns the toggles of a tenant that are set and that the catalog
// does not have, given how each toggle that is set stands. A locked toggle is no conflict:
// it stands as the catalog says.
func (c *Catalog) ConflictsOfToggles(set map[string]bool) []Conflict {
	var conflicts []Conflict
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if c.togglesByName[name] == nil {
			conflicts = append(conflicts, Conflict{Toggle: name, Text: fmt.Sprintf("there is no toggle %q, and it is set", name)})
		}
	}
	return conflicts
}

// ConflictsOfTenant returns what stands against the catalog in the tenant as a whole. The
// caller says whether some subject keeps the protected role, as Keeps of this catalog has it.
func (c *Catalog) ConflictsOfTenant(kept bool) []Conflict {
	if kept {
		return nil
	}
	return []Conflict{{Text: fmt.Sprintf(
		"no user holds the role %q in the tenant, now and without an end: grant it to somebody first", c.protectedRole.name)}}
}
