package server_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store"
)

var overloadTime = flag.Duration("overload", 300*time.Millisecond, "how long TestOverload asks for each multiple of the capacity")

// loadAnswers are how long calls took, of those that were answered and of those that were turned away.
type loadAnswers struct {
	mu             sync.Mutex
	answered, shed []time.Duration
	failed         error // another answer
}

func (a *loadAnswers) add(took time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch status.Code(err) {
	case codes.OK:
		a.answered = append(a.answered, took)
	case codes.ResourceExhausted:
		a.shed = append(a.shed, took)
	default:
		a.failed = err
	}
}

// perThousand is the time in which so many of a thousand calls were answered.
func perThousand(took []time.Duration, of int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*of/1000].Round(10 * time.Microsecond)
}

// TestOverload finds out how many costly questions a server answers, and then asks for multiples of that,
// whether it answers or not. What it admits it answers as before, and the rest is turned away.
func TestOverload(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, stop := limited(t, server.Limits{Checks: 16}, listener)
	raceTenant(t, h, "t", "liveagent")
	// Asking is cheap, and answering is not: so whoever asks does not take the processors that are to answer.
	held := make([]store.Assignment, 5_000)
	for i := range held {
		held[i].AssignmentKey = store.AssignmentKey{Subject: "user:ann", Role: "agent", Scope: fmt.Sprint("department:", i)}
	}
	h.assign(t, held...)
	request := &usherv1.ListScopesRequest{Tenant: "t", Subject: "user:ann", Action: "view", ResourceType: "ticket", PageSize: 1}
	call := func(answers *loadAnswers) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		_, err := h.decisions.ListScopes(ctx, request)
		answers.add(time.Since(begun), err)
	}

	alone := &loadAnswers{}
	var calls sync.WaitGroup
	begun := time.Now()
	for range 4 {
		calls.Go(func() {
			for time.Since(begun) < *overloadTime {
				call(alone)
			}
		})
	}
	calls.Wait()
	capacity := float64(len(alone.answered)) / time.Since(begun).Seconds()
	if alone.failed != nil || capacity == 0 {
		t.Fatalf("answered %d, %v", len(alone.answered), alone.failed)
	}

	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "asked for/s\tof capacity\tanswered/s\thalf within\t99 % within\tturned away/s\thalf within\t99 % within\t")
	for _, multiple := range []float64{0.5, 1, 2, 3} {
		answers := &loadAnswers{}
		asked := 0
		tick := time.NewTicker(time.Millisecond)
		for begun = time.Now(); time.Since(begun) < *overloadTime; <-tick.C {
			for due := time.Since(begun).Seconds() * capacity * multiple; float64(asked) < due; asked++ {
				calls.Go(func() { call(answers) })
			}
		}
		tick.Stop()
		seconds := time.Since(begun).Seconds()
		calls.Wait()
		fmt.Fprintf(table, "%.0f\t%.1f\t%.0f\t%v\t%v\t%.0f\t%v\t%v\t\n", float64(asked)/seconds, multiple,
			float64(len(answers.answered))/seconds, perThousand(answers.answered, 500), perThousand(answers.answered, 990),
			float64(len(answers.shed))/seconds, perThousand(answers.shed, 500), perThousand(answers.shed, 990))
		if answers.failed != nil || len(answers.answered) == 0 {
			t.Errorf("at %v of the capacity %d were answered, and one got %v", multiple, len(answers.answered), answers.failed)
		}
	}
	_ = table.Flush() // strings.Builder takes everything
	t.Logf("each for %v\n%s", *overloadTime, text.String())
	h.wantMetric(t, "usher_checks_in_flight 0")
	stop()
}
