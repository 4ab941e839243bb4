package policy

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Warning is something that somebody should know of a write, and that stands against nothing.
type Warning struct {
	Code WarningCode
	// Texts are what it says, by language, "en" included.
	Texts map[string]string
}

// WarningCode tells warnings apart, as the API does.
type WarningCode string

// Codes of warnings.
const (
	// ManyHolders is that more subjects hold a role than the catalog advises.
	ManyHolders WarningCode = "MANY_HOLDERS"
	// NoPrimaryAdministrator is that the primary administrator is none any more.
	NoPrimaryAdministrator WarningCode = "NO_PRIMARY_ADMINISTRATOR"
)

// Assignments is who holds what: a store.Reader, or what a write would make of it.
type Assignments interface {
	// AssignmentsOf yields what a subject holds, ended or not.
	AssignmentsOf(tenant store.TenantID, subject string) iter.Seq2[store.Assignment, error]
	// AssignmentsByRole yields all assignments of a role, ended or not. The key is zero.
	AssignmentsByRole(tenant store.TenantID, role string, after store.AssignmentKey) iter.Seq2[store.Assignment, error]
}

// Consequences answers what the changes of a write in a tenant entail, which has to be written
// with them, and what somebody should know of them. It is given what is held before the
// changes, and what will be held after them.
func (c *Catalog) Consequences(tenant store.Tenant, changes []store.Change, before, after Assignments, now time.Time) (more []store.Change, warnings []Warning, err error) {
	subjects, granted := touched(changes)
	if subjects[tenant.Primary] {
		var held []store.Assignment
		for a, err := range before.AssignmentsOf(tenant.ID, tenant.Primary) {
			if err != nil {
				return nil, nil, err
			}
			held = append(held, a)
		}
		if c.LosesPrimary(tenant, held, changes, now) {
			more = append(more, store.SetPrimary{Tenant: tenant.ID})
			warnings = append(warnings, noPrimaryWarning(tenant.Primary))
		}
	}
	for _, role := range granted {
		limit := c.AdvisoryLimit(role)
		if limit == nil {
			continue
		}
		many, err := moreHold(after.AssignmentsByRole(tenant.ID, role, store.AssignmentKey{}), int(limit.GetHolders()), now)
		if err != nil {
			return nil, nil, err
		}
		if many {
			warnings = append(warnings, Warning{ManyHolders, limit.GetWarning()})
		}
	}
	return more, warnings, nil
}

// touched returns the subjects whose assignments are changed, and the roles of which some are
// set in the end, in byte order.
func touched(changes []store.Change) (subjects map[string]bool, granted []string) {
	subjects = map[string]bool{}
	set := map[store.AssignmentKey]bool{}
	for _, change := range changes {
		switch change := change.(type) {
		case store.SetAssignment:
			subjects[change.Assignment.Subject] = true
			set[change.Assignment.AssignmentKey] = true
		case store.RemoveAssignment:
			subjects[change.Key.Subject] = true
			delete(set, change.Key)
		}
	}
	roles := map[string]bool{}
	for key := range set {
		roles[key.Role] = true
	}
	return subjects, slices.Sorted(maps.Keys(roles))
}

// moreHold reports whether more than so many subjects hold a role, or will.
func moreHold(all iter.Seq2[store.Assignment, error], most int, now time.Time) (bool, error) {
	holders := map[string]bool{}
	for a, err := range all {
		if err != nil {
			return false, err
		}
		if !a.Ended(now) {
			holders[a.Subject] = true
		}
		if len(holders) > most {
			return true, nil
		}
	}
	return false, nil
}

func noPrimaryWarning(subject string) Warning {
	return Warning{NoPrimaryAdministrator, map[string]string{
		"en": subject + " was the primary administrator. Nobody is it now: name another one.",
		"de": subject + " war Hauptansprechpartner unter den Administratoren. Jetzt ist es niemand: Benennen Sie jemand anderen.",
		"fr": subject + " était l’administrateur principal. Il n’y en a plus : désignez-en un autre.",
	}}
}
