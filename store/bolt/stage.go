package bolt

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// stage turns the changes of one write into records, on top of what r sees. The
// records reach the transaction only if the whole write has come through, because its
// neighbours share that transaction.
type stage struct {
	r        *reader
	w        *store.Write
	revision store.Revision                   // of the commit, if it has change records
	now      int64                            // the time of the commit
	clock    int64                            // what the clock says, which may have gone back; 0: nothing of use
	records  [bucketCount]map[string][]byte   // what to put, or nil to remove, by key
	heads    map[store.TenantID]*storev1.Head // of the chains that change
	touched  []store.Touched
	tenant   store.Tenant // that w.Tenant names; the id is 0 if there is none now
	created  bool         // the tenant, by this write
	position uint32       // of the next change record
}

func newStage(r *reader, w *store.Write, now time.Time) (*stage, error) {
	s := &stage{r: r, w: w, revision: r.revision, heads: make(map[store.TenantID]*storev1.Head)}
	s.revision.Number++
	if n, err := instant(now); err == nil {
		s.clock = n
		s.revision.Number = max(s.revision.Number, uint64(n)) // #nosec G115 -- a revision is a time, below 2^63
	}
	s.now = int64(s.revision.Number) // #nosec G115 -- a revision is a time, below 2^63
	if w.Tenant != "" {
		t, err := r.Tenant(w.Tenant)
		if err != nil && err != store.ErrNotFound {
			return nil, err
		}
		s.tenant = t
	}
	return s, nil
}

// changed reports whether there is anything to write.
func (s *stage) changed() bool {
	return slices.ContainsFunc(s.records[:], func(records map[string][]byte) bool { return len(records) > 0 })
}

// committed is the answer to the write if it is made.
func (s *stage) committed() store.Committed {
	c := store.Committed{Revision: s.r.revision, Changed: s.changed()}
	if s.position > 0 {
		c.Revision = s.revision
	}
	return c
}

// changesFill is how full pages of change records are left when they are split. The
// records of a tenant are only ever appended, so halves would stay half empty.
const changesFill = 0.8

// flush puts the records into the transaction. If it fails, the transaction can't be
// committed any more.
func (s *stage) flush() (err error) {
	defer guard(&err)
	for tenant, head := range s.heads {
		value, err := encode(head)
		if err != nil {
			return err
		}
		s.put(bucketHeads, tenantKey(tenant), value)
	}
	if len(s.records[bucketTenants]) > 0 {
		s.r.tenant = store.Tenant{} // it may have changed
	}
	for b, records := range s.records {
		if len(records) == 0 {
			continue
		}
		to := s.r.bucket(bucket(b))
		if bucket(b) == bucketChanges {
			to.FillPercent = changesFill
		}
		for key, value := range records {
			if value == nil {
				err = to.Delete([]byte(key))
			} else {
				err = put(to, bucket(b), []byte(key), value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stage) put(b bucket, key, value []byte) {
	if s.records[b] == nil {
		s.records[b] = make(map[string][]byte)
	}
	s.records[b][string(key)] = value
}

func (s *stage) remove(b bucket, key []byte) { s.put(b, key, nil) }

func (s *stage) putMessage(b bucket, key []byte, m proto.Message) error {
	value, err := encode(m)
	if err == nil {
		s.put(b, key, value)
	}
	return err
}

// get returns what is stored under a key, this write's own changes included.
func (s *stage) get(b bucket, key []byte) ([]byte, bool, error) {
	if value, changed := s.records[b][string(key)]; changed {
		return value, value != nil, nil
	}
	return s.r.get(b, key)
}

func (s *stage) apply(change store.Change) error {
	switch c := change.(type) {
	case store.SetAssignment:
		return s.setAssignment(c)
	case store.RemoveAssignment:
		return s.removeAssignment(c)
	case store.SetToggle:
		return s.setToggle(c)
	case store.CreateTenant:
		return s.createTenant(c)
	case store.PutCatalog:
		return s.putCatalog(c)
	case store.UpdateTenant:
		return s.updateTenant(c)
	case store.SetPrimary:
		return s.setPrimary(c)
	case store.DeleteTenant:
		return s.deleteTenant(c)
	case store.PurgeTenant:
		return s.purgeTenant(c)
	case store.EraseSubject:
		return s.eraseSubject(c)
	case store.TrimChanges:
		return s.trimChanges(c)
	case store.TakeImport:
		return s.takeImport(c)
	case store.FillImport:
		return s.fillImport(c)
	case store.FinishImport:
		return s.finishImport(c)
	case store.PurgeImport:
		return s.purgeImport(c)
	}
	return fmt.Errorf("can't store a change of type %T", change)
}

// own checks that a change is one of the tenant that the write is for.
func (s *stage) own(tenant store.TenantID) error {
	if s.tenant.ID == 0 {
		return fmt.Errorf("can't change tenant %d in a write for %q: there is no such tenant", tenant, s.w.Tenant)
	}
	if tenant != s.tenant.ID {
		return fmt.Errorf("can't change tenant %d in a write for %q: that is tenant %d", tenant, s.w.Tenant, s.tenant.ID)
	}
	return nil
}

// interval returns the stored interval of an assignment, or nil.
func (s *stage) interval(key []byte) (*storev1.Interval, error) {
	value, found, err := s.get(bucketAssignments, key)
	if err != nil || !found {
		return nil, err
	}
	i, err := decodeInterval(value)
	if err != nil {
		return nil, err
	}
	return toInterval(i)
}

func (s *stage) setAssignment(c store.SetAssignment) error {
	if c.Tenant == 0 && s.created {
		c.Tenant = s.tenant.ID
	}
	if err := s.own(c.Tenant); err != nil {
		return err
	}
	a := c.Assignment
	if err := checkAssignmentKey(a.AssignmentKey); err != nil {
		return err
	}
	after, err := toInterval(a.Interval)
	if err != nil {
		return err
	}
	key := assignmentKey(c.Tenant, a.AssignmentKey)
	before, err := s.interval(key)
	if err != nil {
		return err
	}
	if before != nil && before.GetStartsAt() == after.GetStartsAt() && before.GetExpiresAt() == after.GetExpiresAt() {
		return nil
	}
	value, err := encode(&storev1.Assignment{StartsAt: after.GetStartsAt(), ExpiresAt: after.GetExpiresAt(), Revision: s.revision.Number})
	if err != nil {
		return err
	}
	s.put(bucketAssignments, key, value)
	s.put(bucketByRole, byRoleKey(c.Tenant, a.AssignmentKey), []byte{})
	s.moveEnd(key, before, after)
	s.touch(c.Tenant, a.Subject)
	return s.record(c.Tenant, a.Subject, &storev1.Change{Change: &storev1.Change_Assignment{
		Assignment: &storev1.AssignmentChange{Role: a.Role, Scope: a.Scope, Before: before, After: after},
	}})
}

func (s *stage) removeAssignment(c store.RemoveAssignment) error {
	if err := s.own(c.Tenant); err != nil {
		return err
	}
	if !usable(c.Key.Subject, c.Key.Role, c.Key.Scope) {
		return nil // there can be none
	}
	key := assignmentKey(c.Tenant, c.Key)
	before, err := s.interval(key)
	if err != nil || before == nil {
		return err
	}
	s.remove(bucketAssignments, key)
	s.remove(bucketByRole, byRoleKey(c.Tenant, c.Key))
	s.moveEnd(key, before, nil)
	s.touch(c.Tenant, c.Key.Subject)
	return s.record(c.Tenant, c.Key.Subject, &storev1.Change{Change: &storev1.Change_Assignment{
		Assignment: &storev1.AssignmentChange{Role: c.Key.Role, Scope: c.Key.Scope, Before: before, Cleared: c.Cleared},
	}})
}

func (s *stage) setToggle(c store.SetToggle) error {
	if err := s.own(c.Tenant); err != nil {
		return err
	}
	if err := checkName("toggle", c.Toggle); err != nil {
		return err
	}
	key := textKey(c.Tenant, c.Toggle)
	change := &storev1.ToggleChange{Name: c.Toggle, After: c.On}
	stored, found, err := s.get(bucketToggles, key)
	if err != nil {
		return err
	}
	if found {
		before, err := decodeToggle(stored)
		if err != nil || before == c.On {
			return err
		}
		change.Before = &before
	}
	value, err := encode(&storev1.Toggle{On: c.On, Revision: s.revision.Number})
	if err != nil {
		return err
	}
	s.put(bucketToggles, key, value)
	s.touch(c.Tenant, "")
	return s.record(c.Tenant, "", &storev1.Change{Change: &storev1.Change_Toggle{Toggle: change}})
}

func (s *stage) putCatalog(c store.PutCatalog) error {
	if err := checkName("catalog name", c.Ref.Name); err != nil {
		return err
	}
	key := catalogKey(c.Ref)
	if _, found, err := s.get(bucketCatalogs, key); err != nil || found {
		if err == nil {
			err = fmt.Errorf("can't store catalog %s version %d: there is one of that name and version", c.Ref.Name, c.Ref.Version)
		}
		return err
	}
	value, err := encode(&storev1.Catalog{Yaml: c.YAML})
	if err != nil {
		return err
	}
	s.put(bucketCatalogs, key, value)
	s.touch(0, "")
	sum := sha256.Sum256(c.YAML)
	return s.record(0, "", &storev1.Change{Change: &storev1.Change_Catalog{
		Catalog: &storev1.CatalogChange{Name: c.Ref.Name, Version: c.Ref.Version, Sha256: sum[:]},
	}})
}

func (s *stage) touch(tenant store.TenantID, subject string) {
	t := store.Touched{Tenant: tenant, Name: s.w.Tenant, Subject: subject}
	if tenant == 0 {
		t.Name = ""
	}
	s.touched = append(s.touched, t)
}

func (s *stage) touchTenant(t store.Tenant) {
	s.touched = append(s.touched, store.Touched{Tenant: t.ID, Name: t.Name})
}

// record appends a change record to the chain of a tenant.
func (s *stage) record(tenant store.TenantID, subject string, c *storev1.Change) error {
	if s.position == math.MaxUint32 {
		return fmt.Errorf("can't store a write of so many changes")
	}
	head, err := s.head(tenant)
	if err != nil {
		return err
	}
	personal, commitments, err := personalFields(s.w, subject)
	if err != nil {
		return err
	}
	c.Epoch, c.Revision, c.Position = s.revision.Epoch, s.revision.Number, s.position
	c.Caller, c.ByOperator, c.Commitments = s.w.By.Caller, s.w.By.Operator, commitments
	c.Follows = head.GetChainHash()[:followsSize]
	chained, err := encode(c)
	if err != nil {
		return err
	}
	value, err := encode(&storev1.ChangeRecord{Chained: chained, Personal: personal})
	if err != nil {
		return err
	}
	at := store.Position{Revision: s.revision.Number, Index: s.position}
	s.put(bucketChanges, changeKey(tenant, at), value)
	if object := objectOf(c, subject); object != "" {
		s.put(bucketChangesByObject, objectKey(tenant, object, at), []byte{})
	}
	head.Revision, head.Position = at.Revision, at.Index
	head.ChainHash = chainHash(head.GetChainHash(), chained)
	head.ChainLength++
	s.position++
	return nil
}

// head returns the head of a chain, to be changed.
func (s *stage) head(tenant store.TenantID) (*storev1.Head, error) {
	if head := s.heads[tenant]; head != nil {
		return head, nil
	}
	head, err := s.r.head(tenant)
	if err != nil {
		return nil, err
	}
	if len(head.GetChainHash()) != len(chainStart) {
		return nil, damaged("the head of tenant %d", tenant)
	}
	s.heads[tenant] = head
	return head, nil
}
