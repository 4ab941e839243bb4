package server_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// raceRounds is how often each race is run.
const raceRounds = 50

func byOperator() *usherv1.GrantRequest_Operator { return &usherv1.GrantRequest_Operator{} }

// race runs the calls at once, and returns the code of each.
func race(calls ...func() error) []codes.Code {
	outcomes := make([]codes.Code, len(calls))
	var ready, done sync.WaitGroup
	ready.Add(len(calls))
	for i, call := range calls {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			outcomes[i] = status.Code(call())
		})
	}
	done.Wait()
	return outcomes
}

// wantOne checks that exactly one of the calls of a race came through, and that the
// others were refused with a code.
func wantOne(t *testing.T, outcomes []codes.Code, refused codes.Code) {
	t.Helper()
	slices.Sort(outcomes)
	want := slices.Repeat([]codes.Code{refused}, len(outcomes))
	want[0] = codes.OK
	if !slices.Equal(outcomes, want) {
		t.Fatalf("got %v, want %v", outcomes, want)
	}
}

func raceTenant(t *testing.T, h *harness, name, catalog string) {
	t.Helper()
	_, err := h.operator.CreateTenant(context.Background(), &usherv1.CreateTenantRequest{
		Tenant: name, Catalog: catalog, FirstAdministrator: "user:a",
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRaceOfLastAdministrators lets the last two administrators be revoked at once, by
// the operator, and by each other.
func TestRaceOfLastAdministrators(t *testing.T) {
	h := newHarness(t)
	ctx := context.Background()
	raceTenant(t, h, "t", "liveagent")
	grant := func(subject string) {
		_, err := h.admin.Grant(ctx, &usherv1.GrantRequest{Tenant: "t", Subject: subject, Role: "admin", By: byOperator()})
		if err != nil {
			t.Fatal(err)
		}
	}
	for round := range raceRounds {
		grant("user:a")
		grant("user:b")
		revoke := func(subject, other string) func() error {
			r := &usherv1.RevokeRequest{Tenant: "t", Subject: subject, Role: "admin", By: &usherv1.RevokeRequest_Operator{}}
			if round%2 == 0 {
				r.By = &usherv1.RevokeRequest_Actor{Actor: &usherv1.Actor{Subject: other}}
			}
			return func() error {
				_, err := h.admin.Revoke(ctx, r)
				return err
			}
		}
		outcomes := race(revoke("user:a", "user:b"), revoke("user:b", "user:a"))
		if round%2 == 0 {
			// Who was revoked first may no longer revoke.
			wantOne(t, outcomes, codes.PermissionDenied)
		} else {
			wantOne(t, outcomes, codes.FailedPrecondition)
		}
		left, err := h.admin.ListAssignments(ctx, &usherv1.ListAssignmentsRequest{Tenant: "t", Role: "admin"})
		if err != nil || len(left.GetAssignments()) != 1 {
			t.Fatal(left, err)
		}
	}
}

// TestRaceOfExclusiveRoles lets one subject be granted two exclusive roles at once.
func TestRaceOfExclusiveRoles(t *testing.T) {
	h := newHarness(t)
	ctx := context.Background()
	raceTenant(t, h, "t", "expertconnect")
	for round := range raceRounds {
		subject := fmt.Sprintf("user:new-%d", round)
		grant := func(role string) func() error {
			return func() error {
				_, err := h.admin.Grant(ctx, &usherv1.GrantRequest{Tenant: "t", Subject: subject, Role: role, By: byOperator()})
				return err
			}
		}
		wantOne(t, race(grant("advisor"), grant("manager"), grant("internal_employee")), codes.FailedPrecondition)
	}
}

// TestRaceOfEqualWrites lets the same be done twice at once: one changes, the other finds
// it done, and both name a revision at which it is.
func TestRaceOfEqualWrites(t *testing.T) {
	h := newHarness(t)
	ctx := context.Background()
	raceTenant(t, h, "t", "expertconnect")
	for round := range raceRounds {
		outcomes := make([]usherv1.Outcome, 2)
		revisions := make([]string, 2)
		grant := func(i int) func() error {
			return func() error {
				response, err := h.admin.Grant(ctx, &usherv1.GrantRequest{
					Tenant: "t", Subject: fmt.Sprintf("user:%d", round), Role: "advisor", Scope: "team:x", By: byOperator(),
				})
				outcomes[i], revisions[i] = response.GetOutcome(), response.GetRevision()
				return err
			}
		}
		if got := race(grant(0), grant(1)); got[0] != codes.OK || got[1] != codes.OK {
			t.Fatal(got)
		}
		slices.Sort(outcomes)
		if outcomes[0] != usherv1.Outcome_OUTCOME_CHANGED || outcomes[1] != usherv1.Outcome_OUTCOME_UNCHANGED {
			t.Fatal(outcomes)
		}
		if revisions[0] != revisions[1] {
			t.Fatal(revisions)
		}
	}
}

// TestRaceOfTenants lets the same tenant be created three times at once.
func TestRaceOfTenants(t *testing.T) {
	h := newHarness(t)
	for round := range raceRounds {
		create := func(administrator string) func() error {
			return func() error {
				_, err := h.operator.CreateTenant(context.Background(), &usherv1.CreateTenantRequest{
					Tenant: fmt.Sprintf("t-%d", round), Catalog: "liveagent", FirstAdministrator: administrator,
				})
				return err
			}
		}
		wantOne(t, race(create("user:a"), create("user:b"), create("user:c")), codes.AlreadyExists)
	}
}
