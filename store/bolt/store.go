// Package bolt is the store in one bbolt file.
//
// All writes go through one goroutine, which takes what is waiting, runs each plan on
// top of what the ones before it have changed, and commits all of it with one fsync.
// Reads are read transactions of bbolt, and see the newest commit.
//
// bbolt finds no rot in its file. So every value ends with a checksum over its key and
// itself, every search is checked against the records on both sides of where it ended,
// and faults of the mapped memory are errors. What remains are pages that lead back to
// themselves, which bbolt follows until the process dies, and pages that lead to an
// older version of themselves.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// Options are what Open may be told. The zero value will do.
type Options struct {
	// Observer is told of commits; it may be nil.
	Observer store.Observer
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	isCopy bool // of a file that is kept; it may be upgraded

	// For tests.
	openFile    func(name string, flag int, mode os.FileMode) (*os.File, error) // nil: os.OpenFile
	reserve     int                                                             // 0: the constant
	retryAfter  time.Duration                                                   // 0: the constant
	upgradeStep int                                                             // 0: the constant
}

// Store is a store in a bbolt file. Open makes one.
type Store struct {
	path    string
	options Options
	epoch   string
	newest  atomic.Pointer[state] // that is published

	opened sync.RWMutex // held to read by Views, to write while the file is reopened
	file   *file        // nil: it could not be reopened, or is closed

	reopening     atomic.Bool // the writer has waited too long to reopen the file
	metrics       *metrics
	failure       atomic.Pointer[error] // why no writes are taken; nil: they are
	failedCommits atomic.Uint64         // how many commits have failed

	queue  chan *request
	done   chan struct{} // closed when the writer has ended
	closed chan struct{} // closed when Close has begun
	close  sync.Once
}

var _ store.Store = (*Store)(nil)

// state is a state of the file.
type state struct {
	txid     int // of the transaction of bbolt that made it
	revision uint64
}

// Revision is the revision of the newest published state.
func (s *Store) Revision() store.Revision {
	return store.Revision{Epoch: s.epoch, Number: s.newest.Load().revision}
}

// View calls read with the newest committed state.
func (s *Store) View(ctx context.Context, read func(store.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.opened.RLock()
	defer s.opened.RUnlock()
	if s.file == nil {
		return fmt.Errorf("%w: the file %s is not open", store.ErrUnavailable, s.path)
	}
	s.metrics.reading.Add(1)
	defer s.metrics.reading.Add(-1)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	least := s.newest.Load()
	tx, err := s.file.begin(false)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	r, err := newReader(tx, s.epoch, least)
	if err != nil {
		return err
	}
	r.reopening = &s.reopening
	return read(r)
}

// Close waits for the writes that are waiting and for Views, and closes the file.
func (s *Store) Close() error {
	s.close.Do(func() { close(s.closed) })
	<-s.done
	s.opened.Lock()
	defer s.opened.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.close()
	s.file = nil
	return err
}

// file is an open file.
type file struct {
	*bbolt.DB
	os    *os.File // what DB reads and writes
	metas []byte   // its meta pages, mapped
	stuck bool     // DB has a lock that nobody gives back
}

// begin begins a transaction. It looks at the meta pages first: if both are damaged or
// cut off, bbolt panics and keeps its locks.
func (f *file) begin(writable bool) (tx *bbolt.Tx, err error) {
	if err := f.readable(); err != nil {
		return nil, err
	}
	return begin(f.DB, writable)
}

func (f *file) readable() (err error) {
	defer guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	half := len(f.metas) / 2
	if _, err = parseMeta(f.metas[:half]); err != nil {
		_, err = parseMeta(f.metas[half:])
	}
	if err != nil {
		return damaged("both meta pages: %v", err)
	}
	return nil
}

// close closes the file, also one that was not opened to the end. If DB is stuck it is
// left behind, and only the lock of the file is given up.
func (f *file) close() error {
	if f.metas != nil {
		_ = syscall.Munmap(f.metas)
	}
	switch {
	case f.DB != nil && !f.stuck:
		return f.DB.Close()
	case f.os != nil:
		// The mapping that DB leaves behind would keep the lock: it goes with the last
		// reference to the open file, not with its descriptor.
		return errors.Join(syscall.Flock(int(f.os.Fd()), syscall.LOCK_UN), f.os.Close())
	}
	return nil
}

// begin begins a transaction.
func begin(db *bbolt.DB, writable bool) (tx *bbolt.Tx, err error) {
	defer guard(&err)
	tx, err = db.Begin(writable)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return tx, nil
}

// guard turns a panic into an error. It is for code that calls bbolt and nothing else:
// whatever panics there is due to a page that makes no sense.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = damaged("bbolt can't read it: %v", p)
	}
}

const damagedRemedy = "; stop Usher and restore a backup"

// damaged is the error of data that can't be what was written.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s%s", store.ErrCorrupt, fmt.Sprintf(format, args...), damagedRemedy)
}
