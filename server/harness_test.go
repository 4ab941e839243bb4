package server_test

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store/bolt"
)

// harness is a real server on the real store, with clients on a real connection and a
// clock that stands still until it is set.
type harness struct {
	server    *server.Server
	store     *bolt.Store
	conn      *grpc.ClientConn
	decisions usherv1.DecisionServiceClient
	admin     usherv1.AdminServiceClient
	operator  usherv1.OperatorServiceClient
	clock     *clock
}

// testTime is where the clock of a new harness stands.
var testTime = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// newHarness starts a server in a temporary directory. It ends with the test.
func newHarness(t testing.TB) *harness {
	t.Helper()
	return openHarness(t, t.TempDir(), &clock{now: testTime}, 64<<20)
}

// openHarness starts a server on a directory, with a cache of so many bytes.
func openHarness(t testing.TB, dir string, c *clock, cacheBytes uint64) *harness {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listenHarness(t, dir, c, cacheBytes, listener, listener.Addr().String())
}

// listenHarness starts a server on a directory that is reached through a listener.
func listenHarness(t testing.TB, dir string, c *clock, cacheBytes uint64, listener net.Listener, target string, options ...grpc.DialOption) *harness {
	t.Helper()
	return startHarness(t, dir, c, cacheBytes, listener, target, func(*server.Config) {}, options...)
}

// configuredHarness starts a server in a temporary directory, with a changed configuration.
func configuredHarness(t testing.TB, configure func(*server.Config), options ...grpc.DialOption) *harness {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startHarness(t, t.TempDir(), &clock{now: testTime}, 64<<20, listener, listener.Addr().String(), configure, options...)
}

func startHarness(t testing.TB, dir string, c *clock, cacheBytes uint64, listener net.Listener, target string, configure func(*server.Config), options ...grpc.DialOption) *harness {
	t.Helper()
	cache := server.NewCache(cacheBytes)
	st, err := bolt.Open(filepath.Join(dir, "usher.db"), bolt.Options{Observer: cache, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	config := server.Config{Store: st, Cache: cache, Version: "test", Now: c.Now}
	configure(&config)
	s, err := server.New(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.GRPC().Serve(listener) }()
	t.Cleanup(func() {
		s.GRPC().Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &harness{
		server:    s,
		store:     st,
		conn:      conn,
		decisions: usherv1.NewDecisionServiceClient(conn),
		admin:     usherv1.NewAdminServiceClient(conn),
		operator:  usherv1.NewOperatorServiceClient(conn),
		clock:     c,
	}
}
