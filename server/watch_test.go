package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// watchUntil watches until a message, and is cut off then.
func (h *harness) watchUntil(r *usherv1.WatchChangesRequest, last func(*usherv1.WatchChangesResponse) bool) error {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	stream, err := h.admin.WatchChanges(ctx, r)
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if last(m) {
			return nil
		}
	}
}

// TestWatchersSeeEveryChangeOnce lets several watchers follow random writes, be cut off now and
// then, and go on where they were: each sees what ListChanges lists, once and in order.
func TestWatchersSeeEveryChangeOnce(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	raceTenant(t, h, "u", "goto_contact_center")
	begin, err := h.admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "t"})
	if err != nil {
		t.Fatal(err)
	}
	var writers, watchers sync.WaitGroup
	for i := range uint64(3) {
		random := rand.New(rand.NewPCG(random.Uint64(), i))
		writers.Go(func() {
			for range 100 {
				switch tenant := oneOfThese(random, "t", "t", "u"); random.IntN(4) {
				case 0: // several changes in one write
					h.commitAs(t, tenant, store.Write{By: store.By{Operator: true}}, func(found store.Tenant) (changes []store.Change) {
						for range 1 + random.IntN(20) {
							key := store.AssignmentKey{Subject: fmt.Sprint("user:", random.IntN(6)), Role: "agent", Scope: fmt.Sprint("queue:", random.Uint32())}
							changes = append(changes, store.SetAssignment{Tenant: found.ID, Assignment: store.Assignment{AssignmentKey: key}})
						}
						return changes
					})
				default:
					h.writeRandomly(t, random, tenant)
				}
			}
		})
	}
	seen := make([][]*usherv1.ChangeRecord, 4)
	for i := range seen {
		random := rand.New(rand.NewPCG(random.Uint64(), uint64(i)))
		watchers.Go(func() {
			r := &usherv1.WatchChangesRequest{Tenant: "t", AfterRevision: begin.GetRevision()}
			for through := false; !through; {
				left := 1 + random.IntN(10) // messages until it is cut
				err := h.watchUntil(r, func(m *usherv1.WatchChangesResponse) bool {
					changes := m.GetChanges()
					if n := len(changes); n > 0 && changes[n-1].GetRevision() != m.GetRevision() {
						t.Errorf("got a message at the revision %s, whose last change has %s", m.GetRevision(), changes[n-1].GetRevision())
					}
					seen[i] = append(seen[i], changes...)
					r.AfterRevision = m.GetRevision()
					through = len(changes) > 0 && changes[len(changes)-1].GetAssignment().GetSubject() == "user:last"
					left--
					return left == 0 || through
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "t", Subject: "user:last", Role: "agent", By: byOperator()}); err != nil {
		t.Fatal(err)
	}
	want := h.listChanges(t, &usherv1.ListChangesRequest{Tenant: "t", OldestFirst: true}, nil)
	watchers.Wait()
	want = want[2:] // but for the creation
	for _, got := range seen {
		if err := sameChanges(got, want); err != nil {
			t.Error(err)
		}
	}
}

// TestWatchFromARevision begins at every kind of revision.
func TestWatchFromARevision(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	all := h.listChanges(t, &usherv1.ListChangesRequest{Tenant: "t", OldestFirst: true}, nil)
	first := func(after string) (got *usherv1.WatchChangesResponse, err error) {
		err = h.watchUntil(&usherv1.WatchChangesRequest{Tenant: "t", AfterRevision: after}, func(m *usherv1.WatchChangesResponse) bool {
			got = m
			return true
		})
		return got, err
	}
	epoch, number, _ := strings.Cut(all[0].GetRevision(), ".")
	got, err := first(epoch + ".0")
	if err != nil || sameChanges(got.GetChanges(), all) != nil || got.GetRevision() != all[0].GetRevision() {
		t.Errorf("from the beginning: got %v, %v", got, err)
	}
	now, err := first("")
	if err != nil || len(now.GetChanges()) > 0 {
		t.Errorf("from now: got %v, %v, want a message without changes at once", now, err)
	}
	got, err = first(now.GetRevision())
	if err != nil || len(got.GetChanges()) > 0 || got.GetRevision() != now.GetRevision() {
		t.Errorf("after now: got %v, %v", got, err)
	}
	_, err = first("nonsense")
	wantError(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
	_, err = first("other." + number)
	wantError(t, err, codes.FailedPrecondition, "OTHER_EPOCH")
	_, err = first(epoch + ".18446744073709551615")
	wantError(t, err, codes.OutOfRange, "NOT_KEPT")
	err = h.watchUntil(&usherv1.WatchChangesRequest{Tenant: "none"}, nil)
	wantError(t, err, codes.NotFound, "TENANT_NOT_FOUND")
	err = h.watchUntil(&usherv1.WatchChangesRequest{Tenant: "a b"}, nil)
	wantError(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
	// What is trimmed away is not skipped silently.
	h.clock.Set(testTime.Add(time.Hour))
	h.trim(t, "t", 2)
	_, err = first(epoch + ".0")
	wantError(t, err, codes.OutOfRange, "NOT_KEPT")
	if got, err = first(all[1].GetRevision()); err != nil || len(got.GetChanges()) != 1 || got.GetChanges()[0].GetKind() != usherv1.ChangeKind_CHANGE_KIND_RECORD_TRIMMED {
		t.Errorf("after what was trimmed: got %v, %v", got, err)
	}
}

// trim removes so many records of a tenant.
func (h *harness) trim(t *testing.T, tenant string, n int) {
	t.Helper()
	var upTo store.Link
	err := h.store.View(t.Context(), func(r store.Reader) error {
		found, err := r.Tenant(tenant)
		if err != nil {
			return err
		}
		chain, err := r.Chain(found.ID)
		if err != nil {
			return err
		}
		upTo, err = r.Follow(found.ID, chain.Trimmed, n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.commitAs(t, tenant, store.Write{By: store.By{Operator: true}}, func(found store.Tenant) []store.Change {
		return []store.Change{store.TrimChanges{Tenant: found.ID, UpTo: upTo, Most: 1000}}
	})
}

// TestWatchOfADeletedTenant deletes a tenant that is watched: the last that comes is the
// record of that, for those who were cut off before it too. A new tenant of the name has
// nothing of it.
func TestWatchOfADeletedTenant(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "liveagent")
	var kinds []usherv1.ChangeKind
	revision, deleted := "", ""
	watch := func(after string, begun func()) error {
		kinds = nil
		return h.watchUntil(&usherv1.WatchChangesRequest{Tenant: "t", AfterRevision: after}, func(m *usherv1.WatchChangesResponse) bool {
			if begun != nil {
				revision = m.GetRevision()
				begun()
				begun = nil
			}
			for _, c := range m.GetChanges() {
				kinds = append(kinds, c.GetKind())
				deleted = c.GetRevision()
			}
			return false
		})
	}
	remove := func() {
		h.commitAs(t, "t", store.Write{By: store.By{Operator: true}}, func(found store.Tenant) []store.Change {
			return []store.Change{store.DeleteTenant{Tenant: found.ID}}
		})
	}
	want := []usherv1.ChangeKind{usherv1.ChangeKind_CHANGE_KIND_TENANT_DELETED}
	wantError(t, watch("", remove), codes.NotFound, "TENANT_NOT_FOUND")
	if !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
	wantError(t, watch(revision, nil), codes.NotFound, "TENANT_NOT_FOUND")
	if !slices.Equal(kinds, want) {
		t.Errorf("after %s: got %v, want %v", revision, kinds, want)
	}
	wantError(t, watch("", nil), codes.NotFound, "TENANT_NOT_FOUND")
	raceTenant(t, h, "t", "liveagent")
	wantError(t, watch(revision, nil), codes.NotFound, "TENANT_NOT_FOUND")
	if !slices.Equal(kinds, want) {
		t.Errorf("beside a new tenant, after %s: got %v, want %v", revision, kinds, want)
	}
	wantError(t, watch(deleted, remove), codes.NotFound, "TENANT_NOT_FOUND")
	want = []usherv1.ChangeKind{usherv1.ChangeKind_CHANGE_KIND_TENANT_CREATED, usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET, want[0]}
	if !slices.Equal(kinds, want) {
		t.Errorf("a new tenant after %s: got %v, want %v", revision, kinds, want)
	}
}

// TestWatchOfALargeWrite watches a write that is too large for one message: it comes in several,
// and only with the last one a watcher is through with it.
func TestWatchOfALargeWrite(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "liveagent")
	const n = 2500
	commit := func(role, justification string) string {
		w := store.Write{By: store.By{Operator: true}, Justification: justification}
		return h.commitAs(t, "t", w, func(found store.Tenant) (changes []store.Change) {
			for i := range n {
				key := store.AssignmentKey{Subject: fmt.Sprintf("user:%05d", i), Role: role}
				changes = append(changes, store.SetAssignment{Tenant: found.ID, Assignment: store.Assignment{AssignmentKey: key}})
			}
			return changes
		}).Revision.String()
	}
	begin, err := h.admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "t"})
	if err != nil {
		t.Fatal(err)
	}
	last := commit("user", strings.Repeat("j", 1024))
	behind := commit("agent", "")
	messages, changes := 0, 0
	err = h.watchUntil(&usherv1.WatchChangesRequest{Tenant: "t", AfterRevision: begin.GetRevision()}, func(m *usherv1.WatchChangesResponse) bool {
		messages++
		changes += len(m.GetChanges())
		want := begin.GetRevision()
		switch {
		case changes == 2*n:
			want = behind
		case changes >= n:
			want = last
		}
		if m.GetRevision() != want || proto.Size(m) > 2<<20 {
			t.Errorf("got %d bytes at the revision %s after %d changes, want %s", proto.Size(m), m.GetRevision(), changes, want)
		}
		return m.GetRevision() == behind
	})
	if err != nil || changes != 2*n || messages < 4 {
		t.Errorf("got %d changes in %d messages, %v", changes, messages, err)
	}
}

// inBubble runs a test with a server in a bubble of synctest: time goes by as soon as everybody
// waits.
func inBubble(t *testing.T, test func(*testing.T, *harness)) {
	synctest.Test(t, func(t *testing.T) {
		listener := bufconn.Listen(1 << 10)
		h := listenHarness(t, t.TempDir(), &clock{now: testTime}, 1<<20, listener, "passthrough:bubble",
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return listener.Dial() }))
		raceTenant(t, h, "t", "liveagent")
		test(t, h)
	})
}

// TestWatchShowsSignsOfLife watches a tenant in which nothing changes, while others do.
func TestWatchShowsSignsOfLife(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		raceTenant(t, h, "u", "liveagent")
		stream, err := h.admin.WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: "t"})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for i := range 4 {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			want := time.Duration(i) * 10 * time.Second
			if len(m.GetChanges()) > 0 || m.GetRevision() != h.store.Revision().String() || time.Since(begun) != want {
				t.Errorf("got %v after %s, want a sign of life after %s", m, time.Since(begun), want)
			}
			raceTenant(t, h, fmt.Sprint("u", i), "liveagent")
		}
	})
}

// TestWatchDropsASlowReader lets somebody watch and take no messages. Writes and checks do not
// wait for them, and after thirty seconds they are dropped.
func TestWatchDropsASlowReader(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		stream, err := h.admin.WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		write := func(role string) {
			w := store.Write{By: store.By{Operator: true}, Justification: strings.Repeat("j", 1024)}
			h.commitAs(t, "t", w, func(found store.Tenant) (changes []store.Change) {
				for i := range 500 {
					key := store.AssignmentKey{Subject: fmt.Sprint("user:", i), Role: role}
					changes = append(changes, store.SetAssignment{Tenant: found.ID, Assignment: store.Assignment{AssignmentKey: key}})
				}
				return changes
			})
			if _, err := h.decisions.Check(t.Context(), &usherv1.CheckRequest{
				Tenant: "t", Subject: "user:1", Action: "view", Resource: &usherv1.Resource{Type: "ticket"},
			}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		write("user")
		write("agent")
		write("admin")
		if took := time.Since(begun); took > 0 {
			t.Errorf("writes and checks waited %s for the watcher", took)
		}
		time.Sleep(31 * time.Second)
		var got int
		for {
			m, err := stream.Recv()
			if err != nil {
				wantError(t, err, codes.ResourceExhausted, "TOO_SLOW")
				break
			}
			got += len(m.GetChanges())
		}
		if got == 0 || got == 1500 || time.Since(begun) != 31*time.Second {
			t.Errorf("got %d changes after %s", got, time.Since(begun))
		}
	})
}

// TestWatchersAreBounded has as many watchers as there may be, and then one more.
func TestWatchersAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		watch := func() (context.CancelFunc, error) {
			ctx, cut := context.WithCancel(t.Context())
			stream, err := h.admin.WatchChanges(ctx, &usherv1.WatchChangesRequest{Tenant: "t"})
			if err == nil {
				_, err = stream.Recv()
			}
			return cut, err
		}
		var cut context.CancelFunc
		for i := range 1000 {
			var err error
			if cut, err = watch(); err != nil {
				t.Fatalf("watcher %d: %v", i, err)
			}
		}
		_, err := watch()
		wantError(t, err, codes.ResourceExhausted, "TOO_MANY_WATCHERS")
		cut()
		synctest.Wait()
		if _, err := watch(); err != nil {
			t.Error(err)
		}
	})
}

// TestStopEndsStreams stops a server that is watched: at once, with a status that says so.
func TestStopEndsStreams(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		stream, err := h.admin.WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		h.server.Drain()
		_, err = h.admin.ListToggles(t.Context(), &usherv1.ListTogglesRequest{Tenant: "t"})
		if err != nil {
			t.Errorf("what is no stream is not served: %v", err)
		}
		late, err := h.admin.WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: "t"})
		if err == nil {
			_, err = late.Recv()
		}
		wantError(t, err, codes.Unavailable, "STOPPING")
		h.server.GRPC().GracefulStop()
		_, err = stream.Recv()
		wantError(t, err, codes.Unavailable, "STOPPING")
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %s to stop", took)
		}
	})
}

// TestStreamsAreCounted looks for a watch in the metrics.
func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "liveagent")
	for _, tenant := range []string{"t", "none"} {
		_ = h.watchUntil(&usherv1.WatchChangesRequest{Tenant: tenant}, func(*usherv1.WatchChangesResponse) bool { return true })
	}
	recorder := httptest.NewRecorder()
	h.server.HTTP().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	const labels = `{grpc_method="WatchChanges",grpc_service="usher.v1.AdminService",grpc_type="server_stream"} `
	if text := recorder.Body.String(); !strings.Contains(text, "grpc_server_started_total"+labels+"2\n") ||
		!strings.Contains(text, `grpc_server_handled_total{grpc_code="NotFound",grpc_method="WatchChanges",grpc_service="usher.v1.AdminService",grpc_type="server_stream"} 1`) {
		t.Error("the calls are not counted")
	}
}
