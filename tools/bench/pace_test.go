package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// TestStallIsChargedToEveryCall stalls a server once, for 200 of 600 ms. Whoever measures
// from when a call was made sees one slow call; a third of all were due meanwhile.
func TestStallIsChargedToEveryCall(t *testing.T) {
	const stall = 200 * time.Millisecond
	var calls atomic.Int64
	stalling := func(context.Context, int) error {
		if calls.Add(1) == 30 {
			time.Sleep(stall)
		}
		return nil
	}
	got, err := atRate(context.Background(), 1, 500, 600*time.Millisecond, stalling)
	if err != nil {
		t.Fatal(err)
	}
	if n := calls.Load(); n != 301 && n != 300 || got.calls != n {
		t.Errorf("%d calls, of which %d were recorded; want 300", n, got.calls)
	}
	for percent, least := range map[float64]time.Duration{70: 1, 85: stall / 3, 99: stall * 9 / 10} {
		if got := time.Duration(got.latency.ValueAtPercentile(percent)); got < least {
			t.Errorf("percentile %v is %v, want at least %v", percent, got, least)
		}
	}
}

// TestRateIsKept has more time for each call than there is between two.
func TestRateIsKept(t *testing.T) {
	slow := func(context.Context, int) error { time.Sleep(5 * time.Millisecond); return nil }
	begin := time.Now()
	got, err := atRate(context.Background(), 16, 1000, 300*time.Millisecond, slow)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 295*time.Millisecond {
		t.Errorf("it took %v only", took)
	}
	if got.calls < 300 {
		t.Errorf("%d calls, want 300", got.calls)
	}
}

func TestFailureEndsRun(t *testing.T) {
	broken := errors.New("broken")
	failing := func(_ context.Context, caller int) error {
		if caller == 1 {
			return broken
		}
		time.Sleep(time.Millisecond)
		return nil
	}
	if _, err := atRate(context.Background(), 2, 1000, 100*time.Millisecond, failing); !errors.Is(err, broken) {
		t.Errorf("at a rate: %v", err)
	}
	if _, err := keepBusy(context.Background(), 2, 100*time.Millisecond, failing); !errors.Is(err, broken) {
		t.Errorf("kept busy: %v", err)
	}
}

func TestKeepBusyCountsEveryCall(t *testing.T) {
	var calls atomic.Int64
	got, err := keepBusy(context.Background(), 4, 50*time.Millisecond, func(context.Context, int) error {
		calls.Add(1)
		time.Sleep(time.Millisecond)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.calls != calls.Load() || got.calls == 0 {
		t.Errorf("%d calls were counted of %d", got.calls, calls.Load())
	}
	if got.elapsed < 40*time.Millisecond {
		t.Errorf("it took %v", got.elapsed)
	}
	if p := time.Duration(got.latency.ValueAtPercentile(50)); p < time.Millisecond {
		t.Errorf("the median is %v", p)
	}
}
