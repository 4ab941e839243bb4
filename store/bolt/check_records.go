package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// followed is how many change records are followed before the context is looked at.
const followed = 10_000

// recordCheck compares the records of a file with each other. Checksums have been looked at.
type recordCheck struct {
	*checker
	r       *reader
	buckets bucket                    // that the format of the file has: those before this one
	names   map[store.TenantID]string // of all tenants, those deleted and those being imported included
	listed  int64                     // change records that are listed by their object
}

func (c *recordCheck) all() error {
	for _, step := range []func() error{c.numbers, c.tenants, c.assignments, c.toggles, c.catalogs, c.chains, c.requests, c.imports} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// each calls look with each record of a bucket that has its checksum. Its error is a finding.
func (c *recordCheck) each(b bucket, look func(key, value []byte) error) error {
	if b >= c.buckets {
		return nil
	}
	done := int64(0)
	cursor := c.r.bucket(b).Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		if done++; done%1024 == 0 {
			c.progress(string(b.name()), done, c.counts[b])
			if err := c.ctx.Err(); err != nil {
				return err
			}
		}
		if bytes.Equal(key, firstKey) || bytes.Equal(key, lastKey) || !sealed(b, key, value) {
			continue
		}
		if err := look(key, value[:len(value)-crc32.Size]); err != nil {
			c.fault(placeOf(b, key), err)
		}
	}
	return nil
}

func (c *recordCheck) has(b bucket, key []byte) bool {
	return b < c.buckets && c.r.bucket(b).Get(key) != nil
}

// index compares an index with the records that it is of: listed of them have been found in it,
// so that it has entries too many if it has more.
func (c *recordCheck) index(b bucket, listed int64, look func(key, value []byte) error) error {
	if b >= c.buckets || c.counts[b] == listed {
		return nil
	}
	return c.each(b, look)
}

func (c *recordCheck) numbers() error {
	if _, err := c.r.number(metaNextTenant); err != nil {
		c.fault(placeOf(bucketMeta, metaNextTenant), err)
	}
	return nil
}

// tenants learns which tenants there are.
func (c *recordCheck) tenants() error {
	next, _ := c.r.number(metaNextTenant) // an error has been found
	learn := func(id store.TenantID, name string) error {
		if other, twice := c.names[id]; twice {
			return damaged("tenant %d is also called %q", id, other)
		}
		c.names[id] = name
		if id == 0 || uint64(id) >= next {
			return damaged("the id %d of a tenant has not been given yet", id)
		}
		return nil
	}
	err := c.each(bucketTenants, func(key, value []byte) error {
		t, err := decodeTenant(key, value)
		if err != nil {
			return err
		}
		return learn(t.ID, t.Name)
	})
	if err == nil {
		err = c.each(bucketDeleted, func(key, value []byte) error {
			t, err := decodeDeleted(key, value)
			if err != nil {
				return err
			}
			return learn(t.ID, t.Name)
		})
	}
	if err == nil {
		err = c.each(bucketImportTenants, func(key, value []byte) error {
			id, name, found := bytes.Cut(key, []byte{0})
			if !found || !c.has(bucketImports, importKey(string(id))) {
				return damaged("a tenant of an import that is not there")
			}
			t, err := parseImportTenant(value)
			if err != nil {
				return err
			}
			return learn(store.TenantID(t.GetTenant().GetId()), string(name))
		})
	}
	return err
}

// tenant checks that the tenant at the beginning of a key is there.
func (c *recordCheck) tenant(key []byte) error {
	if len(key) < 8 {
		return damaged("the key can't be read")
	}
	if _, there := c.names[tenantOf(key)]; !there {
		return damaged("there is no tenant %d", tenantOf(key))
	}
	return nil
}

func (c *recordCheck) assignments() error {
	ends, byRole := int64(0), int64(0)
	err := c.each(bucketAssignments, func(key, value []byte) error {
		if err := c.tenant(key); err != nil {
			return err
		}
		a, err := decodeAssignment(key, value)
		if err != nil {
			return err
		}
		tenant := tenantOf(key)
		if !c.has(bucketByRole, byRoleKey(tenant, a.AssignmentKey)) {
			return damaged("the assignment is not listed under its role")
		}
		byRole++
		if a.End.IsZero() || bucketEnds >= c.buckets {
			return nil
		}
		entry := timeKey(a.End.UnixNano(), key)
		name := c.r.bucket(bucketEnds).Get(entry)
		switch {
		case name == nil:
			return damaged("the end of the assignment is not listed")
		case sealed(bucketEnds, entry, name) && string(name[:len(name)-crc32.Size]) != c.names[tenant]:
			return damaged("the end of the assignment is listed for the tenant %q", name[:len(name)-crc32.Size])
		}
		ends++
		return nil
	})
	if err == nil {
		err = c.index(bucketByRole, byRole, func(key, _ []byte) error {
			parts, ok := splitTexts(key)
			if !ok || !c.has(bucketAssignments, assignmentKey(tenantOf(key), store.AssignmentKey{Subject: parts[2], Role: parts[0], Scope: parts[1]})) {
				return damaged("an index entry has no assignment")
			}
			return nil
		})
	}
	if err == nil {
		err = c.index(bucketEnds, ends, func(entry, _ []byte) error {
			end, key, ok := splitTimeKey(entry)
			if !ok {
				return damaged("the key of an end can't be read")
			}
			value := c.r.bucket(bucketAssignments).Get(key)
			if value == nil {
				return damaged("an end is listed of an assignment that is not there")
			}
			if i, err := decodeInterval(value[:max(0, len(value)-crc32.Size)]); err != nil || !i.End.Equal(fromInstant(end)) {
				return damaged("the end of an assignment is listed and is not its end")
			}
			return nil
		})
	}
	return err
}

func (c *recordCheck) toggles() error {
	return c.each(bucketToggles, func(key, value []byte) error {
		if err := c.tenant(key); err != nil {
			return err
		}
		_, err := decodeToggle(value)
		return err
	})
}

func (c *recordCheck) catalogs() error {
	return c.each(bucketCatalogs, func(key, value []byte) error {
		if _, ok := splitCatalogKey(key); !ok {
			return damaged("the key of a catalog can't be read")
		}
		_, err := decodeCatalog(value)
		return err
	})
}

// chains follows the change records of every tenant.
func (c *recordCheck) chains() error {
	tenants := map[store.TenantID]bool{0: true}
	for id := range c.names {
		tenants[id] = true
	}
	err := c.each(bucketHeads, func(key, value []byte) error {
		if len(key) != 8 {
			return damaged("the key of a head can't be read")
		}
		tenants[tenantOf(key)] = true
		_, err := decodeHead(value)
		return err
	})
	if err != nil {
		return err
	}
	changes := c.r.bucket(bucketChanges).Cursor()
	for key, _ := changes.Seek(tenantKey(0)); key != nil && !bytes.Equal(key, lastKey) && len(key) >= 8; key, _ = changes.Seek(tenantKey(tenantOf(key) + 1)) {
		tenants[tenantOf(key)] = true
	}
	before := len(c.Findings)
	kept, done := int64(0), int64(0)
	for id := range tenants {
		n, err := c.chain(id, done)
		if err != nil {
			return err
		}
		kept += n
		done += n
	}
	if len(c.Findings) == before && kept != c.counts[bucketChanges] {
		c.find(fmt.Sprintf("the bucket %q", bucketChanges.name()), fmt.Sprintf("it has %d change records that are in no chain", c.counts[bucketChanges]-kept))
	}
	return c.index(bucketChangesByObject, c.listed, func(key, _ []byte) error {
		n := len(key) - positionSize - 1
		if n <= 8 {
			return damaged("the key of a listed change can't be read")
		}
		_, err := c.r.listedChange(tenantOf(key), store.Object(key[8:n]), key)
		return err
	})
}

// chain follows the change records of a tenant, and returns how many it should have.
func (c *recordCheck) chain(tenant store.TenantID, done int64) (kept int64, err error) {
	where := fmt.Sprintf("the change records of tenant %d", tenant)
	stored, err := c.r.Chain(tenant)
	if err != nil {
		c.fault(where, err)
		return 0, nil
	}
	if _, found := c.names[tenant]; found && stored.Head.Length == 0 && !c.imported(tenant) {
		c.find(where, "there are none, and not even how many there should be")
	}
	kept = int64(stored.Head.Length - stored.Trimmed.Length) // #nosec G115 -- counts of records
	if c.buckets == bucketsOfFormat1 {
		return kept, nil
	}
	at := stored.Trimmed
	for more := true; more; more = at != stored.Head { // at least once, to find what is behind the head
		if err := c.ctx.Err(); err != nil {
			return 0, err
		}
		at, err = c.r.follow(tenant, at, stored.Head, followed, func(key []byte, record *storev1.ChangeRecord, change *storev1.Change) error {
			listed, err := c.r.confirm(tenant, key, record, change)
			if listed && err == nil {
				c.listed++
			}
			return err
		})
		if err != nil {
			c.fault(fmt.Sprintf("%s, after the %dth", where, at.Length), err)
			return kept, nil
		}
		c.progress("changes", done+int64(at.Length-stored.Trimmed.Length), c.Changes) // #nosec G115 -- counts of records
	}
	return kept, nil
}

// imported reports whether a tenant is being imported: then it has no changes yet.
func (c *recordCheck) imported(tenant store.TenantID) bool {
	if c.has(bucketDeleted, tenantKey(tenant)) {
		return false
	}
	t, err := c.r.Tenant(c.names[tenant])
	return err != nil || t.ID != tenant
}

func (c *recordCheck) requests() error {
	listed := int64(0)
	err := c.each(bucketRequests, func(key, value []byte) error {
		request, err := decodeRequest(value)
		if err != nil {
			return err
		}
		if !c.has(bucketRequestsByTime, timeKey(request.GetTime(), key)) {
			return damaged("the request id is not listed under its time")
		}
		listed++
		return nil
	})
	if err != nil {
		return err
	}
	return c.index(bucketRequestsByTime, listed, func(entry, _ []byte) error {
		_, key, ok := splitTimeKey(entry)
		if !ok || !c.has(bucketRequests, key) {
			return damaged("a request id is listed that is not there")
		}
		return nil
	})
}

func (c *recordCheck) imports() error {
	type kept struct{ has, should uint64 }
	pieces := map[string]*kept{}
	err := c.each(bucketImports, func(key, value []byte) error {
		m, err := parseImport(value)
		if err != nil {
			return err
		}
		p := &kept{}
		if m.GetDone() == nil && !m.GetAbandoned() {
			p.should = m.GetPieces()
		}
		pieces[string(key)] = p
		return nil
	})
	if err != nil {
		return err
	}
	err = c.each(bucketImportPieces, func(key, _ []byte) error {
		n := len(key) - 8
		if n < 0 || pieces[string(key[:n])] == nil {
			return damaged("a piece of an import that is not there")
		}
		p := pieces[string(key[:n])]
		if binary.BigEndian.Uint64(key[n:]) < p.should {
			p.has++
		}
		return nil
	})
	for key, p := range pieces {
		if err == nil && p.has < p.should {
			c.find(placeOf(bucketImports, []byte(key)), fmt.Sprintf("of its %d pieces, %d are there", p.should, p.has))
		}
	}
	return err
}
