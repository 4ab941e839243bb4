package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// refuses runs a server that must not start, and returns what it says.
func (p tools) refuses(t *testing.T, args ...string) result {
	t.Helper()
	server, err := startProcess(p.usher, args...)
	if err == nil {
		server.stop(syscall.SIGKILL)
		t.Fatalf("usher serve %q has started", args)
	}
	text := err.Error()
	status := -1
	if strings.HasPrefix(text, "exit status 2\n") {
		status = 2
	}
	return result{output: text, status: status}
}

func endToEndSecondServer(t *testing.T, p tools) {
	dir := t.TempDir()
	first := p.serve(t, "--data-dir", dir)
	p.refuses(t, "--data-dir", dir).want(t, 2, filepath.Join(dir, "usher.db"), "in use by another process")
	runProgram(t, p.usher, "tenant", "list", "--address", first.grpc).want(t, 0)
	p.refuses(t, "--data-dir", dir, "--grpc-address", "0.0.0.0:0").want(t, 2, "not a loopback address", "127.0.0.1:0")
}

func endToEndDataDirectory(t *testing.T, p tools) {
	missing := filepath.Join(t.TempDir(), "missing")
	p.refuses(t, "--data-dir", missing).want(t, 2, "the directory "+missing+" is not there", "mkdir -p "+missing)

	cut := t.TempDir()
	p.serve(t, "--data-dir", cut).stop(syscall.SIGTERM)
	if err := os.Truncate(filepath.Join(cut, "usher.db"), 5000); err != nil {
		t.Fatal(err)
	}
	p.refuses(t, "--data-dir", cut).want(t, 2, "damaged", "usher.db")

	t.Run("ReadOnly", func(t *testing.T) { refusesReadOnly(t, p) })
}

// refusesReadOnly runs the server as a user who may not write. As root, to whom modes mean
// nothing, it becomes somebody else.
func refusesReadOnly(t *testing.T, p tools) {
	// Not below t.TempDir, into which that user can't go.
	dir, err := os.MkdirTemp("", "usher-read-only-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "usher")
	copyFile(t, p.usher, binary)
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--data-dir", dir, "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, _ := cmd.CombinedOutput()
	result{output: string(out), status: cmd.ProcessState.ExitCode()}.want(t, 2, dir, "permission denied", "has to own the data directory")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// endToEndBadInput sends what is wrong, and asks after each whether the server goes on.
func endToEndBadInput(t *testing.T, p tools) {
	server := p.serve(t, "--demo", "--data-dir", t.TempDir())
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("name: broken\nversion: 1\nroles: nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	usher := func(args ...string) result { return runProgram(t, p.usher, args...) }
	grpcurl := func(data, method string) result {
		return runProgram(t, p.grpcurl, "-plaintext", "-max-msg-sz", "100000000", "-d", data, server.grpc, method)
	}
	check := func(subject, scopes, attributes string) string {
		return `{"tenant": "demo-dealer", "subject": "` + subject + `", "action": "view",
			"resource": {"type": "ticket", "scopes": [` + scopes + `], "attributes": {` + attributes + `}}}`
	}
	const method = "usher.v1.DecisionService/Check"
	for name, test := range map[string]struct {
		got   result
		exit  int
		texts []string
	}{
		"broken catalog, put":       {usher("catalog", "put", broken, "--address", server.grpc), 2, []string{":3:8 ", "INVALID_CATALOG"}},
		"broken catalog, validated": {usher("catalog", "validate", broken), 2, []string{broken + ":3:8 "}},
		"no subject":                {grpcurl(check("", "", ""), method), 67, []string{"InvalidArgument", "subject"}},
		"oversized subject":         {grpcurl(check("user:"+strings.Repeat("a", 300), "", ""), method), 67, []string{"InvalidArgument", "subject"}},
		"control character":         {grpcurl(check(`user:a\u0007`, "", ""), method), 67, []string{"InvalidArgument", "subject"}},
		"too many scopes":           {grpcurl(check("user:a", strings.Repeat(`"team:a",`, 9999)+`"team:a"`, ""), method), 67, []string{"InvalidArgument", "scopes"}},
		"negative page size": {grpcurl(`{"tenant": "demo-dealer", "page_size": -1}`, "usher.v1.AdminService/ListAssignments"), 67,
			[]string{"InvalidArgument", "page_size"}},
		"foreign page token": {grpcurl(`{"page_token": "bm9uc2Vuc2U="}`, "usher.v1.OperatorService/ListTenants"), 67,
			[]string{"InvalidArgument", "page_token"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.got.want(t, test.exit, test.texts...)
		})
	}
	usher("tenant", "list", "--address", server.grpc).want(t, 0, "demo-dealer")
}
