package server

import (
	"crypto/sha256"
	"hash/maphash"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// Cache keeps in memory what settles decisions: per tenant its table, and per subject
// what it holds. It is the store's observer, and never answers with what a commit that
// has been answered changed:
//
//   - every key has a generation, which goes up when the key's data changes, after the
//     commit and before the new revision is published;
//   - an entry keeps the generation that was read before its data was, and is used only
//     while that is still the generation.
//
// So an entry filled from data older than a commit can't outlive it. The generations
// are striped over a fixed number of counters: keys with the same stripe lose their
// entries together, which costs a read and no correctness.
type Cache struct {
	tenants  *guarded[string, *tenant]
	subjects *guarded[subjectKey, *policy.Holder]
	// catalogs are compiled catalogs by the SHA-256 of their source. What was read in a
	// write that was never made can't be taken for what is stored later.
	catalogs *otter.Cache[[sha256.Size]byte, *policy.Catalog]
	// stored are those that were read in a state that is on disk. There a name and version never
	// changes its content, so that it need not be read again.
	stored *otter.Cache[store.CatalogRef, *policy.Catalog]
	lost   atomic.Uint64 // how often anything may have changed
	// watchers are told of commits, after the entries have been dropped.
	watchers watchers
}

// tenant is a tenant with its table.
type tenant struct {
	store.Tenant
	table *policy.Table
	// nobody is the Holder of all subjects who hold nothing. Each of them that asks has an
	// entry of its own, which is its key and a pointer to this.
	nobody *policy.Holder
	// decisions counts those of the tenant; nil: nobody wants to know.
	decisions *tenantDecisions
}

type subjectKey struct {
	tenant  store.TenantID
	subject string
}

// maxCatalogs is how many compiled catalogs are kept.
const maxCatalogs = 256

// NewCache makes a cache that takes about so many bytes: seven parts of eight for
// subjects and one for tenants. The compiled catalogs, up to 256, come on top.
func NewCache(bytes uint64) *Cache {
	return &Cache{
		tenants: newGuarded(bytes/8, func(name string, t *tenant) int {
			return len(name) + tenantSize + len(t.table.Catalog().Message().GetToggles())
		}),
		subjects: newGuarded(bytes-bytes/8, func(key subjectKey, h *policy.Holder) int {
			if h.Empty() {
				return len(key.subject) // the Holder is shared
			}
			return h.Size() // with its name, which is the key's string
		}),
		catalogs: otter.Must(&otter.Options[[sha256.Size]byte, *policy.Catalog]{MaximumSize: maxCatalogs}),
		stored:   otter.Must(&otter.Options[store.CatalogRef, *policy.Catalog]{MaximumSize: maxCatalogs}),
	}
}

// tenantSize is about how many bytes a tenant takes beside its name and toggles.
const tenantSize = 256

// Committed implements store.Observer.
func (c *Cache) Committed(touched []store.Touched) {
	for _, t := range touched {
		if t.Subject == "" {
			c.tenants.drop(t.Name)
		} else {
			c.subjects.drop(subjectKey{t.Tenant, t.Subject})
		}
	}
	c.watchers.wake(touched)
}

// Lost implements store.Observer.
func (c *Cache) Lost() {
	c.tenants.dropAll()
	c.subjects.dropAll()
	c.lost.Add(1)
	c.stored.InvalidateAll()
}

// keepStored keeps a catalog that was read in a state that is on disk, after lost was read.
func (c *Cache) keepStored(ref store.CatalogRef, catalog *policy.Catalog, lost uint64) {
	c.stored.Set(ref, catalog)
	if c.lost.Load() != lost { // Lost may have come before it was set
		c.stored.Invalidate(ref)
	}
}

// guarded is a bounded cache whose entries are used only while the generation of their
// key is the one they were filled at.
type guarded[K comparable, V any] struct {
	entries     *otter.Cache[K, entry[V]]
	seed        maphash.Seed
	generations [stripes]atomic.Uint64

	hits, misses atomic.Uint64
	drops        atomic.Uint64
	evictions    evictions
}

// stripes is the number of generation counters. With ten thousand subjects cached, a
// grant drops three of them besides the one it is about.
const stripes = 4096

// evictions counts what had to leave a cache. Hits are counted where it is known whether
// an entry may be used, and only once: it is on the path of a check.
type evictions struct {
	stats.NoopRecorder
	n atomic.Uint64
}

// RecordEviction implements stats.Recorder.
func (e *evictions) RecordEviction(uint32) { e.n.Add(1) }

type entry[V any] struct {
	value      V
	generation uint64
}

// entryOverhead is about how many bytes of the heap an entry takes beyond the text of its
// key and what its value points at: 122 to 128 with a million entries.
const entryOverhead = 128

func newGuarded[K comparable, V any](bytes uint64, size func(K, V) int) *guarded[K, V] {
	g := &guarded[K, V]{seed: maphash.MakeSeed()}
	g.entries = otter.Must(&otter.Options[K, entry[V]]{
		MaximumWeight: max(bytes, 1),
		Weigher:       func(k K, e entry[V]) uint32 { return uint32(entryOverhead + size(k, e.value)) }, // #nosec G115 -- the size of one entry
		StatsRecorder: &g.evictions,
	})
	return g
}

func (g *guarded[K, V]) generationOf(key K) *atomic.Uint64 {
	return &g.generations[maphash.Comparable(g.seed, key)%stripes]
}

// get returns the value of a key, if there is one that may be used, and else the
// generation to fill with. The generation has to be read before the data is.
func (g *guarded[K, V]) get(key K, usable func(V) bool) (value V, generation uint64, ok bool) {
	generation = g.generationOf(key).Load()
	e, found := g.entries.GetIfPresent(key)
	if found && e.generation == generation && usable(e.value) {
		g.hits.Add(1)
		return e.value, generation, true
	}
	g.misses.Add(1)
	return value, generation, false
}

// fill keeps a value that was read after the generation was.
func (g *guarded[K, V]) fill(key K, value V, generation uint64) {
	g.entries.Set(key, entry[V]{value, generation})
}

// drop makes the entry of a key unusable, and those with the same stripe. It stays where
// it is until it is filled again or has to leave.
func (g *guarded[K, V]) drop(key K) {
	g.generationOf(key).Add(1)
	g.drops.Add(1)
}

func (g *guarded[K, V]) dropAll() {
	for i := range g.generations {
		g.generations[i].Add(1)
	}
	g.drops.Add(1)
}
