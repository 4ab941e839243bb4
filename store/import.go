package store

import "time"

// Import is an import that is under way, or was done less than ImportsKept ago. It keeps the
// file that it is made from, as far as that has come, and fills tenants that nobody finds.
type Import struct {
	ID string
	// Digest is of how it was begun.
	Digest [32]byte
	// Bytes is how much of the file is kept, in so many pieces.
	Bytes, Pieces uint64
	// Filled is how much of it has been filled into tenants, as FillImport counts it.
	Filled uint64
	// Time is when it went on last.
	Time time.Time
	// Abandoned is whether it is being removed. It can't be gone on with.
	Abandoned bool
	// Done is what it has done, or nil.
	Done *ImportDone
}

// ImportDone is what an import has done.
type ImportDone struct {
	// Revision is that at which it is there; the store sets it.
	Revision Revision
	// Tenants is how many there are by it, and Replaced how many of them have replaced one.
	Tenants, Replaced uint64
	// Assignments and Toggles are those of all of them.
	Assignments, Toggles uint64
	// Catalogs is how many were stored.
	Catalogs uint64
}

// ImportsKept is for how long an import is kept after it went on last.
const ImportsKept = 24 * time.Hour

// TakeImport keeps a piece of the file of an import, and begins the import if there is none of
// that id. Like the next three it belongs to no tenant, and only FinishImport is recorded.
type TakeImport struct {
	ID string
	// Digest is of how the import was begun; with another one it can't be gone on with.
	Digest [32]byte
	// After is how many bytes of the file are kept already.
	After uint64
	Piece []byte
}

// FillImport adds to a tenant that an import will show. The first one for a name makes the
// tenant, with an id that nothing shows yet.
type FillImport struct {
	ID string
	// Tenant is what the tenant will be; the store gives it the id.
	Tenant      Tenant
	Toggles     map[string]bool
	Assignments []Assignment
	// Filled is what Import.Filled becomes.
	Filled uint64
}

// FinishImport gives all tenants of an import their names, and deletes those that have them
// now, as DeleteTenant does. Of the deletions, each chain of a tenant has the record at one revision, and
// those of the new tenants begin at the next one.
type FinishImport struct {
	ID string
	// FileDigest is the SHA-256 of the whole file.
	FileDigest [32]byte
	// Replace is whether there may be tenants of these names now.
	Replace bool
	// Done is what is remembered.
	Done ImportDone
}

// PurgeImport removes some of what an import keeps: the file; and, if it is not done, what has
// been filled, so that it can't be gone on with from then on. It has no record.
type PurgeImport struct {
	ID string
	// Most is how many records it may remove.
	Most int
	// Whole is whether the import itself is removed in the end.
	Whole bool
}

// ImportTenant is how FinishImport is recorded for each tenant. It can't be written by itself.
type ImportTenant struct {
	Name                 string
	Catalog              CatalogRef
	FileDigest           [32]byte
	Assignments, Toggles uint64
}
