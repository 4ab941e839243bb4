package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

var crashRounds = flag.Int("crash-rounds", 5, "how often the server is killed at a random moment")

const (
	crashWriters  = 4
	crashTogether = 3  // subjects that one write gives the role
	crashKept     = 3  // writes of each writer whose subjects have the role
	crashEra      = 25 // rounds on the same data
	crashTenant   = "desk"
)

func crashSubject(writer, number, of int) string {
	return fmt.Sprintf("user:%d-%d-%d@desk.example", writer, number, of)
}

// endToEndCrashRounds kills the server at random moments, under writes and checks. Each write that
// was answered is there, none is there by half, the records of changes are whole, the index has
// what the assignments have, and checks agree with both.
//
// Each writer makes numbered writes. One gives a role to some subjects, and takes it from those of the third
// write before.
func endToEndCrashRounds(t *testing.T, p tools) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed: %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var (
		dir      string
		answered [crashWriters]int // the last write of each writer
		slowest  time.Duration     // start
		total    int
	)
	start := func() (*process, crashClient) {
		began := time.Now()
		server := p.serve(t, "--data-dir", dir)
		slowest = max(slowest, time.Since(began))
		conn := dial(t, server.grpc)
		return server, crashClient{usherv1.NewAdminServiceClient(conn), usherv1.NewDecisionServiceClient(conn), usherv1.NewOperatorServiceClient(conn)}
	}
	var server *process
	var c crashClient
	for round := range *crashRounds {
		if round%crashEra == 0 {
			if server != nil {
				server.stop(syscall.SIGKILL)
			}
			dir, answered = filepath.Join(t.TempDir(), "data"), [crashWriters]int{}
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			server, c = start()
			if _, err := c.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
				Tenant: crashTenant, Catalog: "liveagent", FirstAdministrator: "user:mia@desk.example",
			}); err != nil {
				t.Fatal(err)
			}
		}
		before := answered
		answered = c.writeUntilKilled(t, server, answered, random)
		for w := range answered {
			total += answered[w] - before[w]
		}
		server, c = start()
		var err error
		if answered, err = c.survivors(t.Context(), answered); err == nil {
			err = c.audit(t.Context())
		}
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	t.Logf("%d answered writes in %d rounds; the slowest start took %v", total, *crashRounds, slowest.Round(time.Millisecond))
}

type crashClient struct {
	admin     usherv1.AdminServiceClient
	decisions usherv1.DecisionServiceClient
	operator  usherv1.OperatorServiceClient
}

// writeUntilKilled writes and checks until the server is killed, and returns the last write of
// each writer that was answered.
func (c crashClient) writeUntilKilled(t *testing.T, server *process, last [crashWriters]int, random *rand.Rand) [crashWriters]int {
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for w := range crashWriters {
		wait.Go(func() {
			for c.write(ctx, w, last[w]+1) == nil {
				last[w]++
				if allowed, err := c.allowed(ctx, crashSubject(w, last[w], 0)); err == nil && !allowed {
					t.Errorf("write %d of writer %d was answered, and the next check denies", last[w], w)
				}
			}
		})
	}
	wait.Go(func() {
		for ctx.Err() == nil {
			_, _ = c.allowed(ctx, crashSubject(0, 1, 0))
		}
	})
	time.AfterFunc(time.Duration(random.Int64N(int64(100*time.Millisecond))), func() {
		server.stop(syscall.SIGKILL)
		cancel()
	})
	wait.Wait()
	return last
}

func (c crashClient) write(ctx context.Context, w, number int) error {
	request := &usherv1.BatchWriteRequest{Tenant: crashTenant, By: &usherv1.BatchWriteRequest_Operator{Operator: &usherv1.Operator{}}}
	for of := range crashTogether {
		request.Acts = append(request.Acts, &usherv1.Act{Act: &usherv1.Act_Grant{Grant: &usherv1.GrantAct{Subject: crashSubject(w, number, of), Role: "user"}}})
		if number > crashKept {
			request.Acts = append(request.Acts, &usherv1.Act{Act: &usherv1.Act_Revoke{Revoke: &usherv1.RevokeAct{Subject: crashSubject(w, number-crashKept, of), Role: "user"}}})
		}
	}
	_, err := c.admin.BatchWrite(ctx, request)
	return err
}

func (c crashClient) allowed(ctx context.Context, subject string) (bool, error) {
	answer, err := c.decisions.Check(ctx, &usherv1.CheckRequest{
		Tenant: crashTenant, Subject: subject, Action: "view", Resource: &usherv1.Resource{Type: "account"},
	})
	return answer.GetDecision() == usherv1.Decision_DECISION_ALLOW, err
}

// survivors compares what is there with what was answered, and returns the last write of each
// writer that is there.
func (c crashClient) survivors(ctx context.Context, answered [crashWriters]int) (last [crashWriters]int, err error) {
	all, err := listAssignments(ctx, c.admin, &usherv1.ListAssignmentsRequest{Tenant: crashTenant, PageSize: 1000})
	if err != nil {
		return last, err
	}
	byRole, err := listAssignments(ctx, c.admin, &usherv1.ListAssignmentsRequest{Tenant: crashTenant, Role: "user", PageSize: 1000})
	if err != nil {
		return last, err
	}
	held := map[string]bool{}
	for _, a := range all.GetAssignments() {
		if a.GetRole() == "user" {
			held[a.GetSubject()] = true
		}
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(byRole.GetAssignments()) != len(held) {
		fault("%d assignments, and %d in the index", len(held), len(byRole.GetAssignments()))
	}
	for _, a := range byRole.GetAssignments() {
		if !held[a.GetSubject()] {
			fault("%s is in the index only", a.GetSubject())
		}
	}
	expected := 0
	for w := range last {
		last[w] = answered[w]
		if held[crashSubject(w, answered[w]+1, 0)] {
			last[w]++ // it was made, and the answer did not arrive
		}
		for number := max(1, last[w]-crashKept); number <= last[w]+1; number++ {
			for of := range crashTogether {
				subject := crashSubject(w, number, of)
				want := number <= last[w] && number > last[w]-crashKept
				if want {
					expected++
				}
				allowed, err := c.allowed(ctx, subject)
				if err != nil {
					return last, err
				}
				if held[subject] != want || allowed != want {
					fault("%s: answered was write %d: held %v, allowed %v, and not %v", subject, answered[w], held[subject], allowed, want)
				}
			}
		}
	}
	if len(held) != expected {
		fault("%d assignments, and not %d", len(held), expected)
	}
	return last, errors.Join(faults...)
}

// audit verifies the records of changes.
func (c crashClient) audit(ctx context.Context) error {
	stream, err := c.operator.VerifyChanges(ctx, &usherv1.VerifyChangesRequest{})
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		if len(message.GetFindings()) > 0 {
			return fmt.Errorf("%v", message.GetFindings())
		}
		if message.GetDone() {
			return nil
		}
	}
}
