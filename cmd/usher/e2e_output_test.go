package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// serveToPipe starts a server with the demo that writes its decisions to standard output. What it writes there
// after it is ready is for the test to read, or not.
func serveToPipe(t *testing.T, p tools) (s *process, output io.Closer) {
	t.Helper()
	s = &process{exited: make(chan struct{})}
	s.cmd = exec.Command(p.usher, "serve", "--demo", "--data-dir", t.TempDir(), "--decision-log", "-",
		"--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0")
	s.cmd.Env = withoutSettings(os.Environ())
	s.cmd.Stderr = &s.stderr
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	s.cmd.Stdout = writer
	err = s.cmd.Start()
	writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(time.Minute, func() { s.cmd.Process.Kill() })
	t.Cleanup(func() { hung.Stop() })
	go func() {
		s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.stop(syscall.SIGKILL) })
	s.lines = bufio.NewScanner(reader)
	if !s.prints("ready") {
		t.Fatalf("it did not start\n%s", &s.stderr)
	}
	return s, reader
}

// decide has the server make that many decisions.
func (p *process) decide(t *testing.T, count int) {
	t.Helper()
	conn, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range count {
		_, err := usherv1.NewDecisionServiceClient(conn).Check(t.Context(), &usherv1.CheckRequest{
			Tenant: "demo-dealer", Subject: "user:nobody@dealer.example", Action: "view", Resource: &usherv1.Resource{Type: "ticket", Id: "1"},
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, &p.stderr)
		}
	}
}

// endToEndOutputClosed has the program go that reads the decision log. The server does not go with it.
func endToEndOutputClosed(t *testing.T, p tools) {
	s, output := serveToPipe(t, p)
	output.Close()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.stderr.String(), "the decision log can't be written"); {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say that decisions are missing\n%s", &s.stderr)
		}
		s.decide(t, 1)
	}
	if exit := s.stop(syscall.SIGTERM); exit != 0 {
		t.Errorf("exit status %d\n%s", exit, &s.stderr)
	}
}

// endToEndOutputNotRead fills the pipe to a program that hangs. The server answers, looks at its files when it is
// asked to, and stops.
func endToEndOutputNotRead(t *testing.T, p tools) {
	s, _ := serveToPipe(t, p)
	s.decide(t, 2000) // far more than a pipe takes
	s.cmd.Process.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(s.stderr.String(), "looking at the files"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not look\n%s", &s.stderr)
		}
	}
	s.decide(t, 1)
	if exit := s.stop(syscall.SIGTERM); exit != 0 || !strings.Contains(s.stderr.String(), "the decision log is not whole") {
		t.Errorf("exit status %d\n%s", exit, &s.stderr)
	}
}
