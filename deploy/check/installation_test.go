package check_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// An installation is a server with all that production has: TLS, callers with tokens, a decision log.
type installation struct {
	dir    string
	binary string
	server *server
	roots  *x509.CertPool
}

// path is that of a file of the installation.
func (in *installation) path(name string) string { return filepath.Join(in.dir, name) }

func (in *installation) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(in.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newInstallation writes the files. The callers are those of the access file of the central service, each with a
// token in a file of its name.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{dir: t.TempDir(), binary: usher(t)}
	in.certificates(t)
	in.write(t, "access.yaml", read(t, "deploy/kubernetes/central/access.yaml"))
	lines := ""
	for _, name := range []string{"ticketing", "admin-pages", "staff", "backup", "prometheus"} {
		token := rand.Text()
		in.write(t, name, token+"\n")
		lines += fmt.Sprintf("%s sha256:%x\n", name, sha256.Sum256([]byte(token)))
	}
	in.write(t, "tokens", lines)
	in.write(t, "wrong", rand.Text())
	in.settings(t, map[string]any{
		"data-dir":       in.dir,
		"grpc-address":   "127.0.0.1:0",
		"http-address":   "127.0.0.1:0",
		"tls-cert-file":  in.path("tls.crt"),
		"tls-key-file":   in.path("tls.key"),
		"access-file":    in.path("access.yaml"),
		"tokens-file":    in.path("tokens"),
		"decision-log":   in.path("decisions.log"),
		"tenant-metrics": true,
	})
	return in
}

func (in *installation) settings(t *testing.T, settings map[string]any) {
	t.Helper()
	text, err := yaml.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	in.write(t, "usher.yaml", string(text))
}

// certificates makes a certificate for the service and for the loopback, which vouches for itself.
func (in *installation) certificates(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "usher"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(60 * 24 * time.Hour),
		DNSNames:              []string{"usher.usher.svc", "localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	in.write(t, "tls.crt", public)
	in.write(t, "ca.crt", public)
	in.write(t, "tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	in.roots = x509.NewCertPool()
	in.roots.AppendCertsFromPEM([]byte(public))
}

func (in *installation) start(t *testing.T) {
	t.Helper()
	command := serve(t, "--config="+in.path("usher.yaml"))
	command.Env = append(command.Env, "GOMEMLIMIT=1GiB") // as in a container
	in.server = start(t, command)
}

// startNarrow starts a second server with the same files and data of its own, which has less memory than it needs.
func (in *installation) startNarrow(t *testing.T) *server {
	t.Helper()
	command := serve(t, "--config="+in.path("usher.yaml"), "--data-dir="+t.TempDir(), "--decision-log=")
	command.Env = append(command.Env, "GOMEMLIMIT=16MiB")
	return start(t, command)
}

// as runs a command with the token of a caller. Exit status 1 is an answer, too.
func (in *installation) as(caller string, args ...string) error {
	command := exec.Command(in.binary, append(args, "--address="+in.server.grpc, "--ca-file="+in.path("ca.crt"), "--token-file="+in.path(caller))...)
	out, err := command.CombinedOutput()
	if err != nil && command.ProcessState.ExitCode() != 1 {
		return fmt.Errorf("usher %q as %s: %w\n%s", args, caller, err, out)
	}
	return nil
}

// traffic has the server do once all that the metrics are about.
func (in *installation) traffic(t *testing.T) {
	t.Helper()
	for _, step := range [][]string{
		{"staff", "tenant", "create", "acme", "--catalog=liveagent", "--first-administrator=user:mia@acme.example"},
		{"backup", "backup", in.path("acme.backup")},
	} {
		if err := in.as(step[0], step[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.round(0); err != nil {
		t.Fatal(err)
	}
}

// round makes calls of each kind: checks that are allowed and denied, a write, and a call that is refused.
func (in *installation) round(number int) error {
	for _, step := range [][]string{
		{"ticketing", "check", "user:mia@acme.example", "view", "ticket/1", "--tenant=acme"},
		{"ticketing", "check", "user:nobody@acme.example", "view", "ticket/1", "--tenant=acme"},
		{"admin-pages", "grant", fmt.Sprintf("user:%d@acme.example", number), "agent", "--tenant=acme", "--as=user:mia@acme.example"},
	} {
		if err := in.as(step[0], step[1:]...); err != nil {
			return err
		}
	}
	if err := in.as("wrong", "check", "user:mia@acme.example", "view", "ticket/1", "--tenant=acme"); err == nil || !strings.Contains(err.Error(), "UNAUTHENTICATED") {
		return fmt.Errorf("a wrong token was not refused: %w", err)
	}
	return nil
}

// metrics returns what Prometheus would get.
func (in *installation) metrics(t *testing.T) string {
	t.Helper()
	return in.get(t, "/metrics", "prometheus")
}

// get returns a page, for which the caller's token is sent if there is one.
func (in *installation) get(t *testing.T, path, caller string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+in.server.http+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if caller != "" {
		token, err := os.ReadFile(in.path(caller))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: in.roots}, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v\n%s", path, response.Status, err, body)
	}
	return string(body)
}
