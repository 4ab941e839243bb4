package server

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// BenchmarkCache measures finding what a subject holds: in the cache, over few and many
// subjects, and by a read of the store. It reports what a cached subject takes of the
// heap, too.
func BenchmarkCache(b *testing.B) {
	const many = 1_000_000
	ctx := context.Background()
	s, subjects := benchServer(b, filepath.Join(b.TempDir(), "usher.db"), many)
	t := benchTenant(b, s)
	find := func(b *testing.B, subject string) {
		f := &facts{server: s, now: s.now(), revision: s.store.Revision()}
		if h, err := f.holder(ctx, t, subject); err != nil || h.Empty() {
			b.Fatal(err)
		}
	}
	findAll := func(b *testing.B, subjects []string) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			find(b, subjects[i%len(subjects)])
			i += 7919 // a prime, so that neighbours are not asked for in turn
		}
	}
	b.Run("found=hit/subjects=1", func(b *testing.B) { findAll(b, subjects[:1]) })
	before := liveHeap()
	for _, subject := range subjects {
		find(b, strings.Clone(subject)) // as that of a request, which stays with the entry
	}
	after := liveHeap()
	b.Run(fmt.Sprintf("found=hit/subjects=%d", many), func(b *testing.B) {
		findAll(b, subjects)
		b.ReportMetric(float64(after-before)/many, "heap-B/subject")
		b.ReportMetric(float64(s.cache.subjects.entries.WeightedSize())/many, "counted-B/subject")
	})
	b.Run(fmt.Sprintf("found=miss/subjects=%d", many), func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			subject := subjects[i%len(subjects)]
			s.cache.subjects.drop(subjectKey{t.ID, subject})
			find(b, subject)
			i += 7919
		}
	})
}

// liveHeap is how much of the heap is alive.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has freed is swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkStart measures opening a store with 100,000 assignments and making a server
// that can answer.
func BenchmarkStart(b *testing.B) {
	path := filepath.Join(b.TempDir(), "usher.db")
	s, _ := benchServer(b, path, 100_000)
	if err := s.store.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := openServer(path)
		if err != nil {
			b.Fatal(err)
		}
		s.grpc.Stop()
		if err := s.store.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func openServer(path string) (*Server, error) {
	cache := NewCache(1 << 30)
	st, err := bolt.Open(path, bolt.Options{Observer: cache})
	if err != nil {
		return nil, err
	}
	return New(context.Background(), Config{Store: st, Cache: cache})
}

// benchServer makes a server whose tenant has n advisors.
func benchServer(b *testing.B, path string, n int) (*Server, []string) {
	b.Helper()
	s, err := openServer(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.grpc.Stop(); _ = s.store.Close() })
	ctx := context.Background()
	operator := store.By{Operator: true}
	_, err = s.store.Commit(ctx, store.Write{Tenant: "bench", By: operator, Plan: func(store.Reader) ([]store.Change, error) {
		return []store.Change{store.CreateTenant{Name: "bench", Catalog: store.CatalogRef{Name: "expertconnect", Version: 3}}}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	t := benchTenant(b, s)
	subjects := make([]string, n)
	for i := range subjects {
		subjects[i] = fmt.Sprintf("user:advisor-%06d@dealer.example", i)
	}
	const batch = 10_000
	for first := 0; first < n; first += batch {
		_, err := s.store.Commit(ctx, store.Write{Tenant: "bench", By: operator, Plan: func(store.Reader) ([]store.Change, error) {
			var changes []store.Change
			for i, subject := range subjects[first:min(first+batch, n)] {
				changes = append(changes, store.SetAssignment{Tenant: t.ID, Assignment: store.Assignment{
					AssignmentKey: store.AssignmentKey{Subject: subject, Role: "advisor", Scope: fmt.Sprintf("team:%d", i%50)},
				}})
			}
			return changes, nil
		}})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s, subjects
}

func benchTenant(b *testing.B, s *Server) *tenant {
	b.Helper()
	var t *tenant
	_, err := s.consistently(context.Background(), func(f *facts) (err error) {
		t, err = f.tenant(context.Background(), "bench")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return t
}
