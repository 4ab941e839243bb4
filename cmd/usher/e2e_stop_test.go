package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// watchHealth has a stream open on which the server says that it serves.
func watchHealth(t *testing.T, conn *grpc.ClientConn) healthv1.Health_WatchClient {
	t.Helper()
	watch, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatal(first, err)
	}
	return watch
}

// endToEndFirstSignal stops a server while streams are open that would never end by themselves.
func endToEndFirstSignal(t *testing.T, p tools) {
	server := p.serve(t, "--demo", "--data-dir", t.TempDir(), "--drain-time", "20s")
	watch := watchHealth(t, dial(t, server.grpc))
	changes, err := usherv1.NewAdminServiceClient(dial(t, server.grpc)).WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: "demo-desk"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := changes.Recv(); err != nil {
		t.Fatal(err)
	}
	server.cmd.Process.Signal(syscall.SIGTERM)
	if next, err := watch.Recv(); err != nil || next.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Fatal(next, err)
	}
	<-server.exited
	if status, log := server.cmd.ProcessState.ExitCode(), server.stderr.String(); status != 0 ||
		strings.Contains(log, "cut off") || !strings.Contains(log, "msg=stopped") {
		t.Errorf("exit status %d\n%s", status, log)
	}
}

// endToEndSecondSignal has a call open for which the server waits after the first signal: its request never
// comes. Nor does the collector take the trace of it.
func endToEndSecondSignal(t *testing.T, p tools) {
	collector, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	server := p.serve(t, "--data-dir", t.TempDir(), "--drain-time", "20s", "--trace-endpoint", collector.Addr().String(), "--trace-sample", "1")
	conn := dial(t, server.grpc)
	if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, usherv1.DecisionService_Check_FullMethodName); err != nil {
		t.Fatal(err)
	}
	watch := watchHealth(t, conn) // behind the other one on the wire
	began := time.Now()
	server.cmd.Process.Signal(syscall.SIGTERM)
	if next, err := watch.Recv(); err != nil || next.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Fatal(next, err)
	}
	if status := server.stop(syscall.SIGTERM); status != 0 || time.Since(began) >= 20*time.Second {
		t.Errorf("exit status %d after %v\n%s", status, time.Since(began), &server.stderr)
	}
	for _, text := range []string{"calls that had not ended were cut off", `msg="the last traces are lost" error="context canceled"`} {
		if log := server.stderr.String(); !strings.Contains(log, text) {
			t.Errorf("the log doesn't say %q:\n%s", text, log)
		}
	}
}

// endToEndStarting has a server hang before it is ready: its decision log is a pipe that nobody reads.
func endToEndStarting(t *testing.T, p tools) {
	pipe := filepath.Join(t.TempDir(), "decisions")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() *process {
		server, err := launchProcess(p.usher, "--data-dir", t.TempDir(), "--decision-log", pipe)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.stop(syscall.SIGKILL) })
		if !server.prints("http listening on") {
			server.leave()
			t.Fatalf("it does not listen\n%s", &server.stderr)
		}
		return server
	}
	server := start()
	for path, want := range map[string]int{
		"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/metrics": http.StatusServiceUnavailable,
	} {
		if status, text := get(t, "http://"+server.http+path); status != want {
			t.Errorf("%s before it is ready: %d %s", path, status, text)
		}
	}
	reader, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ready := server.prints("ready")
	server.leave()
	if !ready {
		t.Fatalf("it does not get ready\n%s", &server.stderr)
	}
	if status, text := get(t, "http://"+server.http+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, text)
	}
	reader.Close()

	hanging := start()
	hanging.leave()
	hanging.hung.Reset(20 * time.Second)
	if hanging.stop(syscall.SIGTERM); hanging.cmd.ProcessState.String() != "signal: terminated" {
		t.Errorf("%v, want the end by the signal, since there is nothing to finish", hanging.cmd.ProcessState)
	}
}

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}
