package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// TestListsAreWhole lists more than the server answers on one page.
func TestListsAreWhole(t *testing.T) {
	p, err := startProcess("usher", "--demo", "--data-dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(syscall.SIGTERM) })
	const many = 1100
	admin := usherv1.NewAdminServiceClient(dial(t, p.grpc))
	var wait sync.WaitGroup
	for n := range 22 {
		wait.Go(func() {
			for i := n; i < many; i += 22 {
				if err := write(t.Context(), admin, fmt.Sprintf("user:%04d@desk.example", i), true); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	const demo = 2 // Wendy and Xaver
	usher := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("usher", append(args, "--address", p.grpc)...)
		cmd.Env = withoutSettings(os.Environ())
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		return string(out)
	}
	for output, mark := range map[string]string{"table": "\nuser:", "json": `"role": "user"`} {
		out := usher("assignments", "--tenant", "demo-desk", "--role", "user", "-o", output)
		if got := strings.Count(out, mark); got != many+demo {
			t.Errorf("as %s: %d assignments, want %d", output, got, many+demo)
		}
	}

	// A version of the catalog in which users may not view the account.
	catalog := strings.Replace(usher("catalog", "show", "liveagent", "--yaml"), "\nversion: 2\n", "\nversion: 3\n", 1)
	start, user, _ := strings.Cut(catalog, "\n  - name: user\n")
	user = strings.Replace(user, "      - {allow: [account:view], reach: tenant}\n", "", 1)
	file := filepath.Join(t.TempDir(), "two.yaml")
	if err := os.WriteFile(file, []byte(start+"\n  - name: user\n"+user), 0o600); err != nil {
		t.Fatal(err)
	}
	usher("catalog", "put", "--unproved", file) // it states that users view accounts
	out := usher("preview", "catalog", "3", "--tenant", "demo-desk", "--as-operator")
	if got := strings.Count(out, " loses   account:view "); got != many+demo {
		t.Errorf("%d subjects lose account:view, want %d:\n%.300s", got, many+demo, out)
	}
}

// TestRevokeSaysHowMuchIsLeft lets somebody hold more than a revoke answers.
func TestRevokeSaysHowMuchIsLeft(t *testing.T) {
	p, err := startProcess("usher", "--demo", "--data-dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(syscall.SIGTERM) })
	usher := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command("usher", append(args, "--as-operator", "--address", p.grpc)...)
		cmd.Env = withoutSettings(os.Environ())
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for batch, size := range []int{1000, 2} {
		var text strings.Builder
		text.WriteString("tenant: demo-desk\nacts:\n")
		for n := range size {
			fmt.Fprintf(&text, "  - {grant: 'user:a@desk.example', role: agent, scope: 'department:%d-%d'}\n", batch, n)
		}
		usher(text.String(), "apply", "-", "--yes")
	}
	out := usher("", "revoke", "user:a@desk.example", "agent", "--scope", "department:0-0", "--tenant", "demo-desk")
	if got := strings.Count(out, "\nuser:a@desk.example"); got != 1000 || !strings.Contains(out, "\nand 1 more: ") {
		t.Errorf("%d assignments are listed, and then:\n%s", got, out[max(0, len(out)-200):])
	}
}

func TestAllPagesEnds(t *testing.T) {
	calls := 0
	err := allPages(func(string) (string, error) {
		calls++
		return "again", nil
	})
	if err == nil || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
