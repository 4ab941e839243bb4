package bolt

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/usher-pdp/usher/store"
)

// TestReadBesideEmptiedPages removes whole pages of records in one write, and reads and writes
// beside them in the next one, which shares the transaction.
func TestReadBesideEmptiedPages(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{Now: noon})
	commit(t, s, "t", store.CreateTenant{Name: "t"})
	key := func(i int) store.AssignmentKey {
		return store.AssignmentKey{Subject: fmt.Sprintf("user:%04d", i), Role: "agent"}
	}
	var all []store.Change
	for i := range 2000 {
		all = append(all, store.SetAssignment{Tenant: 1, Assignment: store.Assignment{AssignmentKey: key(i)}})
	}
	commit(t, s, "t", all...)
	release := hold(t, s)
	var writes sync.WaitGroup
	write := func(changes ...store.Change) {
		n := len(s.queue)
		writes.Go(func() {
			_, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: func(store.Reader) ([]store.Change, error) {
				return changes, nil
			}})
			if err != nil {
				t.Error(err)
			}
		})
		waiting(s, n+1)
	}
	var removed []store.Change
	for i := 500; i < 1500; i++ {
		removed = append(removed, store.RemoveAssignment{Tenant: 1, Key: key(i)})
	}
	write(removed...)
	for _, i := range []int{499, 700, 1000, 1499, 1500} {
		write(store.SetAssignment{Tenant: 1, Assignment: store.Assignment{AssignmentKey: store.AssignmentKey{
			Subject: key(i).Subject, Role: "supervisor",
		}}})
	}
	release()
	writes.Wait()
}
