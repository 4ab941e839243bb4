package server

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/types/known/durationpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// overload turns away what is more than the limits allow.
type overload struct {
	checks *admissions
	// administration is for calls that are no checks. computing is for work that keeps a processor
	// busy, in those and in DecisionService: so much of it that half of the processors are left.
	administration, computing *gate
}

func newOverload(limits Limits, stopping <-chan struct{}) *overload {
	return &overload{
		checks:         newAdmissions(limits.Checks),
		administration: newGate(limits.Administration, limits.Administration, stopping),
		// Those who wait here have a place in administration: half of them are kept free.
		computing: newGate(max(1, runtime.GOMAXPROCS(0)/2), max(1, limits.Administration/2), stopping),
	}
}

// overloadedError says that there is too much to do.
type overloadedError struct {
	text  string
	after time.Duration // when to try again
}

func (e *overloadedError) Error() string { return e.text }

// GRPCStatus is the answer to a call that is turned away.
func (e *overloadedError) GRPCStatus() *status.Status {
	return detailed(codes.ResourceExhausted, e.text, "OVERLOADED", &errdetails.RetryInfo{RetryDelay: durationpb.New(e.after)})
}

// admit is the interceptor of the calls that are no checks. Those who watch for changes do
// not count: most of the time they do nothing, and they have a limit of their own.
func (o *overload) admit(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if info.FullMethod == usherv1.AdminService_WatchChanges_FullMethodName {
		return handler(ctx, request)
	}
	leave, err := o.administration.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return handler(ctx, request)
}

// maxWait is how long a call waits for its turn, unless its own deadline is sooner.
const maxWait = 10 * time.Second

// gate lets so many through at once. Some more wait, in the order in which they came.
type gate struct {
	places     chan struct{}
	waiting    atomic.Int64
	maxWaiting int64
	shed       atomic.Uint64
	stopping   <-chan struct{}
}

func newGate(most, waiting int, stopping <-chan struct{}) *gate {
	return &gate{places: make(chan struct{}, most), maxWaiting: int64(waiting), stopping: stopping}
}

// enter waits for a place, which has to be given back by leave.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.places <- struct{}{}:
		return g.leave, nil
	default:
	}
	if g.waiting.Add(1) > g.maxWaiting {
		g.waiting.Add(-1)
		return nil, g.refuse()
	}
	defer g.waiting.Add(-1)
	late := time.NewTimer(maxWait)
	defer late.Stop()
	select {
	case g.places <- struct{}{}:
		return g.leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-g.stopping:
		return nil, errStopping
	case <-late.C:
		return nil, g.refuse()
	}
}

func (g *gate) leave() { <-g.places }

func (g *gate) refuse() error {
	g.shed.Add(1)
	return &overloadedError{
		text:  fmt.Sprintf("%d such calls run and %d wait already: try again later", cap(g.places), g.maxWaiting),
		after: time.Second,
	}
}

// admissions counts checks from when their headers come to when their answer is made, so that
// those are counted, too, that wait for a processor. It takes what is over the limit no further
// than that.
//
// A call is counted in the goroutine that reads its connection, and is taken off in the one that
// answers it. There are calls that never come to the latter, those that have ended before, for one,
// or are compressed as the server does not know it. So those that are counted are kept, and are
// looked through when there are too many of them.
type admissions struct {
	limit   int64
	refusal error // of what is over the limit
	count   atomic.Int64
	shed    atomic.Uint64
	stripes [64]stripe

	sweeping  sync.Mutex
	swept     time.Time // when they were looked through last
	round     atomic.Uint32
	roundFrom time.Time
}

// stripe keeps some of those who are counted, so that calls on different processors seldom wait
// for each other.
type stripe struct {
	mu    sync.Mutex
	first *admission
	_     [48]byte // so that no two share a line of the processor's cache
}

// admission is a check that is counted. It is the context of the call, which is how it gets from
// one goroutine to the other.
type admission struct {
	context.Context
	all            *admissions
	stripe         *stripe
	next, previous *admission
	left           bool        // it is not counted any more; guarded by stripe.mu
	refused        bool        // it never was, because there were too many
	came           atomic.Bool // the request has been read
	round          uint32      // in which it came
}

const (
	// checkPrefix is how the names of methods begin whose calls are counted.
	checkPrefix = "/" + "usher.v1.DecisionService" + "/"
	// sweepPause is how long lies between two times that all who are counted are looked through.
	sweepPause = 10 * time.Millisecond
	// patience is for how many rounds of a second or more, in which there were too many calls, one is
	// counted whose request does not come. It takes up some memory, but no time.
	patience = 10
)

func newAdmissions(limit int) *admissions {
	refusal := &overloadedError{text: fmt.Sprintf("%d checks are under way already: try again later", limit), after: 100 * time.Millisecond}
	return &admissions{limit: int64(limit), refusal: refusal.GRPCStatus().Err()}
}

// tap counts a call whose headers have come, or has it refused. It must not wait. It does not refuse by itself: the
// library forgets to end the context of such a call, which takes up memory then until its deadline.
func (a *admissions) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if !strings.HasPrefix(info.FullMethodName, checkPrefix) {
		return ctx, nil
	}
	n := a.count.Add(1)
	if n > a.limit {
		a.sweep()
		if n = a.count.Load(); n > a.limit {
			a.count.Add(-1)
			a.shed.Add(1)
			return &admission{Context: ctx, all: a, left: true, refused: true}, nil
		}
	}
	s := &a.stripes[uint64(n)%uint64(len(a.stripes))] // #nosec G115 -- which stripe is all the same
	one := &admission{Context: ctx, all: a, stripe: s, round: a.round.Load()}
	s.mu.Lock()
	if one.next = s.first; one.next != nil {
		one.next.previous = one
	}
	s.first = one
	s.mu.Unlock()
	return one, nil
}

// sweep takes those off who have ended, and those whose request does not come.
func (a *admissions) sweep() {
	if !a.sweeping.TryLock() {
		return
	}
	defer a.sweeping.Unlock()
	now := time.Now()
	if now.Sub(a.swept) < sweepPause {
		return
	}
	a.swept = now
	if now.Sub(a.roundFrom) >= time.Second {
		a.roundFrom = now
		a.round.Add(1)
	}
	round := a.round.Load()
	for i := range a.stripes {
		s := &a.stripes[i]
		s.mu.Lock()
		for one, next := s.first, (*admission)(nil); one != nil; one = next {
			next = one.next
			if one.came.Load() {
				continue
			}
			if one.Err() != nil || round-one.round > patience {
				one.remove()
			}
		}
		s.mu.Unlock()
	}
}

type admissionKey struct{}

// Value makes it found by admissionOf.
func (a *admission) Value(key any) any {
	if key == (admissionKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// admissionOf returns the admission of a call, or nil if it is not counted.
func admissionOf(ctx context.Context) *admission {
	a, _ := ctx.Value(admissionKey{}).(*admission)
	return a
}

// refusal is the answer to a call that is over the limit, or nil.
func (a *admission) refusal() error {
	if a == nil || !a.refused {
		return nil
	}
	return a.all.refusal
}

// requestCame says that from here on only the server is waited for.
func (a *admission) requestCame() {
	if a != nil {
		a.came.Store(true)
	}
}

// leave takes it off.
func (a *admission) leave() {
	if a == nil {
		return
	}
	a.stripe.mu.Lock()
	a.remove()
	a.stripe.mu.Unlock()
}

// remove is leave with the stripe held.
func (a *admission) remove() {
	if a.left {
		return
	}
	a.left = true
	a.all.count.Add(-1)
	if a.next != nil {
		a.next.previous = a.previous
	}
	if a.previous != nil {
		a.previous.next = a.next
	} else {
		a.stripe.first = a.next
	}
	// A call may go on for long after it was taken off: it must not keep those alive that it stood beside.
	a.next, a.previous = nil, nil
}

var (
	checksInFlight = prometheus.NewDesc("usher_checks_in_flight",
		"Calls of DecisionService that run or wait.", nil, nil)
	administrativeCalls = prometheus.NewDesc("usher_administrative_calls",
		"Other calls, watchers left out: those that run, and those that wait for their turn.", []string{"state"}, nil)
	shedCalls = prometheus.NewDesc("usher_shed_calls_total",
		"Calls that were refused because there was too much to do.", []string{"class"}, nil)
)

// Describe implements prometheus.Collector.
func (o *overload) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(o, out) }

// Collect implements prometheus.Collector.
func (o *overload) Collect(out chan<- prometheus.Metric) {
	o.checks.sweep()
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(checksInFlight, float64(o.checks.count.Load()))
	gauge(administrativeCalls, float64(len(o.administration.places)), "running")
	gauge(administrativeCalls, float64(o.administration.waiting.Load()+o.computing.waiting.Load()), "waiting")
	shed := func(class string, count uint64) {
		out <- prometheus.MustNewConstMetric(shedCalls, prometheus.CounterValue, float64(count), class)
	}
	shed("check", o.checks.shed.Load())
	shed("administration", o.administration.shed.Load()+o.computing.shed.Load())
}
