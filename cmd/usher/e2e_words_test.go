package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// endToEndPrintedCommands does what `usher serve --demo` tells a newcomer to do.
func endToEndPrintedCommands(t *testing.T, p tools) {
	server := p.serve(t, "--demo", "--data-dir", t.TempDir())
	steps := stepsIn(strings.Join(server.stdout, "\n"))
	if len(steps) != 5 {
		t.Fatalf("%d commands are printed, want 5:\n%s", len(steps), strings.Join(server.stdout, "\n"))
	}
	play(t, steps)
}

// endToEndREADME does what the README tells a newcomer to do, on a port of its own.
func endToEndREADME(t *testing.T, p tools) {
	server := p.serve(t, "--demo", "--data-dir", t.TempDir())
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, session, found := strings.Cut(string(readme), "## A first session")
	session, _, end := strings.Cut(session, "\n## ")
	if !found || !end {
		t.Fatal("README.md has no section called A first session")
	}
	session = strings.ReplaceAll(session, "127.0.0.1:7301", server.grpc)
	steps := stepsIn(strings.ReplaceAll(session, "127.0.0.1:7302", server.http))
	if len(steps) < 5 {
		t.Fatalf("there are only %d commands in it", len(steps))
	}
	play(t, steps, "USHER_ADDRESS="+server.grpc, "PATH="+filepath.Dir(p.usher)+":"+os.Getenv("PATH"))
}
