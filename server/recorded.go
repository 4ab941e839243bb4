package server

import (
	"errors"
	"iter"

	"github.com/usher-pdp/usher/store"
)

// recordedTenant finds the tenant whose change record is asked for: the one with an id and a
// name, deleted or not; with id 0 the one that there is of that name, or else the last that
// there was.
func recordedTenant(r store.Reader, name string, id store.TenantID) (store.Tenant, error) {
	switch t, err := r.Tenant(name); {
	case err == nil && (id == 0 || id == t.ID):
		return t, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return t, err
	}
	var found store.Tenant
	for t, err := range r.DeletedTenants(max(id, 1) - 1) {
		if err != nil {
			return t, err
		}
		if id != 0 && id != t.ID {
			break
		}
		if t.Name == name {
			found = t
		}
	}
	if found.ID == 0 {
		return found, noRecord(name)
	}
	return found, nil
}

// noRecord says that there is and was no tenant of a name, or none that the caller sees.
func noRecord(name string) error {
	return &notFoundError{kind: "TENANT", name: name, remedy: "correct the name or the id; ListTenants lists those that have been deleted, too"}
}

// recordedTenants yields all that have a change record and come after a tenant: first the
// installation itself, which stands there as the zero tenant, then the tenants that there
// are, then the deleted ones. A tenant that is deleted meanwhile may come twice, but not
// never. Nil comes before all.
func recordedTenants(r store.Reader, after *store.Tenant) iter.Seq2[store.Tenant, error] {
	return func(yield func(store.Tenant, error) bool) {
		if after == nil {
			if !yield(store.Tenant{}, nil) {
				return
			}
			after = &store.Tenant{}
		}
		deletedAfter := after.ID
		if after.DeletedAt.IsZero() {
			for t, err := range r.Tenants(after.Name) {
				if !yield(t, err) || err != nil {
					return
				}
			}
			deletedAfter = 0
		}
		for t, err := range r.DeletedTenants(deletedAfter) {
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// parseRevision reads a revision of this store.
func parseRevision(r store.Reader, field, text string) (uint64, error) {
	revision, err := store.ParseRevision(text)
	if err != nil {
		return 0, malformed(field, "%v", err)
	}
	if current := r.Revision(); revision.Epoch != current.Epoch {
		return 0, &otherEpochError{field: field, epoch: current.Epoch}
	}
	return revision.Number, nil
}

// first returns the first record of a sequence, if it has one.
func first(records iter.Seq2[store.ChangeRecord, error]) (record store.ChangeRecord, found bool, err error) {
	for record, err := range records {
		return record, err == nil, err
	}
	return record, false, nil
}
