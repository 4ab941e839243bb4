package bolt

import (
	"fmt"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// trimChanges removes records only as far as they are verified, so that it hides no damage.
func (s *stage) trimChanges(c store.TrimChanges) error {
	if err := s.ownChain(c.Tenant); err != nil {
		return err
	}
	stored, err := s.r.Chain(c.Tenant)
	if err != nil {
		return err
	}
	from, head := stored.Trimmed, stored.Head
	if staged := s.heads[c.Tenant]; staged != nil {
		from = chainOf(staged).Trimmed
	}
	switch {
	case c.UpTo.Length <= from.Length:
		return nil
	case c.UpTo.Length > head.Length:
		return fmt.Errorf("can't trim %d change records of tenant %d: it has %d", c.UpTo.Length, c.Tenant, head.Length)
	}
	most := int(min(uint64(max(c.Most, 0)), maxRecords, c.UpTo.Length-from.Length))
	var time int64
	at, err := s.r.follow(c.Tenant, from, head, most, func(key []byte, record *storev1.ChangeRecord, change *storev1.Change) error {
		time = commitTime(change)
		s.remove(bucketChanges, key)
		if object := objectOf(change, subjectOf(record)); object != "" {
			s.remove(bucketChangesByObject, objectKey(c.Tenant, object, store.Position{Revision: change.GetRevision(), Index: change.GetPosition()}))
		}
		return nil
	})
	if err != nil || at == from {
		return err
	}
	if at.Length == c.UpTo.Length && at != c.UpTo {
		return fmt.Errorf("can't trim the change records of tenant %d: the %dth is not the one that is named", c.Tenant, at.Length)
	}
	to, err := s.head(c.Tenant)
	if err != nil {
		return err
	}
	recorded := to.GetTrimmed().GetRecordedLength()
	to.Trimmed = &storev1.Anchor{
		Revision: at.Revision, Position: at.Index, ChainHash: at.Hash[:], ChainLength: at.Length,
		Time: time, RecordedLength: recorded,
	}
	if at.Length < c.UpTo.Length {
		return nil
	}
	to.Trimmed.RecordedLength = at.Length
	s.touch(c.Tenant, "")
	return s.record(c.Tenant, "", &storev1.Change{Change: &storev1.Change_Trimming{Trimming: &storev1.Trimming{Count: at.Length - recorded}}})
}
