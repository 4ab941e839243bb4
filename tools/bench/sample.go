package main

import (
	"math"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sample is what was measured of one side in one round.
type sample struct {
	tally
	decisions int           // per call
	cpu       time.Duration // of the server; 0 if there is none
	mallocs   float64       // of the server
	others    time.Duration // that processes other than the server and this one have run
}

// tally is what callers have counted.
type tally struct {
	calls   int64
	elapsed time.Duration
	latency *hdrhistogram.Histogram // in nanoseconds
}

// newHistogram tells latencies from 1 µs to a minute apart by a thousandth.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 3)
}

// metric is one figure of a sample.
type metric struct {
	name   string
	digits int // after the point
	of     func(sample) float64
}

var (
	rate           = metric{"calls/s", 0, func(s sample) float64 { return float64(s.calls) / s.elapsed.Seconds() }}
	p50            = metric{"p50 µs", 0, quantile(50)}
	p99            = metric{"p99 µs", 0, quantile(99)}
	p999           = metric{"p99.9 µs", 0, quantile(99.9)}
	cpuPerCall     = metric{"CPU µs/call", 2, func(s sample) float64 { return known(micros(s.cpu) / float64(s.calls)) }}
	cpuPerDecision = metric{"CPU µs/decision", 3, perDecision}
	allocations    = metric{"allocs/call", 1, func(s sample) float64 { return known(s.mallocs / float64(s.calls)) }}
)

// othersShare is the share of the machine's CPUs that other processes took.
var othersShare = metric{"others", 2, func(s sample) float64 {
	return s.others.Seconds() / s.elapsed.Seconds() / float64(runtime.NumCPU())
}}

// metrics are those that every table has.
var metrics = []metric{rate, p50, p99, p999, cpuPerCall, cpuPerDecision, allocations}

// compared are those that differ between sides: of decisions, every side makes as many.
var compared = []metric{rate, p50, p99, p999, cpuPerCall, allocations}

func quantile(percent float64) func(sample) float64 {
	return func(s sample) float64 {
		return micros(time.Duration(s.latency.ValueAtPercentile(percent)))
	}
}

// perDecision is of calls that make more than one.
func perDecision(s sample) float64 {
	if s.decisions < 2 {
		return math.NaN()
	}
	return cpuPerCall.of(s) / float64(s.decisions)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// known returns NaN for what was not measured.
func known(value float64) float64 {
	if value == 0 {
		return math.NaN()
	}
	return value
}
