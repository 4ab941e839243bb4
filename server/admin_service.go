package server

import (
	"context"
	"slices"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// adminService implements usher.v1.AdminService.
type adminService struct {
	usherv1.UnsafeAdminServiceServer
	server *Server
}

// Grant lets a subject hold a role.
func (a adminService) Grant(ctx context.Context, r *usherv1.GrantRequest) (*usherv1.GrantResponse, error) {
	grant := &usherv1.GrantAct{
		Subject: r.GetSubject(), Role: r.GetRole(), Scope: r.GetScope(), StartsAt: r.GetStartsAt(), ExpiresAt: r.GetExpiresAt(),
	}
	w, err := a.server.administer(ctx, r, write{acts: []*usherv1.Act{{Act: &usherv1.Act_Grant{Grant: grant}, ExpectedRevision: r.GetExpectedRevision()}}})
	if err != nil {
		return nil, err
	}
	return &usherv1.GrantResponse{
		Outcome:    outcomeOf(w.Changed),
		Revision:   w.Revision.String(),
		Assignment: assignmentMessage(grantOf(grant), a.server.now()),
		Warnings:   w.warnings,
	}, nil
}

// Revoke takes a role away.
func (a adminService) Revoke(ctx context.Context, r *usherv1.RevokeRequest) (*usherv1.RevokeResponse, error) {
	revoke := &usherv1.RevokeAct{Subject: r.GetSubject(), Role: r.GetRole(), Scope: r.GetScope(), Everywhere: r.GetEverywhere()}
	var remaining []*usherv1.Assignment
	w, err := a.server.administer(ctx, r, write{
		acts: []*usherv1.Act{{Act: &usherv1.Act_Revoke{Revoke: revoke}, ExpectedRevision: r.GetExpectedRevision()}},
		show: func(p *planning) (err error) {
			remaining, err = p.held(r.GetSubject(), "")
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return &usherv1.RevokeResponse{
		Outcome:        outcomeOf(w.Changed),
		Revision:       w.Revision.String(),
		Remaining:      remaining[:min(len(remaining), maxRemaining)],
		RemainingCount: int32(len(remaining)), // #nosec G115 -- as many as a subject holds
		Warnings:       w.warnings,
	}, nil
}

// maxRemaining is how many assignments an answer to a write has, so that it stays below
// the 4 MiB that gRPC clients take.
const maxRemaining = 1_000

// held returns what a subject holds of one role, or ("") of any, without what has ended.
func (p *planning) held(subject, role string) (held []*usherv1.Assignment, err error) {
	for a, err := range p.draft.AssignmentsOf(p.tenant.ID, subject) {
		if err != nil {
			return nil, err
		}
		if !a.Ended(p.now) && (role == "" || a.Role == role) {
			held = append(held, assignmentMessage(a, p.now))
		}
	}
	return held, nil
}

// ChangeRole takes one role from a subject and gives it another one.
func (a adminService) ChangeRole(ctx context.Context, r *usherv1.ChangeRoleRequest) (*usherv1.ChangeRoleResponse, error) {
	change := &usherv1.ChangeRoleAct{
		Subject: r.GetSubject(), From: r.GetFrom(), To: r.GetTo(), Scopes: r.GetScopes(), StartsAt: r.GetStartsAt(), ExpiresAt: r.GetExpiresAt(),
	}
	var held []*usherv1.Assignment
	w, err := a.server.administer(ctx, r, write{
		acts: []*usherv1.Act{{Act: &usherv1.Act_ChangeRole{ChangeRole: change}, ExpectedRevision: r.GetExpectedRevision()}},
		show: func(p *planning) (err error) {
			held, err = p.held(r.GetSubject(), r.GetTo())
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return &usherv1.ChangeRoleResponse{
		Outcome: outcomeOf(w.Changed), Revision: w.Revision.String(), Assignments: held[:min(len(held), maxRemaining)], Warnings: w.warnings,
	}, nil
}

// RemoveSubject takes away everything that a subject holds.
func (a adminService) RemoveSubject(ctx context.Context, r *usherv1.RemoveSubjectRequest) (*usherv1.RemoveSubjectResponse, error) {
	remove := &usherv1.Act_RemoveSubject{RemoveSubject: &usherv1.RemoveSubjectAct{Subject: r.GetSubject()}}
	removed := 0
	w, err := a.server.administer(ctx, r, write{
		acts: []*usherv1.Act{{Act: remove, ExpectedRevision: r.GetExpectedRevision()}},
		show: func(p *planning) error {
			removed = len(p.draft.bySubject[r.GetSubject()])
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &usherv1.RemoveSubjectResponse{
		Outcome: outcomeOf(w.Changed), Revision: w.Revision.String(), RemovedCount: int32(removed), Warnings: w.warnings,
	}, nil
}

// SetToggle switches a toggle.
func (a adminService) SetToggle(ctx context.Context, r *usherv1.SetToggleRequest) (*usherv1.SetToggleResponse, error) {
	set := &usherv1.Act_SetToggle{SetToggle: &usherv1.SetToggleAct{Toggle: r.GetToggle(), State: r.GetState()}}
	w, err := a.server.administer(ctx, r, write{acts: []*usherv1.Act{{Act: set, ExpectedRevision: r.GetExpectedRevision()}}})
	if err != nil {
		return nil, err
	}
	return &usherv1.SetToggleResponse{Outcome: outcomeOf(w.Changed), Revision: w.Revision.String(), Warnings: w.warnings}, nil
}

// BatchWrite does several acts, all or nothing.
func (a adminService) BatchWrite(ctx context.Context, r *usherv1.BatchWriteRequest) (*usherv1.BatchWriteResponse, error) {
	w, err := a.server.administer(ctx, r, write{acts: r.GetActs(), batch: true})
	if err != nil {
		return nil, err
	}
	return &usherv1.BatchWriteResponse{
		Outcome: outcomeOf(w.Changed), Revision: w.Revision.String(), Outcomes: w.outcomes, Warnings: w.warnings,
	}, nil
}

// SetPrimaryAdministrator names the primary administrator.
func (a adminService) SetPrimaryAdministrator(ctx context.Context, r *usherv1.SetPrimaryAdministratorRequest) (*usherv1.SetPrimaryAdministratorResponse, error) {
	w, err := a.server.administer(ctx, r, write{plan: func(p *planning) error {
		held, err := collect(p.draft.AssignmentsOf(p.tenant.ID, r.GetSubject()))
		if err != nil {
			return err
		}
		keeps := slices.ContainsFunc(held, func(a store.Assignment) bool { return p.tenant.table.Catalog().Keeps(a, p.now) })
		changes, err := p.tenant.table.PlanSetPrimary(p.actor, p.tenant.Tenant, r.GetSubject(), keeps)
		p.draft.apply(changes)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return &usherv1.SetPrimaryAdministratorResponse{Outcome: outcomeOf(w.Changed), Revision: w.Revision.String()}, nil
}

// ListRoles lists the roles of the tenant's catalog.
func (a adminService) ListRoles(ctx context.Context, r *usherv1.ListRolesRequest) (*usherv1.ListRolesResponse, error) {
	by, err := behalf(ctx, r)
	if err != nil {
		return nil, err
	}
	response := &usherv1.ListRolesResponse{}
	err = a.server.store.View(ctx, func(reader store.Reader) error {
		p, err := a.server.newPlanning(reader, r.GetTenant(), by, a.server.now())
		if err != nil {
			return err
		}
		response.Revision = reader.Revision().String()
		response.Roles = p.roles(r.GetLocale())
		return nil
	})
	return response, err
}
