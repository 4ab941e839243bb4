package server_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store"
)

// faultyStore is a store that takes no writes, or can't be read, when told so.
type faultyStore struct {
	store.Store
	noWrites, noReads atomic.Bool
}

var errDisk = fmt.Errorf("%w: no space left on device", store.ErrUnavailable)

func (f *faultyStore) WriteFailure() error {
	if f.noWrites.Load() {
		return errDisk
	}
	return nil
}

func (f *faultyStore) View(ctx context.Context, read func(store.Reader) error) error {
	if f.noReads.Load() {
		return errDisk
	}
	return f.Store.View(ctx, read)
}

func faulty(t *testing.T, listener net.Listener) (*harness, *faultyStore) {
	t.Helper()
	st := &faultyStore{}
	h, _ := limitedStore(t, server.Limits{}, listener, func(around store.Store) store.Store {
		st.Store = around
		return st
	})
	return h, st
}

const (
	serving    = healthv1.HealthCheckResponse_SERVING
	notServing = healthv1.HealthCheckResponse_NOT_SERVING
)

// TestHealthOfEachService looks at health and readiness when all is well, while no writes are
// taken, when nothing can be read, and while the server drains.
func TestHealthOfEachService(t *testing.T) {
	t.Parallel()
	h, st := faulty(t, bufconn.Listen(1<<20))
	health := healthv1.NewHealthClient(h.conn)
	const decision, admin, operator = "usher.v1.DecisionService", "usher.v1.AdminService", "usher.v1.OperatorService"
	want := func(about string, checks, others healthv1.HealthCheckResponse_ServingStatus, pages map[string]string) {
		t.Helper()
		list, err := health.List(t.Context(), &healthv1.HealthListRequest{})
		if err != nil || len(list.GetStatuses()) != 4 {
			t.Errorf("%s: got the list %v, %v", about, list, err)
		}
		for service, want := range map[string]healthv1.HealthCheckResponse_ServingStatus{"": checks, decision: checks, admin: others, operator: others} {
			got, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || got.GetStatus() != want || list.GetStatuses()[service].GetStatus() != want {
				t.Errorf("%s: %q: got %v, %v, in the list %v, want %v", about, service, got, err, list.GetStatuses()[service], want)
			}
		}
		for page, want := range pages {
			recorder := httptest.NewRecorder()
			h.server.HTTP().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, page, nil))
			if got := fmt.Sprint(recorder.Code, " ", recorder.Body); got != want+"\n" {
				t.Errorf("%s: %s: got %q, want %q", about, page, got, want)
			}
		}
	}
	want("all is well", serving, serving, map[string]string{
		"/readyz": "200 ready", "/readyz?service=" + admin: "200 ready", "/readyz?service=x": "404 there is no such service", "/healthz": "200 ok",
	})
	st.noWrites.Store(true)
	want("no writes", serving, notServing, map[string]string{
		"/readyz":                     "200 ready, but writes fail: see the server's log",
		"/readyz?service=" + decision: "200 ready, but writes fail: see the server's log",
		"/readyz?service=" + operator: "503 writes fail: see the server's log",
		"/healthz":                    "200 ok",
	})
	st.noReads.Store(true)
	want("no reads", notServing, notServing, map[string]string{"/readyz": "503 the store can't be read: see the server's log", "/healthz": "200 ok"})
	st.noReads.Store(false)
	st.noWrites.Store(false)
	want("all is well again", serving, serving, map[string]string{"/readyz": "200 ready"})
	_, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "x"})
	wantError(t, err, codes.NotFound, "")
	h.server.Drain()
	want("draining", notServing, notServing, map[string]string{"/readyz": "503 draining: the server is stopping", "/healthz": "200 ok"})
}

// TestWatchersOfHealthAreToldAndEnded follows the health of a service: a change is told within a
// second. When the server stops, that is told, too, and then the watch is ended, so that the
// server does not wait for it.
func TestWatchersOfHealthAreToldAndEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, st := faulty(t, bufconn.Listen(1<<20))
		watch := func(service string) healthv1.Health_WatchClient {
			stream, err := healthv1.NewHealthClient(h.conn).Watch(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil {
				t.Fatal(err)
			}
			return stream
		}
		admin, unknown := watch(usherv1.AdminService_ServiceDesc.ServiceName), watch("x")
		want := func(stream healthv1.Health_WatchClient, want healthv1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			got, err := stream.Recv()
			if err != nil || got.GetStatus() != want {
				t.Fatalf("got %v, %v, want %v", got, err, want)
			}
		}
		want(admin, serving)
		want(unknown, healthv1.HealthCheckResponse_SERVICE_UNKNOWN)
		for _, failing := range []bool{true, false} {
			begun := time.Now()
			st.noWrites.Store(failing)
			want(admin, map[bool]healthv1.HealthCheckResponse_ServingStatus{true: notServing, false: serving}[failing])
			if after := time.Since(begun); after > time.Second {
				t.Errorf("it was told after %v", after)
			}
		}
		begun := time.Now()
		h.server.Stop(t.Context())
		if after := time.Since(begun); after != 0 {
			t.Errorf("stopping took %v", after)
		}
		want(admin, notServing)
		for _, stream := range []healthv1.Health_WatchClient{admin, unknown} {
			_, err := stream.Recv()
			wantError(t, err, codes.Unavailable, "STOPPING")
		}
	})
}

// TestStopWaitsForCallsOnly has a call under way, a client that has not said anything yet and an
// idle one. Only the call is waited for, and only until the time is over.
func TestStopWaitsForCallsOnly(t *testing.T) {
	for name, test := range map[string]struct {
		call bool
		want time.Duration
	}{
		"without a call":                {false, 0},
		"with a call that does not end": {true, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipe := bufconn.Listen(1 << 20)
				h, _ := limited(t, server.Limits{}, pipe)
				silent, err := pipe.Dial()
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = silent.Close() }()
				if _, err := h.operator.GetServerInfo(t.Context(), &usherv1.GetServerInfoRequest{}); err != nil {
					t.Fatal(err)
				}
				if test.call {
					hangingCheck(t.Context(), t, h.conn)
				}
				synctest.Wait()
				h.wantMetric(t, "usher_connections 2")
				ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
				defer cancel()
				begun := time.Now()
				h.server.Stop(ctx)
				if took := time.Since(begun); took != test.want {
					t.Errorf("it took %v, want %v", took, test.want)
				}
				h.wantMetric(t, "usher_connections 0")
				if _, err := pipe.Dial(); err == nil {
					t.Error("it still listens")
				}
			})
		})
	}
}
