package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/usher-pdp/usher/store"
)

// counter counts what an observer is told.
type counter struct {
	committed, lost atomic.Int32
	told            chan struct{} // gets one for each call of Lost
}

func (c *counter) Committed([]store.Touched) { c.committed.Add(1) }
func (c *counter) Lost() {
	c.lost.Add(1)
	select {
	case c.told <- struct{}{}:
	default:
	}
}

// disk gives files to bbolt and can break them.
type disk struct {
	mu     sync.Mutex
	file   *os.File
	opened int
	gone   bool
}

func (d *disk) open(name string, flag int, mode os.FileMode) (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
	if d.gone {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EIO}
	}
	f, err := os.OpenFile(name, flag, mode)
	d.file = f
	return f, err
}

// swap puts another file under the file descriptor that bbolt writes to.
func (d *disk) swap(t testing.TB, name string, flag int) {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Dup3(int(f.Fd()), int(d.file.Fd()), syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// onWrite replaces how bbolt writes, of which it has no option.
func onWrite(s *Store, write func(b []byte, offset int64) (int, error)) {
	field := reflect.ValueOf(s.file.DB).Elem().FieldByName("ops").FieldByName("writeAt")
	*(*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr())) = write
}

// failures are the ways in which a commit can fail, from its first write to its last
// fsync.
var failures = map[string]func(t testing.TB, s *Store, d *disk){
	"no write is possible": func(t testing.TB, _ *Store, d *disk) { d.swap(t, d.file.Name(), os.O_RDONLY) },
	"fsync of the pages": func(t testing.TB, s *Store, d *disk) {
		f := d.file
		onWrite(s, func(b []byte, offset int64) (int, error) {
			n, err := f.WriteAt(b, offset)
			d.swap(t, os.DevNull, os.O_RDWR) // where fsync fails
			return n, err
		})
	},
	"write of the second page": func(t testing.TB, s *Store, d *disk) {
		f, writes := d.file, 0
		onWrite(s, func(b []byte, offset int64) (int, error) {
			if writes++; writes == 2 {
				return 0, syscall.ENOSPC
			}
			return f.WriteAt(b, offset)
		})
	},
	"write of the meta page": func(t testing.TB, s *Store, d *disk) {
		f := d.file
		onWrite(s, func(b []byte, offset int64) (int, error) {
			if offset < 2*int64(os.Getpagesize()) {
				return 0, syscall.EIO
			}
			return f.WriteAt(b, offset)
		})
	},
	"fsync of the meta page, which is written": func(t testing.TB, s *Store, d *disk) {
		f := d.file
		onWrite(s, func(b []byte, offset int64) (int, error) {
			n, err := f.WriteAt(b, offset)
			if offset < 2*int64(os.Getpagesize()) {
				d.swap(t, os.DevNull, os.O_RDWR)
			}
			return n, err
		})
	},
}

// TestLost has a commit fail. The store says that it doesn't know, goes on to answer
// Views, and becomes writable again by itself when the disk is.
func TestLost(t *testing.T) {
	for what, fail := range failures {
		t.Run(what, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testLost(t, fail) }) })
	}
}

func testLost(t *testing.T, fail func(testing.TB, *Store, *disk)) {
	path := filepath.Join(t.TempDir(), "usher.db")
	o, d := &counter{told: make(chan struct{}, 9)}, new(disk)
	s, err := Open(path, Options{Observer: o, openFile: d.open})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, "t", store.CreateTenant{Name: "t"}, set(0, "user:ann", "agent", ""))
	before, committed := s.Revision(), o.committed.Load()
	fail(t, s, d)
	w := store.Write{Tenant: "t", Plan: plan(set(1, "user:bob", "agent", ""), remove(1, "user:ann", "agent", ""))}
	if _, err := s.Commit(ctx, w); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("error of the failed write is %v", err)
	}
	if o.lost.Load() != 1 || o.committed.Load() != committed || s.Revision() != before {
		t.Errorf("after the failure: %d times lost, %d more commits, revision %v", o.lost.Load(), o.committed.Load()-committed, s.Revision())
	}
	whole(t, s)

	// The disk stays bad: no writes, and it is not tried all the time.
	<-o.told
	d.mu.Lock()
	d.gone = true
	opened := d.opened
	d.mu.Unlock()
	for range 50 {
		<-time.After(100 * time.Millisecond)
		if _, err := s.Commit(ctx, w); !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("error of a write to a lost file is %v", err)
		}
	}
	d.mu.Lock()
	if n := d.opened - opened; n < 4 || n > 6 {
		t.Errorf("in 5 seconds it was tried %d times to reopen the file", n)
	}
	d.gone = false
	d.mu.Unlock()

	<-time.After(2 * time.Second)
	whole(t, s)
	seen := s.Revision()
	if seen.Epoch != before.Epoch || seen.Number < before.Number || seen.Number > before.Number+1 {
		t.Errorf("revision after reopening is %v, before it was %v", seen, before)
	}
	if seen != before && o.lost.Load() < 2 {
		t.Error("Lost is not called when the file that was reopened has the write")
	}
	// Made or not, asking for it again leads to the same.
	if _, err := s.Commit(ctx, w); err != nil {
		t.Fatalf("the write again: %v", err)
	}
	commit(t, s, "t", set(1, "user:cy", "agent", ""))
	whole(t, s)
	want, _ := dump(s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s, err = Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, _ := dump(s); !reflect.DeepEqual(got, want) {
		t.Errorf("reopened, the store says\n%v\nand not\n%v", got, want)
	}
}

// whole checks that a write that failed is there as a whole or not at all.
func whole(t *testing.T, s *Store) {
	t.Helper()
	err := s.View(ctx, func(r store.Reader) error {
		var held []string
		for a, err := range r.Assignments(1, store.AssignmentKey{}) {
			if err != nil {
				return err
			}
			held = append(held, a.Subject)
		}
		if err := verify(r, 1); err != nil {
			return err
		}
		switch got := fmt.Sprint(held); got {
		case "[user:ann]", "[user:ann user:bob]", "[user:bob]", "[user:bob user:cy]":
		default:
			t.Errorf("held by %v", got)
		}
		return nil
	})
	if err != nil {
		t.Errorf("View: %v", err)
	}
}
