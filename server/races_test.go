package server_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

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

// TestRaceOfRevokeAndShortening takes away one of the last two administrators while the
// other is given an end or a later start: one who holds it now and without an end is left.
func TestRaceOfRevokeAndShortening(t *testing.T) {
	h := newHarness(t)
	ctx := context.Background()
	raceTenant(t, h, "t", "liveagent")
	later := timestamppb.New(testTime.Add(time.Hour))
	for round := range raceRounds {
		for _, subject := range []string{"user:a", "user:b"} {
			if _, err := h.admin.Grant(ctx, &usherv1.GrantRequest{Tenant: "t", Subject: subject, Role: "admin", By: byOperator()}); err != nil {
				t.Fatal(err)
			}
		}
		shortening := &usherv1.GrantRequest{Tenant: "t", Subject: "user:b", Role: "admin", By: byOperator(), ExpiresAt: later}
		if round%2 == 0 {
			shortening.StartsAt, shortening.ExpiresAt = later, nil
		}
		wantOne(t, race(
			func() error {
				_, err := h.admin.Revoke(ctx, &usherv1.RevokeRequest{Tenant: "t", Subject: "user:a", Role: "admin", By: &usherv1.RevokeRequest_Operator{}})
				return err
			},
			func() error {
				_, err := h.admin.Grant(ctx, shortening)
				return err
			},
		), codes.FailedPrecondition)
		left, err := h.admin.ListAssignments(ctx, &usherv1.ListAssignmentsRequest{Tenant: "t", Role: "admin"})
		if err != nil || !slices.ContainsFunc(left.GetAssignments(), func(a *usherv1.Assignment) bool {
			return a.GetState() == usherv1.AssignmentState_ASSIGNMENT_STATE_ACTIVE && a.GetExpiresAt() == nil
		}) {
			t.Fatal(left, err)
		}
	}
}

// TestRaceOfIntervals lets one subject be granted two exclusive roles at once, each for a
// time. They exclude each other if the times overlap, by a nanosecond too. What has ended
// excludes nothing.
func TestRaceOfIntervals(t *testing.T) {
	h := newHarness(t)
	ctx := context.Background()
	raceTenant(t, h, "t", "expertconnect")
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(testTime.Add(d)) }
	grant := func(subject, role string, starts, ends *timestamppb.Timestamp) func() error {
		return func() error {
			_, err := h.admin.Grant(ctx, &usherv1.GrantRequest{
				Tenant: "t", Subject: subject, Role: role, StartsAt: starts, ExpiresAt: ends, By: byOperator(),
			})
			return err
		}
	}
	for round := range raceRounds {
		// Everybody has been a manager until an hour ago.
		h.clock.Set(testTime.Add(-2 * time.Hour))
		for _, subject := range []string{"user:apart", "user:near", "user:later"} {
			if err := grant(fmt.Sprint(subject, round), "manager", nil, at(-time.Hour))(); err != nil {
				t.Fatal(err)
			}
		}
		h.clock.Set(testTime)
		apart, near, later := fmt.Sprint("user:apart", round), fmt.Sprint("user:near", round), fmt.Sprint("user:later", round)

		both := race(grant(apart, "advisor", nil, at(time.Hour)), grant(apart, "view_only", at(time.Hour), nil))
		if both[0] != codes.OK || both[1] != codes.OK {
			t.Fatalf("one after the other: got %v, want both", both)
		}
		wantOne(t, race(
			grant(near, "advisor", nil, at(time.Hour)),
			grant(near, "view_only", at(time.Hour-time.Nanosecond), nil),
		), codes.FailedPrecondition)
		wantOne(t, race(
			grant(later, "advisor", at(time.Hour), nil),
			grant(later, "internal_employee", at(2*time.Hour), at(3*time.Hour)),
		), codes.FailedPrecondition)
	}
}

// TestRaceOfTransition lets advisor and view_only be granted at once. Which rule refuses
// the second depends on which was first: a change from advisor to view_only has a rule of
// its own.
func TestRaceOfTransition(t *testing.T) {
	h := newHarness(t)
	ctx := context.Background()
	raceTenant(t, h, "t", "expertconnect")
	roles := []string{"advisor", "view_only"}
	refusals := []string{"ONE_ROLE_ONLY", "TRANSITION_REFUSED"} // of the grant of each
	for round := range raceRounds {
		subject := fmt.Sprint("user:", round)
		failures := make([]error, 2)
		grant := func(i int) func() error {
			return func() error {
				_, failures[i] = h.admin.Grant(ctx, &usherv1.GrantRequest{Tenant: "t", Subject: subject, Role: roles[i], By: byOperator()})
				return failures[i]
			}
		}
		wantOne(t, race(grant(0), grant(1)), codes.FailedPrecondition)
		held, err := h.admin.ListAssignments(ctx, &usherv1.ListAssignmentsRequest{Tenant: "t", Subject: subject})
		if err != nil || len(held.GetAssignments()) != 1 {
			t.Fatal(held, err)
		}
		for i, failure := range failures {
			if failure == nil {
				if held.GetAssignments()[0].GetRole() != roles[i] {
					t.Fatalf("%s was granted, and there is %v", roles[i], held)
				}
				continue
			}
			for _, detail := range status.Convert(failure).Details() {
				if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() != refusals[i] {
					t.Fatalf("%s second: got %v, want %s", roles[i], failure, refusals[i])
				}
			}
		}
	}
}

// TestRaceOfCatalogs lets a version of a catalog be put at once: with other content one
// of two is refused, with the same content one finds it done.
func TestRaceOfCatalogs(t *testing.T) {
	h := newHarness(t)
	put := func(name, title string, outcome *usherv1.Outcome) func() error {
		return func() error {
			response, err := h.operator.PutCatalog(context.Background(), &usherv1.PutCatalogRequest{Yaml: fmt.Sprintf(
				"{name: %s, version: 1, titles: {en: %s}, holders: [user], administration: {protected_role: admin}, "+
					"roles: [{name: admin, rules: [{allow: [role:grant], reach: tenant}]}]}\n", name, title)})
			*outcome = response.GetOutcome()
			return err
		}
	}
	for round := range raceRounds {
		var outcomes [2]usherv1.Outcome
		different, same := fmt.Sprint("different", round), fmt.Sprint("same", round)
		wantOne(t, race(put(different, "One", &outcomes[0]), put(different, "Two", &outcomes[1])), codes.FailedPrecondition)
		got := race(put(same, "One", &outcomes[0]), put(same, "One", &outcomes[1]))
		slices.Sort(outcomes[:])
		if got[0] != codes.OK || got[1] != codes.OK ||
			outcomes != [2]usherv1.Outcome{usherv1.Outcome_OUTCOME_CHANGED, usherv1.Outcome_OUTCOME_UNCHANGED} {
			t.Fatalf("the same twice: got %v, %v", got, outcomes)
		}
	}
}
