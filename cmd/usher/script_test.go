package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"usher": main})
}

// TestScripts runs the sessions in testdata. REPOSITORY is the root of the repository. Beside
// testscript's own commands they have:
//
//	server [FLAG...]   starts a server on $WORK/data, and sets USHER_ADDRESS and HTTP
//	sigterm            ends it, which has to give exit status 0
//	exits N COMMAND... runs a command that has to end with that exit status
//	certificates       writes certificates and keys to $WORK: those of writeCertificates
//	envfile FILE       sets the variables of a file, each NAME=VALUE on a line
func TestScripts(t *testing.T) {
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server":  scriptServer,
			"sigterm": scriptSigterm,
			"exits":   scriptExits,
			"envfile": scriptEnvfile,

			"certificates": scriptCertificates(t),
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPOSITORY", repository)
			env.Values[runningKey{}] = &runningServer{}
			return nil
		},
	})
}

type runningKey struct{}

type runningServer struct{ *process }

func scriptServer(ts *testscript.TestScript, neg bool, flags []string) {
	if neg {
		ts.Fatalf("a server that does not start is written: exits 2 usher serve ...")
	}
	dir := ts.MkAbs("data")
	ts.Check(os.MkdirAll(dir, 0o700))
	p, err := startProcess("usher", append([]string{"--data-dir", dir}, flags...)...)
	ts.Check(err)
	ts.Value(runningKey{}).(*runningServer).process = p
	ts.Defer(func() { p.stop(syscall.SIGTERM) })
	ts.Setenv("USHER_ADDRESS", p.grpc)
	ts.Setenv("HTTP", p.http)
}

func scriptSigterm(ts *testscript.TestScript, _ bool, _ []string) {
	p := ts.Value(runningKey{}).(*runningServer).process
	if status := p.stop(syscall.SIGTERM); status != 0 {
		ts.Fatalf("the server ended with exit status %d\n%s", status, &p.stderr)
	}
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status is %d, want %d", got, want)
	}
}

func scriptEnvfile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: envfile FILE")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if !found {
			ts.Fatalf("%q is no NAME=VALUE", line)
		}
		ts.Setenv(name, value)
	}
}
