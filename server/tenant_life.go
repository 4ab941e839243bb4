package server

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// maxConflicts is how many conflicts the status of an UpdateTenant names.
const maxConflicts = 50

// UpdateTenant moves a tenant to another version of its catalog, or to a related catalog. Its
// assignments are looked at before the write, so that no other write waits for that; only if
// the tenant is changed meanwhile again and again are they looked at in the write.
func (o operatorService) UpdateTenant(ctx context.Context, r *usherv1.UpdateTenantRequest) (*usherv1.UpdateTenantResponse, error) {
	var (
		checked   store.Link       // of the tenant's chain when all suited
		suits     store.CatalogRef // for this catalog
		ref       store.CatalogRef
		committed store.Committed
	)
	move := func(mayCheck bool) func(store.Reader) ([]store.Change, error) {
		return func(reader store.Reader) ([]store.Change, error) {
			chain, t, to, err := o.server.moveOf(reader, r)
			if ref = to; err != nil || t.Catalog == ref {
				return nil, err
			}
			if chain.Head != checked || suits != ref {
				if !mayCheck {
					return nil, errMovedOn
				}
				if err := o.server.refuseConflicts(ctx, reader, t, ref); err != nil {
					return nil, err
				}
				checked, suits = chain.Head, ref
			}
			return o.server.moveChanges(reader, t, ref)
		}
	}
	const tries = 3
	err := errMovedOn
	for try := 1; errors.Is(err, errMovedOn); try++ {
		err = o.server.store.View(ctx, func(reader store.Reader) error {
			changes, err := move(true)(reader)
			committed = store.Committed{Revision: reader.Revision(), Changed: len(changes) > 0}
			return err
		})
		if err == nil && !r.GetValidateOnly() {
			committed, err = o.server.store.Commit(ctx, store.Write{
				Tenant: r.GetTenant(), By: asOperator(ctx), Justification: r.GetJustification(), Plan: move(try == tries),
			})
		}
	}
	if err != nil {
		return nil, err
	}
	updated, err := o.GetTenant(ctx, &usherv1.GetTenantRequest{Tenant: r.GetTenant()})
	if err != nil {
		return nil, err
	}
	updated.GetTenant().Catalog, updated.GetTenant().CatalogVersion = ref.Name, ref.Version // also if it is not done
	return &usherv1.UpdateTenantResponse{
		Outcome: outcomeOf(committed.Changed), Tenant: updated.GetTenant(), Revision: committed.Revision.String(),
	}, nil
}

// errMovedOn says that a tenant has changed since it was looked at.
var errMovedOn = errors.New("the tenant has changed meanwhile")

// moveOf finds what a tenant would be moved to.
func (s *Server) moveOf(r store.Reader, request *usherv1.UpdateTenantRequest) (chain store.Chain, t store.Tenant, ref store.CatalogRef, err error) {
	if t, err = findTenant(r, request.GetTenant()); err != nil {
		return chain, t, ref, err
	}
	if ref, err = s.findTarget(r, t, request.GetCatalog(), request.GetCatalogVersion()); err != nil {
		return chain, t, ref, err
	}
	chain, err = r.Chain(t.ID)
	return chain, t, ref, err
}

// findTarget finds a version of the tenant's catalog, or of a related one.
func (s *Server) findTarget(r store.Reader, t store.Tenant, name string, version uint32) (store.CatalogRef, error) {
	ref, err := findCatalog(r, cmp.Or(name, t.Catalog.Name), version)
	if err != nil || ref.Name == t.Catalog.Name {
		return ref, err
	}
	is, err := s.readCatalog(r, t.Catalog)
	if err != nil {
		return ref, err
	}
	will, err := s.readCatalog(r, ref)
	if err == nil && !will.Extends(t.Catalog.Name) && !is.Extends(ref.Name) {
		err = &unrelatedError{is: t.Catalog, will: ref}
	}
	return ref, err
}

// moveChanges returns what moves a tenant, which nothing stands against.
func (s *Server) moveChanges(r store.Reader, t store.Tenant, ref store.CatalogRef) ([]store.Change, error) {
	catalog, err := s.readCatalog(r, ref)
	if err != nil {
		return nil, err
	}
	changes := []store.Change{store.UpdateTenant{Tenant: t.ID, Catalog: ref}}
	held, err := collect(r.AssignmentsOf(t.ID, t.Primary))
	if err == nil && catalog.LosesPrimary(t, held, nil, s.now()) {
		changes = append(changes, store.SetPrimary{Tenant: t.ID})
	}
	return changes, err
}

// refuseConflicts refuses a move if anything stands against it.
func (s *Server) refuseConflicts(ctx context.Context, r store.Reader, t store.Tenant, ref store.CatalogRef) error {
	refused := &conflictsError{ref: ref}
	for conflict, err := range s.conflicts(r, t, ref) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if refused.count++; len(refused.first) < maxConflicts {
			refused.first = append(refused.first, conflict)
		}
	}
	if refused.count > 0 {
		return refused
	}
	return nil
}

// conflicts yields what stands against moving a tenant to a catalog. A toggle that stands as
// it did at the start says nothing, nor does one of an earlier catalog.
func (s *Server) conflicts(r store.Reader, t store.Tenant, ref store.CatalogRef) iter.Seq2[*usherv1.Conflict, error] {
	return func(yield func(*usherv1.Conflict, error) bool) {
		now := s.now()
		all := func(conflicts []policy.Conflict) bool {
			for _, c := range conflicts {
				if !yield(conflictMessage(c, now), nil) {
					return false
				}
			}
			return true
		}
		is, err := s.readCatalog(r, t.Catalog)
		if err != nil {
			yield(nil, err)
			return
		}
		will, err := s.readCatalog(r, ref)
		if err != nil {
			yield(nil, err)
			return
		}
		kept := false
		for held, err := range subjectsOf(r.Assignments(t.ID, store.AssignmentKey{})) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, a := range held {
				kept = kept || will.Keeps(a, now)
			}
			if !all(will.ConflictsOfSubject(held, now)) {
				return
			}
		}
		set, err := r.Toggles(t.ID)
		if err != nil {
			yield(nil, err)
			return
		}
		switched := map[string]bool{}
		for _, toggle := range is.Message().GetToggles() {
			if on, stored := set[toggle.GetName()]; stored && on != toggle.GetStartsOn() {
				switched[toggle.GetName()] = on
			}
		}
		_ = all(will.ConflictsOfToggles(switched)) && all(will.ConflictsOfTenant(kept))
	}
}

func conflictMessage(c policy.Conflict, now time.Time) *usherv1.Conflict {
	m := &usherv1.Conflict{Text: c.Text}
	switch {
	case c.Assignment != nil:
		m.About = &usherv1.Conflict_Assignment{Assignment: assignmentMessage(*c.Assignment, now)}
	case c.Toggle != "":
		m.About = &usherv1.Conflict_Toggle{Toggle: c.Toggle}
	default:
		m.About = &usherv1.Conflict_Tenant{Tenant: true}
	}
	return m
}

// DeleteTenant removes a tenant.
func (o operatorService) DeleteTenant(ctx context.Context, r *usherv1.DeleteTenantRequest) (*usherv1.DeleteTenantResponse, error) {
	if r.GetConfirm() != r.GetTenant() {
		return nil, malformed("confirm", "write the name of the tenant once more, exactly as in tenant")
	}
	var deleted store.Tenant
	committed, err := o.server.store.Commit(ctx, store.Write{
		Tenant: r.GetTenant(), By: asOperator(ctx), Justification: r.GetJustification(),
		Plan: func(reader store.Reader) (_ []store.Change, err error) {
			deleted, err = findTenant(reader, r.GetTenant())
			return []store.Change{store.DeleteTenant{Tenant: deleted.ID}}, err
		},
	})
	if err != nil {
		return nil, err
	}
	err = o.server.store.View(ctx, func(reader store.Reader) (err error) {
		deleted, err = recordedTenant(reader, deleted.Name, deleted.ID)
		return err
	})
	return &usherv1.DeleteTenantResponse{Tenant: tenantMessage(deleted), Revision: committed.Revision.String()}, err
}

// findTenant finds a tenant by its name.
func findTenant(r store.Reader, name string) (store.Tenant, error) {
	t, err := r.Tenant(name)
	if errors.Is(err, store.ErrNotFound) {
		err = noTenantOf(name)
	}
	return t, err
}

// noTenantOf says that there is no tenant of a name, or none that the caller sees.
func noTenantOf(name string) error {
	return &notFoundError{kind: "TENANT", name: name, remedy: "create it with OperatorService.CreateTenant, or correct the name"}
}

// subjectsOf yields the assignments in key order, those of each subject together.
func subjectsOf(assignments iter.Seq2[store.Assignment, error]) iter.Seq2[[]store.Assignment, error] {
	return func(yield func([]store.Assignment, error) bool) {
		var held []store.Assignment
		for a, err := range assignments {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(held) > 0 && held[0].Subject != a.Subject {
				if !yield(held, nil) {
					return
				}
				held = nil
			}
			held = append(held, a)
		}
		if len(held) > 0 {
			yield(held, nil)
		}
	}
}
