package server

import (
	"context"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
