package bolt

import (
	"fmt"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

func (s *stage) createTenant(c store.CreateTenant) error {
	if c.Name != s.w.Tenant {
		return fmt.Errorf("can't create tenant %q in a write for %q", c.Name, s.w.Tenant)
	}
	if s.tenant.ID != 0 {
		return fmt.Errorf("can't create tenant %q: there is one of that name", c.Name)
	}
	if err := checkName("tenant name", c.Name); err != nil {
		return err
	}
	id, err := s.nextTenant()
	if err != nil {
		return err
	}
	s.created = true
	s.tenant = store.Tenant{ID: id, Name: c.Name, Catalog: c.Catalog, CreatedAt: fromInstant(s.now)}
	return s.recordTenant("", &storev1.Change{Change: &storev1.Change_Tenant{
		Tenant: &storev1.TenantChange{Id: uint64(id), Name: c.Name, Catalog: c.Catalog.Name, CatalogVersion: c.Catalog.Version},
	}})
}

// nextTenant returns the id of a new tenant.
func (s *stage) nextTenant() (store.TenantID, error) {
	stored, _, err := s.get(bucketMeta, metaNextTenant)
	if err != nil {
		return 0, err
	}
	id, err := decodeNumber(stored)
	s.put(bucketMeta, metaNextTenant, encodeNumber(id+1))
	return store.TenantID(id), err
}

func (s *stage) updateTenant(c store.UpdateTenant) error {
	if err := s.own(c.Tenant); err != nil || s.tenant.Catalog == c.Catalog {
		return err
	}
	before := s.tenant.Catalog
	s.tenant.Catalog = c.Catalog
	return s.recordTenant("", &storev1.Change{Change: &storev1.Change_TenantUpdate{TenantUpdate: &storev1.TenantUpdate{
		Catalog: c.Catalog.Name, CatalogVersion: c.Catalog.Version, CatalogBefore: before.Name, CatalogVersionBefore: before.Version,
	}}})
}

func (s *stage) setPrimary(c store.SetPrimary) error {
	if c.Tenant == 0 && s.created {
		c.Tenant = s.tenant.ID
	}
	if err := s.own(c.Tenant); err != nil || s.tenant.Primary == c.Subject {
		return err
	}
	if c.Subject != "" {
		if err := checkPart("subject", c.Subject); err != nil {
			return err
		}
	}
	s.tenant.Primary = c.Subject
	return s.recordTenant(c.Subject, &storev1.Change{Change: &storev1.Change_Primary{Primary: &storev1.PrimaryChange{}}})
}

// recordTenant writes the tenant as it has become, and a record of what has changed.
func (s *stage) recordTenant(subject string, c *storev1.Change) error {
	if err := s.putTenant(s.tenant); err != nil {
		return err
	}
	return s.record(s.tenant.ID, subject, c)
}

// putTenant writes a tenant under its name.
func (s *stage) putTenant(t store.Tenant) error {
	s.touchTenant(t)
	return s.putMessage(bucketTenants, []byte(t.Name), tenantMessage(t))
}

func (s *stage) deleteTenant(c store.DeleteTenant) error {
	if err := s.own(c.Tenant); err != nil {
		return err
	}
	deleted := s.tenant
	s.tenant, s.created = store.Tenant{}, false
	return s.delete(deleted)
}

// delete moves a tenant to those that have been deleted.
func (s *stage) delete(deleted store.Tenant) error {
	deleted.Primary, deleted.DeletedAt = "", fromInstant(s.now)
	s.remove(bucketTenants, []byte(deleted.Name))
	if err := s.putMessage(bucketDeleted, tenantKey(deleted.ID), tenantMessage(deleted)); err != nil {
		return err
	}
	s.touchTenant(deleted)
	return s.record(deleted.ID, "", &storev1.Change{Change: &storev1.Change_TenantDeletion{TenantDeletion: &storev1.TenantDeletion{}}})
}

// deleted checks that a tenant has been deleted, and that the write is for no other.
func (s *stage) deleted(tenant store.TenantID) error {
	if s.w.Tenant != "" {
		return fmt.Errorf("can't change the deleted tenant %d in a write for %q: that has to be for no tenant", tenant, s.w.Tenant)
	}
	_, found, err := s.get(bucketDeleted, tenantKey(tenant))
	if err == nil && !found {
		err = fmt.Errorf("can't change tenant %d in a write for no tenant: it has not been deleted", tenant)
	}
	return err
}

func (s *stage) purgeTenant(c store.PurgeTenant) error {
	if err := s.deleted(c.Tenant); err != nil {
		return err
	}
	p := purge{stage: s, left: c.Most}
	return p.tenant(c.Tenant)
}

// purge removes records, as many as are left.
type purge struct {
	*stage
	left int
}

// records removes records that begin with prefix, after also has been called with each.
func (p *purge) records(b bucket, prefix []byte, also func(key, value []byte) error) error {
	if p.left <= 0 {
		return nil
	}
	var broken error
	err := p.r.scan(b, prefix, prefix, func(key, value []byte) bool {
		p.remove(b, key)
		broken = also(key, value)
		p.left--
		return broken == nil && p.left > 0
	})
	if err == nil {
		err = broken
	}
	return err
}

// tenant removes what is stored of a tenant, but for its change record.
func (p *purge) tenant(id store.TenantID) error {
	prefix := tenantKey(id)
	err := p.records(bucketAssignments, prefix, func(key, value []byte) error {
		a, err := decodeAssignment(key, value)
		if err != nil {
			return err
		}
		p.remove(bucketByRole, byRoleKey(id, a.AssignmentKey))
		interval, err := toInterval(a.Interval)
		p.moveEnd(key, interval, nil)
		return err
	})
	if err == nil {
		err = p.records(bucketToggles, prefix, func([]byte, []byte) error { return nil })
	}
	if err == nil {
		err = p.records(bucketRequests, prefix, func(key, value []byte) error {
			request, err := decodeRequest(value)
			p.remove(bucketRequestsByTime, timeKey(request.GetTime(), key))
			return err
		})
	}
	return err
}
