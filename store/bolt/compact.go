package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// compactStep is how many bytes of records Compact writes in one transaction.
const compactStep = 8 << 20

// Compacted says what Compact has done.
type Compacted struct {
	// BytesBefore and BytesAfter are how long the file was and is.
	BytesBefore, BytesAfter int64
	// Revision is that of the file, which is the same as before.
	Revision store.Revision
}

// Compact writes a file that no Store has open anew, without what is free in it: it gets smaller,
// and nothing that was erased is in it any more. Both files are checked; the new one gets the
// name when it is whole. There has to be room for both. The file must not be in use (ErrInUse);
// where Check finds something it is ErrCorrupt. The progress may be nil.
func Compact(ctx context.Context, path string, progress Progress) (Compacted, error) {
	compacted, err := compact(ctx, path, progress)
	if err != nil {
		err = fmt.Errorf("can't compact %s: %w", path, err)
	}
	return compacted, err
}

func compact(ctx context.Context, path string, progress Progress) (done Compacted, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- the file that the operator names
	if err != nil {
		return done, err
	}
	before := newChecker(ctx, progress)
	if err := before.structure(f, syscall.LOCK_EX); err != nil || before.unsafe {
		return done, errors.Join(err, before.refusal(), f.Close())
	}
	from, err := openChecked(f, false)
	if err != nil {
		return done, errors.Join(err, f.Close())
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if err := errors.Join(inPlace(path, f), before.records(from), before.refusal()); err != nil {
		return done, err
	}
	to, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".compact-*")
	if err != nil {
		return done, err
	}
	defer func() { _ = os.Remove(to.Name()) }()
	if err := rewritten(from, to); err != nil {
		return done, err
	}
	after, err := Check(ctx, to.Name(), progress)
	if err != nil {
		return done, err
	}
	if len(after.Findings) > 0 || after.Records != before.Records || after.Revision != before.Revision {
		return done, fmt.Errorf("the new file has %d records and %d faults, and should have %d and none: the file stays as it was",
			after.Records, len(after.Findings), before.Records)
	}
	if err := sameOwner(path, to.Name()); err != nil {
		return done, err
	}
	done = Compacted{BytesBefore: before.Bytes, BytesAfter: after.Bytes, Revision: after.Revision}
	return done, errors.Join(os.Rename(to.Name(), path), syncDirectory(filepath.Dir(path)))
}

// refusal is the error of a file that is not whole.
func (c *checker) refusal() error {
	if len(c.Findings) == 0 {
		return nil
	}
	return damaged("in %s: %s; 'usher store check' lists all that is wrong", c.Findings[0].Where, c.Findings[0].Text)
}

// rewritten writes what is in a file to an empty one, which is closed and on disk then.
func rewritten(from *bbolt.DB, to *os.File) (err error) {
	defer guard(&err)
	db, err := bbolt.Open(to.Name(), 0o600, &bbolt.Options{
		NoSync:       true, // but in the end
		NoGrowSync:   true,
		FreelistType: bbolt.FreelistArrayType,
		PageSize:     from.Info().PageSize,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return to, nil },
	})
	if err != nil {
		return errors.Join(err, to.Close())
	}
	return errors.Join(bbolt.Compact(db, from, compactStep), db.Sync(), db.Close())
}
