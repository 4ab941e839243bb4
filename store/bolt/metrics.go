package bolt

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/usher-pdp/usher/store"
)

// metrics are what a store counts as it goes.
type metrics struct {
	commit, fsync, writes prometheus.Histogram
	reading               atomic.Int64 // Views and backups that read the file
}

func newMetrics() *metrics {
	seconds := []float64{100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10}
	return &metrics{
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "usher_store_commit_seconds", Buckets: seconds,
			Help: "How long commits took: running the plans of the writes that share it, changing pages, writing and syncing them.",
		}),
		fsync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "usher_store_fsync_seconds", Buckets: seconds,
			Help: "How long it took to give the pages of a commit to the operating system and to sync the file, twice for each commit: nearly all of it is the disk.",
		}),
		writes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "usher_store_commit_writes", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
			Help: "How many writes shared a commit.",
		}),
	}
}

// committed counts a commit that went well.
func (m *metrics) committed(took, synced time.Duration, writes int) {
	m.commit.Observe(took.Seconds())
	m.fsync.Observe(synced.Seconds())
	m.writes.Observe(float64(writes))
}

var (
	writable = prometheus.NewDesc("usher_store_writable",
		"1 if writes are taken, 0 if none is until the file can be written again.", nil, nil)
	fileBytes = prometheus.NewDesc("usher_store_file_bytes",
		"How long the file is.", nil, nil)
	freePages = prometheus.NewDesc("usher_store_free_pages",
		"Pages of the file that are free, or will be when no read transaction needs them any more.", nil, nil)
	openReads = prometheus.NewDesc("usher_store_open_read_transactions",
		"Read transactions that are open; while one is, no page that it may need is used again.", nil, nil)
	failedCommits = prometheus.NewDesc("usher_store_failed_commits_total",
		"Commits that failed. None of their writes was acknowledged; some may have been made.", nil, nil)
	waitingWrites = prometheus.NewDesc("usher_store_waiting_writes",
		"Writes that wait for their turn.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *Store) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{writable, fileBytes, freePages, openReads, waitingWrites, failedCommits} {
		out <- desc
	}
	for _, c := range []prometheus.Collector{s.metrics.commit, s.metrics.fsync, s.metrics.writes} {
		c.Describe(out)
	}
}

// Collect implements prometheus.Collector. What is read from the file is left out while it can't be.
func (s *Store) Collect(out chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{s.metrics.commit, s.metrics.fsync, s.metrics.writes} {
		c.Collect(out)
	}
	out <- prometheus.MustNewConstMetric(failedCommits, prometheus.CounterValue, float64(s.failedCommits.Load()))
	gauge := func(desc *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	takes := 1.0
	if s.WriteFailure() != nil {
		takes = 0
	}
	gauge(writable, takes)
	gauge(openReads, float64(s.metrics.reading.Load()))
	gauge(waitingWrites, float64(len(s.queue)))
	if bytes, free, err := s.size(); err == nil {
		gauge(fileBytes, float64(bytes))
		gauge(freePages, float64(free))
	}
}

// size returns how long the file is, and how many of its pages are free in the newest state.
func (s *Store) size() (bytes int64, free uint64, err error) {
	s.opened.RLock()
	defer s.opened.RUnlock()
	if s.file == nil {
		return 0, 0, store.ErrUnavailable
	}
	info, err := s.file.os.Stat()
	if err != nil {
		return 0, 0, err
	}
	for range 10 { // commits may come between, two of them each time
		if free, err = s.file.free(); !errors.Is(err, errMovedOn) {
			break
		}
	}
	return info.Size(), free, err
}

// free returns how many pages are free in the newest state.
func (f *file) free() (uint64, error) {
	tx, err := f.begin(false) // while it is open, its list of free pages stays where it is
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }()
	m, err := f.metaOf(uint64(tx.ID())) // #nosec G115 -- an id is not negative
	if err != nil {
		return 0, err
	}
	header := make([]byte, pageHeaderSize+8)
	if _, err := f.os.ReadAt(header, int64(m.freelist)*m.pageSize); err != nil { // #nosec G115 -- below the pages of the file
		return 0, err
	}
	count, _ := freelistLength(header)
	return count, nil
}

// metaOf returns the meta page that was written by a transaction.
func (f *file) metaOf(txid uint64) (meta, error) {
	m, err := readMeta(f.os, int64(txid%2)*int64(len(f.metas)/2))
	if err == nil && m.txid != txid {
		err = errMovedOn
	}
	return m, err
}

// errMovedOn says that two commits have been made since.
var errMovedOn = errors.New("another state is in its place")
