package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// importFile writes an export with two tenants and some thousand assignments, and returns its
// name and content.
func importFile(t *testing.T) (name string, content []byte) {
	t.Helper()
	var b bytes.Buffer
	lines := 0
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, format+"\n", args...)
		lines++
	}
	line(`{"usher_export":1}`)
	for _, tenant := range []string{"acme", "globex"} {
		line(`{"tenant":{"name":%q,"catalog":"liveagent","catalog_version":2,"created_at":"2026-01-02T03:04:05Z"}}`, tenant)
		line(`{"assignment":{"subject":"user:mia@desk.example","role":"admin"}}`)
		for i := range 10_000 {
			line(`{"assignment":{"subject":"user:n%06d@desk.example","role":"agent","scope":"department:%d"}}`, i, i%7)
		}
	}
	line(`{"end":{"lines":%d}}`, lines)
	name = filepath.Join(t.TempDir(), "all.jsonl")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name, b.Bytes()
}

// endToEndImportKill kills the server while it takes a file, while it fills tenants and about
// when it shows them. Then there are none of them or all, and the same import goes on to its end.
func endToEndImportKill(t *testing.T, p tools) {
	_, file := importFile(t)
	dir := t.TempDir()
	server := p.serve(t, "--data-dir", dir)
	for what, enough := range map[string]func(*usherv1.ImportResponse) bool{
		"taking":  func(m *usherv1.ImportResponse) bool { return m.GetBytesTaken() > int64(len(file)/2) },
		"filling": func(m *usherv1.ImportResponse) bool { return m.GetLinesFilled() > 12_000 },
		"showing": func(m *usherv1.ImportResponse) bool { return m.GetLinesFilled() > 20_000 },
	} {
		importUntil(t, server, what, file, enough)
		server.stop(syscall.SIGKILL)
		server = p.serve(t, "--data-dir", dir)
		if n := countTenants(t, server); n != 0 && n != 2 {
			t.Fatalf("%s: %d of 2 tenants are there", what, n)
		}
		result := importUntil(t, server, what, file, func(*usherv1.ImportResponse) bool { return false })
		if result.GetTenants() != 2 || result.GetAssignments() != 20_002 || countTenants(t, server) != 2 {
			t.Errorf("%s: going on answers %v", what, result)
		}
		exported := filepath.Join(t.TempDir(), "again.jsonl")
		runProgram(t, p.usher, "export", "globex", "--out", exported, "--address", server.grpc).want(t, 0)
		again, err := os.ReadFile(exported)
		if err != nil || bytes.Count(again, []byte("\n")) != 1+1+1+10_001+1 {
			t.Errorf("%s: there are %d lines, %v", what, bytes.Count(again, []byte("\n")), err)
		}
		// What had been filled before was not filled once more.
		runProgram(t, p.usher, "changes", "--tenant", "globex", "--address", server.grpc).want(t, 0, "with 10001 assignments and 0 toggles")
		runProgram(t, p.usher, "audit", "verify", "--address", server.grpc).want(t, 0, "whole")
		for _, tenant := range []string{"acme", "globex"} {
			runProgram(t, p.usher, "tenant", "delete", tenant, "--confirm", tenant, "--address", server.grpc).want(t, 0)
		}
	}
}

// importUntil imports until enough has been answered, or to the end.
func importUntil(t *testing.T, server *process, id string, file []byte, enough func(*usherv1.ImportResponse) bool) *usherv1.ImportResult {
	t.Helper()
	stream, err := usherv1.NewOperatorServiceClient(dial(t, server.grpc)).Import(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// What can't be sent, Recv explains.
	_ = stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: &usherv1.ImportStart{ImportId: id}}})
	sending := false
	for {
		message, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if message.GetResult() != nil || enough(message) {
			return message.GetResult()
		}
		if !sending {
			sending = true
			rest := file[message.GetBytesTaken():]
			go func() {
				for len(rest) > 0 {
					n := min(len(rest), 64<<10)
					_ = stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Lines{Lines: rest[:n]}})
					rest = rest[n:]
				}
				_ = stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_End{End: &usherv1.ImportEnd{}}})
			}()
		}
	}
}

func countTenants(t *testing.T, server *process) int {
	t.Helper()
	list, err := usherv1.NewOperatorServiceClient(dial(t, server.grpc)).ListTenants(t.Context(), &usherv1.ListTenantsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.GetTenants())
}

// endToEndImportKilledClient kills the command when it has begun, and goes on with its id.
func endToEndImportKilledClient(t *testing.T, p tools) {
	name, _ := importFile(t)
	server := p.serve(t, "--data-dir", t.TempDir())
	cmd := exec.Command(p.usher, "import", name, "--yes", "--address", server.grpc)
	cmd.Env = withoutSettings(os.Environ())
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := ""
	for lines := bufio.NewScanner(stderr); id == "" && lines.Scan(); {
		if _, rest, found := strings.Cut(lines.Text(), "--import-id "); found {
			id = rest
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if id == "" {
		t.Fatal("the command does not say its id")
	}
	result := runProgram(t, p.usher, "import", name, "--import-id", id, "--address", server.grpc)
	for strings.Contains(result.output, "IMPORT_GOES_ON") { // the killed one has not ended yet
		result = runProgram(t, p.usher, "import", name, "--import-id", id, "--address", server.grpc)
	}
	result.want(t, 0, "2 tenants, 20002 assignments")
	if n := countTenants(t, server); n != 2 {
		t.Errorf("%d tenants are there", n)
	}
}
