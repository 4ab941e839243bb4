package bolt

import (
	"bytes"
	"fmt"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// head returns the head of a tenant's chain. A tenant without changes has none.
func (r *reader) head(tenant store.TenantID) (*storev1.Head, error) {
	value, found, err := r.get(bucketHeads, tenantKey(tenant))
	if err != nil {
		return nil, err
	}
	if !found {
		return &storev1.Head{ChainHash: chainStart}, nil
	}
	return decodeHead(value)
}

// Chain returns both ends of a tenant's chain.
func (r *reader) Chain(tenant store.TenantID) (store.Chain, error) {
	head, err := r.head(tenant)
	if err != nil {
		return store.Chain{}, err
	}
	return chainOf(head), nil
}

func chainOf(head *storev1.Head) store.Chain {
	trimmed := head.GetTrimmed()
	c := store.Chain{
		Trimmed: store.Link{
			Position: store.Position{Revision: trimmed.GetRevision(), Index: trimmed.GetPosition()},
			Length:   trimmed.GetChainLength(),
		},
		TrimmedTime: fromInstant(trimmed.GetTime()),
		Head: store.Link{
			Position: store.Position{Revision: head.GetRevision(), Index: head.GetPosition()},
			Length:   head.GetChainLength(),
		},
	}
	copy(c.Trimmed.Hash[:], trimmed.GetChainHash())
	copy(c.Head.Hash[:], head.GetChainHash())
	return c
}

// Follow verifies the records of a tenant after a link.
func (r *reader) Follow(tenant store.TenantID, after store.Link, most int) (store.Link, error) {
	chain, err := r.Chain(tenant)
	if err != nil {
		return after, err
	}
	switch {
	case after.Length < chain.Trimmed.Length:
		return after, fmt.Errorf("change records after the %dth of tenant %d: %w: the first %d are not kept any more",
			after.Length, tenant, store.ErrNotFound, chain.Trimmed.Length)
	case after.Length == chain.Trimmed.Length && after != chain.Trimmed,
		after.Length == chain.Head.Length && after != chain.Head,
		after.Length > chain.Head.Length:
		return after, damaged("the chain of change records of tenant %d does not have the %dth that is asked for", tenant, after.Length)
	}
	return r.follow(tenant, after, chain.Head, most, func(key []byte, record *storev1.ChangeRecord, change *storev1.Change) error {
		_, err := r.confirm(tenant, key, record, change)
		return err
	})
}

// confirm checks what a change record says, and that it is listed under its object, if it has one.
func (r *reader) confirm(tenant store.TenantID, key []byte, record *storev1.ChangeRecord, change *storev1.Change) (listed bool, err error) {
	if _, err := r.decodeChange(tenant, record, change); err != nil {
		return false, err
	}
	object := objectOf(change, subjectOf(record))
	if object == "" {
		return false, nil
	}
	at, _ := splitPosition(key)
	_, found, err := r.get(bucketChangesByObject, objectKey(tenant, object, at))
	if err == nil && !found {
		err = damaged("a change record of tenant %d is not listed under its object", tenant)
	}
	return true, err
}

// follow goes through at most so many records after a link, and calls each with those that
// fit the ones before. It returns the link that it came to, or the last one that is right.
func (r *reader) follow(tenant store.TenantID, after, head store.Link, most int,
	each func(key []byte, record *storev1.ChangeRecord, change *storev1.Change) error) (store.Link, error) {
	before, at := after, after
	limit := after.Length + uint64(max(most, 0))
	var broken error
	stopped := false
	err := r.scan(bucketChanges, tenantKey(tenant), changeKey(tenant, after.Position), func(key, value []byte) bool {
		record, change, err := parseChange(tenant, key, value)
		switch {
		case err != nil:
			broken = err
			return false
		case change.Follows != nil && !bytes.Equal(change.Follows, at.Hash[:followsSize]):
			broken = damaged("a change record of tenant %d, or the one before it, was edited, removed or added", tenant)
			at = before
			return false
		case at.Length == head.Length:
			broken = damaged("tenant %d has a change record behind the one that was written last", tenant)
			return false
		case at.Length == limit: // the record at this limit is confirmed by the next
			stopped = true
			return false
		}
		if broken = each(key, record, change); broken != nil {
			return false
		}
		before = at
		at = nextLink(at, record, change)
		return true
	})
	switch {
	case err != nil:
		return at, err
	case broken != nil:
		return at, broken
	case at.Length < head.Length && !stopped:
		return at, damaged("change records of tenant %d are missing: the chain has %d and should have %d", tenant, at.Length, head.Length)
	case at.Length == head.Length && at != head:
		return before, damaged("the chain of change records of tenant %d does not end as it should: a record was edited, removed or added", tenant)
	}
	return at, nil
}

// nextLink is the link of a record that follows one.
func nextLink(before store.Link, record *storev1.ChangeRecord, change *storev1.Change) store.Link {
	next := store.Link{
		Position: store.Position{Revision: change.GetRevision(), Index: change.GetPosition()},
		Length:   before.Length + 1,
	}
	copy(next.Hash[:], chainHash(before.Hash[:], record.GetChained()))
	return next
}
