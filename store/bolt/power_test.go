package bolt

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

var powerRounds = flag.Int("power-rounds", 10, "how often the power fails under a writing process")

// TestLostPageCache has the power fail while a process writes, many times: what was not
// synced is lost, or a part of it. Each write that was answered is there, none is there by
// half, and the chains are whole.
func TestLostPageCache(t *testing.T) {
	needFUSE(t)
	d := &powerDisk{random: source(t)}
	dir, last := crashDirectory(t)
	for round := range *powerRounds {
		var err error
		if last, err = losePower(t, d, dir, job{Do: "write"}, last); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

// TestLostPageCacheOfANewFile has the power fail while a store is made.
func TestLostPageCacheOfANewFile(t *testing.T) {
	needFUSE(t)
	d := &powerDisk{random: source(t)}
	made := 0
	for round := range *powerRounds {
		was, err := losePowerAtFirst(t, d)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if was {
			made++
		}
	}
	t.Logf("%d of %d stores were made", made, *powerRounds)
}

// TestFailingDisk has one of twenty writes and syncs of a disk fail before the power does. Pages that
// a failed sync has not written are not written by the next one. The process goes on to write
// when the store lets it.
func TestFailingDisk(t *testing.T) {
	needFUSE(t)
	d := &powerDisk{random: source(t), faulty: 20}
	dir, last := crashDirectory(t)
	for round := range *powerRounds {
		var err error
		if last, err = losePower(t, d, dir, job{Do: "write"}, last); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

// TestLostPageCacheFindsAMissingSync leaves out one sync after the other. The tests above would
// notice each.
func TestLostPageCacheFindsAMissingSync(t *testing.T) {
	needFUSE(t)
	meta := func(pages map[int64]bool) bool { return pages[0] || pages[1] }
	for what, try := range map[string]func(t *testing.T) func() error{
		"all of a file": func(t *testing.T) func() error {
			return losing(t, &powerDisk{random: source(t)}, job{Do: "write", NoSync: true})
		},
		"that of the pages": func(t *testing.T) func() error {
			ignores := func(pages map[int64]bool) bool { return !meta(pages) }
			return losing(t, &powerDisk{random: source(t), ignores: ignores}, job{Do: "write"})
		},
		"that of the meta page": func(t *testing.T) func() error {
			return losing(t, &powerDisk{random: source(t), ignores: meta}, job{Do: "write"})
		},
		"that of the directory": func(t *testing.T) func() error {
			d := &powerDisk{random: source(t), ignoresFolders: true}
			return func() error {
				_, err := losePowerAtFirst(t, d)
				return err
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			const most = 100
			once := try(t)
			for round := range most {
				if err := once(); err != nil {
					t.Logf("noticed in round %d: %v", round, err)
					return
				}
			}
			t.Errorf("in %d rounds nothing was lost", most)
		})
	}
}

// losing returns a function that has the power fail once more.
func losing(t *testing.T, d *powerDisk, j job) func() error {
	dir, last := crashDirectory(t)
	return func() (err error) {
		last, err = losePower(t, d, dir, j, last)
		return err
	}
}

// crashDirectory makes a directory with a store that has the tenants of the crash tests.
func crashDirectory(t *testing.T) (dir string, last []int) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "disk")
	s := open(t, filepath.Join(dir, "usher.db"), Options{})
	for w := range 2 {
		commit(t, s, crashTenant(w), store.CreateTenant{Name: crashTenant(w)})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, make([]int, crashWriters)
}

// losePower runs a child on what is on the disk until the power fails, and checks what is left.
func losePower(t *testing.T, d *powerDisk, disk string, j job, last []int) ([]int, error) {
	t.Helper()
	mounted, unmount := mountPower(t, d, disk, 1+d.random.IntN(150))
	j.Path, j.From = filepath.Join(mounted, "usher.db"), make([]int, crashWriters)
	for w := range j.From {
		j.From[w] = last[w] + 1
	}
	c := fork(t, j)
	answered := append([]int(nil), last...)
	heard := make(chan error)
	go func() {
		for c.lines.Scan() {
			var w, i int
			if _, err := fmt.Sscan(c.lines.Text(), &w, &i); err != nil {
				heard <- err
				return
			}
			answered[w] = i
		}
		heard <- nil
	}()
	powerFails(t, d, c, heard)
	unmount()
	if err := d.save(disk); err != nil {
		t.Fatal(err)
	}
	return survivors(filepath.Join(disk, "usher.db"), answered)
}

// powerFails kills a child when the power fails, and waits until it is gone and heard to its end.
func powerFails(t *testing.T, d *powerDisk, c *child, heard <-chan error) {
	t.Helper()
	select {
	case <-d.off:
	case err := <-heard:
		t.Fatalf("the process has ended before the power failed: %v, %v\n%s", err, c.Wait(), c.stderr)
	case <-time.After(time.Minute):
		_ = c.Process.Signal(syscall.SIGQUIT)
		_ = c.Wait()
		t.Fatalf("the process hangs\n%s", c.stderr)
	}
	_ = c.Process.Signal(syscall.SIGKILL) // it may have ended, because it can't write any more
	if err := <-heard; err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
}

// makeUntilKilled makes a store and a tenant in it, and says "made".
func makeUntilKilled(j job) {
	s, err := Open(j.Path, Options{})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		changes := []store.Change{store.SetToggle{Tenant: 1, Toggle: "x", On: i%2 == 0}}
		if i == 0 {
			changes = []store.Change{store.CreateTenant{Name: "t"}}
		}
		if _, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: func(store.Reader) ([]store.Change, error) { return changes, nil }}); err != nil {
			panic(err)
		}
		if i == 0 {
			fmt.Println("made")
		}
	}
}

// losePowerAtFirst has the power fail while a child makes a store, and checks what is left. It
// reports whether the child had made it.
func losePowerAtFirst(t *testing.T, d *powerDisk) (made bool, err error) {
	t.Helper()
	disk := t.TempDir()
	mounted, unmount := mountPower(t, d, disk, 1+d.random.IntN(40))
	path := filepath.Join("a", "b", "usher.db")
	c := fork(t, job{Do: "make", Path: filepath.Join(mounted, path)})
	heard := make(chan error)
	go func() {
		for c.lines.Scan() {
			made = true
		}
		heard <- nil
	}()
	powerFails(t, d, c, heard)
	unmount()
	if err := d.save(disk); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(disk, path)
	if _, err := os.Stat(path); made && err != nil {
		return made, err
	}
	s, err := Open(path, Options{})
	if err != nil {
		return made, err
	}
	err = s.View(ctx, func(r store.Reader) error {
		_, err := r.Tenant("t")
		if errors.Is(err, store.ErrNotFound) && !made {
			return nil
		}
		return err
	})
	return made, errors.Join(err, s.Close())
}
