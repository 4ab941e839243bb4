package bolt

import (
	"bytes"
	"crypto/sha256"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// parseChange reads the record under a key, without its personal fields.
func parseChange(tenant store.TenantID, key, value []byte) (*storev1.ChangeRecord, *storev1.Change, error) {
	record, c := new(storev1.ChangeRecord), new(storev1.Change)
	if err := proto.Unmarshal(value, record); err != nil {
		return nil, nil, damaged("a change record can't be read: %v", err)
	}
	if err := proto.Unmarshal(record.GetChained(), c); err != nil {
		return nil, nil, damaged("a change record can't be read: %v", err)
	}
	if !bytes.Equal(key, changeKey(tenant, store.Position{Revision: c.GetRevision(), Index: c.GetPosition()})) {
		return nil, nil, damaged("a change record of tenant %d is at the place of another", tenant)
	}
	return record, c, nil
}

// commitTime is when a change was committed, as it is stored.
func commitTime(c *storev1.Change) int64 {
	if c.GetTime() != 0 {
		return c.GetTime()
	}
	return int64(c.GetRevision()) // #nosec G115 -- a revision is a time, below 2^63
}

// subjectOf returns the subject of a record, unverified, or "".
func subjectOf(record *storev1.ChangeRecord) string {
	for _, p := range record.GetPersonal() {
		if p.GetField() == storev1.PersonalField_PERSONAL_FIELD_SUBJECT {
			return string(p.GetValue())
		}
	}
	return ""
}

// objectOf returns the object under which a change of a subject is listed, or "".
func objectOf(c *storev1.Change, subject string) string {
	switch change := c.GetChange().(type) {
	case *storev1.Change_Assignment:
		return subject
	case *storev1.Change_Toggle:
		return change.Toggle.GetName()
	case *storev1.Change_TenantUpdate:
		return string(store.TenantObject)
	}
	return ""
}

// decodeChange returns what a record says, after comparing the personal fields.
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
		// Of the epoch that the store has now: after it was restored, its changes are still those
		// of the same numbers, and whoever reads them can go on behind one.
		Revision: store.Revision{Epoch: r.revision.Epoch, Number: c.GetRevision()},
		Index:    c.GetPosition(),
		Time:     fromInstant(commitTime(c)),
		By: store.By{
			Operator: c.GetByOperator(),
			Subject:  actor.GetSubject(),
			Groups:   actor.GetGroups(),
			Caller:   c.GetCaller(),
		},
		Justification: string(personal[storev1.PersonalField_PERSONAL_FIELD_JUSTIFICATION]),
		Erased:        len(record.GetPersonal()) < len(c.GetCommitments()),
	}
	subject := string(personal[storev1.PersonalField_PERSONAL_FIELD_SUBJECT])
	switch change := c.GetChange().(type) {
	case *storev1.Change_Assignment:
		a := change.Assignment
		k := store.AssignmentKey{Subject: subject, Role: a.GetRole(), Scope: a.GetScope()}
		if a.GetBefore() != nil {
			before := fromInterval(a.GetBefore())
			out.Before = &before
		}
		if a.GetAfter() != nil {
			out.Change = store.SetAssignment{Tenant: tenant, Assignment: store.Assignment{AssignmentKey: k, Interval: fromInterval(a.GetAfter())}}
		} else {
			out.Change = store.RemoveAssignment{Tenant: tenant, Key: k, Cleared: a.GetCleared()}
		}
	case *storev1.Change_Toggle:
		out.ToggleBefore = change.Toggle.Before
		out.Change = store.SetToggle{Tenant: tenant, Toggle: change.Toggle.GetName(), On: change.Toggle.GetAfter()}
	case *storev1.Change_Tenant:
		t := change.Tenant
		if store.TenantID(t.GetId()) != tenant {
			return out, damaged("the chain of tenant %d has the creation of another", tenant)
		}
		out.Change = store.CreateTenant{Name: t.GetName(), Catalog: store.CatalogRef{Name: t.GetCatalog(), Version: t.GetCatalogVersion()}}
	case *storev1.Change_TenantImport:
		if out.Change, err = decodeTenantImport(tenant, change.TenantImport); err != nil {
			return out, err
		}
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
	case *storev1.Change_TenantUpdate:
		t := change.TenantUpdate
		out.CatalogBefore = &store.CatalogRef{Name: t.GetCatalogBefore(), Version: t.GetCatalogVersionBefore()}
		out.Change = store.UpdateTenant{Tenant: tenant, Catalog: store.CatalogRef{Name: t.GetCatalog(), Version: t.GetCatalogVersion()}}
	case *storev1.Change_Primary:
		out.Change = store.SetPrimary{Tenant: tenant, Subject: subject}
	case *storev1.Change_TenantDeletion:
		out.Change = store.DeleteTenant{Tenant: tenant}
	case *storev1.Change_Erasure:
		out.Change = store.EraseSubject{Tenant: tenant, Count: change.Erasure.GetCount()}
	case *storev1.Change_Trimming:
		out.Change = store.TrimChanges{Tenant: tenant, UpTo: store.Link{Length: change.Trimming.GetCount()}}
	default:
		return out, damaged("a change record says nothing")
	}
	return out, nil
}
