package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// TestFollowGoesOnAfterACut stops the server under a `usher changes --follow`: it shows every
// change once, in order, whether made before, between or after.
func TestFollowGoesOnAfterACut(t *testing.T) {
	dir := t.TempDir()
	// A path in the test's directory may be too long for a socket.
	sockets, err := os.MkdirTemp("", "usher-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	socket := filepath.Join(sockets, "s")
	serve := func() *process {
		t.Helper()
		p, err := startProcess("usher", "--demo", "--data-dir", dir, "--unix-socket", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.stop(syscall.SIGKILL) })
		return p
	}
	change := func(p *process, n int) {
		t.Helper()
		subject := fmt.Sprintf("user:%d@desk.example", n)
		if err := write(t.Context(), usherv1.NewAdminServiceClient(dial(t, p.grpc)), subject, true); err != nil {
			t.Fatal(err)
		}
	}

	server := serve()
	change(server, 0)
	follow := exec.Command("usher", "changes", "--follow", "--since", "1h", "--kind", "assignment_set", "--tenant", "demo-desk",
		"--address", "unix://"+socket)
	follow.Env = withoutSettings(os.Environ())
	follow.Stderr = os.Stderr
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		follow.Process.Kill()
		follow.Wait()
	})
	lines := bufio.NewScanner(out)
	expect := func(n int) {
		t.Helper()
		for lines.Scan() {
			found := numbered.FindStringSubmatch(lines.Text())
			switch {
			case found == nil: // of the demo
			case found[1] == strconv.Itoa(n):
				return
			default:
				t.Fatalf("want change %d, got: %s", n, lines.Text())
			}
		}
		t.Fatalf("the output ends before change %d: %v", n, lines.Err())
	}
	expect(0)

	// It is cut while it waits.
	change(server, 1)
	expect(1)
	server.stop(syscall.SIGKILL)
	server = serve()
	change(server, 2)
	expect(2)

	// It is cut with a change on the way, and by a server that stops in good order.
	change(server, 3)
	server.stop(syscall.SIGTERM)
	server = serve()
	change(server, 4)
	expect(3)
	expect(4)
}

// numbered finds the changes that the test has made.
var numbered = regexp.MustCompile(` granted user:(\d+)@`)
