package bolt

import (
	"iter"
	"math"

	"github.com/usher-pdp/usher/store"
)

// Objects yields the objects of a tenant of which there are change records.
func (r *reader) Objects(tenant store.TenantID, after store.Object) iter.Seq2[store.Object, error] {
	if !usable(string(after)) {
		return none[store.Object](nil)
	}
	prefix := tenantKey(tenant)
	return func(yield func(store.Object, error) bool) {
		object, more := string(after), true
		for more {
			from := prefix
			if object != "" {
				from = objectKey(tenant, object, store.Position{Revision: math.MaxUint64, Index: math.MaxUint32})
			}
			more = false
			var broken error
			err := r.scan(bucketChangesByObject, prefix, from, func(key, _ []byte) bool {
				if len(key) <= len(prefix)+1+positionSize {
					broken = damaged("the key of a listed change can't be read")
					return false
				}
				object, more = string(key[len(prefix):len(key)-positionSize-1]), true
				return false
			})
			if err == nil {
				err = broken
			}
			if err != nil {
				yield("", err)
				return
			}
			if more && !yield(store.Object(object), nil) {
				return
			}
		}
	}
}
