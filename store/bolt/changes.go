package bolt

import (
	"bytes"
	"crypto/sha256"
	"iter"
	"math"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// Changes yields the records of a tenant's changes.
func (r *reader) Changes(tenant store.TenantID, after uint64) iter.Seq2[store.ChangeRecord, error] {
	return func(yield func(store.ChangeRecord, error) bool) {
		head, err := r.head(tenant)
		if err != nil {
			yield(store.ChangeRecord{}, err)
			return
		}
		v := chainVerifier{tenant: tenant, hash: chainStart, whole: after == 0}
		var broken error
		stopped := false
		err = r.scan(bucketChanges, tenantKey(tenant), changeKey(tenant, after, math.MaxUint32), func(key, value []byte) bool {
			var record store.ChangeRecord
			if record, broken = r.change(&v, key, value); broken != nil {
				return false
			}
			stopped = !yield(record, nil)
			return !stopped
		})
		switch {
		case stopped:
			return
		case err == nil && broken != nil:
			err = broken
		case err == nil:
			err = v.end(head, after)
		}
		if err != nil {
			yield(store.ChangeRecord{}, err)
		}
	}
}

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

// chainVerifier follows a chain.
type chainVerifier struct {
	tenant   store.TenantID
	whole    bool // from the start on; else the hashes can't be known
	hash     []byte
	length   uint64
	revision uint64 // of the last record
}

// end compares the end of the chain with the tenant's head.
func (v *chainVerifier) end(head *storev1.Head, after uint64) error {
	if v.length == 0 && head.GetRevision() <= after && !v.whole {
		return nil
	}
	if v.revision != head.GetRevision() {
		return damaged("the newest change record of tenant %d is not the one that was written last", v.tenant)
	}
	if v.whole && (v.length != head.GetChainLength() || !bytes.Equal(v.hash, head.GetChainHash())) {
		return damaged("the chain of change records of tenant %d is broken: a record was edited, removed or added", v.tenant)
	}
	return nil
}

// change decodes a record and puts it to the chain.
func (r *reader) change(v *chainVerifier, key, value []byte) (store.ChangeRecord, error) {
	var record storev1.ChangeRecord
	var c storev1.Change
	if err := proto.Unmarshal(value, &record); err != nil {
		return store.ChangeRecord{}, damaged("a change record can't be read: %v", err)
	}
	if err := proto.Unmarshal(record.GetChained(), &c); err != nil {
		return store.ChangeRecord{}, damaged("a change record can't be read: %v", err)
	}
	if !bytes.Equal(key, changeKey(v.tenant, c.GetRevision(), c.GetPosition())) {
		return store.ChangeRecord{}, damaged("a change record of tenant %d is at the place of another", v.tenant)
	}
	v.hash = chainHash(v.hash, record.GetChained())
	v.length++
	v.revision = c.GetRevision()
	return r.decodeChange(v.tenant, &record, &c)
}

func (r *reader) decodeChange(tenant store.TenantID, record *storev1.ChangeRecord, c *storev1.Change) (store.ChangeRecord, error) {
	personal, err := personalValues(record, c)
	if err != nil {
		return store.ChangeRecord{}, err
	}
	var actor storev1.PersonalActor
	if err := proto.Unmarshal(personal[storev1.PersonalField_PERSONAL_FIELD_ACTOR], &actor); err != nil {
		return store.ChangeRecord{}, damaged("the actor of a change can't be read: %v", err)
	}
	out := store.ChangeRecord{
		Revision: store.Revision{Epoch: c.GetEpoch(), Number: c.GetRevision()},
		Time:     fromInstant(c.GetTime()),
		By: store.By{
			Operator: c.GetByOperator(),
			Subject:  actor.GetSubject(),
			Groups:   actor.GetGroups(),
			Caller:   c.GetCaller(),
		},
		Justification: string(personal[storev1.PersonalField_PERSONAL_FIELD_JUSTIFICATION]),
	}
	switch change := c.GetChange().(type) {
	case *storev1.Change_Assignment:
		a := change.Assignment
		k := store.AssignmentKey{
			Subject: string(personal[storev1.PersonalField_PERSONAL_FIELD_SUBJECT]),
			Role:    a.GetRole(),
			Scope:   a.GetScope(),
		}
		if a.GetBefore() != nil {
			before := fromInterval(a.GetBefore())
			out.Before = &before
		}
		if a.GetAfter() != nil {
			out.Change = store.SetAssignment{Tenant: tenant, Assignment: store.Assignment{AssignmentKey: k, Interval: fromInterval(a.GetAfter())}}
		} else {
			out.Change = store.RemoveAssignment{Tenant: tenant, Key: k}
		}
	case *storev1.Change_Toggle:
		out.Change = store.SetToggle{Tenant: tenant, Toggle: change.Toggle.GetName(), On: change.Toggle.GetAfter()}
	case *storev1.Change_Tenant:
		t := change.Tenant
		if store.TenantID(t.GetId()) != tenant {
			return out, damaged("the chain of tenant %d has the creation of another", tenant)
		}
		out.Change = store.CreateTenant{Name: t.GetName(), Catalog: store.CatalogRef{Name: t.GetCatalog(), Version: t.GetCatalogVersion()}}
	case *storev1.Change_Catalog:
		ref := store.CatalogRef{Name: change.Catalog.GetName(), Version: change.Catalog.GetVersion()}
		yaml, err := r.Catalog(ref)
		if sum := sha256.Sum256(yaml); err == store.ErrNotFound || err == nil && !bytes.Equal(sum[:], change.Catalog.GetSha256()) {
			err = damaged("catalog %s version %d is not the one that was written", ref.Name, ref.Version)
		}
		if err != nil {
			return out, err
		}
		out.Change = store.PutCatalog{Ref: ref, YAML: yaml}
	default:
		return out, damaged("a change record says nothing")
	}
	return out, nil
}
