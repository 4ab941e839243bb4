package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/access/accesstest"
	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// guarded is a server with a Guard that listens with TLS and on a unix socket.
type guarded struct {
	*harness   // of a client that may everything
	guard      *access.Guard
	accessFile string
	tokensFile string
	tokens     map[string]string     // by name
	tcp, unix  string                // where it listens
	authority  *accesstest.Authority // of the server's certificate and its clients'
	logged     *logBuffer            // from Debug on
}

// accessCallers is the access file of the table, with the user and the group that connect to the unix socket.
func accessCallers(t testing.TB, user, group int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "access.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("4711", fmt.Sprint(user), "4712", fmt.Sprint(group)).Replace(string(text))
}

const anonymousCaller = `
  - name: anonymous
    identities: [anonymous]
    may: {metrics: read, reflection: read}
`

// newGuarded starts a server with the tenants of the tests of bad input. Everybody has a token of their name.
func newGuarded(t *testing.T, callers string) *guarded {
	t.Helper()
	dir := t.TempDir()
	g := &guarded{
		accessFile: filepath.Join(dir, "access.yaml"), tokensFile: filepath.Join(dir, "tokens"), tokens: map[string]string{},
		unix: filepath.Join(dir, "usher.sock"), logged: &logBuffer{},
	}
	var lines []string
	for _, name := range []string{"reader", "writer", "elsewhere", "everything", "no-actor", "no-operator"} {
		token, hash := access.NewToken()
		g.tokens[name] = token
		lines = append(lines, name+" "+hash)
	}
	writeFile(t, g.accessFile, callers)
	writeFile(t, g.tokensFile, strings.Join(lines, "\n"))
	certificates := g.certify(t, dir)
	var err error
	if g.guard, err = access.NewGuard(g.accessFile, g.tokensFile); err != nil {
		t.Fatal(err)
	}
	now := &clock{now: testTime}
	cache := server.NewCache(64 << 20)
	opened, err := bolt.Open(filepath.Join(dir, "usher.db"), bolt.Options{Observer: cache, Now: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	s, err := server.New(t.Context(), server.Config{
		Store: opened, Cache: cache, Now: now.Now, Version: "test", Access: g.guard,
		Credentials: access.Transport(access.TLS(certificates)), Logger: slog.New(slog.NewJSONHandler(g.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.GRPC().Stop)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", g.unix)
	if err != nil {
		t.Fatal(err)
	}
	for _, listener := range []net.Listener{tcp, unix} {
		go func() { _ = s.GRPC().Serve(listener) }()
	}
	g.tcp = tcp.Addr().String()
	conn := g.dial(t, nil, grpc.WithPerRPCCredentials(bearer(g.tokens["everything"])))
	g.harness = &harness{
		server: s, store: opened, conn: conn, clock: now, decisions: usherv1.NewDecisionServiceClient(conn),
		admin: usherv1.NewAdminServiceClient(conn), operator: usherv1.NewOperatorServiceClient(conn),
	}
	g.fillForBadInput(t)
	return g
}

// certify makes a certificate of the server, whose authority signs those of clients, too.
func (g *guarded) certify(t *testing.T, dir string) *access.Reloaded[access.Certificates] {
	t.Helper()
	g.authority = accesstest.NewAuthority(t, "all")
	path := func(name string) string { return filepath.Join(dir, name) }
	cert, key := g.authority.Issue(t, "localhost", "", time.Hour)
	for name, content := range map[string][]byte{"cert.pem": cert, "key.pem": key, "ca.pem": g.authority.PEM()} {
		writeFile(t, path(name), string(content))
	}
	certificates, err := access.LoadCertificates(path("cert.pem"), path("key.pem"), path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return certificates
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// dial connects over TLS, with a certificate unless own is nil.
func (g *guarded) dial(t *testing.T, own []tls.Certificate, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	config := &tls.Config{RootCAs: g.authority.Pool(), Certificates: own}
	return connect(t, g.tcp, append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))...)
}

// dialUnix connects through the unix socket.
func (g *guarded) dialUnix(t *testing.T) *grpc.ClientConn {
	t.Helper()
	return connect(t, "unix:"+g.unix, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func connect(t *testing.T, target string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as is a connection with the token of a caller.
func (g *guarded) as(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()
	return g.dial(t, nil, grpc.WithPerRPCCredentials(bearer(g.tokens[name])))
}

// bearer is a token that is sent with every call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

// authorized is a context with an authorization as it is written.
func authorized(ctx context.Context, authorization string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
}

// heads are the lengths of the chains of all tenants, which grow with every record.
func (g *guarded) heads(t *testing.T) map[store.TenantID]uint64 {
	t.Helper()
	lengths := map[store.TenantID]uint64{}
	err := g.store.View(t.Context(), func(r store.Reader) error {
		for tenant, err := range r.Tenants("") {
			if err != nil {
				return err
			}
			chain, err := r.Chain(tenant.ID)
			if err != nil {
				return err
			}
			lengths[tenant.ID] = chain.Head.Length
		}
		chain, err := r.Chain(0)
		lengths[0] = chain.Head.Length
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lengths
}
