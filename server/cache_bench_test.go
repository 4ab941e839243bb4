package server

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// BenchmarkCache measures finding what a subject holds: in the cache, over few and many
// subjects, and by a read of the store.
func BenchmarkCache(b *testing.B) {
	ctx := context.Background()
	s, subjects := benchServer(b, filepath.Join(b.TempDir(), "usher.db"), 100_000)
	t := benchTenant(b, s)
	find := func(b *testing.B, n int) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			f := &facts{server: s, now: s.now(), revision: s.store.Revision()}
			if h, err := f.holder(ctx, t, subjects[i%n]); err != nil || h.Empty() {
				b.Fatal(err)
			}
			i += 7919 // a prime, so that neighbours are not asked for in turn
		}
	}
	b.Run("found=hit/subjects=1", func(b *testing.B) { find(b, 1) })
	b.Run("found=hit/subjects=100000", func(b *testing.B) {
		for _, subject := range subjects {
			f := &facts{server: s, now: s.now(), revision: s.store.Revision()}
			if _, err := f.holder(ctx, t, subject); err != nil {
				b.Fatal(err)
			}
		}
		find(b, len(subjects))
	})
	b.Run("found=miss/subjects=100000", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			subject := subjects[i%len(subjects)]
			s.cache.subjects.drop(subjectKey{t.ID, subject})
			f := &facts{server: s, now: s.now(), revision: s.store.Revision()}
			if h, err := f.holder(ctx, t, subject); err != nil || h.Empty() {
				b.Fatal(err)
			}
			i += 7919
		}
	})
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
		if err := s.store.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func openServer(path string) (*Server, error) {
	cache := NewCache(256 << 20)
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
	b.Cleanup(func() { _ = s.store.Close() })
	ctx := context.Background()
	operator := store.By{Operator: true}
	_, err = s.store.Commit(ctx, store.Write{Tenant: "bench", By: operator, Plan: func(store.Reader) ([]store.Change, error) {
		return []store.Change{store.CreateTenant{Name: "bench", Catalog: store.CatalogRef{Name: "expertconnect", Version: 1}}}, nil
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
