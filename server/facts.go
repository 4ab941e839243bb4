package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"time"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// facts finds what decisions need: the table of a tenant, and what subjects hold. All
// that one facts finds is of one revision, or it says so.
type facts struct {
	server *Server
	now    time.Time
	// reader is nil while the facts come through the cache, from several reads.
	reader store.Reader
	// revision is the revision of all facts; of those through the cache, unless ahead.
	revision store.Revision
	// ahead is whether something was read at a newer revision.
	ahead bool
}

// consistently calls decide with facts that are all of one revision, and returns the
// revision. At first they come through the cache. If a write came between, or a read
// saw one that is not published yet, decide is called once more and reads all facts in
// one transaction of the store; so decide must do nothing but decide.
func (s *Server) consistently(ctx context.Context, decide func(*facts) error) (store.Revision, error) {
	f := &facts{server: s, now: s.now(), revision: s.store.Revision()}
	err := decide(f)
	if !f.ahead && s.store.Revision() == f.revision {
		return f.revision, err
	}
	var revision store.Revision
	err = s.store.View(ctx, func(r store.Reader) error {
		revision = r.Revision()
		return decide(&facts{server: s, now: f.now, reader: r, revision: revision})
	})
	return revision, err
}

// tenant finds a tenant.
func (f *facts) tenant(ctx context.Context, name string) (*tenant, error) {
	if f.reader != nil {
		return f.server.readTenant(f.reader, name, f.now)
	}
	cached, generation, ok := f.server.cache.tenants.get(name, func(*tenant) bool { return true })
	if ok {
		return cached, nil
	}
	var t *tenant
	lost := f.server.cache.lost.Load()
	err := f.fill(ctx, func(r store.Reader) (err error) {
		t, err = f.server.readTenant(r, name, f.now)
		return err
	}, func() {
		f.server.cache.tenants.fill(name, t, generation)
		f.server.cache.keepStored(t.Catalog, t.table.Catalog(), lost)
	})
	return t, err
}

// holder finds what a subject holds.
func (f *facts) holder(ctx context.Context, t *tenant, subject string) (*policy.Holder, error) {
	if f.reader != nil {
		return readHolder(f.reader, t, subject, f.now)
	}
	key := subjectKey{t.ID, subject}
	cached, generation, ok := f.server.cache.subjects.get(key, func(h *policy.Holder) bool {
		return h.Current(t.table.Catalog(), f.now.UnixNano())
	})
	if ok {
		return cached, nil
	}
	var h *policy.Holder
	err := f.fill(ctx, func(r store.Reader) (err error) {
		h, err = readHolder(r, t, subject, f.now)
		return err
	}, func() {
		if !h.Empty() {
			key.subject = h.Name() // so that the name is in memory once
		}
		f.server.cache.subjects.fill(key, h, generation)
	})
	return h, err
}

// holders finds what a subject and its groups hold, in that order.
func (f *facts) holders(ctx context.Context, t *tenant, subject string, groups []string) ([]*policy.Holder, error) {
	holders := make([]*policy.Holder, 0, 1+len(groups))
	h, err := f.holder(ctx, t, subject)
	if err != nil {
		return nil, err
	}
	holders = append(holders, h)
	for _, g := range groups {
		if h, err = f.holder(ctx, t, g); err != nil {
			return nil, err
		}
		holders = append(holders, h)
	}
	return holders, nil
}

// held reads all that a subject and its groups hold, past the cache, in that order.
func (f *facts) held(ctx context.Context, t *tenant, subject string, groups []string) ([]policy.Held, error) {
	var all []policy.Held
	read := func(r store.Reader) error {
		for _, name := range append([]string{subject}, groups...) {
			assignments, err := collect(r.AssignmentsOf(t.ID, name))
			if err != nil {
				return err
			}
			all = append(all, policy.Held{Name: name, Assignments: assignments})
		}
		return nil
	}
	if f.reader != nil {
		return all, read(f.reader)
	}
	err := f.fill(ctx, read, func() {})
	return all, err
}

// fill reads from the store and keeps what was read in the cache, if it is of the
// published revision.
func (f *facts) fill(ctx context.Context, read func(store.Reader) error, keep func()) error {
	var revision store.Revision
	err := f.server.store.View(ctx, func(r store.Reader) error {
		revision = r.Revision()
		return read(r)
	})
	if revision != f.revision {
		f.ahead = true
	}
	if err == nil && revision == f.server.store.Revision() {
		keep()
	}
	return err
}

// readTenant reads a tenant and makes its table.
func (s *Server) readTenant(r store.Reader, name string, now time.Time) (*tenant, error) {
	stored, err := findTenant(r, name)
	if err != nil {
		return nil, err
	}
	catalog, err := s.readCatalog(r, stored.Catalog)
	if err != nil {
		return nil, err
	}
	toggles, err := r.Toggles(stored.ID)
	if err != nil {
		return nil, err
	}
	nobody, err := policy.NewHolder(catalog, "", nil, now)
	if err != nil {
		return nil, err
	}
	t := &tenant{Tenant: stored, table: policy.NewTable(catalog, toggles), nobody: nobody}
	if s.metrics.tenants != nil {
		t.decisions = s.metrics.tenants.of(stored)
	}
	return t, nil
}

// readCatalog reads a catalog, and compiles it unless that has been done lately.
func (s *Server) readCatalog(r store.Reader, ref store.CatalogRef) (*policy.Catalog, error) {
	if c, ok := s.cache.stored.GetIfPresent(ref); ok {
		return c, nil
	}
	source, err := r.Catalog(ref)
	if err != nil {
		return nil, fmt.Errorf("catalog %s version %d: %w", ref.Name, ref.Version, err)
	}
	digest, bases := sha256.Sum256(source), s.basesIn(r)
	if c, ok := s.cache.catalogs.GetIfPresent(digest); ok {
		if c.Base() == nil {
			return c, nil
		}
		// The same text means something else where what it extends is something else.
		if base, err := bases(c.Base().Ref()); err != nil || base == c.Base() {
			return c, err
		}
	}
	c, err := policy.Parse(fileName(ref), source, bases)
	if err != nil {
		return nil, fmt.Errorf("stored catalog %s version %d is no longer valid: %v", ref.Name, ref.Version, err)
	}
	s.cache.catalogs.Set(digest, c)
	return c, nil
}

// basesIn finds the catalogs that others extend among those that are stored.
func (s *Server) basesIn(r store.Reader) policy.Bases {
	return func(ref store.CatalogRef) (*policy.Catalog, error) {
		if _, err := findCatalog(r, ref.Name, ref.Version); err != nil {
			return nil, err
		}
		return s.readCatalog(r, ref)
	}
}

// readHolder reads what a subject holds.
func readHolder(r store.Reader, t *tenant, subject string, now time.Time) (*policy.Holder, error) {
	assignments, err := collect(r.AssignmentsOf(t.ID, subject))
	if err != nil {
		return nil, err
	}
	if len(assignments) == 0 {
		return t.nobody, nil
	}
	return policy.NewHolder(t.table.Catalog(), subject, assignments, now)
}

// collect returns all that a sequence yields, or its first error.
func collect[T any](sequence iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for item, err := range sequence {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

func fileName(ref store.CatalogRef) string {
	return fmt.Sprintf("%s@%d.yaml", ref.Name, ref.Version)
}
