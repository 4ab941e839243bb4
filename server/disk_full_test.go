package server_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// TestDiskFull fills the disk under a server. Writes are refused, with a word on when to try again and
// none about the server's files; checks go on, and when there is room writes do.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "24m")
	h := openHarness(t, dir, &clock{now: testTime}, 64<<20)
	h.putCatalog(t, deskCatalog(1, deskAgent))
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "desk", Catalog: "desk", FirstAdministrator: "user:root"}); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	fillDisk(t, ballast)
	answered := 0
	grant := func() error {
		var acts []*usherv1.Act
		for i := range 20 {
			acts = append(acts, actGrant(fmt.Sprintf("user:%d-%d", answered, i), "boss", ""))
		}
		_, err := h.admin.BatchWrite(t.Context(), &usherv1.BatchWriteRequest{Tenant: "desk", Acts: acts, By: &usherv1.BatchWriteRequest_Operator{}})
		if err == nil {
			answered++
		}
		return err
	}
	check := func() {
		t.Helper()
		for n := range answered + 1 {
			answer, err := h.decisions.Check(t.Context(), &usherv1.CheckRequest{
				Tenant: "desk", Subject: fmt.Sprintf("user:%d-19", n), Action: "view", Resource: &usherv1.Resource{Type: "ticket", Id: "1"},
			})
			want := usherv1.Decision_DECISION_ALLOW
			if n == answered {
				want = usherv1.Decision_DECISION_DENY
			}
			if err != nil || answer.GetDecision() != want {
				t.Errorf("write %d of %d that were answered: %v, %v", n, answered, answer.GetDecision(), err)
			}
		}
	}
	err := grant()
	for ; err == nil; err = grant() {
	}
	badCall{code: codes.Unavailable, reason: "STORE_UNAVAILABLE", remedy: "try again"}.compare(t, err)
	if strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "usher.db") {
		t.Errorf("the error names the server's files: %v", err)
	}
	var again time.Duration
	for _, d := range status.Convert(err).Details() {
		if retry, is := d.(*errdetails.RetryInfo); is {
			again = retry.GetRetryDelay().AsDuration()
		}
	}
	if again <= 0 || again > time.Minute {
		t.Errorf("to be tried again after %v: %v", again, err)
	}
	if h.store.WriteFailure() == nil {
		t.Error("the store says that it takes writes")
	}
	check()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	// As a client would do it.
	for deadline := time.Now().Add(time.Minute); ; {
		if err = grant(); err == nil || time.Now().After(deadline) {
			break
		}
		<-time.After(again)
	}
	if err != nil {
		t.Errorf("there is room again: %v", err)
	}
	check()
}

// smallDisk mounts a disk in memory. What is opened on it has to be closed by later cleanups.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("usher-test", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("tmpfs can't be mounted, and has to be in CI: %v", err)
		}
		t.Skipf("SKIPPED: tmpfs can't be mounted: %v; run it as root on Linux", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk makes a file that takes all the room that there is.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
