package server_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// limited starts a server with limits on a listener. What is returned stops it; it may be called
// more than once.
func limited(t *testing.T, limits server.Limits, listener net.Listener) (*harness, func()) {
	t.Helper()
	return limitedStore(t, limits, listener, func(st store.Store) store.Store { return st })
}

// limitedStore is limited with something around the store.
func limitedStore(t *testing.T, limits server.Limits, listener net.Listener, around func(store.Store) store.Store) (*harness, func()) {
	t.Helper()
	cache := server.NewCache(1 << 20)
	st, err := bolt.Open(filepath.Join(t.TempDir(), "usher.db"), bolt.Options{Observer: cache})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), server.Config{Store: around(st), Cache: cache, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.GRPC().Serve(s.ListenGRPC(listener)) }()
	h := &harness{server: s, store: st}
	h.conn = h.connect(t, listener)
	h.decisions = usherv1.NewDecisionServiceClient(h.conn)
	h.admin = usherv1.NewAdminServiceClient(h.conn)
	h.operator = usherv1.NewOperatorServiceClient(h.conn)
	stop := sync.OnceFunc(func() {
		_ = h.conn.Close()
		s.GRPC().Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return h, stop
}

// connect makes another connection. It is closed at the end of the test.
func (h *harness) connect(t *testing.T, listener net.Listener, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	target := listener.Addr().String()
	if pipe, ok := listener.(*bufconn.Listener); ok {
		target = "passthrough:pipe"
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	}
	conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// metric returns the lines of the metrics page that begin so.
func (h *harness) metric(prefix string) (lines []string) {
	recorder := httptest.NewRecorder()
	h.server.HTTP().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(recorder.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// wantMetric fails the test unless the metrics page has this line.
func (h *harness) wantMetric(t *testing.T, line string) {
	t.Helper()
	name, _, _ := strings.Cut(line, " ")
	if got := h.metric(name); len(got) != 1 || got[0] != line {
		t.Errorf("got %q, want %q", got, line)
	}
}

// wantOverloaded checks an answer that turns a call away.
func wantOverloaded(t *testing.T, err error) {
	t.Helper()
	wantError(t, err, codes.ResourceExhausted, "OVERLOADED")
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok && retry.GetRetryDelay().AsDuration() > 0 {
			return
		}
	}
	t.Errorf("%v does not say when to try again", status.Convert(err).Details())
}

// hangingCheck begins a check and does not send its request.
func hangingCheck(ctx context.Context, t *testing.T, conn *grpc.ClientConn, options ...grpc.CallOption) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, usherv1.DecisionService_Check_FullMethodName, options...)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// anyCheck is a check that is answered.
func anyCheck() *usherv1.CheckRequest {
	return &usherv1.CheckRequest{Tenant: "t", Subject: "user:root", Action: "view", Resource: &usherv1.Resource{Type: "ticket"}}
}

// piped is limited in a bubble of synctest.
func piped(t *testing.T, limits server.Limits) *harness {
	t.Helper()
	h, _ := limited(t, limits, bufconn.Listen(1<<20))
	raceTenant(t, h, "t", "liveagent")
	return h
}

// TestChecksOverTheLimitAreTurnedAway lets as many checks as are allowed wait for their requests:
// the next is refused, other calls are not, and there is room again when one has ended, however it
// ended.
func TestChecksOverTheLimitAreTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := piped(t, server.Limits{Checks: 3})
		check := func() error {
			_, err := h.decisions.Check(t.Context(), anyCheck())
			return err
		}
		refuse := func() {
			t.Helper()
			synctest.Wait()
			h.wantMetric(t, "usher_checks_in_flight 3")
			wantOverloaded(t, check())
			if _, err := h.operator.GetServerInfo(t.Context(), &usherv1.GetServerInfoRequest{}); err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		answered := hangingCheck(t.Context(), t, h.conn)
		hangingCheck(ctx, t, h.conn)
		hangingCheck(ctx, t, h.conn)
		refuse()

		if err := answered.SendMsg(anyCheck()); err != nil {
			t.Fatal(err)
		}
		if err := answered.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := answered.RecvMsg(&usherv1.CheckResponse{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h.wantMetric(t, "usher_checks_in_flight 2")
		if err := check(); err != nil {
			t.Error(err)
		}

		// One whose deadline passes.
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		hangingCheck(short, t, h.conn)
		refuse()
		<-short.Done()
		synctest.Wait()
		if err := check(); err != nil {
			t.Error(err)
		}

		cancel()
		synctest.Wait()
		h.wantMetric(t, "usher_checks_in_flight 0")
		h.wantMetric(t, `usher_shed_calls_total{class="check"} 2`)
	})
}

// TestChecksThatAreNeverHandledDoNotCount sends what ends before a method is called: requests that
// are compressed as nobody knows it, and methods that there are not.
func TestChecksThatAreNeverHandledDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := bufconn.Listen(1 << 20)
		h, _ := limited(t, server.Limits{Checks: 2}, pipe)
		raceTenant(t, h, "t", "liveagent")
		conn, err := pipe.Dial()
		if err != nil {
			t.Fatal(err)
		}
		raw := newRawClient(t, conn)
		for i := range 10 {
			for j, method := range []string{"Check", "Unknown"} {
				stream := uint32(4*i + 2*j + 1)
				raw.call(stream, "/usher.v1.DecisionService/"+method, "grpc-encoding", "unknown")
				if got := raw.answer(stream); got != "12" {
					t.Errorf("%s: got the status %s, want 12 (UNIMPLEMENTED)", method, got)
				}
			}
			time.Sleep(time.Second) // of the bubble: so that they may be looked through
		}
		h.wantMetric(t, "usher_checks_in_flight 0")
		if _, err := h.decisions.Check(t.Context(), anyCheck()); err != nil {
			t.Error(err)
		}
	})
}

// TestRequestsThatNeverComeGiveUpTheirPlace fills all places with checks whose requests never come:
// after some seconds, others are answered.
func TestRequestsThatNeverComeGiveUpTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := piped(t, server.Limits{Checks: 2})
		hangingCheck(t.Context(), t, h.conn)
		hangingCheck(t.Context(), t, h.conn)
		synctest.Wait()
		begun := time.Now()
		for {
			_, err := h.decisions.Check(t.Context(), anyCheck())
			if err == nil {
				break
			}
			wantOverloaded(t, err)
			if time.Since(begun) > time.Minute {
				t.Fatal("they keep it")
			}
			time.Sleep(100 * time.Millisecond) // of the bubble
		}
		if after := time.Since(begun); after < 10*time.Second || after > 15*time.Second {
			t.Errorf("they kept it for %v", after)
		}
	})
}

// importing begins an import, which goes on until ctx is done, and returns when it runs.
func (h *harness) importing(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	stream, err := h.operator.Import(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: &usherv1.ImportStart{ImportId: id}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
}

// TestAdministrationWaitsItsTurn fills the places of administrative calls with imports. As many
// wait, until there is room, their deadline passes, or they have waited for long enough; more are
// turned away at once. Checks and watchers are not concerned.
func TestAdministrationWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := piped(t, server.Limits{Administration: 2})
		importing, end := context.WithCancel(t.Context())
		defer end()
		h.importing(importing, t, "import-one-000001")
		h.importing(importing, t, "import-two-000002")
		info := func(deadline time.Duration) <-chan error {
			got := make(chan error, 1)
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			go func() {
				defer cancel()
				_, err := h.operator.GetServerInfo(ctx, &usherv1.GetServerInfoRequest{})
				got <- err
			}()
			synctest.Wait()
			return got
		}
		begun := time.Now()
		short, patient := info(time.Second), info(time.Hour)
		h.wantMetric(t, `usher_administrative_calls{state="running"} 2`)
		h.wantMetric(t, `usher_administrative_calls{state="waiting"} 2`)
		wantOverloaded(t, <-info(time.Hour))
		if time.Since(begun) != 0 {
			t.Error("it has waited although too many did")
		}
		if _, err := h.decisions.Check(t.Context(), anyCheck()); err != nil {
			t.Error(err)
		}
		if err := h.watchUntil(&usherv1.WatchChangesRequest{Tenant: "t"}, func(*usherv1.WatchChangesResponse) bool { return true }); err != nil {
			t.Error(err)
		}
		if err := <-short; status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v, want that its deadline has passed", err)
		}
		wantOverloaded(t, <-patient)
		if waited := time.Since(begun); waited != 10*time.Second {
			t.Errorf("it has waited for %v", waited)
		}
		patient = info(time.Hour)
		end()
		if err := <-patient; err != nil {
			t.Errorf("there is room, and it got %v", err)
		}
		h.wantMetric(t, `usher_shed_calls_total{class="administration"} 2`)
	})
}

// heldStore is a store whose Views of some calls wait.
type heldStore struct {
	store.Store
	begun chan struct{}
}

func (s *heldStore) View(ctx context.Context, read func(store.Reader) error) error {
	if len(metadata.ValueFromIncomingContext(ctx, "held")) > 0 {
		close(s.begun)
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.View(ctx, read)
}

// TestWhatComputesWaitsForAProcessor has all who may compute at once be busy. Others that compute wait,
// some more are turned away; checks and cheap calls are answered.
func TestWhatComputesWaitsForAProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	synctest.Test(t, func(t *testing.T) {
		held := &heldStore{begun: make(chan struct{})}
		h, _ := limitedStore(t, server.Limits{Administration: 2}, bufconn.Listen(1<<20), func(st store.Store) store.Store {
			held.Store = st
			return held
		})
		raceTenant(t, h, "t", "liveagent")
		busy, end := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "held", "yes"))
		defer end()
		ended := make(chan error, 1)
		go func() {
			_, err := h.decisions.Explain(busy, &usherv1.ExplainRequest{Check: anyCheck()})
			ended <- err
		}()
		<-held.begun
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		waiting := make(chan error, 1)
		go func() {
			_, err := h.decisions.Explain(short, &usherv1.ExplainRequest{Check: anyCheck()})
			waiting <- err
		}()
		synctest.Wait()
		for name, call := range map[string]func() error{
			"Explain": func() error {
				_, err := h.decisions.Explain(t.Context(), &usherv1.ExplainRequest{Check: anyCheck()})
				return err
			},
			"ListSubjects": func() error {
				_, err := h.decisions.ListSubjects(t.Context(), &usherv1.ListSubjectsRequest{Tenant: "t", Action: "view", Resource: &usherv1.Resource{Type: "ticket"}})
				return err
			},
			"PreviewChange": func() error {
				_, err := h.admin.PreviewChange(t.Context(), &usherv1.PreviewChangeRequest{
					Tenant: "t", Acts: []*usherv1.Act{actRemove("user:ann")}, By: &usherv1.PreviewChangeRequest_Operator{Operator: &usherv1.Operator{}},
				})
				return err
			},
			"PutCatalog": func() error {
				_, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: string(catalogs.All()[0].YAML)})
				return err
			},
			"Export": func() error {
				stream, err := h.operator.Export(t.Context(), &usherv1.ExportRequest{})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			},
			"Backup": func() error {
				stream, err := h.operator.Backup(t.Context(), &usherv1.BackupRequest{})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			},
			"VerifyChanges": func() error {
				stream, err := h.operator.VerifyChanges(t.Context(), &usherv1.VerifyChangesRequest{})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			},
		} {
			t.Log(name)
			wantOverloaded(t, call())
		}
		if _, err := h.decisions.Check(t.Context(), anyCheck()); err != nil {
			t.Error(err)
		}
		if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "t", Subject: "user:ann", Role: "agent", By: byOperator()}); err != nil {
			t.Error(err)
		}
		if err := <-waiting; status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v, want that its deadline has passed", err)
		}
		end()
		<-ended
		synctest.Wait()
		if _, err := h.decisions.Explain(t.Context(), &usherv1.ExplainRequest{Check: anyCheck()}); err != nil {
			t.Errorf("nobody computes, and it got %v", err)
		}
	})
}
