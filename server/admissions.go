package server

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/tap"
)

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
