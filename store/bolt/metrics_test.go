package bolt

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/usher-pdp/usher/store"
)

// measured returns what a store measures: the value of a counter or gauge, the count of a
// histogram.
func measured(t *testing.T, s *Store) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		values[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		if m.GetHistogram() != nil {
			values[f.GetName()+"_sum"] = m.GetHistogram().GetSampleSum()
		}
	}
	return values
}

// putCatalog commits a catalog of so many bytes.
func putCatalog(s *Store, version uint32, size int) error {
	_, err := s.Commit(context.Background(), store.Write{Plan: func(store.Reader) ([]store.Change, error) {
		return []store.Change{store.PutCatalog{Ref: store.CatalogRef{Name: "desk", Version: version}, YAML: make([]byte, size)}}, nil
	}})
	return err
}

func TestCommitsAreMeasured(t *testing.T) {
	t.Parallel()
	s, err := Open(filepath.Join(t.TempDir(), "usher.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	// One write that takes its time, and ten that wait behind it and share a commit.
	begun, leave := make(chan struct{}), make(chan struct{})
	results := make(chan error, 11)
	go func() {
		_, err := s.Commit(context.Background(), store.Write{Plan: func(store.Reader) ([]store.Change, error) {
			close(begun)
			<-leave
			return nil, nil // it changes nothing, and is no commit
		}})
		results <- err
	}()
	<-begun
	for i := range uint32(10) {
		go func() { results <- putCatalog(s, 1+i, 100) }()
	}
	for measured(t, s)["usher_store_waiting_writes"] < 10 {
	}
	close(leave)
	for range 11 {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	got := measured(t, s)
	for name, want := range map[string]float64{
		"usher_store_commit_seconds": 1, "usher_store_fsync_seconds": 1, "usher_store_commit_writes": 1, "usher_store_commit_writes_sum": 10,
		"usher_store_failed_commits_total": 0, "usher_store_writable": 1, "usher_store_waiting_writes": 0, "usher_store_open_read_transactions": 0,
	} {
		if got[name] != want {
			t.Errorf("%s %v, and it should be %v", name, got[name], want)
		}
	}
	if all, part := got["usher_store_commit_seconds_sum"], got["usher_store_fsync_seconds_sum"]; part <= 0 || all < part {
		t.Errorf("a commit took %v seconds, and syncing it %v", all, part)
	}
}

func TestFileIsMeasured(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usher.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for i := range uint32(20) { // pages are free in between, as each commit copies some
		if err := putCatalog(s, 1+i, 100_000); err != nil {
			t.Fatal(err)
		}
	}
	reading, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		left <- s.View(context.Background(), func(store.Reader) error { close(reading); <-leave; return nil })
	}()
	<-reading
	got := measured(t, s)
	close(leave)
	if err := <-left; err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got["usher_store_file_bytes"] != float64(info.Size()) {
		t.Errorf("the file has %d bytes, and %v are measured", info.Size(), got["usher_store_file_bytes"])
	}
	if got["usher_store_open_read_transactions"] != 1 {
		t.Errorf("%v read transactions are open", got["usher_store_open_read_transactions"])
	}
	free := 0
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := newestMeta(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	listed := make([]byte, int64(os.Getpagesize()))
	if _, err := f.ReadAt(listed, int64(m.freelist)*m.pageSize); err != nil {
		t.Fatal(err)
	}
	for i := pageHeaderSize; i < len(listed) && native.Uint64(listed[i:]) != 0; i += 8 {
		free++
	}
	if free == 0 || got["usher_store_free_pages"] != float64(free) {
		t.Errorf("the list of free pages has %d, and %v are measured", free, got["usher_store_free_pages"])
	}
	// What can't be read is left out; the rest stays.
	closed := measured(t, s)
	if _, there := closed["usher_store_file_bytes"]; there || closed["usher_store_commit_writes"] != 20 {
		t.Errorf("a closed store measures %v", closed)
	}
}
