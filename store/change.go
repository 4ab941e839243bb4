package store

import "time"

// Change is one thing to write: one of the types below.
type Change interface{ change() }

// SetAssignment adds an assignment or replaces the interval of the one with the
// same key.
type SetAssignment struct {
	Tenant     TenantID // 0: the tenant that the same write creates
	Assignment Assignment
}

// RemoveAssignment removes an assignment. There being none is not an error.
type RemoveAssignment struct {
	Tenant TenantID
	Key    AssignmentKey
	// Cleared says that it is because the assignment had ended.
	Cleared bool
}

// SetToggle sets the state of a toggle.
type SetToggle struct {
	Tenant TenantID
	Toggle string
	On     bool
}

// CreateTenant adds a tenant. The store gives it an id and the time of the commit;
// the plan has seen to it that there is none of that name.
type CreateTenant struct {
	Name    string
	Catalog CatalogRef
}

// UpdateTenant moves a tenant to another catalog.
type UpdateTenant struct {
	Tenant  TenantID
	Catalog CatalogRef
}

// SetPrimary names the primary administrator of a tenant; "" is nobody.
type SetPrimary struct {
	Tenant  TenantID // 0: the tenant that the same write creates
	Subject string
}

// DeleteTenant removes a tenant: it is found by its name no more, and never changes again but
// by the next three. Its data stay until they are purged.
type DeleteTenant struct {
	Tenant TenantID
}

// PurgeTenant removes some of the data of a deleted tenant: assignments and toggles, not its
// change record. It is no change of its own and has no record. When there is nothing left it
// does nothing.
type PurgeTenant struct {
	Tenant TenantID
	// Most is how many records it may remove.
	Most int
}

// EraseSubject removes what names a subject from change records: the subject of a change, the
// actor if it is the subject or has it among the groups, and with either the justification.
// The chain stays whole. For a deleted tenant, as for TrimChanges, the write's Tenant is "".
type EraseSubject struct {
	Tenant  TenantID
	Subject string
	// Records are those in which to look, up to 1,000 in a write.
	Records []Position
	// Last says that these were the last of the subject's. With them the erasure itself is
	// recorded, with the count.
	Last  bool
	Count uint64
}

// TrimChanges removes the oldest change records of a tenant, up to a link of its chain.
type TrimChanges struct {
	Tenant TenantID
	UpTo   Link
	// Most is how many records it may remove; it removes the oldest. Only when the link is
	// reached is the trimming recorded.
	Most int
}

// PutCatalog adds a catalog. The plan has seen to it that there is none of that
// name and version.
type PutCatalog struct {
	Ref  CatalogRef
	YAML []byte
}

func (SetAssignment) change()    {}
func (RemoveAssignment) change() {}
func (SetToggle) change()        {}
func (CreateTenant) change()     {}
func (UpdateTenant) change()     {}
func (SetPrimary) change()       {}
func (DeleteTenant) change()     {}
func (PurgeTenant) change()      {}
func (EraseSubject) change()     {}
func (TrimChanges) change()      {}
func (PutCatalog) change()       {}
func (TakeImport) change()       {}
func (FillImport) change()       {}
func (FinishImport) change()     {}
func (PurgeImport) change()      {}
func (ImportTenant) change()     {}

// ChangeRecord is the record of one change.
type ChangeRecord struct {
	Revision Revision
	// Index is the place of the change in its write.
	Index uint32
	// Time is when it was committed. In a chain it never goes back.
	Time time.Time
	// By and Justification are zero where they have been erased.
	By            By
	Justification string
	// Erased is whether something that named a person has been erased from it.
	Erased bool
	// Before is the assignment's interval or nil, for changes of assignments.
	Before *Interval
	// ToggleBefore is the stored state of a toggle before or nil, for changes of toggles.
	ToggleBefore *bool
	// CatalogBefore is the catalog before, for an UpdateTenant; else it is nil.
	CatalogBefore *CatalogRef
	// Change is what was changed. In a SetAssignment, RemoveAssignment or SetPrimary whose
	// subject has been erased, the subject is empty. EraseSubject and TrimChanges say no more
	// than how many records they were about, as Count and as UpTo.Length.
	Change Change
}
