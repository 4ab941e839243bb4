package policy

import (
	"time"

	"github.com/usher-pdp/usher/store"
)

// PlanFirstAdministrator answers with what makes a subject the first administrator of a
// new tenant, whose id is 0: the one that is created with it. The error is a *Refusal.
func (c *Catalog) PlanFirstAdministrator(subject string) ([]store.Change, error) {
	r := c.protectedRole
	if !r.holders[typeOf(subject)] || typeOf(subject) != userType {
		return nil, notAssignableToHolder(r, subject, []string{userType})
	}
	changes := []store.Change{store.SetAssignment{Assignment: store.Assignment{
		AssignmentKey: store.AssignmentKey{Subject: subject, Role: r.name},
	}}}
	if c.hasPrimary() {
		changes = append(changes, store.SetPrimary{Subject: subject})
	}
	return changes, nil
}

// PlanSetPrimary answers what has to be written so that the subject is the primary
// administrator of the tenant. The caller says whether the subject keeps the protected role
// now, as Catalog.Keeps has it. No changes mean that all is so already. The error is a
// *Refusal.
func (t *Table) PlanSetPrimary(actor Actor, tenant store.Tenant, subject string, keeps bool) ([]store.Change, error) {
	if err := t.authorize(actor, grantAction, t.catalog.protectedRole, ""); err != nil {
		return nil, err
	}
	switch {
	case !t.catalog.hasPrimary():
		return nil, t.catalog.noPrimary()
	case !keeps:
		return nil, t.catalog.notAHolder(subject)
	case tenant.Primary == subject:
		return nil, nil
	}
	return []store.Change{store.SetPrimary{Tenant: tenant.ID, Subject: subject}}, nil
}

// LosesPrimary reports whether the primary administrator of the tenant, if there is one,
// can't be that any more once the changes are made. The caller says what that subject holds
// before, ended assignments or not. Whoever writes the changes then has to write
// store.SetPrimary with nobody, too.
func (c *Catalog) LosesPrimary(tenant store.Tenant, held []store.Assignment, changes []store.Change, now time.Time) bool {
	if tenant.Primary == "" {
		return false
	}
	key := store.AssignmentKey{Subject: tenant.Primary, Role: c.protectedRole.name}
	keeps := false
	for _, a := range held {
		keeps = keeps || a.AssignmentKey == key && c.Keeps(a, now)
	}
	for _, change := range changes {
		switch change := change.(type) {
		case store.SetAssignment:
			if change.Assignment.AssignmentKey == key {
				keeps = c.Keeps(change.Assignment, now)
			}
		case store.RemoveAssignment:
			keeps = keeps && change.Key != key
		}
	}
	return !keeps || !c.hasPrimary()
}

// Keeps reports whether an assignment counts for the rule that a tenant keeps a holder
// of the protected role: of a user, in the tenant, in force now, without an end.
func (c *Catalog) Keeps(a store.Assignment, now time.Time) bool {
	return a.Role == c.protectedRole.name && a.Scope == "" && typeOf(a.Subject) == userType &&
		a.Contains(now) && a.End.IsZero()
}

func (c *Catalog) hasPrimary() bool { return c.source.GetAdministration().GetHasPrimary() }
