package bolt

import (
	"iter"
	"math"
	"time"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// EndedBefore yields the assignments that have ended before t.
func (r *reader) EndedBefore(t time.Time) iter.Seq2[store.Ended, error] {
	limit, err := instant(t)
	if err != nil && t.Year() >= 2200 {
		limit = math.MaxInt64
	}
	return func(yield func(store.Ended, error) bool) {
		err := r.scan(bucketEnds, nil, firstKey, func(entry, name []byte) bool {
			end, key, ok := splitTimeKey(entry)
			if ok && end >= limit {
				return false
			}
			ended, live, err := r.ended(end, key, string(name))
			if err == nil && !live {
				return true
			}
			return yield(ended, err) && err == nil
		})
		if err != nil {
			yield(store.Ended{}, err)
		}
	}
}

// ended returns the assignment that an entry in bucketEnds stands for, and whether its tenant
// is still there.
func (r *reader) ended(end int64, key []byte, name string) (e store.Ended, live bool, err error) {
	texts, ok := splitTexts(key)
	if !ok {
		return e, false, damaged("the key of an end can't be read")
	}
	tenant, err := r.Tenant(name)
	if err == store.ErrNotFound || err == nil && tenant.ID != tenantOf(key) {
		return e, false, nil // it was deleted
	}
	if err != nil {
		return e, false, err
	}
	a, err := r.Assignment(tenant.ID, store.AssignmentKey{Subject: texts[0], Role: texts[1], Scope: texts[2]})
	if err == store.ErrNotFound || err == nil && !a.End.Equal(fromInstant(end)) {
		err = damaged("the end of an assignment is listed and is not its end")
	}
	return store.Ended{Tenant: tenant, Assignment: a}, true, err
}

// moveEnd lists the end of an assignment of the tenant that the write is for. No interval:
// there is, or was, no assignment.
func (s *stage) moveEnd(key []byte, before, after *storev1.Interval) {
	if end := before.GetExpiresAt(); end != 0 {
		s.remove(bucketEnds, timeKey(end, key))
	}
	s.listEnd(key, after, s.w.Tenant)
}

// listEnd lists the end of an assignment of a tenant with that name, if it has one.
func (s *stage) listEnd(key []byte, interval *storev1.Interval, tenant string) {
	if end := interval.GetExpiresAt(); end != 0 {
		s.put(bucketEnds, timeKey(end, key), []byte(tenant))
	}
}
