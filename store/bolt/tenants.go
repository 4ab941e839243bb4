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
	stored, _, err := s.get(bucketMeta, metaNextTenant)
	if err != nil {
		return err
	}
	id, err := decodeNumber(stored)
	if err != nil {
		return err
	}
	s.put(bucketMeta, metaNextTenant, encodeNumber(id+1))
	s.created = true
	s.tenant = store.Tenant{ID: store.TenantID(id), Name: c.Name, Catalog: c.Catalog, CreatedAt: fromInstant(s.now)}
	return s.recordTenant("", &storev1.Change{Change: &storev1.Change_Tenant{
		Tenant: &storev1.TenantChange{Id: id, Name: c.Name, Catalog: c.Catalog.Name, CatalogVersion: c.Catalog.Version},
	}})
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
	value, err := encodeTenant(s.tenant)
	if err != nil {
		return err
	}
	s.put(bucketTenants, []byte(s.tenant.Name), value)
	s.touch(s.tenant.ID, "")
	return s.record(s.tenant.ID, subject, c)
}

func (s *stage) deleteTenant(c store.DeleteTenant) error {
	if err := s.own(c.Tenant); err != nil {
		return err
	}
	deleted := s.tenant
	deleted.Primary, deleted.DeletedAt = "", fromInstant(s.now)
	value, err := encodeTenant(deleted)
	if err != nil {
		return err
	}
	s.tenant, s.created = store.Tenant{}, false
	s.remove(bucketTenants, []byte(deleted.Name))
	s.put(bucketDeleted, tenantKey(deleted.ID), value)
	s.touch(deleted.ID, "")
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
	left := c.Most
	purge := func(b bucket, also func(key, value []byte) error) error {
		if left <= 0 {
			return nil
		}
		prefix := tenantKey(c.Tenant)
		var broken error
		err := s.r.scan(b, prefix, prefix, func(key, value []byte) bool {
			s.remove(b, key)
			broken = also(key, value)
			left--
			return broken == nil && left > 0
		})
		if err == nil {
			err = broken
		}
		return err
	}
	err := purge(bucketAssignments, func(key, value []byte) error {
		a, err := decodeAssignment(key, value)
		if err != nil {
			return err
		}
		s.remove(bucketByRole, byRoleKey(c.Tenant, a.AssignmentKey))
		interval, err := toInterval(a.Interval)
		s.moveEnd(key, interval, nil)
		return err
	})
	if err == nil {
		err = purge(bucketToggles, func([]byte, []byte) error { return nil })
	}
	if err == nil {
		err = purge(bucketRequests, func(key, value []byte) error {
			request, err := decodeRequest(value)
			s.remove(bucketRequestsByTime, timeKey(request.GetTime(), key))
			return err
		})
	}
	return err
}
