package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/usher-pdp/usher/store"
)

// Backup writes a copy of the file as it is at one revision, without what is in free pages, and
// checks the copy. It is done with the file itself when the copy is written.
func (s *Store) Backup(ctx context.Context, to *os.File) (store.Revision, error) {
	revision, err := s.copy(ctx, to)
	if err != nil {
		return store.Revision{}, err
	}
	if err := to.Sync(); err != nil {
		return store.Revision{}, fmt.Errorf("%w: the backup can't be written: %w", store.ErrUnavailable, err)
	}
	// Checking closes the file that it is given.
	fd, err := syscall.Dup(int(to.Fd()))
	if err != nil {
		return store.Revision{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	report, err := check(ctx, os.NewFile(uintptr(fd), to.Name()), nil)
	switch {
	case err != nil && ctx.Err() == nil:
		return store.Revision{}, fmt.Errorf("%w: the backup can't be checked: %w", store.ErrUnavailable, err)
	case err != nil:
		return store.Revision{}, ctx.Err()
	case len(report.Findings) > 0:
		return store.Revision{}, damaged("in %s: %s (and %d more); 'usher store check' lists all of them",
			report.Findings[0].Where, report.Findings[0].Text, len(report.Findings)-1)
	}
	return revision, nil
}

// copy writes the copy. It ends early when the store is closed or has to reopen its file, which
// would wait for it.
func (s *Store) copy(ctx context.Context, to io.Writer) (revision store.Revision, err error) {
	s.opened.RLock()
	defer s.opened.RUnlock()
	if s.file == nil {
		return revision, fmt.Errorf("%w: the file %s is not open", store.ErrUnavailable, s.path)
	}
	s.metrics.reading.Add(1)
	defer s.metrics.reading.Add(-1)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	least := s.newest.Load()
	tx, err := s.file.begin(false)
	if err != nil {
		return revision, err
	}
	defer func() { _ = tx.Rollback() }()
	r, err := newReader(tx, s.epoch, least)
	if err != nil {
		return revision, err
	}
	defer guard(&err)
	w := &withoutFree{to: to, file: s.file.os, proceed: func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return errClosed
		default:
		}
		if s.reopening.Load() {
			return errReopening
		}
		return nil
	}}
	if _, err := tx.WriteTo(w); err != nil {
		if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return revision, errors.Join(ctx.Err(), err)
		}
		return revision, fmt.Errorf("%w: the backup can't be written: %w", store.ErrUnavailable, err)
	}
	return r.Revision(), nil
}

// withoutFree passes a file of bbolt on, with zeros for its free pages: they may have what was
// erased.
type withoutFree struct {
	to      io.Writer
	file    io.ReaderAt // that is copied
	proceed func() error
	at      int64
	meta    meta
	free    []uint64
}

// Write passes on what comes next. First is a meta page, whole.
func (w *withoutFree) Write(b []byte) (int, error) {
	if err := w.proceed(); err != nil {
		return 0, err
	}
	if w.at == 0 {
		var err error
		if w.meta, err = parseMeta(b); err == nil {
			w.free, err = readFreelist(w.file, w.meta)
		}
		if err != nil {
			return 0, damaged("the list of free pages: %v", err)
		}
	}
	b = slices.Clone(b)
	end := w.at + int64(len(b))
	first, _ := slices.BinarySearch(w.free, uint64(w.at/w.meta.pageSize)) // #nosec G115 -- what was written is not negative
	for _, id := range w.free[first:] {
		from := int64(id) * w.meta.pageSize // #nosec G115 -- a page of the list that was read from the file
		if from >= end {
			break
		}
		clear(b[max(from-w.at, 0) : min(from+w.meta.pageSize, end)-w.at])
	}
	w.at = end
	return w.to.Write(b)
}
