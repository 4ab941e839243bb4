package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

const (
	// maxWaiting is how many writes can wait for their turn before Commit waits.
	maxWaiting = 1024
	// maxGroup is how many writes share a commit.
	maxGroup = 256
	// retryAfter is the pause between tries whether writes can be taken again.
	retryAfter = time.Second
)

// request is a Commit call that waits for the writer.
type request struct {
	ctx    context.Context
	write  store.Write
	taken  atomic.Bool // by the writer, or back by the caller
	answer chan answer
}

type answer struct {
	committed store.Committed
	err       error
}

// Commit puts a write to the queue and waits until it is answered. It returns early when
// ctx is done, but not once its plan may run: a plan is never run behind the back of a
// caller that has gone on.
func (s *Store) Commit(ctx context.Context, w store.Write) (store.Committed, error) {
	if err := s.WriteFailure(); err != nil {
		return store.Committed{}, err
	}
	req := &request{ctx: ctx, write: w, answer: make(chan answer, 1)}
	select {
	case <-s.closed:
		return store.Committed{}, errClosed
	case <-ctx.Done():
		return store.Committed{}, ctx.Err()
	case s.queue <- req:
	}
	select {
	case a := <-req.answer:
		return a.committed, a.err
	case <-ctx.Done():
		if req.taken.CompareAndSwap(false, true) {
			return store.Committed{}, ctx.Err()
		}
		a := <-req.answer
		return a.committed, a.err
	case <-s.done:
		// The writer has ended. It may have answered before.
		select {
		case a := <-req.answer:
			return a.committed, a.err
		default:
			return store.Committed{}, errClosed
		}
	}
}

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// run is the writer. It ends when the store is closed and no write waits.
func (s *Store) run() {
	defer close(s.done)
	// A page that can't be read is an error, not the end of the process.
	debug.SetPanicOnFault(true)
	lost := s.WriteFailure() // why no writes are taken
	var retry <-chan time.Time
	for {
		switch {
		case lost == nil:
			retry = nil
		case retry == nil:
			retry = time.After(s.options.retryAfter)
		}
		select {
		case req := <-s.queue:
			lost = s.commit(s.group(req), lost)
		case <-retry:
			retry = nil
			lost = s.recover()
			s.setFailure(lost)
		case <-s.closed:
			if len(s.queue) == 0 {
				return
			}
			lost = s.commit(s.group(<-s.queue), lost)
		}
	}
}

// group returns the first write and those that wait behind it. It does not wait for
// more, so that a lone write is not delayed.
func (s *Store) group(first *request) []*request {
	group := []*request{first}
	for len(group) < maxGroup {
		select {
		case req := <-s.queue:
			group = append(group, req)
		default:
			return group
		}
	}
	return group
}

// commit makes the writes of a group with one transaction, tells the observer,
// publishes the revision and answers, in this order. It returns why no more writes are
// taken, if so.
func (s *Store) commit(group []*request, lost error) error {
	answers := make([]answer, len(group))
	if lost == nil {
		if err := s.transact(group, answers); err != nil {
			lost = writeFailure(err)
			s.setFailure(lost)
			s.failedCommits.Add(1)
		}
	}
	for i, req := range group {
		if lost != nil {
			answers[i] = answer{err: lost}
		}
		req.answer <- answers[i]
	}
	return lost
}

func (s *Store) transact(group []*request, answers []answer) error {
	begun := time.Now()
	tx, err := s.file.begin(true)
	if err != nil {
		return err
	}
	defer s.file.abandon(tx)
	txid := tx.ID()
	newest := s.newest.Load()
	r, err := newReader(tx, s.epoch, newest)
	if err == nil && r.revision.Number != newest.revision {
		err = damaged("the newest meta page")
	}
	if err != nil {
		return err
	}
	var touched []store.Touched
	written := 0
	for i, req := range group {
		stage, committed, err := s.plan(r, req)
		answers[i] = answer{committed, err}
		if err != nil || committed.Repeated || !stage.changed() {
			continue
		}
		if err := stage.flush(); err != nil {
			return err
		}
		written++
		r.revision = committed.Revision
		touched = append(touched, stage.touched...)
	}
	if written == 0 {
		return nil
	}
	if err := finish(r); err != nil {
		if s.options.Observer != nil {
			s.options.Observer.Lost()
		}
		return err
	}
	stats := tx.Stats()
	s.metrics.committed(time.Since(begun), stats.GetWriteTime(), written)
	if s.options.Observer != nil && len(touched) > 0 {
		s.options.Observer.Committed(touched)
	}
	s.newest.Store(&state{txid, r.revision.Number})
	return nil
}

// plan runs the plan of a write on what the reader sees, and turns the changes into
// records. It returns them with the answer to the write.
func (s *Store) plan(r *reader, req *request) (*stage, store.Committed, error) {
	committed := store.Committed{Revision: r.revision}
	if !req.taken.CompareAndSwap(false, true) {
		return nil, committed, req.ctx.Err() // which nobody waits for
	}
	if err := req.ctx.Err(); err != nil {
		return nil, committed, err
	}
	stage, err := newStage(r, &req.write, s.options.Now())
	if err != nil {
		return nil, committed, err
	}
	if earlier, err := stage.repeated(); err != nil || earlier.Repeated {
		return nil, earlier, err
	}
	changes, err := runPlan(req.write.Plan, r)
	if err != nil {
		return nil, committed, err
	}
	for _, c := range changes {
		if err := stage.apply(c); err != nil {
			return nil, committed, err
		}
	}
	committed = stage.committed()
	return stage, committed, stage.remember(committed)
}

// runPlan runs a plan. One that panics or ends its goroutine fails, and harms no other
// write: the goroutine is not the writer's.
func runPlan(plan func(store.Reader) ([]store.Change, error), r store.Reader) (changes []store.Change, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		debug.SetPanicOnFault(true)
		err = errors.New("the plan of a write has ended its goroutine")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the plan of a write panicked: %v\n%s", p, debug.Stack())
			}
		}()
		changes, err = plan(r)
	}()
	<-done
	return changes, err
}

// abandon ends a transaction that was not committed. If bbolt can't do even that, it
// keeps its lock for ever.
func (f *file) abandon(tx *bbolt.Tx) {
	defer func() {
		if recover() != nil {
			f.stuck = true
		}
	}()
	_ = tx.Rollback() // nothing to do after a commit
}

// finish writes the revision and commits.
func finish(r *reader) (err error) {
	defer guard(&err)
	if err := put(r.bucket(bucketMeta), bucketMeta, metaRevision, encodeNumber(r.revision.Number)); err != nil {
		return err
	}
	return r.tx.Commit()
}
