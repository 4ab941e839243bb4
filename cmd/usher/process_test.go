package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// process is a server that runs as a process of its own.
type process struct {
	cmd    *exec.Cmd
	grpc   string // HOST:PORT
	unix   string // unix:///PATH, or "" without one
	http   string // HOST:PORT
	stdout []string
	stderr lockedBuffer
	output io.ReadCloser
	lines  *bufio.Scanner // of output
	hung   *time.Timer    // kills it
	exited chan struct{}  // closed after the process has ended
}

// startProcess runs "usher serve" with the arguments, and returns when it is ready. If it
// ends before, the error is what it wrote on stderr.
func startProcess(binary string, args ...string) (*process, error) {
	p, err := launchProcess(binary, args...)
	if err != nil {
		return nil, err
	}
	ready := p.prints("ready")
	p.leave()
	if !ready {
		<-p.exited
		return nil, fmt.Errorf("%v\n%s", p.cmd.ProcessState, &p.stderr)
	}
	return p, nil
}

// launchProcess runs "usher serve" with the arguments. Until leave is called, what it prints has to be read.
func launchProcess(binary string, args ...string) (*process, error) {
	p := &process{exited: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"serve", "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"}, args...)...)
	p.cmd.Stderr = &p.stderr
	p.cmd.Env = withoutSettings(os.Environ())
	var err error
	if p.output, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(p.output)
	// The first wait that a machine may need; nothing else is waited for by time.
	p.hung = time.AfterFunc(time.Minute, func() { p.cmd.Process.Kill() })
	return p, nil
}

// prints reads what is printed up to a line that begins so, and reports whether that came.
func (p *process) prints(beginning string) bool {
	for p.lines.Scan() {
		line := p.lines.Text()
		p.stdout = append(p.stdout, line)
		if address, found := strings.CutPrefix(line, "grpc listening on "); found {
			if strings.HasPrefix(address, "unix://") {
				p.unix = address
			} else {
				p.grpc = address
			}
		}
		if address, found := strings.CutPrefix(line, "http listening on "); found {
			p.http = address
		}
		if strings.HasPrefix(line, beginning) {
			return true
		}
	}
	return false
}

// leave lets the process print what it likes, until it ends.
func (p *process) leave() {
	p.hung.Stop()
	go func() {
		io.Copy(io.Discard, p.output)
		p.cmd.Wait()
		close(p.exited)
	}()
}

// stop sends the signal, waits for the end and returns the exit status (-1: by a signal).
func (p *process) stop(signal os.Signal) int {
	p.cmd.Process.Signal(signal)
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// withoutSettings drops what would change the settings of the commands under test.
func withoutSettings(environ []string) (kept []string) {
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "USHER_") && name != "LANG" && !strings.HasPrefix(name, "LC_") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// lockedBuffer is a buffer that is read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
