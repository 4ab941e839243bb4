package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
)

// process is a server, Usher or an echo. Both announce themselves alike.
type process struct {
	cmd             *exec.Cmd
	tcp, unix, http string
	startedAt       time.Time
	exited          chan struct{}     // closed when it has ended
	tls             *tls.Config       // for those who call it; nil: it doesn't speak TLS
	options         []grpc.DialOption // for those who call it
}

// readyIn is how long a server may take to start.
const readyIn = time.Minute

// start starts a server and returns when it is ready. What it logs goes to the file log.
func start(ctx context.Context, log string, argv ...string) (*process, error) {
	logged, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer logged.Close()
	s := &process{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), exited: make(chan struct{})}
	s.cmd.Stderr = logged
	s.cmd.Env = withoutSettings(os.Environ())
	s.cmd.SysProcAttr = endsWithParent()
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.startedAt = time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	hung := time.AfterFunc(readyIn, func() { _ = s.cmd.Process.Kill() })
	defer hung.Stop()
	ready := s.readAnnouncement(stdout)
	go func() {
		defer close(s.exited)
		_, _ = io.Copy(io.Discard, stdout)
		_ = s.cmd.Wait() // how it ended is in its ProcessState
	}()
	if !ready {
		<-s.exited
		complaint, _ := os.ReadFile(log)
		return nil, fmt.Errorf("%s did not start: %v\n%s", strings.Join(argv, " "), s.cmd.ProcessState, complaint)
	}
	return s, nil
}

// readAnnouncement reads up to "ready", and reports whether that came.
func (s *process) readAnnouncement(out io.Reader) bool {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		address, isGRPC := strings.CutPrefix(lines.Text(), "grpc listening on ")
		switch {
		case isGRPC && strings.HasPrefix(address, "unix://"):
			s.unix = address
		case isGRPC:
			s.tcp = address
		}
		if address, isHTTP := strings.CutPrefix(lines.Text(), "http listening on "); isHTTP {
			s.http = address
		}
		if lines.Text() == "ready" {
			return true
		}
	}
	return false
}

func (s *process) pid() int { return s.cmd.Process.Pid }

// stop ends the server, which has some seconds to do so by itself.
func (s *process) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // unless it has ended already
	hung := time.AfterFunc(15*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer hung.Stop()
	<-s.exited
}

// withoutSettings drops what would change the settings of a server, or of Go.
func withoutSettings(environ []string) (kept []string) {
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		ofGo := slices.Contains([]string{"GOGC", "GOMEMLIMIT", "AUTOMEMLIMIT", "GOMAXPROCS", "GODEBUG"}, name)
		if !ofGo && !strings.HasPrefix(name, "USHER_") {
			kept = append(kept, pair)
		}
	}
	return kept
}
