package bolt

import (
	"bytes"
	"iter"
	"math"

	"github.com/usher-pdp/usher/store"
)

// History yields the records of a tenant's changes in a range.
func (r *reader) History(tenant store.TenantID, h store.Range) iter.Seq2[store.ChangeRecord, error] {
	switch {
	case !usable(string(h.Object)):
		return none[store.ChangeRecord](nil)
	case h.Object != "":
		return recordsIn(r, bucketChangesByObject, textKey(tenant, string(h.Object), ""), h, func(key, _ []byte) (store.ChangeRecord, error) {
			return r.listedChange(tenant, h.Object, key)
		})
	}
	changes := recordsIn(r, bucketChanges, tenantKey(tenant), h, func(key, value []byte) (store.ChangeRecord, error) {
		record, change, err := parseChange(tenant, key, value)
		if err != nil {
			return store.ChangeRecord{}, err
		}
		return r.decodeChange(tenant, record, change)
	})
	return func(yield func(store.ChangeRecord, error) bool) {
		newest, there, err := r.newestIn(tenant, h)
		if err != nil {
			yield(store.ChangeRecord{}, err)
			return
		}
		for record, err := range changes {
			if err == nil && (store.Position{Revision: record.Revision.Number, Index: record.Index}) == newest {
				there = false // it has been seen
			}
			if err == nil && there && h.NewestFirst {
				break
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
		if there {
			yield(store.ChangeRecord{}, damaged("the newest change record of tenant %d is not the one that was written last", tenant))
		}
	}
}

// newestIn returns where the newest change of a tenant is, and whether it lies in a range.
func (r *reader) newestIn(tenant store.TenantID, h store.Range) (newest store.Position, there bool, err error) {
	chain, err := r.Chain(tenant)
	if err != nil || h.Before != (store.Position{}) || chain.Head.Length == chain.Trimmed.Length {
		return newest, false, err
	}
	newest = chain.Head.Position
	return newest, bytes.Compare(appendPosition(nil, newest), appendPosition(nil, h.After)) > 0, nil
}

// listedChange returns the change that an entry in bucketChangesByObject stands for.
func (r *reader) listedChange(tenant store.TenantID, object store.Object, entry []byte) (store.ChangeRecord, error) {
	at, _ := splitPosition(entry) // the search has looked for it
	key := changeKey(tenant, at)
	value, found, err := r.get(bucketChanges, key)
	if err != nil {
		return store.ChangeRecord{}, err
	}
	if !found {
		return store.ChangeRecord{}, damaged("an entry of the changes of one object has no change record")
	}
	record, change, err := parseChange(tenant, key, value)
	if err != nil {
		return store.ChangeRecord{}, err
	}
	if objectOf(change, subjectOf(record)) != string(object) {
		return store.ChangeRecord{}, damaged("an entry of the changes of one object leads to the change of another")
	}
	return r.decodeChange(tenant, record, change)
}

// recordsIn is records for a range of positions, with which the keys end, in either order.
func recordsIn[T any](r *reader, b bucket, prefix []byte, h store.Range, decode func(key, value []byte) (T, error)) iter.Seq2[T, error] {
	if h.Before == (store.Position{}) {
		h.Before = store.Position{Revision: math.MaxUint64, Index: math.MaxUint32}
	}
	after, before := appendPosition(bytes.Clone(prefix), h.After), appendPosition(bytes.Clone(prefix), h.Before)
	return func(yield func(T, error) bool) {
		each := func(key, value []byte) bool {
			if bytes.Compare(key, after) <= 0 || bytes.Compare(key, before) >= 0 {
				return false
			}
			record, err := decode(key, value)
			return yield(record, err) && err == nil
		}
		var err error
		if h.NewestFirst {
			err = r.scanBack(b, prefix, before, each)
		} else {
			err = r.scan(b, prefix, after, each)
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}
