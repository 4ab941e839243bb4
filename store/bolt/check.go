package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// maxFindings is how many findings a Report has at most.
const maxFindings = 1000

// Report is what Check has found out about a file.
type Report struct {
	// Format is the version of the file's format, and Revision its newest one; both are zero
	// if they can't be read.
	Format   int
	Revision store.Revision
	// Bytes are those of the file, and FreeBytes those of them that hold nothing.
	Bytes, FreeBytes int64
	// Tenants, Assignments and Changes count the records of these kinds, those of deleted
	// tenants included; Records are all that there are of any kind.
	Tenants, Assignments, Changes, Records int64
	// Findings are what is wrong with it, up to 1,000. None: it is whole.
	Findings []Finding
	// More says that there is more wrong than Findings has.
	More bool
}

// Finding is something that is wrong with a file.
type Finding struct {
	// Where is the page, or the record by bucket and key. It may name persons.
	Where string
	// Text says what is wrong.
	Text string
}

// Progress is told now and then how far something is: what is being looked at, and how many of
// them have been, of how many.
type Progress func(what string, done, total int64)

// Check finds out whether a file is whole that no Store has open, such as a backup: that every
// page is in its place, that every record has its checksum and can be read, that what is listed
// in an index and what there is are the same, and that the change records of every tenant are
// the chain that was written. Of a file of an older format, it looks only at what that has; the
// chains of format 1 can't be followed before it is upgraded.
//
// What is wrong is in the Report. The error says why there is none: ErrInUse, ErrForeign,
// ErrNewerFormat, the context's, or that of reading the file. The progress may be nil.
func Check(ctx context.Context, path string, progress Progress) (Report, error) {
	f, err := os.Open(path) // #nosec G304 -- the file that the operator names
	if err != nil {
		return Report{}, err
	}
	report, err := check(ctx, f, progress)
	if err != nil {
		err = fmt.Errorf("can't check %s: %w", path, err)
	}
	return report, err
}

// check checks an open file, and closes it.
func check(ctx context.Context, f *os.File, progress Progress) (Report, error) {
	c := newChecker(ctx, progress)
	err := c.structure(f, syscall.LOCK_SH)
	if err != nil || c.unsafe {
		return c.Report, errors.Join(err, f.Close())
	}
	db, err := openChecked(f, true)
	if err == nil {
		err = errors.Join(c.records(db), db.Close())
	}
	return c.Report, err
}

// openChecked has bbolt open a file that is locked already and whose structure is right.
func openChecked(f *os.File, readOnly bool) (db *bbolt.DB, err error) {
	defer guard(&err)
	db, err = bbolt.Open(f.Name(), 0o600, &bbolt.Options{
		Timeout:      time.Millisecond,
		ReadOnly:     readOnly,
		FreelistType: bbolt.FreelistArrayType,
		NoStatistics: true,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
	return db, err
}

// checker checks a file.
type checker struct {
	Report
	ctx      context.Context
	progress Progress
	unsafe   bool               // bbolt must not follow its pages
	counts   [bucketCount]int64 // records, those at both ends not counted
}

func newChecker(ctx context.Context, progress Progress) *checker {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	return &checker{ctx: ctx, progress: progress}
}

// find adds a finding, and reports whether there is room for more.
func (c *checker) find(where, text string) bool {
	if len(c.Findings) == maxFindings {
		c.More = true
		return false
	}
	c.Findings = append(c.Findings, Finding{where, text})
	return true
}

// fault adds an error as a finding, unless it is one of the checker itself.
func (c *checker) fault(where string, err error) {
	text := strings.TrimPrefix(err.Error(), store.ErrCorrupt.Error()+": ")
	c.find(where, strings.TrimSuffix(text, damagedRemedy))
}

// structure looks at the pages of a file, after locking it, and at the checksum of each record.
func (c *checker) structure(f *os.File, lockType int) error {
	m, free, err := inspect(f, lockType)
	if errors.Is(err, store.ErrCorrupt) {
		c.unsafe = true
		c.fault("the file", err)
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	c.Bytes, c.FreeBytes = info.Size(), int64(len(free))*m.pageSize
	var ends [bucketCount]int
	p := &pages{
		ctx: c.ctx, file: f, meta: m,
		find:     func(where, what string) bool { c.unsafe = true; return c.find(where, what) },
		progress: func(done, total int64) { c.progress("pages", done, total) },
		record: func(name string, key, value []byte) {
			b, ours := bucketOf(name)
			if !ours {
				return
			}
			if !sealed(b, key, value) {
				c.find(placeOf(b, key), "it does not have its checksum")
			}
			switch {
			case bytes.Equal(key, firstKey), bytes.Equal(key, lastKey):
				ends[b]++
			default:
				c.counts[b]++
				c.Records++
			}
		},
	}
	if err := p.walk(free); err != nil {
		return err
	}
	c.Tenants = c.counts[bucketTenants] + c.counts[bucketDeleted]
	c.Assignments, c.Changes = c.counts[bucketAssignments], c.counts[bucketChanges]
	for b, n := range ends {
		if n != 2 && c.counts[b] > 0 {
			c.find(fmt.Sprintf("the bucket %q", bucket(b).name()), "the record at one of its ends is missing")
		}
	}
	return nil
}

// sealed reports whether a value ends with its checksum.
func sealed(b bucket, key, value []byte) bool {
	n := len(value) - crc32.Size
	return n >= 0 && binary.BigEndian.Uint32(value[n:]) == checksum(b, key, value[:n])
}

func bucketOf(name string) (bucket, bool) {
	for b := range bucketCount {
		if string(b.name()) == name {
			return b, true
		}
	}
	return 0, false
}

// placeOf names a record for people.
func placeOf(b bucket, key []byte) string {
	switch b {
	case bucketHeads, bucketAssignments, bucketByRole, bucketToggles, bucketChanges, bucketChangesByObject, bucketRequests, bucketDeleted:
		if len(key) >= 8 && !bytes.Equal(key, lastKey) {
			return fmt.Sprintf("the bucket %q, tenant %d, %q", b.name(), tenantOf(key), key[8:])
		}
	}
	return fmt.Sprintf("the bucket %q, %q", b.name(), key)
}

// records compares the records of a file with each other.
func (c *checker) records(db *bbolt.DB) (err error) {
	tx, err := begin(db, false)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	defer func() {
		if errors.Is(err, store.ErrCorrupt) {
			c.fault("the file", err)
			err = nil
		}
	}()
	defer guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	d, err := describe(tx)
	c.Format, c.Revision = int(d.format), store.Revision{Epoch: d.epoch, Number: d.revision} // #nosec G115 -- a small number
	buckets := bucketCount
	switch err {
	case nil:
	case errFormat1:
		buckets = bucketsOfFormat1
	case errFormat2:
		buckets = bucketsOfFormat2
	default:
		return err
	}
	r := &recordCheck{
		checker: c, r: &reader{tx: tx, revision: c.Revision}, buckets: buckets,
		names: make(map[store.TenantID]string),
	}
	return r.all()
}
