package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

func TestOpenCreates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "usher.db")
	s := open(t, path, Options{})
	for name, want := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", name, info.Mode(), err, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	epoch := s.Revision().Epoch
	if len(epoch) != 16 || strings.Trim(epoch, "0123456789abcdef") != "" {
		t.Errorf("epoch %q", epoch)
	}
	if other := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{}); other.Revision().Epoch == epoch {
		t.Error("two stores have the same epoch")
	}
}

// TestInUse opens a file that another process, or this one, has open.
func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	c := fork(t, job{Do: "hold", Path: path})
	if !c.lines.Scan() || c.lines.Text() != "open" {
		t.Fatalf("the other process says %q %s", c.lines.Text(), c.stderr)
	}
	_, err := Open(path, Options{})
	if !errors.Is(err, store.ErrInUse) {
		t.Fatalf("error is %v", err)
	}
	for _, want := range []string{path, fmt.Sprint("process ", c.Process.Pid), "stop that process"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q doesn't say %q", err, want)
		}
	}
	c.Process.Kill()
	c.Wait()
	open(t, path, Options{})
	if _, err := Open(path, Options{}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("opened twice by one process: error is %v", err)
	}
}

// TestForeign opens what is no store of Usher. It stays as it is.
func TestForeign(t *testing.T) {
	other := func(change func(*bbolt.Tx) error, options bbolt.Options) func(string) {
		return func(path string) {
			db, err := bbolt.Open(path, 0o600, &options)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(change); err != nil {
				t.Fatal(err)
			}
			db.Close()
		}
	}
	theirs := func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("theirs"))
		if err != nil {
			return err
		}
		return b.Put([]byte("k"), []byte("v"))
	}
	for what, make := range map[string]func(path string){
		"a text":                      func(path string) { os.WriteFile(path, []byte("hello\n"), 0o600) },
		"a long text":                 func(path string) { os.WriteFile(path, []byte(strings.Repeat("hello\n", 9999)), 0o600) },
		"zeros":                       func(path string) { os.WriteFile(path, make([]byte, 1<<15), 0o600) },
		"another program's":           other(theirs, bbolt.Options{}),
		"one without a list of pages": other(theirs, bbolt.Options{NoFreelistSync: true}),
	} {
		path := filepath.Join(t.TempDir(), "usher.db")
		make(path)
		before, _ := os.ReadFile(path)
		_, err := Open(path, Options{})
		if !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error is %v", what, err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: it was changed", what)
		}
	}
}

func TestNewerFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	open(t, path, Options{}).Close()
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta.name()).Put(metaFormat, seal(bucketMeta, metaFormat, encodeNumber(formatVersion+1)))
	})
	_, err := Open(path, Options{})
	if !errors.Is(err, store.ErrNewerFormat) || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("error is %v", err)
	}
}

// TestCantBeOpened has paths where no store can be, also not for root.
func TestCantBeOpened(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{
		"a file in place of the directory": filepath.Join(file, "usher.db"),
		"a directory in place of the file": dir,
		"a directory that can't be made":   "/proc/usher/usher.db",
		"a file that can't be made":        "/proc/usher.db",
		"a device":                         os.DevNull,
	} {
		_, err := Open(path, Options{})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "directory") {
			t.Errorf("%s: error is %v", what, err)
		}
	}
	refused := func(string, int, os.FileMode) (*os.File, error) {
		return nil, &os.PathError{Op: "open", Path: "usher.db", Err: os.ErrPermission}
	}
	_, err := Open(filepath.Join(dir, "usher.db"), Options{openFile: refused})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "own the data directory") {
		t.Errorf("no permission: error is %v", err)
	}
}

// TestCutOff cuts the file off at many lengths. It is never taken for a new or for an
// older one, and not changed.
func TestCutOff(t *testing.T) {
	r := source(t)
	path := sample(t, r)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lengths := []int{0, 1, 8, 16, 20, 40, 79, 80, 81, 1023, 1024, 1040, 1103, 1104, 2047, 2048, len(good) - 1024, len(good) - 1}
	for range 60 {
		lengths = append(lengths, r.IntN(len(good)))
	}
	for _, n := range lengths {
		replace(t, path, good[:n])
		s, err := Open(path, Options{})
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "backup") || !strings.Contains(err.Error(), fmt.Sprint(n, " bytes")) {
			t.Errorf("cut off at %d bytes: error is %v", n, err)
		}
		if s != nil {
			s.Close()
		}
		if left, _ := os.ReadFile(path); len(left) != n {
			t.Errorf("cut off at %d bytes: it was changed to %d bytes", n, len(left))
		}
	}
	replace(t, path, good)
	open(t, path, Options{})
}

// TestCutOffWhileOpen cuts the file off under an open store: a read behind its end is
// a fault that would end the process.
func TestCutOffWhileOpen(t *testing.T) {
	r := source(t)
	path := sample(t, r)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{})
	truth, _ := dump(s)
	s.Close()
	lengths := []int{0, 1, 1024, 2000, 2048, 4096, len(good) - 1}
	for range 12 {
		lengths = append(lengths, r.IntN(len(good)))
	}
	all := 0
	for _, n := range lengths {
		replace(t, path, good)
		s := open(t, path, Options{})
		if err := os.Truncate(path, int64(n)); err != nil {
			t.Fatal(err)
		}
		_, refused, wrong := compare(s, truth)
		if wrong != "" {
			t.Errorf("cut off at %d bytes: %s", n, wrong)
		}
		all += refused
		_, err := s.Commit(ctx, store.Write{Tenant: "a", Plan: plan(set(1, "user:new", "agent", ""))})
		if n < len(good)/2 && err == nil {
			t.Errorf("cut off at %d bytes: a write succeeds", n)
		}
		dump(s) // whatever the write has made of it
		s.Close()
	}
	if all == 0 {
		t.Error("no damage was found: the test doesn't test")
	}
}

// TestStuckFileGivesUpItsLock: a file whose bbolt keeps its lock for ever can be opened
// again all the same, although it stays mapped.
func TestStuckFileGivesUpItsLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{})
	s.file.stuck = true
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
