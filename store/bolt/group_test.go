package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// commits is how many transactions bbolt has committed.
func commits(t *testing.T, s *Store) (id int) {
	t.Helper()
	if err := s.file.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// hold makes the writer wait in a plan until release is called.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: func(store.Reader) ([]store.Change, error) {
			close(entered)
			<-leave
			return []store.Change{store.SetToggle{Tenant: 1, Toggle: "held", On: commits(t, s)%2 == 0}}, nil
		}})
		if err != nil {
			t.Error(err)
		}
	}()
	<-entered
	return func() { close(leave); <-done }
}

// waiting waits until so many writes are in the queue.
func waiting(s *Store, n int) {
	for len(s.queue) < n {
		runtime.Gosched()
	}
}

// TestGroup has writes wait for each other. Those that wait share one commit, see what
// the ones before them have changed, and are told together.
func TestGroup(t *testing.T) {
	const writes = 50
	o := new(counter)
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{Observer: o, Now: noon})
	commit(t, s, "t", store.CreateTenant{Name: "t"})
	release := hold(t, s)
	before, told := commits(t, s), o.committed.Load()
	refused := errors.New("refused")
	var wait sync.WaitGroup
	for i := range writes {
		wait.Go(func() {
			c, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: func(r store.Reader) ([]store.Change, error) {
				n := 0
				for _, err := range r.AssignmentsOf(1, "user:all") {
					if err != nil {
						return nil, err
					}
					n++
				}
				if i%5 == 0 {
					return nil, refused
				}
				return []store.Change{set(1, "user:all", "agent", fmt.Sprintf("queue:%03d", n))}, nil
			}})
			if i%5 == 0 && err != refused || i%5 > 0 && (err != nil || !c.Changed) {
				t.Errorf("write %d: %+v, %v", i, c, err)
			}
		})
	}
	waiting(s, writes)
	release()
	wait.Wait()
	// One for the write that was held, one for all that waited.
	if n := commits(t, s) - before; n != 2 {
		t.Errorf("%d writes made %d commits", writes+1, n)
	}
	if n := o.committed.Load() - told; n != 2 {
		t.Errorf("the observer was told %d times", n)
	}
	err := s.View(ctx, func(r store.Reader) error {
		if got, want := r.Revision().Number, nth(2+writes*4/5, 0).Revision; got != want { // each has its own
			t.Errorf("revision %d, want %d", got, want)
		}
		n := 0
		for _, err := range r.AssignmentsOf(1, "user:all") {
			if err != nil {
				return err
			}
			n++
		}
		if n != writes*4/5 {
			t.Errorf("%d numbers were taken", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLoneWrites: each is committed by itself, and one that changes nothing not at all.
func TestLoneWrites(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{})
	commit(t, s, "t", store.CreateTenant{Name: "t"})
	before := commits(t, s)
	for range 3 {
		commit(t, s, "t", set(1, "user:ann", "agent", ""))
		commit(t, s, "t", remove(1, "user:ann", "agent", ""))
		commit(t, s, "t", remove(1, "user:ann", "agent", ""))
	}
	if n := commits(t, s) - before; n != 6 {
		t.Errorf("6 writes that change something made %d commits", n)
	}
}

// TestGoneWhileWaiting: a caller that gives up before its turn is told so at once, and
// its plan is not run behind its back.
func TestGoneWhileWaiting(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{})
	commit(t, s, "t", store.CreateTenant{Name: "t"})
	release := hold(t, s)
	ctx, cancel := context.WithCancel(ctx)
	err := make(chan error)
	go func() {
		_, e := s.Commit(ctx, store.Write{Tenant: "t", Plan: func(store.Reader) ([]store.Change, error) {
			t.Error("the plan was run")
			return nil, nil
		}})
		err <- e
	}()
	waiting(s, 1)
	cancel()
	if e := <-err; !errors.Is(e, context.Canceled) {
		t.Errorf("error is %v", e)
	}
	// The queue has an end, and the wait for a place in it too.
	var wait sync.WaitGroup
	for i := len(s.queue); i < cap(s.queue); i++ {
		wait.Go(func() { s.Commit(t.Context(), store.Write{Tenant: "t", Plan: plan()}) })
	}
	waiting(s, cap(s.queue))
	full, cancel := context.WithCancel(t.Context())
	wait.Go(func() {
		_, e := s.Commit(full, store.Write{Tenant: "t", Plan: plan()})
		err <- e
	})
	cancel()
	if e := <-err; !errors.Is(e, context.Canceled) {
		t.Errorf("error of a write that finds no place is %v", e)
	}
	release()
	wait.Wait()
}

// TestBegunIsFinished: once the plan may have run, Commit waits for the outcome.
func TestBegunIsFinished(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{})
	ctx, cancel := context.WithCancel(ctx)
	c, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: func(store.Reader) ([]store.Change, error) {
		cancel()
		return []store.Change{store.CreateTenant{Name: "t"}}, nil
	}})
	if err != nil || !c.Changed {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestGrowing: while the file grows, a View that goes on for long holds up nobody.
func TestGrowing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{})
	before := fileSize(t, path)
	err := s.View(ctx, func(store.Reader) error {
		done := make(chan error, 1)
		go func() {
			_, err := s.Commit(ctx, store.Write{Plan: plan(large("large"))})
			done <- err
		}()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("a write waits for the View")
		}
	})
	if err != nil {
		t.Error(err)
	}
	if grown := fileSize(t, path) - before; grown < 1<<20 {
		t.Errorf("the file has grown by %d bytes", grown)
	}
}

// TestLittleAddressSpace opens a file where not so much can be mapped as is wanted. Then as
// much is mapped as can be.
func TestLittleAddressSpace(t *testing.T) {
	bits := 47 // all that programs have on most machines
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{reserve: 1 << bits})
	for n := range 5 {
		commit(t, s, "", large(fmt.Sprint("large", n)))
	}
	if got := mapped(t, path); got < 1<<30 || got >= 1<<bits {
		t.Errorf("%d bytes are mapped", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{reserve: 1 << bits})
	if _, errs := dump(s); errors.Join(errs...) != nil {
		t.Error(errs)
	}
}

// mapped returns how many bytes of address space a file takes, at most in one piece.
func mapped(t *testing.T, path string) (most uint64) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("there is no list of what is mapped: ", err)
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), path) {
			var from, to uint64
			if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
				t.Fatal(err)
			}
			most = max(most, to-from)
		}
	}
	return most
}

// large is a change of a mebibyte.
func large(name string) store.PutCatalog {
	return store.PutCatalog{Ref: store.CatalogRef{Name: name, Version: 1}, YAML: make([]byte, 1<<20)}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestHistoryIsDense: the pages of change records are not left half empty.
func TestHistoryIsDense(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{})
	commit(t, s, "a", store.CreateTenant{Name: "a"})
	commit(t, s, "b", store.CreateTenant{Name: "b"})
	for n := range 40 {
		var changes []store.Change
		for m := range 20 {
			changes = append(changes, set(store.TenantID(1+n%2), fmt.Sprintf("user:%d", n), "agent", fmt.Sprintf("queue:%d", m)))
		}
		commit(t, s, []string{"a", "b"}[n%2], changes...)
	}
	err := s.file.View(func(tx *bbolt.Tx) error {
		if st := tx.Bucket(bucketChanges.name()).Stats(); st.LeafInuse < st.LeafAlloc*65/100 {
			t.Errorf("%d of %d bytes are in use", st.LeafInuse, st.LeafAlloc)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
