package main

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// actor is on whose behalf the demo's tenant is filled: as in life, its administrator.
func (t *demoTenant) actor() *usherv1.Actor {
	return &usherv1.Actor{Subject: t.FirstAdministrator}
}

func (m *demoMember) hire(ctx context.Context, admin usherv1.AdminServiceClient, t *demoTenant) error {
	req := &usherv1.GrantRequest{
		Tenant: t.Name, Subject: m.Subject, Role: m.Role,
		By:            &usherv1.GrantRequest_Actor{Actor: t.actor()},
		Justification: "staff of the demo",
	}
	now := time.Now()
	if m.From != 0 {
		req.StartsAt = timestamppb.New(now.Add(m.From))
	}
	if m.Until != 0 {
		req.ExpiresAt = timestamppb.New(now.Add(m.Until))
	}
	scopes := m.Scopes
	if len(scopes) == 0 {
		scopes = []string{""}
	}
	for _, req.Scope = range scopes {
		if _, err := admin.Grant(ctx, req); err != nil {
			return err
		}
	}
	return nil
}

func (t *demoTenant) set(ctx context.Context, admin usherv1.AdminServiceClient, toggle, state string) error {
	_, err := admin.SetToggle(ctx, &usherv1.SetToggleRequest{
		Tenant: t.Name, Toggle: toggle,
		State: usherv1.ToggleState(usherv1.ToggleState_value["TOGGLE_STATE_"+strings.ToUpper(state)]),
		By:    &usherv1.SetToggleRequest_Actor{Actor: t.actor()},
	})
	return err
}
