package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/usher-pdp/usher/store"
)

// roomAgain is how many bytes have to be free on a disk that was full before writes are taken
// again. A small write may find a place in the file long before there is room for the others.
const roomAgain = 1 << 20

// longView is how long the writer waits for Views before it ends them.
const longView = 100 * time.Millisecond

// errReopening is the error of a View that has read for too long.
var errReopening = fmt.Errorf("%w: a write has failed meanwhile and the file is opened again: check the disk, then try again", store.ErrUnavailable)

// WriteFailure says why no writes are taken: nil, or an ErrUnavailable. Each second the
// store opens its file again and writes to it; when that works, writes are taken again.
func (s *Store) WriteFailure() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *Store) setFailure(err error) {
	if err == nil {
		s.failure.Store(nil)
		return
	}
	s.failure.Store(&err)
}

// writeFailure says why no writes are taken after a write has failed, and what helps.
func writeFailure(err error) error {
	advice := "a write has failed: check the disk"
	switch {
	case isFull(err):
		advice = "the disk is full: make room"
	case isErrno(err, syscall.EROFS):
		advice = "the file system can only be read now, which is what becomes of one whose disk fails: check the disk, and mount it for writing again"
	case isErrno(err, syscall.EIO):
		advice = "the disk fails: see the log of the kernel, and replace it"
	}
	return fmt.Errorf("%w: %s, writes are taken again by themselves (%w)", store.ErrUnavailable, advice, err)
}

func isFull(err error) bool { return isErrno(err, syscall.ENOSPC) || isErrno(err, syscall.EDQUOT) }

// isErrno reports whether an error is due to that one. Of some errors bbolt keeps only the text.
func isErrno(err error, errno syscall.Errno) bool {
	return errors.Is(err, errno) || err != nil && strings.Contains(err.Error(), errno.Error())
}

// recover tries whether writes can be taken again, and returns why not. Until the file
// can be written and opened again, the one that is open goes on serving Views.
func (s *Store) recover() error {
	if isFull(s.WriteFailure()) {
		if err := hasRoom(filepath.Dir(s.path)); err != nil {
			return writeFailure(err)
		}
	}
	if err := s.settleAgain(); err != nil {
		return writeFailure(err)
	}
	if err := s.reopen(); err != nil {
		return writeFailure(fmt.Errorf("the file can't be opened again: %w", err))
	}
	if err := s.probe(); err != nil {
		return writeFailure(err)
	}
	return nil
}

// hasRoom is an error if less than roomAgain is free on the disk of a directory.
func hasRoom(dir string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("asking for the room on the disk of %s: %w", dir, err)
	}
	if free := stat.Bavail * uint64(stat.Bsize); stat.Blocks > 0 && free < roomAgain { // #nosec G115 -- a size; some tell nothing of their room
		return fmt.Errorf("on the disk of %s %d bytes are free: %w", dir, free, syscall.ENOSPC)
	}
	return nil
}

// settleAgain settles the file under the name of the store.
func (s *Store) settleAgain() error {
	f, err := s.options.openFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if s.file == nil { // and with it the lock is gone: by now another process may have the file
		_, _, err = inspect(f, syscall.LOCK_EX)
	}
	if err == nil {
		err = settle(f, filepath.Dir(s.path))
	}
	return errors.Join(err, f.Close())
}

// settle makes the state of a file survive a loss of power: it syncs the directory that has its
// name, and writes the newest meta page once more as it is. When an fsync has failed, the operating
// system may have that page in memory only and count it as written. The next commit
// would overwrite pages that the state before it needs, which is the one on disk.
func settle(f *os.File, dir string) error {
	if err := syncDirectory(dir); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m, err := newestMeta(f, info.Size())
	if err != nil {
		return err
	}
	page, at := make([]byte, m.pageSize), int64(m.txid%2)*m.pageSize
	if _, err := f.ReadAt(page, at); err != nil {
		return err
	}
	if _, err := f.WriteAt(page, at); err != nil {
		return err
	}
	return f.Sync()
}

// reopen closes the file and opens it again, because after a failed write bbolt's
// memory need not be what the file is. What is then in the file is what counts.
func (s *Store) reopen() error {
	s.lockOpened()
	defer s.opened.Unlock()
	if s.file != nil {
		_ = s.file.close() // it may be broken; what matters is whether it opens again
		s.file = nil
	}
	f, newest, err := s.open()
	if err != nil {
		return err
	}
	if s.options.Observer != nil && *newest != *s.newest.Load() {
		s.options.Observer.Lost() // before the revision is published
	}
	s.file = f
	s.newest.Store(newest)
	return nil
}

// lockOpened waits for Views and backups. Others wait meanwhile, and checks are among them: what
// still reads after longView ends with an error.
func (s *Store) lockOpened() {
	locked := make(chan struct{})
	go func() {
		s.opened.Lock()
		close(locked)
	}()
	long := time.NewTimer(longView)
	defer long.Stop()
	select {
	case <-locked:
	case <-long.C:
		s.reopening.Store(true)
		defer s.reopening.Store(false)
		<-locked
	}
}

// probe makes a commit that changes nothing.
func (s *Store) probe() error {
	tx, err := s.file.begin(true)
	if err != nil {
		return err
	}
	defer s.file.abandon(tx)
	txid := tx.ID()
	r, err := newReader(tx, s.epoch, s.newest.Load())
	if err != nil {
		return err
	}
	if err := finish(r); err != nil {
		s.failedCommits.Add(1)
		return err
	}
	s.newest.Store(&state{txid, r.revision.Number})
	return nil
}
