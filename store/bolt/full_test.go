package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usher-pdp/usher/store"
)

// TestDiskFull fills a small disk under a store. Writes are refused, and say why; Views go on;
// what was answered is there. When there is room, writes are taken again by themselves.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, 24<<20)
	synctest.Test(t, func(t *testing.T) { testDiskFull(t, dir) })
}

// smallDisk mounts a disk in memory.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("usher-test", dir, "tmpfs", 0, fmt.Sprint("size=", bytes)); err != nil {
		cannotMount(t, "tmpfs", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func testDiskFull(t *testing.T, dir string) {
	path, ballast := filepath.Join(dir, "data", "usher.db"), filepath.Join(dir, "ballast")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, "t", store.CreateTenant{Name: "t"})
	answered := 0
	write := func() error {
		_, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: plan(set(1, fmt.Sprint("user:", answered), "agent", strings.Repeat("x", 900)))})
		if err == nil {
			answered++
		}
		return err
	}
	held := func() {
		t.Helper()
		n := 0
		err := s.View(ctx, func(r store.Reader) error {
			for _, err := range r.Assignments(1, store.AssignmentKey{}) {
				if err != nil {
					return err
				}
				n++
			}
			return verify(r, 1)
		})
		if err != nil || n != answered {
			t.Errorf("%d are held of %d that were answered, %v", n, answered, err)
		}
	}
	for round := range 3 {
		if err := fillUp(ballast); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err := write()
		for ; err == nil; err = write() {
		}
		for _, want := range []string{"the disk is full: make room", "writes are taken again by themselves"} {
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), want) {
				t.Errorf("round %d: error is %v", round, err)
			}
		}
		if m := measured(t, s); s.WriteFailure() == nil || m["usher_store_writable"] != 0 || m["usher_store_failed_commits_total"] == 0 {
			t.Errorf("WriteFailure is %v, writable %v, and %v commits have failed", s.WriteFailure(), m["usher_store_writable"], m["usher_store_failed_commits_total"])
		}
		// So little room lets small writes pass now and then.
		if info, err := os.Stat(ballast); err != nil || os.Truncate(ballast, info.Size()-roomAgain/2) != nil {
			t.Fatal(err)
		}
		for range 5 {
			held()
			<-time.After(time.Second)
			synctest.Wait()
			if err := write(); !errors.Is(err, store.ErrUnavailable) || s.WriteFailure() == nil {
				t.Errorf("round %d: there is no room, and the error of a write is %v", round, err)
			}
		}
		if round == 1 { // restarted while there is no room
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(path, Options{}); err != nil {
				t.Fatal(err)
			}
			held()
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if err := s.WriteFailure(); err != nil || measured(t, s)["usher_store_writable"] != 1 {
			t.Errorf("there is room again, but %v", err)
		}
		if err := write(); err != nil {
			t.Error(err)
		}
		held()
	}
	want, _ := dump(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, _ := dump(s); !reflect.DeepEqual(got, want) {
		t.Error("reopened, the store says something else")
	}
}

// fillUp makes a file that takes all the room that there is.
func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	return err
}

// TestWriteFailureSaysWhatHelps has commits fail in different ways. While the file can't be opened
// for writing, the one that is open goes on serving Views.
func TestWriteFailureSaysWhatHelps(t *testing.T) {
	for what, c := range map[string]struct {
		cause error
		want  string
	}{
		"full":      {syscall.ENOSPC, "the disk is full: make room"},
		"quota":     {syscall.EDQUOT, "the disk is full: make room"},
		"read-only": {syscall.EROFS, "the file system can only be read now"},
		"failing":   {syscall.EIO, "the disk fails: see the log of the kernel"},
		"other":     {errors.New("something else"), "check the disk"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testWriteFailure(t, c.cause, c.want) })
		})
	}
}

func testWriteFailure(t *testing.T, cause error, want string) {
	var bad, unwritable atomic.Bool // the file can't be opened; bbolt gets one that it can't write
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{openFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		if bad.Load() {
			return nil, &os.PathError{Op: "open", Path: name, Err: cause}
		}
		if unwritable.Load() && mode != 0 {
			flag = os.O_RDONLY
		}
		return os.OpenFile(name, flag, mode)
	}})
	commit(t, s, "t", store.CreateTenant{Name: "t"}, set(0, "user:ann", "agent", ""))
	bad.Store(true)
	onWrite(s, func([]byte, int64) (int, error) { return 0, cause })
	write := store.Write{Tenant: "t", Plan: plan(set(1, "user:bob", "agent", ""))}
	for range 3 {
		_, err := s.Commit(ctx, write)
		for _, err := range []error{err, s.WriteFailure()} {
			if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, cause) || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v", err)
			}
		}
		whole(t, s)
		<-time.After(time.Second)
		synctest.Wait()
	}
	// Not even an open file that is damaged nowhere will do: it has to be written.
	unwritable.Store(true)
	bad.Store(false)
	for range 3 {
		<-time.After(time.Second)
		synctest.Wait()
		if err := s.WriteFailure(); err == nil {
			t.Error("writes are taken again, and nothing can be written")
		}
		whole(t, s)
	}
	unwritable.Store(false)
	<-time.After(time.Second)
	synctest.Wait()
	if err := s.WriteFailure(); err != nil {
		t.Errorf("the disk is good again, but %v", err)
	}
	if _, err := s.Commit(ctx, write); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil { // in the bubble
		t.Error(err)
	}
}
