package server_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store/bolt"
)

var soakTime = flag.Duration("soak", 5*time.Second, "how long TestSoak runs")

// soakSample is what a server takes up at some moment.
type soakSample struct {
	after               time.Duration
	heap, file          int64 // bytes
	goroutines, handles int64
	calls               int64
}

// TestSoak has a server do all kinds of work for some time. What it takes up must not grow: the last
// third of the samples is compared with the first.
func TestSoak(t *testing.T) {
	random := newRandom(t)
	dir := t.TempDir()
	cache := server.NewCache(4 << 20)
	path := filepath.Join(dir, "usher.db")
	st, err := bolt.Open(path, bolt.Options{Observer: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := server.New(t.Context(), server.Config{Store: st, Cache: cache, SpoolDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.GRPC().Serve(s.ListenGRPC(listener)) }()
	defer func() {
		s.Stop(t.Context())
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	h := &harness{server: s, store: st}
	h.conn = h.connect(t, listener)
	defer func() { _ = h.conn.Close() }()
	h.decisions = usherv1.NewDecisionServiceClient(h.conn)
	h.admin = usherv1.NewAdminServiceClient(h.conn)
	h.operator = usherv1.NewOperatorServiceClient(h.conn)
	raceTenant(t, h, "t", "goto_contact_center")

	ctx, cancel := context.WithTimeout(t.Context(), *soakTime)
	defer cancel()
	var calls atomic.Int64
	var workers sync.WaitGroup
	var working sync.RWMutex // held to read by work, but for watching, which waits for the rest
	for kind, work := range soakWork(h, listener) {
		random := rand.New(rand.NewPCG(random.Uint64(), 1))
		workers.Go(func() {
			for ctx.Err() == nil {
				if kind != "watch" {
					working.RLock()
				}
				err := work(ctx, random)
				if kind != "watch" {
					working.RUnlock()
				}
				// It is one of the kinds of load that there is too much to do.
				if err != nil && ctx.Err() == nil && status.Code(err) != codes.ResourceExhausted {
					t.Errorf("%s: %v", kind, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	samples := soakSamples(ctx, path, &calls, &working)
	workers.Wait()
	t.Logf("over %v\n%s", *soakTime, soakTable(samples))
	compareThirds(t, samples)
}

// soakWork is what is done, again and again, each by a goroutine of its own.
func soakWork(h *harness, listener net.Listener) map[string]func(context.Context, *rand.Rand) error {
	someone := func(random *rand.Rand) string { return fmt.Sprint("user:", random.IntN(2_000)) }
	check := func(ctx context.Context, random *rand.Rand, decisions usherv1.DecisionServiceClient) error {
		_, err := decisions.Check(ctx, &usherv1.CheckRequest{
			Tenant: "t", Subject: someone(random), Action: "serve", Resource: &usherv1.Resource{Type: "queue", Scopes: []string{"queue:a"}},
		})
		return err
	}
	return map[string]func(context.Context, *rand.Rand) error{
		"check": func(ctx context.Context, random *rand.Rand) error { return check(ctx, random, h.decisions) },
		"batch": func(ctx context.Context, random *rand.Rand) error {
			request := &usherv1.BatchCheckRequest{Tenant: "t", Subject: someone(random)}
			for range 50 {
				request.Items = append(request.Items, &usherv1.BatchCheckItem{Resource: &usherv1.Resource{Type: "queue"}, Actions: []string{"serve"}})
			}
			_, err := h.decisions.BatchCheck(ctx, request)
			return err
		},
		"explain": func(ctx context.Context, random *rand.Rand) error {
			_, err := h.decisions.Explain(ctx, &usherv1.ExplainRequest{Check: &usherv1.CheckRequest{
				Tenant: "t", Subject: someone(random), Action: "serve", Resource: &usherv1.Resource{Type: "queue"},
			}})
			return err
		},
		"grant": func(ctx context.Context, random *rand.Rand) error {
			_, err := h.admin.Grant(ctx, &usherv1.GrantRequest{Tenant: "t", Subject: someone(random), Role: "agent", Scope: "queue:a", By: byOperator()})
			return err
		},
		"revoke": func(ctx context.Context, random *rand.Rand) error {
			_, err := h.admin.Revoke(ctx, &usherv1.RevokeRequest{Tenant: "t", Subject: someone(random), Role: "agent", Scope: "queue:a", By: &usherv1.RevokeRequest_Operator{}})
			return err
		},
		"watch": func(ctx context.Context, _ *rand.Rand) error {
			messages := 0
			err := h.watchUntil(&usherv1.WatchChangesRequest{Tenant: "t"}, func(*usherv1.WatchChangesResponse) bool {
				messages++
				return messages == 5 || ctx.Err() != nil
			})
			if status.Code(err) == codes.OutOfRange { // what it would go on with has been trimmed
				return nil
			}
			return err
		},
		"export": func(ctx context.Context, _ *rand.Rand) error {
			stream, err := h.operator.Export(ctx, &usherv1.ExportRequest{Tenant: "t"})
			for err == nil {
				_, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		},
		"backup": func(ctx context.Context, _ *rand.Rand) error {
			stream, err := h.operator.Backup(ctx, &usherv1.BackupRequest{})
			for err == nil {
				_, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) || status.Code(err) == codes.Unimplemented {
				return nil
			}
			return err
		},
		"connect": func(ctx context.Context, random *rand.Rand) error {
			// Not by connect, which keeps every connection until the end of the test.
			conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			return check(ctx, random, usherv1.NewDecisionServiceClient(conn))
		},
		"give up": func(ctx context.Context, random *rand.Rand) error {
			short, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(1_000))*time.Microsecond)
			defer cancel()
			stream, err := h.operator.Export(short, &usherv1.ExportRequest{})
			for err == nil {
				_, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) || status.Code(err) == codes.DeadlineExceeded {
				return nil
			}
			return err
		},
		"maintain": func(ctx context.Context, _ *rand.Rand) error {
			if err := h.server.Maintain(ctx, server.Retention{Changes: 100 * time.Millisecond}); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
			return nil
		},
	}
}

// soakSamples takes 30 samples until the work is over. The work rests meanwhile: what is allocated while the
// garbage is collected would count as alive, and that is gigabytes a second.
func soakSamples(ctx context.Context, path string, calls *atomic.Int64, working *sync.RWMutex) (samples []soakSample) {
	begun := time.Now()
	next := time.NewTicker(*soakTime / 31)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return samples
		case <-next.C:
		}
		one := soakSample{after: time.Since(begun), calls: calls.Load()}
		var m runtime.MemStats
		working.Lock()
		runtime.GC() // twice: what is under way when the first begins ends meanwhile
		runtime.GC()
		runtime.ReadMemStats(&m)
		one.goroutines = int64(runtime.NumGoroutine())
		working.Unlock()
		one.heap = int64(m.HeapAlloc)
		if info, err := os.Stat(path); err == nil {
			one.file = info.Size()
		}
		if handles, err := os.ReadDir("/proc/self/fd"); err == nil {
			one.handles = int64(len(handles))
		}
		samples = append(samples, one)
	}
}

func soakTable(samples []soakSample) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "after\theap KiB\tfile KiB\tgoroutines\thandles\tcalls\t")
	for _, s := range samples {
		fmt.Fprintf(table, "%v\t%d\t%d\t%d\t%d\t%d\t\n", s.after.Round(10*time.Millisecond), s.heap>>10, s.file>>10, s.goroutines, s.handles, s.calls)
	}
	_ = table.Flush() // strings.Builder takes everything
	return text.String()
}

// compareThirds compares the least values of the thirds: what is under way when a sample is taken makes it
// larger, and what is never given back makes the least one larger, too. The first samples are left out: the
// cache fills then.
func compareThirds(t *testing.T, samples []soakSample) {
	t.Helper()
	samples = samples[len(samples)/5:]
	if len(samples) < 6 {
		t.Skipf("the machine is too busy: in %v there were only %d samples to compare", *soakTime, len(samples))
	}
	third := len(samples) / 3
	least := func(of []soakSample, value func(soakSample) int64) int64 {
		smallest := value(of[0])
		for _, s := range of {
			smallest = min(smallest, value(s))
		}
		return smallest
	}
	for name, of := range map[string]struct {
		value func(soakSample) int64
		slack int64 // that a busy machine explains
	}{
		"bytes of the heap": {func(s soakSample) int64 { return s.heap }, 8 << 20},
		"bytes of the file": {func(s soakSample) int64 { return s.file }, 8 << 20},
		"goroutines":        {func(s soakSample) int64 { return s.goroutines }, 50},
		"file handles":      {func(s soakSample) int64 { return s.handles }, 30},
	} {
		first, last := least(samples[:third], of.value), least(samples[len(samples)-third:], of.value)
		if last > first+first/10+of.slack {
			t.Errorf("%s: %d in the first third, %d in the last", name, first, last)
		}
	}
}
