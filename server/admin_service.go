package server

import (
	"context"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// adminService implements usher.v1.AdminService.
type adminService struct {
	usherv1.UnsafeAdminServiceServer
	server *Server
}

// Grant lets a subject hold a role.
func (a adminService) Grant(ctx context.Context, r *usherv1.GrantRequest) (*usherv1.GrantResponse, error) {
	by, err := behalf(r)
	if err != nil {
		return nil, err
	}
	now := a.server.now()
	grant := store.Assignment{
		AssignmentKey: store.AssignmentKey{Subject: r.GetSubject(), Role: r.GetRole(), Scope: r.GetScope()},
		Interval:      store.Interval{Start: timeOf(r.GetStartsAt()), End: timeOf(r.GetExpiresAt())},
	}
	if err := checkInterval(grant.Interval, now); err != nil {
		return nil, err
	}
	committed, err := a.server.commit(ctx, r.GetTenant(), by, r.GetJustification(), func(w *planning) ([]store.Change, error) {
		if err := w.checkNames(r.GetRole(), r.GetScope()); err != nil {
			return nil, err
		}
		s, err := w.subject(r.GetSubject(), r.GetRole(), now)
		if err != nil {
			return nil, err
		}
		return w.tenant.table.PlanGrant(w.actor, s, grant, now)
	}, now)
	if err != nil {
		return nil, err
	}
	return &usherv1.GrantResponse{
		Outcome:    outcomeOf(committed),
		Revision:   committed.Revision.String(),
		Assignment: assignmentMessage(grant, now),
	}, nil
}

// Revoke takes a role away.
func (a adminService) Revoke(ctx context.Context, r *usherv1.RevokeRequest) (*usherv1.RevokeResponse, error) {
	by, err := behalf(r)
	if err != nil {
		return nil, err
	}
	if r.GetEverywhere() && r.GetScope() != "" {
		return nil, malformed("everywhere", "name a scope or say everywhere, not both")
	}
	now := a.server.now()
	var remaining []*usherv1.Assignment
	committed, err := a.server.commit(ctx, r.GetTenant(), by, r.GetJustification(), func(w *planning) ([]store.Change, error) {
		if err := w.checkNames(r.GetRole(), r.GetScope()); err != nil {
			return nil, err
		}
		s, err := w.subject(r.GetSubject(), r.GetRole(), now)
		if err != nil {
			return nil, err
		}
		changes, err := w.tenant.table.PlanRevoke(w.actor, s, r.GetRole(), r.GetScope(), r.GetEverywhere(), now)
		remaining = remainingAfter(s.Held, changes, now)
		return changes, err
	}, now)
	if err != nil {
		return nil, err
	}
	return &usherv1.RevokeResponse{
		Outcome:        outcomeOf(committed),
		Revision:       committed.Revision.String(),
		Remaining:      remaining[:min(len(remaining), maxRemaining)],
		RemainingCount: int32(len(remaining)),
	}, nil
}

// maxRemaining is how many assignments a revoke answers with, so that the answer stays
// below the 4 MiB that gRPC clients take.
const maxRemaining = 1_000

// SetToggle switches a toggle.
func (a adminService) SetToggle(ctx context.Context, r *usherv1.SetToggleRequest) (*usherv1.SetToggleResponse, error) {
	by, err := behalf(r)
	if err != nil {
		return nil, err
	}
	on := r.GetState() == usherv1.ToggleState_TOGGLE_STATE_ON
	committed, err := a.server.commit(ctx, r.GetTenant(), by, r.GetJustification(), func(w *planning) ([]store.Change, error) {
		if err := w.tenant.table.Catalog().CheckToggle("toggle", r.GetToggle()); err != nil {
			return nil, err
		}
		return w.tenant.table.PlanToggle(w.actor, w.tenant.ID, r.GetToggle(), on)
	}, a.server.now())
	if err != nil {
		return nil, err
	}
	return &usherv1.SetToggleResponse{Outcome: outcomeOf(committed), Revision: committed.Revision.String()}, nil
}

// planning is what the plan of a write knows.
type planning struct {
	reader store.Reader
	tenant *tenant
	actor  policy.Actor
}

// commit makes a write in a tenant. The plan may run more than once.
func (s *Server) commit(ctx context.Context, tenantName string, by store.By, justification string,
	plan func(*planning) ([]store.Change, error), now time.Time,
) (store.Committed, error) {
	return s.store.Commit(ctx, store.Write{
		Tenant:        tenantName,
		By:            by,
		Justification: justification,
		Plan: func(r store.Reader) ([]store.Change, error) {
			t, err := s.readTenant(r, tenantName, now)
			if err != nil {
				return nil, err
			}
			w := &planning{reader: r, tenant: t}
			if w.actor, err = readActor(r, t, by, now); err != nil {
				return nil, err
			}
			return plan(w)
		},
	})
}

func readActor(r store.Reader, t *tenant, by store.By, now time.Time) (policy.Actor, error) {
	actor := policy.Actor{Operator: by.Operator, Subject: by.Subject, Groups: by.Groups}
	if by.Operator {
		return actor, nil
	}
	for _, name := range append([]string{by.Subject}, by.Groups...) {
		h, err := readHolder(r, t, name, now)
		if err != nil {
			return policy.Actor{}, err
		}
		actor.Holders = append(actor.Holders, h)
	}
	return actor, nil
}

func (w *planning) checkNames(role, scope string) error {
	if err := w.tenant.table.Catalog().CheckRole("role", role); err != nil {
		return err
	}
	if scope == "" {
		return nil
	}
	return w.tenant.table.Catalog().CheckScope("scope", scope)
}

// subject reads what has to be known of a subject to administer a role of it.
func (w *planning) subject(name, role string, now time.Time) (policy.Subject, error) {
	s := policy.Subject{Tenant: w.tenant.ID, Name: name}
	var err error
	if s.Held, err = collect(w.reader.AssignmentsOf(w.tenant.ID, name)); err != nil {
		return s, err
	}
	catalog := w.tenant.table.Catalog()
	if role != catalog.ProtectedRole() {
		return s, nil
	}
	for a, err := range w.reader.AssignmentsByRole(w.tenant.ID, role, store.AssignmentKey{}) {
		if err != nil {
			return s, err
		}
		if a.Subject != name && catalog.Keeps(a, now) {
			s.OthersKeep = true
			break
		}
		if a.Scope != "" {
			break // only those in the tenant count, and they come first
		}
	}
	return s, nil
}

// behalf reads on whose behalf a write is made.
func behalf(r interface {
	GetActor() *usherv1.Actor
	GetOperator() *usherv1.Operator
}) (store.By, error) {
	switch {
	case r.GetOperator() != nil:
		return store.By{Operator: true}, nil
	case r.GetActor() != nil:
		return store.By{Subject: r.GetActor().GetSubject(), Groups: r.GetActor().GetGroups()}, nil
	}
	return store.By{}, invalid("by", reasonActorRequired, "say on whose behalf: set actor (who asks for the change) or operator (the installation's own staff)")
}

// checkInterval refuses what could never be in force.
func checkInterval(i store.Interval, now time.Time) error {
	switch {
	case i.End.IsZero():
	case i.Ended(now):
		return malformed("expires_at", "it has to lie in the future; to end an assignment now, revoke it")
	case !i.Start.IsZero() && !i.Start.Before(i.End):
		return malformed("expires_at", "it has to lie after starts_at")
	}
	return nil
}

func outcomeOf(c store.Committed) usherv1.Outcome {
	if c.Changed {
		return usherv1.Outcome_OUTCOME_CHANGED
	}
	return usherv1.Outcome_OUTCOME_UNCHANGED
}

// remainingAfter returns what is left of assignments that have not ended.
func remainingAfter(held []store.Assignment, changes []store.Change, now time.Time) []*usherv1.Assignment {
	removed := map[store.AssignmentKey]bool{}
	for _, c := range changes {
		if r, ok := c.(store.RemoveAssignment); ok {
			removed[r.Key] = true
		}
	}
	var remaining []*usherv1.Assignment
	for _, a := range held {
		if !removed[a.AssignmentKey] && !a.Ended(now) {
			remaining = append(remaining, assignmentMessage(a, now))
		}
	}
	return remaining
}
