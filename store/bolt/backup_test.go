package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// backedUp makes a backup in a new file.
func backedUp(t testing.TB, s *Store) (path string, revision store.Revision) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "usher.backup"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if revision, err = s.Backup(ctx, f); err != nil {
		t.Fatal(err)
	}
	return f.Name(), revision
}

// stateOf returns all records of a file but what Restore changes, in the order of their keys.
func stateOf(t testing.TB, path string) (state []string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				if !bytes.Equal(k, metaEpoch) && !bytes.Equal(k, metaInstallation) {
					state = append(state, fmt.Sprintf("%s %q %x", name, k, v))
				}
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestBackupIsOneRevision makes backups while writers grant, revoke and delete at random. What is
// in each is what the store had at its revision: the sum of the changes up to there.
func TestBackupIsOneRevision(t *testing.T) {
	r := source(t)
	s := open(t, filepath.Join(t.TempDir(), "usher.db"), Options{})
	const writers = 4
	for w := range writers {
		commit(t, s, fmt.Sprint("t", w), store.CreateTenant{Name: fmt.Sprint("t", w)})
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	defer writing.Wait()
	var once sync.Once
	end := func() { once.Do(func() { close(stop) }) }
	defer end()
	for w := range writers {
		seed := r.Uint64()
		writing.Go(func() {
			tenant := store.TenantID(w + 1)
			for i := seed; ; i = i*6364136223846793005 + 1442695040888963407 {
				select {
				case <-stop:
					return
				default:
				}
				change := store.Change(set(tenant, fmt.Sprint("user:", i>>40%50), "agent", fmt.Sprint("queue:", i>>50%3)))
				if i>>60%3 == 0 {
					change = remove(tenant, fmt.Sprint("user:", i>>40%50), "agent", fmt.Sprint("queue:", i>>50%3))
				}
				if _, err := s.Commit(ctx, store.Write{Tenant: fmt.Sprint("t", w), Plan: plan(change)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 12 {
		least := s.Revision()
		path, revision := backedUp(t, s)
		if revision.Epoch != least.Epoch || revision.Number < least.Number {
			t.Fatalf("the backup has revision %s, begun at %s", revision, least)
		}
		if report := checked(t, path); len(report.Findings) > 0 || report.Revision != revision {
			t.Fatalf("of the backup of %s: %+v", revision, report)
		}
		from := open(t, path, Options{})
		err := from.View(ctx, func(got store.Reader) error {
			return s.View(ctx, func(now store.Reader) error { return sumOfChanges(t, got, now, revision.Number, writers) })
		})
		if err := errors.Join(err, from.Close()); err != nil {
			t.Fatal(err)
		}
	}
	end()
}

// sumOfChanges compares the assignments and changes of a backup with the changes that the store has.
func sumOfChanges(t *testing.T, got, now store.Reader, upTo uint64, tenants int) error {
	for id := store.TenantID(1); id <= store.TenantID(tenants); id++ {
		want, have := map[store.AssignmentKey]bool{}, map[store.AssignmentKey]bool{}
		var changes, changed []store.Position
		for c, err := range now.History(id, store.Range{}) {
			if err != nil {
				return err
			}
			if c.Revision.Number > upTo {
				break
			}
			changes = append(changes, store.Position{Revision: c.Revision.Number, Index: c.Index})
			switch c := c.Change.(type) {
			case store.SetAssignment:
				want[c.Assignment.AssignmentKey] = true
			case store.RemoveAssignment:
				delete(want, c.Key)
			}
		}
		for c, err := range got.History(id, store.Range{}) {
			if err != nil {
				return err
			}
			changed = append(changed, store.Position{Revision: c.Revision.Number, Index: c.Index})
		}
		for a, err := range got.Assignments(id, store.AssignmentKey{}) {
			if err != nil {
				return err
			}
			have[a.AssignmentKey] = true
		}
		if !reflect.DeepEqual(want, have) || !reflect.DeepEqual(changes, changed) {
			t.Errorf("tenant %d: the backup has %d assignments and %d changes, want %d and %d", id, len(have), len(changed), len(want), len(changes))
		}
	}
	return nil
}

// TestBackupHasNothingErased: what was in pages that are free now is not in a backup.
func TestBackupHasNothingErased(t *testing.T) {
	const name = "user:someone.in.particular@example.com"
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{})
	commit(t, s, "t", store.CreateTenant{Name: "t"})
	commit(t, s, "", store.TakeImport{ID: "i", Piece: bytes.Repeat([]byte(name), 1000)})
	commit(t, s, "", store.PurgeImport{ID: "i", Most: 1000, Whole: true})
	commit(t, s, "t", set(1, "user:other", "agent", "")) // the other meta page
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte(name)) {
		t.Fatal("the file itself does not have it either: the test doesn't test")
	}
	backup, _ := backedUp(t, s)
	if raw, err = os.ReadFile(backup); err != nil || bytes.Contains(raw, []byte(name)) {
		t.Errorf("the backup has what was removed, %v", err)
	}
}

// TestBackupRefuses: no backup is made of a damaged file, of a closed store or for a call that
// was cancelled, nor where it can't be written.
func TestBackupRefuses(t *testing.T) {
	path := small(t)
	edit(t, path, func(tx *bbolt.Tx) error { // what no answer needs
		return tx.Bucket(bucketToggles.name()).Delete(lastKey)
	})
	s := open(t, path, Options{})
	to := func(flag int) *os.File {
		f, err := os.OpenFile(filepath.Join(t.TempDir(), "usher.backup"), flag|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	if _, err := s.Backup(ctx, to(os.O_RDWR)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("of a damaged file: %v", err)
	}
	if _, err := s.Backup(ctx, to(os.O_RDONLY)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("to a file that can't be written: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Backup(canceled, to(os.O_RDWR)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s.Close()
	if _, err := s.Backup(ctx, to(os.O_RDWR)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
}
