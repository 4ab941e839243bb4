package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// load is what is asked of a server: requests as bytes, one after the other.
type load struct {
	method    string
	requests  [][]byte
	once      bool // else it starts again after the last
	decisions int  // per request
	verify    func(response []byte) error
}

const (
	// connections is how many a client has.
	connections = 4
	// busy is how many callers, spread over the connections, keep a server busy.
	busy = 32
	// verified is one in how many responses is looked at.
	verified = 256
)

// client asks one server for what a load has.
type client struct {
	load  *load
	conns []*grpc.ClientConn
	next  atomic.Int64
}

// dial returns a client. The connections are made with the first calls, without TLS if the
// options don't say otherwise.
func dial(address string, l *load, options ...grpc.DialOption) (*client, error) {
	c := &client{load: l}
	options = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})),
	}, options...)
	for range connections {
		conn, err := grpc.NewClient(address, options...)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func (c *client) close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

var errExhausted = errors.New("every request that may be sent only once has been sent: measure for a shorter time")

// call sends the next request.
func (c *client) call(ctx context.Context, caller int) error {
	n := c.next.Add(1) - 1
	if c.load.once && n >= int64(len(c.load.requests)) {
		return errExhausted
	}
	a := answer{wanted: n%verified == 0}
	err := c.conns[caller%len(c.conns)].Invoke(ctx, c.load.method, c.load.requests[n%int64(len(c.load.requests))], &a)
	if err != nil || !a.wanted {
		return err
	}
	if err := c.load.verify(a.bytes); err != nil {
		return fmt.Errorf("the answer to request %d of %s: %w", n, c.load.method, err)
	}
	return nil
}

// keepBusy is a run in which so many callers call one time after the other.
func (c *client) keepBusy(callers int) run {
	return func(ctx context.Context, d time.Duration) (tally, error) { return keepBusy(ctx, callers, d, c.call) }
}

// sendAll sends the requests that may be sent only once.
func (c *client) sendAll(ctx context.Context, callers int) error {
	_, err := together(ctx, callers, func(ctx context.Context, caller int, _ *hdrhistogram.Histogram) error {
		for {
			if err := c.call(ctx, caller); errors.Is(err, errExhausted) {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
	return err
}

// atRate is a run at a fixed rate.
func (c *client) atRate(perSecond float64) run {
	return func(ctx context.Context, d time.Duration) (tally, error) {
		return atRate(ctx, busy, perSecond, d, c.call)
	}
}

func keepBusy(ctx context.Context, callers int, d time.Duration, call func(ctx context.Context, caller int) error) (tally, error) {
	deadline := time.Now().Add(d)
	return together(ctx, callers, func(ctx context.Context, caller int, latency *hdrhistogram.Histogram) error {
		for begin := time.Now(); begin.Before(deadline); {
			if err := call(ctx, caller); err != nil {
				return err
			}
			end := time.Now()
			if err := latency.RecordValue(int64(end.Sub(begin))); err != nil {
				return err
			}
			begin = end
		}
		return nil
	})
}

// together runs callers until all have ended, and counts what they have recorded. The
// first error ends all of them.
func together(ctx context.Context, callers int, run func(context.Context, int, *hdrhistogram.Histogram) error) (tally, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	histograms := make([]*hdrhistogram.Histogram, callers)
	for caller := range histograms {
		histograms[caller] = newHistogram()
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for caller, latency := range histograms {
		wg.Go(func() {
			if err := run(ctx, caller, latency); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	t := tally{elapsed: time.Since(begin), latency: histograms[0]}
	for _, h := range histograms[1:] {
		t.latency.Merge(h)
	}
	t.calls = t.latency.TotalCount()
	return t, context.Cause(ctx)
}
