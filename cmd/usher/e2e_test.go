package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestEndToEnd drives the built binary as its users do: with grpcurl and with the command
// itself, over TCP and over a unix socket. It waits on events only: a line that is
// printed, an answer, the end of a process.
func TestEndToEnd(t *testing.T) {
	built := build(t)
	for name, test := range map[string]func(*testing.T, tools){
		"API":             endToEndAPI,
		"Restart":         endToEndRestart,
		"Backup":          endToEndBackup,
		"Kill":            endToEndKill,
		"CrashRounds":     endToEndCrashRounds,
		"ImportKill":      endToEndImportKill,
		"ImportClient":    endToEndImportKilledClient,
		"Starting":        endToEndStarting,
		"FirstSignal":     endToEndFirstSignal,
		"SecondSignal":    endToEndSecondSignal,
		"SecondServer":    endToEndSecondServer,
		"StaleSocket":     endToEndStaleSocket,
		"DataDirectory":   endToEndDataDirectory,
		"Reload":          endToEndReload,
		"HTTPS":           endToEndHTTPS,
		"EverySetting":    endToEndEverySetting,
		"OutputClosed":    endToEndOutputClosed,
		"OutputNotRead":   endToEndOutputNotRead,
		"BadInput":        endToEndBadInput,
		"PrintedCommands": endToEndPrintedCommands,
		"README":          endToEndREADME,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, built)
		})
	}
}

// tools are the programs under test: the built usher, and grpcurl.
type tools struct{ usher, grpcurl string }

// build takes the programs that make has built (E2E_USHER and E2E_GRPCURL), or builds
// them. The binary is built as it is shipped: without the race detector.
func build(t *testing.T) tools {
	t.Helper()
	built := tools{usher: os.Getenv("E2E_USHER"), grpcurl: os.Getenv("E2E_GRPCURL")}
	if built.usher == "" {
		built.usher = filepath.Join(t.TempDir(), "usher")
		goCommand(t, "build", "-o", built.usher, ".")
	}
	if built.grpcurl == "" {
		// The go command keeps the tools that it has built; -n prints where.
		built.grpcurl = goCommand(t, "tool", "-modfile=../../tools/grpcurl.mod", "-n", "grpcurl")
	}
	return built
}

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %q: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// serve starts a server, which is killed at the end of the test if it still runs.
func (p tools) serve(t *testing.T, args ...string) *process {
	t.Helper()
	server, err := startProcess(p.usher, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.stop(syscall.SIGKILL) })
	return server
}

// A result is what a program wrote on both outputs, and its exit status.
type result struct {
	output string
	status int
}

func runProgram(t *testing.T, program string, args ...string) result {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = withoutSettings(os.Environ())
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{output: string(out), status: cmd.ProcessState.ExitCode()}
}

// want fails the test unless the program ends with the status and writes all the texts.
func (r result) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d\n%s", r.status, status, r.output)
	}
	for _, text := range texts {
		if !strings.Contains(r.output, text) {
			t.Errorf("it does not say %q:\n%s", text, r.output)
		}
	}
}
