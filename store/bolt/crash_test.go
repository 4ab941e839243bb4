package bolt

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

var crashRounds = flag.Int("crash-rounds", 20, "how often a writing process is killed")

// Each writer of the process that is killed makes numbered writes. A write adds an
// assignment in each of these roles, all of them in the scope of its number, sets the
// writer's toggle, and removes what the third write before has added.
var crashRoles = []string{"admin", "agent", "lead"}

const (
	crashWriters = 4
	crashKept    = 3
)

func crashTenant(w int) string  { return fmt.Sprint("tenant", w%2) }
func crashSubject(w int) string { return fmt.Sprint("user:", w) }

func crashPlan(w, i int) func(store.Reader) ([]store.Change, error) {
	return func(r store.Reader) ([]store.Change, error) {
		tenant, err := r.Tenant(crashTenant(w))
		if err != nil {
			return nil, err
		}
		var changes []store.Change
		for _, role := range crashRoles {
			changes = append(changes, set(tenant.ID, crashSubject(w), role, fmt.Sprintf("queue:%06d", i)),
				remove(tenant.ID, crashSubject(w), role, fmt.Sprintf("queue:%06d", i-crashKept)))
		}
		return append(changes, store.SetToggle{Tenant: tenant.ID, Toggle: fmt.Sprint(w), On: i%2 == 0}), nil
	}
}

// writeUntilKilled writes, and says "writer number" when a write has been answered. A write that
// has failed is tried again when writes are taken.
func writeUntilKilled(j job) {
	s, err := Open(j.Path, Options{retryAfter: time.Millisecond})
	if err != nil {
		panic(err)
	}
	s.file.NoSync = j.NoSync
	var wait sync.WaitGroup
	for w := range crashWriters {
		wait.Go(func() {
			for i := j.From[w]; ; i++ {
				write := store.Write{Tenant: crashTenant(w), By: store.By{Subject: "user:boss"}, Plan: crashPlan(w, i)}
				for {
					_, err := s.Commit(ctx, write)
					if err == nil {
						break
					}
					if !errors.Is(err, store.ErrUnavailable) {
						panic(err)
					}
					began := time.Now()
					for s.WriteFailure() != nil {
						if time.Since(began) > time.Minute/2 {
							panic(s.WriteFailure())
						}
						time.Sleep(time.Millisecond)
					}
				}
				os.Stdout.WriteString(fmt.Sprintln(w, i))
			}
		})
	}
	wait.Wait()
}

// TestKill kills a process in the middle of its writes, many times. Each write that
// was answered is there, none is there by half, and the chains are whole.
func TestKill(t *testing.T) {
	r := source(t)
	dir, last := crashDirectory(t)
	path := filepath.Join(dir, "usher.db")
	total := 0
	for round := range *crashRounds {
		from := make([]int, crashWriters)
		for w := range from {
			from[w] = last[w] + 1
		}
		c := fork(t, job{Do: "write", Path: path, From: from})
		answered := append([]int(nil), last...)
		kill := 1 + r.IntN(60)
		for n := 0; c.lines.Scan(); n++ {
			var w, i int
			if _, err := fmt.Sscan(c.lines.Text(), &w, &i); err != nil {
				t.Fatalf("%s: %v", c.lines.Text(), err)
			}
			answered[w] = i
			if total++; n == kill {
				if err := c.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.Wait(); c.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the process has ended by itself: %v\n%s", err, c.stderr)
		}
		var err error
		if last, err = survivors(path, answered); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	t.Logf("%d answered writes in %d rounds", total, *crashRounds)
}

// survivors checks what is in the file and returns the last write of each writer.
func survivors(path string, answered []int) (last []int, err error) {
	s, err := Open(path, Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	last = make([]int, crashWriters)
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	err = s.View(ctx, func(r store.Reader) error {
		for w := range last {
			tenant, err := r.Tenant(crashTenant(w))
			if err != nil {
				return err
			}
			toggles, err := r.Toggles(tenant.ID)
			if err != nil {
				return err
			}
			held := make(map[int]int)
			for a, err := range r.AssignmentsOf(tenant.ID, crashSubject(w)) {
				if err != nil {
					return err
				}
				var i int
				fmt.Sscanf(a.Scope, "queue:%d", &i)
				held[i]++
				last[w] = max(last[w], i)
			}
			if last[w] < answered[w] || last[w] > answered[w]+1 {
				fault("writer %d was answered up to %d, and the file has up to %d", w, answered[w], last[w])
			}
			for i := max(1, last[w]-crashKept+1); i <= last[w]; i++ {
				if held[i] != len(crashRoles) {
					fault("of write %d of writer %d there are %d assignments", i, w, held[i])
				}
				delete(held, i)
			}
			if on, set := toggles[fmt.Sprint(w)]; len(held) > 0 || set != (last[w] > 0) || on != (set && last[w]%2 == 0) {
				fault("writer %d, after write %d: toggle %v, %v; left from others: %v", w, last[w], on, set, held)
			}
		}
		for id := range store.TenantID(3) {
			if err := errors.Join(verify(r, id), indexed(r, id)); err != nil {
				return err
			}
		}
		return nil
	})
	return last, errors.Join(append(faults, err)...)
}

// indexed checks that the records of assignments and their index by role have the same.
func indexed(r store.Reader, tenant store.TenantID) error {
	byRole := map[store.AssignmentKey]bool{}
	for _, role := range crashRoles {
		for a, err := range r.AssignmentsByRole(tenant, role, store.AssignmentKey{}) {
			if err != nil {
				return err
			}
			byRole[a.AssignmentKey] = true
		}
	}
	for a, err := range r.Assignments(tenant, store.AssignmentKey{}) {
		if err != nil {
			return err
		}
		if !byRole[a.AssignmentKey] {
			return fmt.Errorf("%+v is not in the index", a.AssignmentKey)
		}
		delete(byRole, a.AssignmentKey)
	}
	if len(byRole) > 0 {
		return fmt.Errorf("the index has what is not there: %v", byRole)
	}
	return nil
}
