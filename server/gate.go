package server

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

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
