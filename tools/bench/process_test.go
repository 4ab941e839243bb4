package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/usher-pdp/usher/store/storetest/installation"
)

// TestMain lets the binary of the tests be the echo, as that of the tool is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "echo" {
		fmt.Fprintln(os.Stderr, serveEcho(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestEcho measures each echo once, as a process of its own.
func TestEcho(t *testing.T) {
	if _, err := machineTime(); err != nil {
		t.Skip("there is no /proc: ", err)
	}
	// Not t.TempDir: its path is too long for a socket.
	dir, err := os.MkdirTemp("", "echo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	encoded, err := proto.Marshal(allowed)
	if err != nil {
		t.Fatal(err)
	}
	check := filepath.Join(dir, "check")
	if err := os.WriteFile(check, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	in := installation.New(seed, 1000)
	for _, options := range []string{"default", "tuned"} {
		s, err := start(context.Background(), filepath.Join(dir, "log"),
			os.Args[0], "echo", "-options", options, "-check", check, "-unix-socket", filepath.Join(dir, options))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.stop)
		for _, address := range []string{s.tcp, s.unix} {
			l := pages(in, 10, 2, 5)
			c := newClient(t, address, l)
			measured := side{server: s, client: c, decisions: l.decisions, run: c.keepBusy(2)}
			got, err := measured.measure(context.Background(), 100*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if got.calls == 0 || got.cpu <= 0 || got.mallocs < float64(got.calls) || got.decisions != 10 {
				t.Errorf("%s echo at %s: %+v", options, address, got)
			}
		}
		if m, err := memoryOf(s.pid()); err != nil || m.RSS == 0 {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

func TestStartFails(t *testing.T) {
	_, err := start(context.Background(), filepath.Join(t.TempDir(), "log"), os.Args[0], "echo", "-options", "none", "-check", os.DevNull)
	if err == nil || !strings.Contains(err.Error(), `not "none"`) {
		t.Errorf("the error is %v, want one that says why", err)
	}
}
