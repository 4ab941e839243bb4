package bolt

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// pieceWeight is how many records a piece of a file counts for when it is removed: it may
// have many pages.
const pieceWeight = 50

// stagedImport returns an import as this write has made it, or nil.
func (s *stage) stagedImport(id string) (*storev1.Import, error) {
	if s.w.Tenant != "" {
		return nil, fmt.Errorf("can't go on with import %q in a write for %q: that has to be for no tenant", id, s.w.Tenant)
	}
	if err := checkName("import id", id); err != nil {
		return nil, err
	}
	value, found, err := s.get(bucketImports, importKey(id))
	if err != nil || !found {
		return nil, err
	}
	return parseImport(value)
}

// openImport returns an import that can be gone on with.
func (s *stage) openImport(id string) (*storev1.Import, error) {
	m, err := s.stagedImport(id)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, fmt.Errorf("can't go on with import %q: there is none of that id", id)
	case m.GetAbandoned() || m.GetDone() != nil:
		return nil, fmt.Errorf("can't go on with import %q: it is done or being removed", id)
	}
	return m, nil
}

func (s *stage) putImport(id string, m *storev1.Import) error {
	if s.clock != 0 {
		m.Time = s.clock
	}
	return s.putMessage(bucketImports, importKey(id), m)
}

func (s *stage) takeImport(c store.TakeImport) error {
	m, err := s.stagedImport(c.ID)
	switch {
	case err != nil:
		return err
	case m == nil:
		m = &storev1.Import{Digest: c.Digest[:]}
	case m.GetAbandoned() || m.GetDone() != nil || !bytes.Equal(m.GetDigest(), c.Digest[:]):
		return fmt.Errorf("can't go on with import %q: it is another one, done, or being removed", c.ID)
	}
	if m.GetBytes() != c.After {
		return fmt.Errorf("can't go on with import %q after %d bytes: it has %d", c.ID, c.After, m.GetBytes())
	}
	s.put(bucketImportPieces, importPieceKey(c.ID, m.GetPieces()), bytes.Clone(c.Piece))
	m.Bytes += uint64(len(c.Piece))
	m.Pieces++
	return s.putImport(c.ID, m)
}

func (s *stage) fillImport(c store.FillImport) error {
	m, err := s.openImport(c.ID)
	if err != nil {
		return err
	}
	if err := checkName("tenant name", c.Tenant.Name); err != nil {
		return err
	}
	key := importTenantKey(c.ID, c.Tenant.Name)
	t, err := s.importTenant(key, c.Tenant)
	if err != nil {
		return err
	}
	id := store.TenantID(t.GetTenant().GetId())
	for _, name := range slices.Sorted(maps.Keys(c.Toggles)) {
		if err := checkName("toggle", name); err != nil {
			return err
		}
		if err := s.putMessage(bucketToggles, textKey(id, name), &storev1.Toggle{On: c.Toggles[name], Revision: s.revision.Number}); err != nil {
			return err
		}
	}
	for _, a := range c.Assignments {
		if err := s.fillAssignment(id, c.Tenant.Name, a); err != nil {
			return err
		}
	}
	t.Toggles += uint64(len(c.Toggles))
	t.Assignments += uint64(len(c.Assignments))
	if err := s.putMessage(bucketImportTenants, key, t); err != nil {
		return err
	}
	m.Filled = c.Filled
	return s.putImport(c.ID, m)
}

// importTenant returns the tenant that an import fills under a key, and makes it if there is none.
func (s *stage) importTenant(key []byte, t store.Tenant) (*storev1.ImportTenant, error) {
	value, found, err := s.get(bucketImportTenants, key)
	if err != nil {
		return nil, err
	}
	if found {
		return parseImportTenant(value)
	}
	if _, err := instant(t.CreatedAt); err != nil {
		return nil, err
	}
	if t.Primary != "" {
		if err := checkPart("subject", t.Primary); err != nil {
			return nil, err
		}
	}
	if t.ID, err = s.nextTenant(); err != nil {
		return nil, err
	}
	return &storev1.ImportTenant{Tenant: tenantMessage(t)}, nil
}

// fillAssignment adds an assignment to a tenant that nobody finds by that name yet.
func (s *stage) fillAssignment(id store.TenantID, name string, a store.Assignment) error {
	if err := checkAssignmentKey(a.AssignmentKey); err != nil {
		return err
	}
	interval, err := toInterval(a.Interval)
	if err != nil {
		return err
	}
	key := assignmentKey(id, a.AssignmentKey)
	s.put(bucketByRole, byRoleKey(id, a.AssignmentKey), []byte{})
	s.listEnd(key, interval, name)
	return s.putMessage(bucketAssignments, key, &storev1.Assignment{
		StartsAt: interval.GetStartsAt(), ExpiresAt: interval.GetExpiresAt(), Revision: s.revision.Number,
	})
}

func (s *stage) finishImport(c store.FinishImport) error {
	m, err := s.openImport(c.ID)
	if err != nil {
		return err
	}
	type imported struct {
		store.Tenant
		*storev1.ImportTenant
	}
	var all []imported
	var broken error
	prefix := importKey(c.ID)
	err = s.r.scan(bucketImportTenants, prefix, prefix, func(key, value []byte) bool {
		t, err := parseImportTenant(value)
		if err != nil {
			broken = err
			return false
		}
		all = append(all, imported{tenantOfMessage(string(key[len(prefix):]), t.GetTenant()), t})
		s.remove(bucketImportTenants, key)
		return true
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return err
	}
	replaced := false
	for _, t := range all {
		switch old, err := s.r.Tenant(t.Name); {
		case err == store.ErrNotFound:
		case err != nil:
			return err
		case !c.Replace:
			return fmt.Errorf("can't import tenant %q: there is one of that name", t.Name)
		default:
			replaced = true
			if err := s.delete(old); err != nil {
				return err
			}
		}
	}
	if replaced {
		// Whoever has seen the end of the old one goes on behind it, and finds this beginning.
		s.revision.Number++
		s.now++
	}
	for _, t := range all {
		if err := s.putTenant(t.Tenant); err != nil {
			return err
		}
		err := s.record(t.ID, "", &storev1.Change{Change: &storev1.Change_TenantImport{TenantImport: &storev1.TenantImport{
			Id: uint64(t.ID), Name: t.Name, Catalog: t.Catalog.Name, CatalogVersion: t.Catalog.Version,
			Sha256: c.FileDigest[:], Assignments: t.GetAssignments(), Toggles: t.GetToggles(),
		}}})
		if err == nil && t.Primary != "" {
			err = s.record(t.ID, t.Primary, &storev1.Change{Change: &storev1.Change_Primary{Primary: &storev1.PrimaryChange{}}})
		}
		if err != nil {
			return err
		}
	}
	m.Done = &storev1.ImportDone{
		Revision: s.committed().Revision.Number, Tenants: c.Done.Tenants, Replaced: c.Done.Replaced,
		Assignments: c.Done.Assignments, Toggles: c.Done.Toggles, Catalogs: c.Done.Catalogs,
	}
	return s.putImport(c.ID, m)
}

func (s *stage) purgeImport(c store.PurgeImport) error {
	m, err := s.stagedImport(c.ID)
	if err != nil || m == nil {
		return err
	}
	p := purge{stage: s, left: c.Most}
	if m.GetDone() == nil {
		if err := p.importTenants(c.ID); err != nil {
			return err
		}
	}
	prefix := importKey(c.ID)
	err = p.records(bucketImportPieces, prefix, func(_, _ []byte) error {
		p.left -= pieceWeight - 1
		return nil
	})
	switch {
	case err != nil:
		return err
	case p.left > 0 && c.Whole:
		s.remove(bucketImports, prefix)
	case m.GetDone() == nil && !m.GetAbandoned():
		m.Abandoned = true
		return s.putMessage(bucketImports, prefix, m)
	}
	return nil
}

// importTenants removes what has been filled into the tenants of an import.
func (p *purge) importTenants(id string) error {
	prefix := importKey(id)
	var broken error
	err := p.r.scan(bucketImportTenants, prefix, prefix, func(key, value []byte) bool {
		t, err := parseImportTenant(value)
		if err == nil {
			err = p.tenant(store.TenantID(t.GetTenant().GetId()))
		}
		if broken = err; err == nil && p.left > 0 {
			p.remove(bucketImportTenants, key)
			p.left--
		}
		return err == nil && p.left > 0
	})
	if err == nil {
		err = broken
	}
	return err
}

// decodeTenantImport reads the record of an import.
func decodeTenantImport(tenant store.TenantID, t *storev1.TenantImport) (store.ImportTenant, error) {
	if store.TenantID(t.GetId()) != tenant || len(t.GetSha256()) != sha256.Size {
		return store.ImportTenant{}, damaged("the chain of tenant %d has the import of another", tenant)
	}
	return store.ImportTenant{
		Name: t.GetName(), Catalog: store.CatalogRef{Name: t.GetCatalog(), Version: t.GetCatalogVersion()},
		FileDigest: [sha256.Size]byte(t.GetSha256()), Assignments: t.GetAssignments(), Toggles: t.GetToggles(),
	}, nil
}
