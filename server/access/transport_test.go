package access_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/access/accesstest"
)

// door is a server that tells who came.
type door struct {
	address string
	peers   chan *access.Peer // of each call
}

func openDoor(t *testing.T, listener net.Listener, config *tls.Config) *door {
	t.Helper()
	d := &door{address: listener.Addr().String(), peers: make(chan *access.Peer, 1)}
	server := grpc.NewServer(grpc.Creds(access.Transport(config)), grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			p, _ := peer.FromContext(ctx)
			shown, _ := p.AuthInfo.(*access.Peer)
			d.peers <- shown
			return handle(ctx, request)
		}))
	healthv1.RegisterHealthServer(server, health.NewServer())
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return d
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// connect makes a client that connects once and never again, so that what it sees is of one connection.
func connect(t *testing.T, address string, how credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(how))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// comes calls, and returns who the server sees.
func (d *door) comes(t *testing.T, conn *grpc.ClientConn) (*access.Peer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
		return nil, err
	}
	shown := <-d.peers
	if shown == nil {
		t.Fatal("the connection has no Peer")
	}
	return shown, nil
}

// servedSerial is the serial number of the certificate that a new connection is shown.
func (d *door) servedSerial(t *testing.T, roots *x509.CertPool) string {
	t.Helper()
	conn, err := tls.Dial("tcp", d.address, &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestAUnixSocketShowsTheProcess(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := accesstest.NewAuthority(t, "servers")
	cert, key := server.Issue(t, "usher.example", "", time.Hour)
	f := writeFiles(t, cert, key, nil)
	certificates, err := access.LoadCertificates(f.cert, f.key, "")
	if err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, wrapping{l}, access.TLS(certificates)) // TLS is for TCP
	shown, err := d.comes(t, connect(t, "unix://"+d.address, insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	want := access.Process{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if shown.Process == nil || *shown.Process != want || shown.Certificate != nil {
		t.Errorf("the peer is %+v with process %+v, want %+v", shown, shown.Process, want)
	}
}

// wrapping wraps connections, as a listener does that counts them.
type wrapping struct{ net.Listener }

func (w wrapping) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wrapped{conn}, nil
}

type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

func TestPlainTCPShowsNobody(t *testing.T) {
	d := openDoor(t, listenTCP(t), nil)
	shown, err := d.comes(t, connect(t, d.address, insecure.NewCredentials()))
	if err != nil || shown.Process != nil || shown.Certificate != nil {
		t.Errorf("the peer is %+v, error %v", shown, err)
	}
}

func TestAClientCertificateIsShownOnlyIfItIsVerified(t *testing.T) {
	servers, clients, others := accesstest.NewAuthority(t, "servers"), accesstest.NewAuthority(t, "clients"), accesstest.NewAuthority(t, "others")
	cert, key := servers.Issue(t, "usher.example", "", time.Hour)
	f := writeFiles(t, cert, key, clients.PEM())
	certificates, err := access.LoadCertificates(f.cert, f.key, f.clientCA)
	if err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, listenTCP(t), access.TLS(certificates))
	const id = "spiffe://helpdesk.example/tickets"
	with := func(certificates []tls.Certificate) *grpc.ClientConn {
		return connect(t, d.address, credentials.NewTLS(&tls.Config{RootCAs: servers.Pool(), Certificates: certificates}))
	}

	shown, err := d.comes(t, with(clients.Client(t, "", id)))
	if err != nil {
		t.Fatal(err)
	}
	if shown.Certificate == nil || shown.Certificate.URIs[0].String() != id {
		t.Errorf("the certificate is not shown: %+v", shown)
	}
	if shown.SecurityLevel != credentials.PrivacyAndIntegrity {
		t.Errorf("the security level is %v", shown.SecurityLevel)
	}

	shown, err = d.comes(t, with(nil))
	if err != nil || shown.Certificate != nil {
		t.Errorf("without a certificate: peer %+v, error %v", shown, err)
	}

	// Go's client doesn't send one that the server's list of authorities has no place for, unless it must.
	foreign := others.Client(t, "", id)[0]
	forced := credentials.NewTLS(&tls.Config{RootCAs: servers.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &foreign, nil
	}})
	if shown, err := d.comes(t, connect(t, d.address, forced)); err == nil {
		t.Errorf("a certificate of another authority is let in as %+v", shown)
	}
}

func TestWithoutClientAuthoritiesNoCertificateCounts(t *testing.T) {
	servers, clients := accesstest.NewAuthority(t, "servers"), accesstest.NewAuthority(t, "clients")
	cert, key := servers.Issue(t, "usher.example", "", time.Hour)
	f := writeFiles(t, cert, key, nil)
	certificates, err := access.LoadCertificates(f.cert, f.key, "")
	if err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, listenTCP(t), access.TLS(certificates))
	shown, err := d.comes(t, connect(t, d.address, credentials.NewTLS(
		&tls.Config{RootCAs: servers.Pool(), Certificates: clients.Client(t, "", "spiffe://helpdesk.example/tickets")})))
	if err != nil || shown.Certificate != nil {
		t.Errorf("the peer is %+v, error %v", shown, err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	servers := accesstest.NewAuthority(t, "servers")
	cert, key := servers.Issue(t, "usher.example", "", time.Hour)
	f := writeFiles(t, cert, key, nil)
	certificates, err := access.LoadCertificates(f.cert, f.key, "")
	if err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, listenTCP(t), access.TLS(certificates))
	for version, accepted := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", d.address, &tls.Config{RootCAs: servers.Pool(), NextProtos: []string{"h2"},
			MinVersion: version, MaxVersion: version})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != accepted {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestCertificatesAreReplacedUnderLivingConnections(t *testing.T) {
	servers, clients, laterClients := accesstest.NewAuthority(t, "servers"), accesstest.NewAuthority(t, "clients"), accesstest.NewAuthority(t, "later clients")
	cert, key := servers.Issue(t, "usher.example", "", time.Hour)
	f := writeFiles(t, cert, key, clients.PEM())
	certificates, err := access.LoadCertificates(f.cert, f.key, f.clientCA)
	if err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, listenTCP(t), access.TLS(certificates))
	with := func(of *accesstest.Authority) *grpc.ClientConn {
		forced := of.Client(t, "", "spiffe://helpdesk.example/tickets")[0]
		return connect(t, d.address, credentials.NewTLS(&tls.Config{RootCAs: servers.Pool(),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &forced, nil }}))
	}
	old := with(clients)
	first, err := d.comes(t, old)
	if err != nil {
		t.Fatal(err)
	}
	serial := d.servedSerial(t, servers.Pool())

	// The files are replaced one after the other: in between they don't fit.
	newCert, newKey := servers.Issue(t, "usher.example", "", 2*time.Hour)
	write(t, f.cert, newCert)
	if changed, err := certificates.Reload(); changed || err == nil || !strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("a certificate without its key: changed %v, error %v", changed, err)
	}
	if got := d.servedSerial(t, servers.Pool()); got != serial {
		t.Errorf("certificate %s is served, want still %s", got, serial)
	}
	wantMetrics(t, certificates, `
# HELP usher_reload_refused 1 while the newest content of the files is refused, and an older one used.
# TYPE usher_reload_refused gauge
usher_reload_refused{file="certificate"} 1
# HELP usher_reloads_total How often a new content of the files has been taken since the start.
# TYPE usher_reloads_total counter
usher_reloads_total{file="certificate"} 0
`)
	write(t, f.key, newKey)
	write(t, f.clientCA, laterClients.PEM())
	if changed, err := certificates.Reload(); !changed || err != nil {
		t.Fatalf("the new files: changed %v, error %v", changed, err)
	}
	if changed, err := certificates.Reload(); changed || err != nil {
		t.Errorf("the same files again: changed %v, error %v", changed, err)
	}
	wantMetrics(t, certificates, `
# HELP usher_reload_refused 1 while the newest content of the files is refused, and an older one used.
# TYPE usher_reload_refused gauge
usher_reload_refused{file="certificate"} 0
# HELP usher_reloads_total How often a new content of the files has been taken since the start.
# TYPE usher_reloads_total counter
usher_reloads_total{file="certificate"} 1
`)
	if got := d.servedSerial(t, servers.Pool()); got == serial {
		t.Error("the old certificate is served still")
	}
	if _, err := d.comes(t, with(laterClients)); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
	if _, err := d.comes(t, with(clients)); err == nil {
		t.Error("a new connection of a client of the old authority is let in")
	}
	again, err := d.comes(t, old)
	if err != nil || again != first {
		t.Errorf("the old connection doesn't live on: peer %p, was %p; error %v", again, first, err)
	}
}

func wantMetrics(t *testing.T, certificates *access.Reloaded[access.Certificates], want string) {
	t.Helper()
	if err := testutil.CollectAndCompare(certificates, strings.NewReader(want), "usher_reloads_total", "usher_reload_refused"); err != nil {
		t.Error(err)
	}
}
