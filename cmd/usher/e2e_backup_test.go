package main

import (
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// endToEndBackup makes a backup while eight writers grant, loses the data, restores the backup and
// starts a server on it: what was acknowledged before the backup began is there, and the file and
// its chains are whole.
func endToEndBackup(t *testing.T, p tools) {
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "usher.backup")
	server := p.serve(t, "--demo", "--data-dir", dir)
	admin := usherv1.NewAdminServiceClient(dial(t, server.grpc))
	const writers, enough = 8, 100
	var (
		acknowledged sync.Map
		answers      = make(chan struct{}, writers)
		stop         = make(chan struct{})
		wait         sync.WaitGroup
	)
	for n := range writers {
		wait.Go(func() {
			for i := 0; ; i++ {
				subject := fmt.Sprintf("user:%d-%d@desk.example", n, i)
				if err := write(t.Context(), admin, subject, true); err != nil {
					t.Error(err)
					return
				}
				acknowledged.Store(subject, true)
				select {
				case answers <- struct{}{}:
				case <-stop:
					return
				}
			}
		})
	}
	for range enough {
		<-answers
	}
	before := map[string]bool{}
	acknowledged.Range(func(subject, _ any) bool {
		before[subject.(string)] = true
		return true
	})
	made := make(chan result)
	go func() { made <- runProgram(t, p.usher, "backup", backup, "--address", server.grpc) }()
	var answer result
	for done := false; !done; {
		select {
		case answer = <-made:
			done = true
		case <-answers:
		}
	}
	close(stop)
	wait.Wait()
	answer.want(t, 0, "backed up  "+backup)
	if status := server.stop(syscall.SIGKILL); status != -1 {
		t.Errorf("exit status %d", status)
	}
	runProgram(t, p.usher, "store", "check", backup).want(t, 0, "whole  "+backup)
	runProgram(t, p.usher, "restore", backup, "--data-dir", dir).want(t, 2, "what is there would be lost", "--force")
	runProgram(t, p.usher, "restore", backup, "--data-dir", dir, "--force").want(t, 0, "restored  ", "kept  the file that was there")
	runProgram(t, p.usher, "store", "compact", "--data-dir", dir).want(t, 0, "compacted  ")
	again := p.serve(t, "--data-dir", dir)
	list, err := listAssignments(t.Context(), usherv1.NewAdminServiceClient(dial(t, again.grpc)),
		&usherv1.ListAssignmentsRequest{Tenant: "demo-desk", Role: "user"})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list.GetAssignments() {
		delete(before, a.GetSubject())
	}
	if len(before) > 0 {
		t.Errorf("not in the backup, but acknowledged before it began: %v", before)
	}
	runProgram(t, p.usher, "audit", "verify", "--address", again.grpc).want(t, 0, "whole ")
	runProgram(t, p.usher, "store", "check", "--data-dir", dir).want(t, 2, "in use by another process")
}
