package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/usher-pdp/usher/store"
)

// testBackup makes backups while writes go on: each is of a revision that the store had, none older
// than when it was asked for, and the writes do not wait for it.
func testBackup(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	empty := func() *os.File {
		file, err := os.Create(filepath.Join(t.TempDir(), "backup"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		return file
	}
	var mu sync.Mutex
	had := map[store.Revision]bool{f.Revision(): true}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			c, err := f.Commit(context.Background(), store.Write{Tenant: "t", Plan: plan(
				store.SetToggle{Tenant: id, Toggle: fmt.Sprint("x", i%7), On: i/7%2 == 0})})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			had[c.Revision] = true
			mu.Unlock()
		}
	})
	var backups []store.Revision
	for range 5 {
		least := f.Revision()
		file := empty()
		revision, err := f.Backup(context.Background(), file)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := file.Stat(); err != nil || info.Size() == 0 || revision.Epoch != least.Epoch || revision.Number < least.Number {
			t.Errorf("asked for at %s, the backup is of %s, %v", least, revision, err)
		}
		backups = append(backups, revision)
	}
	close(stop)
	writing.Wait()
	for _, revision := range backups {
		if !had[revision] {
			t.Errorf("the backup is of %s, which no write has answered", revision)
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Backup(canceled, empty()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Backup(context.Background(), empty()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
}
