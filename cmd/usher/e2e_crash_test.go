package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// endToEndRestart changes something, stops the server and asks the next one.
func endToEndRestart(t *testing.T, p tools) {
	dir := t.TempDir()
	first := p.serve(t, "--data-dir", dir)
	runProgram(t, p.usher, "tenant", "create", "acme", "--catalog", "liveagent",
		"--first-administrator", "user:mia@acme.example", "--address", first.grpc).want(t, 0, "created  acme")
	if status := first.stop(syscall.SIGINT); status != 0 {
		t.Errorf("after SIGINT the exit status is %d\n%s", status, &first.stderr)
	}
	second := p.serve(t, "--data-dir", dir)
	runProgram(t, p.usher, "check", "user:mia@acme.example", "open", "configuration", "--tenant", "acme",
		"--address", second.grpc).want(t, 0, "GRANTED")
}

// endToEndKill kills the server while eight writers grant and revoke. What was answered
// has to be there afterwards; of what was not, each writer has one act under way at most.
func endToEndKill(t *testing.T, p tools) {
	dir := t.TempDir()
	server := p.serve(t, "--demo", "--data-dir", dir)
	const writers, enough = 8, 300
	var (
		acknowledged sync.Map // subject → whether the role is held
		answers      = make(chan struct{}, writers)
		wait         sync.WaitGroup
	)
	admin := usherv1.NewAdminServiceClient(dial(t, server.grpc))
	for n := range writers {
		wait.Go(func() {
			for i := 0; ; i++ {
				subject := fmt.Sprintf("user:%d-%d@desk.example", n, i/2)
				if write(t.Context(), admin, subject, i%2 == 0 || i%6 == 5) != nil {
					acknowledged.Delete(subject) // it may be either way
					return
				}
				acknowledged.Store(subject, i%2 == 0 || i%6 == 5)
				answers <- struct{}{}
			}
		})
	}
	for range enough {
		<-answers
	}
	go func() {
		for range answers { // so that no writer stands still
		}
	}()
	server.stop(syscall.SIGKILL)
	wait.Wait()
	close(answers)

	again := p.serve(t, "--data-dir", dir)
	list, err := listAssignments(t.Context(), usherv1.NewAdminServiceClient(dial(t, again.grpc)),
		&usherv1.ListAssignmentsRequest{Tenant: "demo-desk", Role: "user"})
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]bool{}
	for _, a := range list.GetAssignments() {
		held[a.GetSubject()] = true
	}
	acknowledged.Range(func(subject, want any) bool {
		if held[subject.(string)] != want.(bool) {
			t.Errorf("%s: held %v, but acknowledged was %v", subject, held[subject.(string)], want)
		}
		return true
	})
}

// write lets the subject hold the role user, or not.
func write(ctx context.Context, admin usherv1.AdminServiceClient, subject string, hold bool) error {
	if hold {
		_, err := admin.Grant(ctx, &usherv1.GrantRequest{Tenant: "demo-desk", Subject: subject, Role: "user",
			By: &usherv1.GrantRequest_Operator{Operator: &usherv1.Operator{}}})
		return err
	}
	_, err := admin.Revoke(ctx, &usherv1.RevokeRequest{Tenant: "demo-desk", Subject: subject, Role: "user",
		By: &usherv1.RevokeRequest_Operator{Operator: &usherv1.Operator{}}})
	return err
}

// endToEndStaleSocket leaves the socket of a killed server behind.
func endToEndStaleSocket(t *testing.T, p tools) {
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "usher.sock")
	p.serve(t, "--data-dir", dir, "--unix-socket", socket).stop(syscall.SIGKILL)
	again := p.serve(t, "--data-dir", dir, "--unix-socket", socket)
	runProgram(t, p.usher, "catalog", "list", "--address", again.unix).want(t, 0, "liveagent")
}
