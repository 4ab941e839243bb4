package main

import (
	"context"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// atRate has callers call at a fixed rate for d. A latency counts from when the call was
// due, whether or not a caller was free then: a server that stands still for a second is
// charged for every call of that second, and not for the one that met it.
func atRate(ctx context.Context, callers int, perSecond float64, d time.Duration, call func(ctx context.Context, caller int) error) (tally, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	clock, err := newAlarm()
	if err != nil {
		return tally{}, err
	}
	// All that becomes due has room, so that the pacer does not wait for the callers.
	due := make(chan time.Time, int(perSecond*d.Seconds())+1)
	go func() {
		defer clock.close()
		defer close(due)
		begin := time.Now()
		for n := range cap(due) {
			at := begin.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
			if err := clock.sleepUntil(at); err != nil {
				cancel(err)
			}
			if ctx.Err() != nil {
				return
			}
			due <- at
			runtime.Gosched() // the caller that has waited for it goes first, on this thread
		}
	}()
	return together(ctx, callers, func(ctx context.Context, caller int, latency *hdrhistogram.Histogram) error {
		for at := range due {
			if err := call(ctx, caller); err != nil {
				return err
			}
			if err := latency.RecordValue(int64(time.Since(at))); err != nil {
				return err
			}
		}
		return nil
	})
}
