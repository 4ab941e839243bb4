// Package store is the vocabulary of what Usher keeps (tenants, assignments,
// toggles, catalogs, changes) and the contract of a store that keeps it.
//
// A store is transactional: a View sees one consistent state, a Commit is whole
// or absent, and once Commit has returned nothing that it wrote is ever lost.
// Nothing in here decides who may do what; package policy does.
//
// Drivers live in subfolders and pass the suite in store/storetest.
package store

import (
	"context"
	"iter"
	"os"
	"time"
)

// Store keeps the data of an installation. Its methods may be called from several
// goroutines at once.
type Store interface {
	// View calls read with one consistent state. The Reader and what it yields
	// must not be used after read returns. It returns the error of read, or
	// ErrUnavailable or ErrCorrupt if the state can't be read.
	View(ctx context.Context, read func(Reader) error) error

	// Commit makes the changes that w.Plan asks for, whole or not at all, and
	// returns when they are on disk. Before it returns, the store's observer has
	// been told. A write whose RequestID was committed less than RequestIDsKept ago is
	// answered as it was then, and the plan does not run; if its Digest is another one, the
	// error is ErrRequestReused.
	//
	// The error of w.Plan is returned as it is, and nothing is written. With any
	// error of its own (ErrUnavailable, ErrCorrupt, the context's) Commit doesn't
	// say whether the write was made.
	Commit(ctx context.Context, w Write) (Committed, error)

	// Revision is the revision of the newest state that every View now begins
	// with at least. It does no I/O.
	Revision() Revision

	// Backup writes a whole copy of one state, in a format of the driver's own, to an empty file,
	// verifies it there, and returns the revision of it. Writes and Views go on meanwhile. It
	// is ErrUnavailable where the copy can't be written, and ErrCorrupt where it would not be
	// whole. After an error, nothing in the file is of use.
	Backup(ctx context.Context, to *os.File) (Revision, error)

	// WriteFailure says why no writes are taken at the moment: nil, or an ErrUnavailable that has
	// the cause. The store tries by itself whether they can be taken again. It does no I/O.
	WriteFailure() error

	// Close waits for what is under way and closes the store.
	Close() error
}

// Reader reads one consistent state. Strings and slices that it returns are copies.
type Reader interface {
	// Revision is the revision of the state.
	Revision() Revision

	// Tenant returns the tenant of that name, or ErrNotFound.
	Tenant(name string) (Tenant, error)

	// Tenants yields the tenants whose names come after the given one in byte
	// order ("" for all), in that order.
	Tenants(after string) iter.Seq2[Tenant, error]

	// Assignment returns the assignment with that key, or ErrNotFound.
	Assignment(tenant TenantID, key AssignmentKey) (Assignment, error)

	// Assignments yields the assignments of the tenant that come after the given
	// key, ordered by subject, role and scope. The zero key comes before all.
	Assignments(tenant TenantID, after AssignmentKey) iter.Seq2[Assignment, error]

	// AssignmentsOf yields the assignments of one subject, ordered by role and
	// scope.
	AssignmentsOf(tenant TenantID, subject string) iter.Seq2[Assignment, error]

	// AssignmentsByRole yields the assignments of one role that come after the
	// given key, ordered by scope and subject. Of the key only scope and subject
	// are looked at; both empty comes before all.
	AssignmentsByRole(tenant TenantID, role string, after AssignmentKey) iter.Seq2[Assignment, error]

	// Toggles returns the state of each toggle of the tenant that has been set.
	Toggles(tenant TenantID) (map[string]bool, error)

	// DeletedTenants yields the tenants that have been deleted and whose ids come after
	// the given one, in that order.
	DeletedTenants(after TenantID) iter.Seq2[Tenant, error]

	// EndedBefore yields the assignments, of all tenants that have not been deleted, whose
	// end lies before t, in the order of their ends.
	EndedBefore(t time.Time) iter.Seq2[Ended, error]

	// Catalog returns the source of a catalog, or ErrNotFound.
	Catalog(ref CatalogRef) ([]byte, error)

	// Catalogs yields the catalogs that come after the given one, ordered by name
	// and version.
	Catalogs(after CatalogRef) iter.Seq2[CatalogRef, error]

	// History yields the records of a tenant's changes, also of one that has been
	// deleted, oldest first if the range doesn't say otherwise. Those of the installation
	// (catalogs) are those of tenant 0. It is ErrCorrupt where a record doesn't fit its place;
	// that the chain is whole, only Follow shows.
	History(tenant TenantID, h Range) iter.Seq2[ChangeRecord, error]

	// Objects yields the objects of a tenant that come after a given one and of which there
	// are change records, in byte order.
	Objects(tenant TenantID, after Object) iter.Seq2[Object, error]

	// Chain returns both ends of the chain of a tenant's change records.
	Chain(tenant TenantID) (Chain, error)

	// Follow goes through at most so many records of a tenant that come after a link of its
	// chain, and returns the link that it came to: the head, when it is through. It is
	// ErrCorrupt where a record is not the one that was written there, or History would not
	// find it by its object; the link is then the last one that is right, as far as the records
	// themselves tell. To begin, follow Chain.Trimmed; what comes after a link before that is
	// ErrNotFound.
	Follow(tenant TenantID, after Link, most int) (Link, error)

	// Import returns the import with that id, or ErrNotFound.
	Import(id string) (Import, error)

	// Imports yields the imports whose ids come after the given one in byte order.
	Imports(after string) iter.Seq2[Import, error]

	// ImportPiece returns a piece of the file of an import, counted from 0, or ErrNotFound.
	ImportPiece(id string, piece uint64) ([]byte, error)
}

// Range says which records of a tenant's history to yield.
type Range struct {
	// Object limits them to changes of one object, if it is not empty.
	Object Object
	// After and Before are limits that do not belong to the range themselves. Zero: none.
	After, Before Position
	// NewestFirst turns the order around.
	NewestFirst bool
}

// Object is what a change is about: the assignments of a subject, a toggle, or the catalog of
// the tenant.
type Object string

// TenantObject is the object of changes of the tenant's catalog (UpdateTenant). No subject and
// no toggle has its name.
const TenantObject Object = "."

// SubjectObject is the object of changes of the subject's assignments.
func SubjectObject(subject string) Object { return Object(subject) }

// ToggleObject is the object of changes of a toggle. No subject has its name: subjects have
// a colon, names of toggles do not.
func ToggleObject(toggle string) Object { return Object(toggle) }

// Position is the place of a change record: positions in one write count from 0.
type Position struct {
	Revision uint64
	Index    uint32
}

// Link is a place in a chain of change records. The zero Link is before the first record.
type Link struct {
	Position
	// Hash is the hash of the record and all before it.
	Hash [32]byte
	// Length is how many records there are up to this one.
	Length uint64
}

// Chain is a chain of change records.
type Chain struct {
	// Trimmed is the last link that is not kept any more; zero if all are.
	Trimmed Link
	// TrimmedTime is the time of that change.
	TrimmedTime time.Time
	// Head is the newest link.
	Head Link
}

// Ended is an assignment of some tenant.
type Ended struct {
	Tenant Tenant
	Assignment
}

// Write is a change to be committed.
type Write struct {
	// Tenant is the name of the tenant that is changed, or "" for a change that
	// belongs to no tenant (a catalog).
	Tenant string
	// By says on whose behalf it is made.
	By By
	// Justification says why; it may be empty.
	Justification string
	// RequestID tells a repeated write from a new one, within the tenant and the caller; ""
	// is none. Digest is of all that was asked for. A write for a tenant that there is not
	// afterwards is not remembered.
	RequestID string
	Digest    [32]byte
	// Plan reads the current state and returns what to change. It must not have
	// effects: it may run more than once, and its result may be thrown away. No
	// changes and no error means that all is so already; nothing is written then.
	Plan func(Reader) ([]Change, error)
}

// Committed says what Commit did.
type Committed struct {
	// Revision is the revision of the commit. If nothing was changed, it is that
	// of the state that the plan saw.
	Revision Revision
	// Changed says whether anything was written. Without a change record there is no new
	// revision (PurgeTenant, and the first writes of a long erasure or trimming).
	Changed bool
	// Repeated says that this is the answer of an earlier write with the same RequestID.
	Repeated bool
}

// RequestIDsKept is for how long a write is remembered by its RequestID.
const RequestIDsKept = 24 * time.Hour

// By says on whose behalf a change is made.
type By struct {
	// Operator is whether it is the staff of the installation; Subject and Groups
	// are then empty.
	Operator bool
	// Subject is the actor, a person inside the tenant.
	Subject string
	// Groups are the groups of the actor.
	Groups []string
	// Caller is the service whose connection it is, as far as known.
	Caller string
}

// TenantID is the internal id of a tenant. It is never used again, so that a
// tenant whose name is used again meets nothing of the old one. Ids start at 1.
type TenantID uint64

// Tenant is one organization's account.
type Tenant struct {
	ID        TenantID
	Name      string
	Catalog   CatalogRef
	CreatedAt time.Time
	// Primary is the primary administrator, or "". A deleted tenant has none.
	Primary string
	// DeletedAt is when it was deleted, or zero.
	DeletedAt time.Time
}

// CatalogRef names a version of a catalog.
type CatalogRef struct {
	Name    string
	Version uint32
}

// AssignmentKey tells assignments of a tenant apart.
type AssignmentKey struct {
	Subject string
	Role    string
	Scope   string // "" is the tenant
}

// Assignment says that a subject holds a role, in a scope or in the tenant, during
// an interval.
type Assignment struct {
	AssignmentKey
	Interval
}

// Interval is when an assignment is in force: from Start on, until just before End.
// The zero time means from ever and without an end. Instants are kept to the
// nanosecond and lie in the years 1970 to 2200.
type Interval struct {
	Start time.Time
	End   time.Time
}

// Observer is told of commits by the store.
type Observer interface {
	// Committed is called after a commit is on disk and before the Commit call
	// that made it returns, in the order of revisions, never twice at once. The
	// keys are what the commit has touched. Until it returns, Revision is still
	// the one before; a View that begins meanwhile sees the commit already.
	Committed(touched []Touched)
	// Lost is called after a commit that may or may not have been made: anything
	// may have changed.
	Lost()
}

// Touched is something that a commit has changed: a tenant's own record or toggles,
// if Subject is empty, else the assignments of a subject. Tenant is 0 for what belongs
// to no tenant (a catalog).
type Touched struct {
	Tenant  TenantID
	Name    string // of the tenant; "" after it has been deleted
	Subject string
}
