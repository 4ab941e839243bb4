package storetest

import (
	"maps"
	"slices"

	"github.com/usher-pdp/usher/store"
)

// changeTenant moves a tenant to another catalog, or changes its primary administrator.
func (x *random) changeTenant() {
	name := pick(x.Rand, slices.Sorted(maps.Keys(x.ids)))
	id := x.ids[name]
	m := x.tenants[id]
	var change store.Change
	var before *store.CatalogRef
	changed := false
	if x.IntN(2) == 0 {
		c := store.UpdateTenant{Tenant: id, Catalog: m.catalog}
		c.Catalog.Version += x.Uint32N(2)
		change, changed, before = c, c.Catalog != m.catalog, &store.CatalogRef{Name: m.catalog.Name, Version: m.catalog.Version}
		m.catalog = c.Catalog
	} else {
		c := store.SetPrimary{Tenant: id, Subject: pick(x.Rand, append(texts, ""))}
		change, changed = c, c.Subject != m.primary
		m.primary = c.Subject
	}
	var records []store.ChangeRecord
	if changed {
		records = append(records, store.ChangeRecord{Change: change, CatalogBefore: before})
	}
	x.write(name, []store.Change{change}, id, records)
}

func (x *random) deleteTenant() {
	if x.IntN(2) == 0 { // tenants are to have some history
		return
	}
	name := pick(x.Rand, slices.Sorted(maps.Keys(x.ids)))
	id := x.ids[name]
	delete(x.ids, name)
	x.tenants[id].deleted = true
	change := store.DeleteTenant{Tenant: id}
	x.write(name, []store.Change{change}, id, []store.ChangeRecord{{Change: change}})
	if x.last != nil && x.last.Tenant == name {
		x.last = nil
	}
}

// purge removes all of a deleted tenant, part by part.
func (x *random) purge() {
	id := store.TenantID(x.IntN(len(x.tenants)))
	m := x.tenants[id]
	if !m.deleted {
		return
	}
	for {
		c := x.commit("", store.PurgeTenant{Tenant: id, Most: 1 + x.IntN(90)})
		if c.Revision != x.revision {
			x.t.Errorf("PurgeTenant: %+v", c)
		}
		if !c.Changed {
			break
		}
	}
	clear(m.held)
	clear(m.toggles)
}

// chainOf picks a chain, and returns with which tenant it is written to.
func (x *random) chainOf() (id store.TenantID, m *tenantModel, name string) {
	id = store.TenantID(x.IntN(len(x.tenants)))
	m = x.tenants[id]
	if !m.deleted {
		name = m.name
	}
	return id, m, name
}

// erase erases a subject from all records or from some.
func (x *random) erase() {
	id, m, name := x.chainOf()
	c := store.EraseSubject{Tenant: id, Subject: pick(x.Rand, texts)}
	changed := false
	for i, r := range m.changes {
		if x.IntN(3) > 0 && len(c.Records) < 1000 {
			c.Records = append(c.Records, place(r))
			changed = strip(&m.changes[i], c.Subject) || changed
		}
	}
	var records []store.ChangeRecord
	if c.Last = x.IntN(2) == 0; c.Last {
		c.Count = x.Uint64N(1000)
		records = append(records, store.ChangeRecord{Change: store.EraseSubject{Tenant: id, Count: c.Count}})
	}
	x.writeSome(name, []store.Change{c}, id, records, changed || c.Last)
}

// strip removes what names a subject from a record, and reports whether there was anything.
func strip(r *store.ChangeRecord, subject string) bool {
	named := false
	switch c := r.Change.(type) {
	case store.SetAssignment:
		if named = c.Assignment.Subject == subject; named {
			c.Assignment.Subject = ""
			r.Change = c
		}
	case store.RemoveAssignment:
		if named = c.Key.Subject == subject; named {
			c.Key.Subject = ""
			r.Change = c
		}
	case store.SetPrimary:
		if named = c.Subject == subject; named {
			c.Subject = ""
			r.Change = c
		}
	}
	if r.By.Subject == subject || slices.Contains(r.By.Groups, subject) {
		named = true
		r.By.Subject, r.By.Groups = "", nil
	}
	if named {
		r.Justification, r.Erased = "", true
	}
	return named
}

// trim removes some of the oldest records, or a part of these.
func (x *random) trim() {
	id, m, name := x.chainOf()
	n := x.IntN(len(m.changes) + 1)
	if x.IntN(3) > 0 {
		n = min(n, 9)
	}
	c := store.TrimChanges{Tenant: id, Most: 1 + x.IntN(20)}
	x.view(func(r store.Reader) {
		chain, err := r.Chain(id)
		if err == nil {
			c.UpTo, err = r.Follow(id, chain.Trimmed, n)
		}
		if err != nil {
			x.t.Fatal(err)
		}
	})
	removed := min(n, c.Most)
	m.changes = slices.Clone(m.changes[removed:])
	m.trimmed += removed
	m.silent += removed
	var records []store.ChangeRecord
	if removed > 0 && removed == n {
		records = append(records, store.ChangeRecord{Change: store.TrimChanges{Tenant: id, UpTo: store.Link{Length: uint64(m.silent)}}})
		m.silent = 0
	}
	x.writeSome(name, []store.Change{c}, id, records, removed > 0)
}
