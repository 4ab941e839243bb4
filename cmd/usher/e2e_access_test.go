package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/access/accesstest"
)

// guarded is a server with TLS and one caller: ticketing, by its token.
type guarded struct {
	*process
	dir     string
	servers *accesstest.Authority
	token   string
}

const ticketingMay = `callers:
  - name: ticketing
    identities: ["token:ticketing"]
    may: {decision: read, operator: read, metrics: read}
    tenants: ["*"]
`

func serveGuarded(t *testing.T, p tools) *guarded {
	t.Helper()
	g := &guarded{dir: t.TempDir()}
	g.servers = writeCertificates(t, g.dir)
	token, hash := access.NewToken()
	g.token = token
	g.write(t, "token", token+"\n")
	g.write(t, "tokens", "ticketing "+hash+"\n")
	g.write(t, "access.yaml", ticketingMay)
	g.write(t, "usher.yaml", "data-dir: "+g.dir+"\n"+
		"tls-cert-file: "+g.path("server.crt")+"\ntls-key-file: "+g.path("server.key")+"\n"+
		"access-file: "+g.path("access.yaml")+"\ntokens-file: "+g.path("tokens")+"\n")
	g.process = p.serve(t, "--config", g.path("usher.yaml"))
	return g
}

func (g *guarded) path(name string) string { return filepath.Join(g.dir, name) }

func (g *guarded) write(t *testing.T, name, content string) {
	t.Helper()
	writePrivately(t, g.path(name), []byte(content))
}

// follows has the server look at its files, and waits until the log has one more line with the text.
func (g *guarded) follows(t *testing.T, text string) {
	t.Helper()
	before := strings.Count(g.stderr.String(), text)
	g.cmd.Process.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(30 * time.Second); strings.Count(g.stderr.String(), text) == before; {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say %q once more:\n%s", text, &g.stderr)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// get asks over HTTPS, and returns the status and the text.
func (g *guarded) get(t *testing.T, path, token string) (int, string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.servers.Pool()}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+g.http+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// serial is that of the certificate which a new connection is shown.
func (g *guarded) serial(t *testing.T) string {
	t.Helper()
	conn, err := tls.Dial("tcp", g.grpc, &tls.Config{RootCAs: g.servers.Pool(), NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

const (
	usedNow = "they are used from now on"
	refused = "are refused: what they said before holds"
)

// endToEndReload replaces every file of a running server, and looks at it from one connection that lives
// through it all.
func endToEndReload(t *testing.T, p tools) {
	g := serveGuarded(t, p)
	conn, err := grpc.NewClient(g.grpc, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: g.servers.Pool()})),
		grpc.WithPerRPCCredentials(bearer("Bearer "+g.token)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	info := func() codes.Code {
		_, err := usherv1.NewOperatorServiceClient(conn).GetServerInfo(t.Context(), &usherv1.GetServerInfoRequest{})
		return status.Code(err)
	}
	want := func(when string, want codes.Code) {
		t.Helper()
		if got := info(); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	want("at first", codes.OK)
	serial := g.serial(t)

	cert, key := g.servers.Issue(t, "usher.example", "", time.Hour)
	g.write(t, "server.crt", string(cert))
	g.follows(t, refused)
	if got := g.serial(t); got != serial {
		t.Errorf("a certificate without its key is served")
	}
	if _, text := g.get(t, "/metrics", g.token); !strings.Contains(text, `usher_reload_refused{file="certificate"} 1`) {
		t.Errorf("usher_reload_refused doesn't tell of it:\n%s", text)
	}
	g.write(t, "server.key", string(key))
	g.follows(t, usedNow)
	if got := g.serial(t); got == serial {
		t.Errorf("the old certificate is served still")
	}
	want("with a new certificate", codes.OK)

	g.write(t, "access.yaml", strings.Replace(ticketingMay, ", operator: read", "", 1))
	g.follows(t, usedNow)
	want("without the right", codes.PermissionDenied)
	g.write(t, "access.yaml", "callers: nobody\n")
	g.follows(t, refused)
	want("with an access file that is wrong", codes.PermissionDenied)
	g.write(t, "access.yaml", ticketingMay)
	g.follows(t, usedNow)
	want("with the right again", codes.OK)

	_, hash := access.NewToken()
	g.write(t, "tokens", "ticketing "+hash+"\n")
	g.follows(t, usedNow)
	want("after the token was replaced", codes.Unauthenticated)
	if strings.Contains(g.stderr.String(), g.token) {
		t.Error("the token is in the log")
	}
	if exit := g.stop(syscall.SIGTERM); exit != 0 {
		t.Errorf("exit status %d\n%s", exit, &g.stderr)
	}
}

// endToEndHTTPS asks the HTTP side of a server with callers.
func endToEndHTTPS(t *testing.T, p tools) {
	g := serveGuarded(t, p)
	for _, test := range []struct {
		path, token string
		status      int
		text        string
	}{
		{"/healthz", "", http.StatusOK, "ok"},
		{"/readyz", "", http.StatusOK, "ready"},
		{"/metrics", "", http.StatusUnauthorized, ""},
		{"/metrics", "usher_wrong", http.StatusUnauthorized, ""},
		{"/metrics", g.token, http.StatusOK, `usher_tls_certificate_expiry_timestamp_seconds{use="server"}`},
	} {
		if status, text := g.get(t, test.path, test.token); status != test.status || !strings.Contains(text, test.text) {
			t.Errorf("%s with token %q: %d\n%s", test.path, test.token, status, text)
		}
	}
	response, err := http.Get("http://" + g.http + "/metrics")
	if err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("the metrics are given away in clear")
		}
	}
}

// endToEndEverySetting runs a server with each setting given by the file, and looks at what it does with them.
func endToEndEverySetting(t *testing.T, p tools) {
	dir := t.TempDir()
	log, socket := filepath.Join(dir, "decisions"), filepath.Join(dir, "usher.sock")
	file := filepath.Join(dir, "usher.yaml")
	spans, endpoint := collectSpans(t)
	writePrivately(t, file, []byte("demo: true\ndata-dir: "+dir+"\nunix-socket: "+socket+"\nunix-socket-mode: 0600\n"+
		"trace-endpoint: "+endpoint+"\ntrace-sample: 1\ndecision-log: "+log+"\ndecision-log-denials-only: true\ntenant-metrics: true\nlog-format: json\nlog-level: debug\n"+
		"cache-size: 16MiB\nmax-connections: 50\nmax-streams: 20\nmax-checks: 100\nmax-administration: 5\nconnection-age: 1h\ndrain-time: 5s\n"))
	server := p.serve(t, "--config", file)
	check := func(action string) result {
		return runProgram(t, p.usher, "check", "user:nobody@dealer.example", action, "ticket/1", "--tenant", "demo-dealer", "--address", server.unix)
	}
	check("answer").want(t, 1, "deny")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, error %v", info, err)
	}
	// What a program does that rotates logs.
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	server.cmd.Process.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(log); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is no new decision log\n%s", &server.stderr)
		}
	}
	check("view").want(t, 1, "deny")
	response, err := http.Get("http://" + server.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || !strings.Contains(string(metrics), `usher_tenant_decisions_total{effect="deny",tenant="demo-dealer"} 2`) ||
		!strings.Contains(string(metrics), "usher_store_commit_seconds") {
		t.Errorf("error %v; the metrics are\n%s", err, metrics)
	}
	if exit := server.stop(syscall.SIGTERM); exit != 0 {
		t.Errorf("exit status %d\n%s", exit, &server.stderr)
	}
	if got := spans()["usher.v1.DecisionService/Check"]; got != 2 {
		t.Errorf("%d spans of checks have come, want 2", got)
	}
	for path, action := range map[string]string{log + ".1": `"answer"`, log: `"view"`} {
		if content := readFile(t, path); strings.Count(content, "\n") != 1 || !strings.Contains(content, action) {
			t.Errorf("%s has\n%s", path, content)
		}
	}
	for line := range strings.Lines(server.stderr.String()) {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("a line of the log is not JSON: %s", line)
		}
	}
}
