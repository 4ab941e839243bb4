package bolt

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"iter"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// reader reads the state that a transaction sees.
type reader struct {
	tx       *bbolt.Tx
	revision store.Revision
	buckets  [bucketCount]*bbolt.Bucket // as far as they have been looked up
	tenant   store.Tenant               // that was looked up last

	reopening *atomic.Bool // it is to end; nil: it need not
}

// newReader returns the reader of a transaction that began when that state was published.
func newReader(tx *bbolt.Tx, epoch string, newest *state) (*reader, error) {
	r := &reader{tx: tx, revision: store.Revision{Epoch: epoch, Number: newest.revision}}
	if tx.ID() == newest.txid {
		return r, nil
	}
	number, err := r.number(metaRevision)
	if err == nil && number < newest.revision {
		err = damaged("the newest meta page")
	}
	r.revision.Number = number
	return r, err
}

// bucket returns a bucket, or nil if it is missing.
func (r *reader) bucket(b bucket) *bbolt.Bucket {
	if r.buckets[b] == nil {
		r.buckets[b] = r.tx.Bucket(b.name())
	}
	return r.buckets[b]
}

// get returns the value under a key, or false. The value is only valid until something
// is written.
func (r *reader) get(b bucket, key []byte) ([]byte, bool, error) {
	c, err := r.cursor(b)
	if err != nil {
		return nil, false, err
	}
	found, err := c.seek(key)
	if found || err != nil {
		return c.value, found, err
	}
	if !bytes.Equal(c.key, lastKey) {
		err = c.next()
	}
	return nil, false, err
}

// proceed is an error when the reader has to end.
func (r *reader) proceed() error {
	if r.reopening != nil && r.reopening.Load() {
		return errReopening
	}
	return nil
}

// scan calls each with the records that begin with prefix and come after a key, in
// order, until it returns false. What it is given is only valid until it returns.
func (r *reader) scan(b bucket, prefix, after []byte, each func(key, value []byte) bool) error {
	c, err := r.cursor(b)
	if err != nil {
		return err
	}
	found, err := c.seek(after)
	if found {
		err = c.next()
	}
	for ; err == nil; err = c.next() {
		if bytes.Equal(c.key, lastKey) {
			return nil
		}
		if !bytes.HasPrefix(c.key, prefix) {
			return c.next() // the record that ends the scan has to be at its place
		}
		if !each(c.key, c.value) {
			return nil
		}
		if err := r.proceed(); err != nil {
			return err
		}
	}
	return err
}

// scanBack is scan for the records that come before a key, in the other order.
func (r *reader) scanBack(b bucket, prefix, before []byte, each func(key, value []byte) bool) error {
	c, err := r.cursor(b)
	if err != nil {
		return err
	}
	if _, err := c.seek(before); err != nil {
		return err
	}
	for err = c.prev(); err == nil; err = c.prev() {
		if bytes.Equal(c.key, firstKey) {
			return nil
		}
		if !bytes.HasPrefix(c.key, prefix) {
			return c.prev() // as in scan
		}
		if !each(c.key, c.value) {
			return nil
		}
		if err := r.proceed(); err != nil {
			return err
		}
	}
	return err
}

// cursor goes through the records of a bucket and checks each.
type cursor struct {
	bucket bucket
	bolt   *bbolt.Cursor
	// key and value are those of the record that it stands at, without the checksum.
	key, value []byte
}

func (r *reader) cursor(b bucket) (c *cursor, err error) {
	defer guard(&err)
	if err := r.proceed(); err != nil {
		return nil, err
	}
	found := r.bucket(b)
	if found == nil {
		return nil, damaged("the bucket %q is missing", b.name())
	}
	return &cursor{bucket: b, bolt: found.Cursor()}, nil
}

// seek goes to a key, or to the record behind it. If the key is not there, two records
// on either side show that the search has come to the right place: with one, an element
// of a page that leads to another record by mistake could pass for a neighbour. The second
// one behind is left to the caller, who may go on to it anyway.
func (c *cursor) seek(key []byte) (found bool, err error) {
	defer guard(&err)
	if err := c.stand(c.bolt.Seek(key)); err != nil {
		return false, err
	}
	if bytes.Equal(c.key, key) {
		return true, nil
	}
	behind := *c
	steps := 0
	for ahead := key; steps < 2 && !bytes.Equal(ahead, firstKey); steps++ {
		if err := c.stand(c.back()); err != nil {
			return false, err
		}
		if bytes.Compare(c.key, ahead) >= 0 {
			return false, damaged("the order of the keys in the bucket %q", c.bucket.name())
		}
		ahead = c.key
	}
	var back []byte
	for ; steps > 0; steps-- {
		back, _ = c.bolt.Next()
	}
	if bytes.Compare(behind.key, key) <= 0 || !bytes.Equal(back, behind.key) {
		return false, damaged("the order of the keys in the bucket %q", c.bucket.name())
	}
	c.key, c.value = behind.key, behind.value
	return false, nil
}

// next goes to the next record.
func (c *cursor) next() (err error) {
	defer guard(&err)
	return c.step()
}

func (c *cursor) step() error {
	before := c.key
	if err := c.stand(c.bolt.Next()); err != nil {
		return err
	}
	if bytes.Compare(before, c.key) >= 0 {
		return damaged("the order of the keys in the bucket %q", c.bucket.name())
	}
	return nil
}

// prev goes to the record before.
func (c *cursor) prev() (err error) {
	defer guard(&err)
	ahead := c.key
	if err := c.stand(c.back()); err != nil {
		return err
	}
	if bytes.Compare(c.key, ahead) >= 0 {
		return damaged("the order of the keys in the bucket %q", c.bucket.name())
	}
	return nil
}

// back is bbolt's record before. A page from which this transaction has removed everything is
// still there, and bbolt stops in front of it.
func (c *cursor) back() (key, value []byte) {
	key, value = c.bolt.Prev()
	if tx := c.bolt.Bucket().Tx(); key == nil && tx.Writable() {
		for pages := tx.Size() / int64(tx.DB().Info().PageSize); key == nil && pages > 0; pages-- {
			key, value = c.bolt.Prev()
		}
	}
	return key, value
}

// stand checks the record that bbolt's cursor stands at.
func (c *cursor) stand(key, sealed []byte) error {
	n := len(sealed) - crc32.Size
	if key == nil || n < 0 || binary.BigEndian.Uint32(sealed[n:]) != checksum(c.bucket, key, sealed[:n]) {
		return damaged("a record in the bucket %q does not have its checksum", c.bucket.name())
	}
	c.key, c.value = key, sealed[:n]
	return nil
}

// seal returns a value as it is stored: with a CRC-32C over bucket, key and value.
func seal(b bucket, key, value []byte) []byte {
	sealed := append(make([]byte, 0, len(value)+crc32.Size), value...)
	return binary.BigEndian.AppendUint32(sealed, checksum(b, key, value))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b bucket, key, value []byte) uint32 {
	return crc32.Update(crc32.Update(b.seed(), castagnoli, key), castagnoli, value)
}

// records yields what decode makes of the records that scan finds.
func records[T any](r *reader, b bucket, prefix, after []byte, decode func(key, value []byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := r.scan(b, prefix, after, func(key, value []byte) bool {
			record, err := decode(key, value)
			return yield(record, err) && err == nil
		})
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// none yields nothing but an error, or nothing at all.
func none[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// Revision is the revision of the state.
func (r *reader) Revision() store.Revision { return r.revision }

// Tenant returns the tenant of that name.
func (r *reader) Tenant(name string) (store.Tenant, error) {
	if name == "" || !usable(name) {
		return store.Tenant{}, store.ErrNotFound
	}
	if r.tenant.Name == name {
		return r.tenant, nil
	}
	value, found, err := r.get(bucketTenants, []byte(name))
	if err != nil {
		return store.Tenant{}, err
	}
	if !found {
		return store.Tenant{}, store.ErrNotFound
	}
	t, err := decodeTenant([]byte(name), value)
	if err == nil {
		r.tenant = t
	}
	return t, err
}

// Tenants yields the tenants after a name.
func (r *reader) Tenants(after string) iter.Seq2[store.Tenant, error] {
	from := []byte(after)
	if after == "" {
		from = firstKey
	}
	return records(r, bucketTenants, nil, from, decodeTenant)
}

// DeletedTenants yields the tenants that have been deleted after an id.
func (r *reader) DeletedTenants(after store.TenantID) iter.Seq2[store.Tenant, error] {
	return records(r, bucketDeleted, nil, tenantKey(after), decodeDeleted)
}

// Toggles returns the toggles of a tenant that have been set.
func (r *reader) Toggles(tenant store.TenantID) (map[string]bool, error) {
	toggles := make(map[string]bool)
	prefix := tenantKey(tenant)
	var broken error
	err := r.scan(bucketToggles, prefix, prefix, func(key, value []byte) bool {
		toggles[string(key[len(prefix):])], broken = decodeToggle(value)
		return broken == nil
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return nil, err
	}
	return toggles, nil
}

// Catalog returns the source of a catalog.
func (r *reader) Catalog(ref store.CatalogRef) ([]byte, error) {
	if ref.Name == "" || !usable(ref.Name) {
		return nil, store.ErrNotFound
	}
	value, found, err := r.get(bucketCatalogs, catalogKey(ref))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, store.ErrNotFound
	}
	return decodeCatalog(value)
}

// Catalogs yields the catalogs after one.
func (r *reader) Catalogs(after store.CatalogRef) iter.Seq2[store.CatalogRef, error] {
	from := firstKey
	if after != (store.CatalogRef{}) {
		from = catalogKey(after)
	}
	return records(r, bucketCatalogs, nil, from, func(key, _ []byte) (store.CatalogRef, error) {
		ref, ok := splitCatalogKey(key)
		if !ok {
			return ref, damaged("the key of a catalog can't be read")
		}
		return ref, nil
	})
}

// number returns a number in the bucket that describes the store.
func (r *reader) number(key []byte) (uint64, error) {
	value, found, err := r.get(bucketMeta, key)
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, damaged("its %s is missing", key)
	}
	return decodeNumber(value)
}
