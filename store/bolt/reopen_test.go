package bolt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usher-pdp/usher/store"
)

// failing opens a store whose next commit fails, and opens its file again soon after.
func failing(t *testing.T) *Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{retryAfter: time.Millisecond})
	commit(t, s, "t", store.CreateTenant{Name: "t"}, set(0, "user:ann", "agent", ""))
	if err := putCatalog(s, 1, 200_000); err != nil {
		t.Fatal(err)
	}
	onWrite(s, func([]byte, int64) (int, error) { return 0, syscall.EIO })
	return s
}

// failAndResume makes the commit that fails, has what reads the file end and waits until writes
// are taken again.
func failAndResume(t *testing.T, s *Store, ended <-chan error) {
	t.Helper()
	if _, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: plan(set(1, "user:bob", "agent", ""))}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error of the write is %v", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "a write has failed meanwhile") {
			t.Errorf("error of what has read is %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it reads on, and everybody else waits")
	}
	for deadline := time.Now().Add(30 * time.Second); s.WriteFailure() != nil && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	commit(t, s, "t", set(1, "user:bob", "agent", ""))
	whole(t, s)
}

// TestLongViewEndsWhenTheFileIsReopened: who reads for long must not hold up everybody, be it with
// many reads or with one.
func TestLongViewEndsWhenTheFileIsReopened(t *testing.T) {
	for what, read := range map[string]func(context.Context, *Store, store.Reader) error{
		"many reads": func(ctx context.Context, _ *Store, r store.Reader) error {
			for ctx.Err() == nil {
				if _, err := r.Tenant("none"); !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			return ctx.Err()
		},
		"one read":           oneRead(store.Range{}),
		"one read backwards": oneRead(store.Range{NewestFirst: true}),
	} {
		t.Run(what, func(t *testing.T) {
			s := failing(t)
			begun, ended := make(chan struct{}), make(chan error, 1)
			go func() {
				ended <- s.View(ctx, func(r store.Reader) error {
					close(begun)
					return read(t.Context(), s, r)
				})
			}()
			<-begun
			failAndResume(t, s, ended)
		})
	}
}

// oneRead reads change records, and goes on behind the first when the file is to be opened again.
func oneRead(records store.Range) func(context.Context, *Store, store.Reader) error {
	return func(ctx context.Context, s *Store, r store.Reader) error {
		for _, err := range r.History(1, records) {
			if err != nil {
				return err
			}
			for !s.reopening.Load() && ctx.Err() == nil {
				<-time.After(time.Millisecond)
			}
		}
		return ctx.Err()
	}
}

// TestBackupEndsWhenTheFileIsReopened: a backup that is written slowly must not either. While it
// reads the file, it is counted.
func TestBackupEndsWhenTheFileIsReopened(t *testing.T) {
	s := failing(t)
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	defer to.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Backup(ctx, to)
		ended <- err
	}()
	if _, err := from.Read(make([]byte, 1)); err != nil { // it has begun, and waits where the pipe is full
		t.Fatal(err)
	}
	if n := measured(t, s)["usher_store_open_read_transactions"]; n != 1 {
		t.Errorf("%v read transactions are open", n)
	}
	go func() {
		for !s.reopening.Load() {
			<-time.After(time.Millisecond)
		}
		for buffer, err := make([]byte, 1<<16), error(nil); err == nil; {
			_, err = from.Read(buffer)
		}
	}()
	failAndResume(t, s, ended)
	if n := measured(t, s)["usher_store_open_read_transactions"]; n != 0 {
		t.Errorf("%v read transactions are open when it has ended", n)
	}
}

// TestLostFileOfAnother: while a store can't open its file again, another one may have it. The
// first does not write to it.
func TestLostFileOfAnother(t *testing.T) {
	synctest.Test(t, testLostFileOfAnother)
}

func testLostFileOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	var gone, taken atomic.Bool // bbolt can't open the file; whoever else opens it can't write to it
	s := open(t, path, Options{openFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		if gone.Load() && mode != 0 {
			return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EIO}
		}
		if taken.Load() && mode == 0 {
			flag = os.O_RDONLY
		}
		return os.OpenFile(name, flag, mode)
	}})
	commit(t, s, "t", store.CreateTenant{Name: "t"}, set(0, "user:ann", "agent", ""))
	gone.Store(true)
	onWrite(s, func([]byte, int64) (int, error) { return 0, syscall.EIO })
	if _, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: plan(set(1, "user:bob", "agent", ""))}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error of the failed write is %v", err)
	}
	<-time.After(2 * time.Second)
	synctest.Wait()
	if err := s.View(ctx, func(store.Reader) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("the file is not lost: %v", err)
	}
	other := open(t, path, Options{})
	taken.Store(true)
	for range 3 {
		<-time.After(time.Second)
		synctest.Wait()
		if err := s.WriteFailure(); !errors.Is(err, store.ErrInUse) {
			t.Errorf("another store has the file, and the error is %v", err)
		}
	}
	commit(t, other, "t", set(1, "user:cy", "agent", ""), remove(1, "user:ann", "agent", ""), set(1, "user:bob", "agent", ""))
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	gone.Store(false)
	taken.Store(false)
	<-time.After(2 * time.Second)
	synctest.Wait()
	if err := s.WriteFailure(); err != nil {
		t.Errorf("nobody else has the file, but %v", err)
	}
	whole(t, s)
	if err := s.Close(); err != nil { // in the bubble
		t.Error(err)
	}
}
