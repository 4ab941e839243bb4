package server

import (
	"context"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// ListToggles lists the toggles of a tenant.
func (a adminService) ListToggles(ctx context.Context, r *usherv1.ListTogglesRequest) (*usherv1.ListTogglesResponse, error) {
	response := &usherv1.ListTogglesResponse{}
	if r.GetAsOf() != nil {
		err := a.server.store.View(ctx, func(reader store.Reader) error {
			t, err := a.server.readTenant(reader, r.GetTenant(), a.server.now())
			if err != nil {
				return err
			}
			m, err := a.server.momentOf(reader, t.ID, r.GetAsOf())
			if err != nil {
				return err
			}
			table, err := a.server.tableAt(reader, t.Tenant, m)
			if err != nil {
				return err
			}
			response.Toggles = toggleMessages(table)
			response.Revision = store.Revision{Epoch: reader.Revision().Epoch, Number: m.revision}.String()
			return nil
		})
		return response, err
	}
	revision, err := a.server.consistently(ctx, func(f *facts) error {
		t, err := f.tenant(ctx, r.GetTenant())
		if err != nil {
			return err
		}
		response.Toggles = toggleMessages(t.table)
		return nil
	})
	if err != nil {
		return nil, err
	}
	response.Revision = revision.String()
	return response, nil
}

// toggleMessages are the toggles of a catalog, in its order.
func toggleMessages(table *policy.Table) (messages []*usherv1.Toggle) {
	for i, toggle := range table.Catalog().Message().GetToggles() {
		messages = append(messages, &usherv1.Toggle{
			Name:         toggle.GetName(),
			State:        toggleState(table.On(i)),
			Locked:       toggle.GetLocked(),
			InitialState: toggleState(toggle.GetStartsOn()),
			BelongsTo:    toggle.GetBelongsTo(),
			Titles:       toggle.GetTitles(),
		})
	}
	return messages
}

// ListAssignments lists assignments, a page at a time.
func (a adminService) ListAssignments(ctx context.Context, r *usherv1.ListAssignmentsRequest) (*usherv1.ListAssignmentsResponse, error) {
	var response *usherv1.ListAssignmentsResponse
	err := a.server.store.View(ctx, func(reader store.Reader) error {
		now := a.server.now()
		t, err := a.server.readTenant(reader, r.GetTenant(), now)
		if err != nil {
			return err
		}
		table := t.table
		var m moment
		if r.GetAsOf() != nil {
			if m, err = a.server.momentOf(reader, t.ID, r.GetAsOf()); err != nil {
				return err
			}
			if table, err = a.server.tableAt(reader, t.Tenant, m); err != nil {
				return err
			}
		}
		if err := checkNames(table.Catalog(), r.GetRole(), r.GetScope()); err != nil {
			return err
		}
		if r.GetAsOf() != nil {
			response, err = listAssignmentsAt(reader, t.ID, r, m)
		} else {
			response, err = listAssignments(reader, t.ID, r, now)
		}
		return err
	})
	return response, err
}

// checkNames refuses a role or a type of scope that a catalog does not have. Empty is neither.
func checkNames(c *policy.Catalog, role, scope string) error {
	if role != "" {
		if err := c.CheckRole("role", role); err != nil {
			return err
		}
	}
	if scope != "" {
		return c.CheckScope("scope", scope)
	}
	return nil
}
