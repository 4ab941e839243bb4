package bolt

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// maxRecords is how many change records a write may edit or remove.
const maxRecords = 1000

func (s *stage) eraseSubject(c store.EraseSubject) error {
	if err := s.ownChain(c.Tenant); err != nil {
		return err
	}
	if err := checkPart("subject", c.Subject); err != nil {
		return err
	}
	if len(c.Records) > maxRecords {
		return fmt.Errorf("can't erase a subject from %d change records in a write: at most %d are possible", len(c.Records), maxRecords)
	}
	for _, at := range c.Records {
		if err := s.erase(c.Tenant, c.Subject, at); err != nil {
			return err
		}
	}
	if !c.Last {
		return nil
	}
	s.touch(c.Tenant, "")
	return s.record(c.Tenant, "", &storev1.Change{Change: &storev1.Change_Erasure{Erasure: &storev1.Erasure{Count: c.Count}}})
}

// erase removes the personal fields that name a subject from a record, if there are any, and
// then also the justification, which may name it too.
func (s *stage) erase(tenant store.TenantID, subject string, at store.Position) error {
	key := changeKey(tenant, at)
	value, found, err := s.get(bucketChanges, key)
	if err == nil && !found {
		err = fmt.Errorf("can't erase a subject from a change record that is not there: tenant %d, revision %d, position %d",
			tenant, at.Revision, at.Index)
	}
	if err != nil {
		return err
	}
	record, change, err := parseChange(tenant, key, value)
	if err != nil {
		return err
	}
	personal, err := personalValues(record, change)
	if err != nil {
		return err
	}
	var actor storev1.PersonalActor
	if err := proto.Unmarshal(personal[storev1.PersonalField_PERSONAL_FIELD_ACTOR], &actor); err != nil {
		return damaged("the actor of a change can't be read: %v", err)
	}
	isSubject := subjectOf(record) == subject
	isActor := actor.GetSubject() == subject || slices.Contains(actor.GetGroups(), subject)
	if !isSubject && !isActor {
		return nil
	}
	if isSubject && objectOf(change, subject) != "" {
		s.remove(bucketChangesByObject, objectKey(tenant, subject, at))
	}
	record.Personal = slices.DeleteFunc(record.Personal, func(p *storev1.Personal) bool {
		switch p.GetField() {
		case storev1.PersonalField_PERSONAL_FIELD_SUBJECT:
			return isSubject
		case storev1.PersonalField_PERSONAL_FIELD_ACTOR:
			return isActor
		}
		return true
	})
	if value, err = encode(record); err == nil {
		s.put(bucketChanges, key, value)
	}
	return err
}

// ownChain checks that the chain of a tenant is one that the write is for: that of its tenant,
// or, if it has none, that of the installation or of a deleted tenant.
func (s *stage) ownChain(tenant store.TenantID) error {
	switch {
	case s.w.Tenant != "":
		return s.own(tenant)
	case tenant == 0:
		return nil
	}
	return s.deleted(tenant)
}
