package check_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// top is the directory of the whole project.
const top = "../.."

// usher returns the path of the binary under test: the one that make has built (E2E_USHER), or one that is built now.
func usher(t *testing.T) string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

var built = sync.OnceValues(func() (string, error) {
	if binary := os.Getenv("E2E_USHER"); binary != "" {
		return binary, nil
	}
	binary, err := filepath.Abs(filepath.Join(builds, "usher"))
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/usher")
	build.Dir = top
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building usher: %w\n%s", err, out)
	}
	return binary, nil
})

// builds is a directory for what is built once for all tests.
var builds string

func TestMain(m *testing.M) {
	var err error
	if builds, err = os.MkdirTemp("", "usher-deploy-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(builds)
	os.Exit(code)
}

// A server is one that runs, as a process of its own.
type server struct {
	grpc, http string // HOST:PORT
	process    *exec.Cmd
	log        lockedBuffer
	exited     chan struct{} // closed after it has ended
}

// start runs the command, which is one that serves, and returns when it says that it is ready. The server is killed
// at the end of the test if it still runs.
func start(t *testing.T, command *exec.Cmd) *server {
	t.Helper()
	s := &server{process: command, exited: make(chan struct{})}
	command.Stderr = &s.log
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(time.Minute, func() { command.Process.Kill() })
	defer hung.Stop()
	ready, lines := false, bufio.NewScanner(stdout)
	for !ready && lines.Scan() {
		if address, found := strings.CutPrefix(lines.Text(), "grpc listening on "); found && !strings.HasPrefix(address, "unix://") {
			s.grpc = address
		}
		if address, found := strings.CutPrefix(lines.Text(), "http listening on "); found {
			s.http = address
		}
		ready = lines.Text() == "ready"
	}
	go func() {
		io.Copy(io.Discard, stdout)
		command.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		command.Process.Kill()
		<-s.exited
	})
	if !ready {
		<-s.exited
		t.Fatalf("%v: %v\n%s", command.Args, command.ProcessState, s.log.String())
	}
	return s
}

// stop ends the server as Kubernetes does, and returns its exit status.
func (s *server) stop() int {
	s.process.Process.Signal(syscall.SIGTERM)
	<-s.exited
	return s.process.ProcessState.ExitCode()
}

// serve is a command that runs the binary with the arguments and no other settings.
func serve(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(usher(t), append([]string{"serve"}, args...)...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "USHER_") {
			command.Env = append(command.Env, pair)
		}
	}
	return command
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

// read returns what is in a file of the project.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// help returns the help of a command of usher, in which its flags are.
func help(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command(usher(t), command, "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "usher "+command) {
		t.Fatalf("there is no command usher %s: %v\n%s", command, err, out)
	}
	return string(out)
}
