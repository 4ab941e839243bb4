package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/usher-pdp/usher/store"
)

// ErrWouldLose is returned by Restore where something is in the place of the file that is not
// known to be in the backup.
var ErrWouldLose = errors.New("what is there would be lost")

// Restored says what Restore has done.
type Restored struct {
	// Backup is the revision of the backup.
	Backup store.Revision
	// Revision is what it has become: the same number in a new epoch.
	Revision store.Revision
	// Bytes is how long the file is.
	Bytes int64
	// Kept is the name that the file now has which was there before; "" if there was none.
	Kept string
}

// Restore puts a backup to where a Store is opened, in a new epoch: revisions from before are
// refused. The backup is copied and the copy is checked and, if its format is older, upgraded;
// then it gets its name. Until then nothing is changed, and a file that was there is kept under
// another name.
//
// A file that is there must not be in use (ErrInUse). If it is not of the same installation, has
// newer changes than the backup or can't be read, the error is ErrWouldLose, unless forced. A
// backup in which Check finds something is ErrCorrupt. The progress may be nil.
func Restore(ctx context.Context, backup, path string, force bool, progress Progress) (Restored, error) {
	restored, err := restore(ctx, backup, path, force, progress)
	if err != nil {
		err = fmt.Errorf("can't restore %s: %w", backup, err)
	}
	return restored, err
}

func restore(ctx context.Context, backup, path string, force bool, progress Progress) (Restored, error) {
	there, err := lockThere(path)
	if err != nil {
		return Restored{}, err
	}
	defer there.close()
	from, err := os.Open(backup) // #nosec G304 -- the file that the operator names
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = from.Close() }()
	if _, _, err := inspect(from, syscall.LOCK_SH); errors.Is(err, store.ErrInUse) {
		return Restored{}, fmt.Errorf("it is no backup: %w; 'usher backup' makes a backup of it", err)
	} else if err != nil {
		return Restored{}, err
	}
	copied, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".restore-*")
	if err != nil {
		return Restored{}, err
	}
	defer func() { _ = os.Remove(copied.Name()) }()
	_, err = io.Copy(copied, from)
	if err = errors.Join(err, copied.Close()); err != nil {
		return Restored{}, err
	}
	origin, err := verified(ctx, copied.Name(), progress)
	if err != nil {
		return Restored{}, err
	}
	if err := there.compare(path, origin); err != nil && !force {
		return Restored{}, err
	}
	restored := Restored{Backup: store.Revision{Epoch: origin.epoch, Number: origin.revision}}
	if restored.Revision, err = renew(copied.Name(), origin); err != nil {
		return Restored{}, err
	}
	if origin.format < formatVersion { // it was upgraded
		if _, err := verified(ctx, copied.Name(), progress); err != nil {
			return Restored{}, err
		}
	}
	info, err := os.Stat(copied.Name())
	if err != nil {
		return Restored{}, err
	}
	restored.Bytes = info.Size()
	if err := there.own(path, copied.Name()); err != nil {
		return Restored{}, err
	}
	if there == nil {
		err = os.Link(copied.Name(), path) // which fails if there is one by now
	} else if restored.Kept, err = linkFree(path, path+".before-restore-"+time.Now().UTC().Format("20060102T150405Z")); err == nil {
		err = os.Rename(copied.Name(), path)
	}
	return restored, errors.Join(err, syncDirectory(filepath.Dir(path)))
}

// origin is where the content of a file comes from.
type origin struct {
	description
	installation string // the epoch that it began with, before it was restored for the first time
}

// originOf reads the origin of a file whose structure is right.
func originOf(db *bbolt.DB) (o origin, err error) {
	tx, err := begin(db, false)
	if err != nil {
		return o, err
	}
	defer func() { _ = tx.Rollback() }()
	o.description, err = describe(tx)
	if err != nil && err != errFormat1 && err != errFormat2 {
		return o, err
	}
	value, found, err := (&reader{tx: tx}).get(bucketMeta, metaInstallation)
	if o.installation = o.epoch; found {
		o.installation = string(value)
	}
	return o, err
}

// verified checks a file, and returns where it comes from.
func verified(ctx context.Context, path string, progress Progress) (o origin, err error) {
	report, err := Check(ctx, path, progress)
	if err != nil {
		return o, err
	}
	if n := len(report.Findings); n > 0 {
		return o, fmt.Errorf("%w: in %s: %s; 'usher store check' lists all that is wrong: restore another backup",
			store.ErrCorrupt, report.Findings[0].Where, report.Findings[0].Text)
	}
	f, err := os.Open(path) // #nosec G304 -- the file that the operator names
	if err != nil {
		return o, err
	}
	db, err := openChecked(f, true)
	if err != nil {
		return o, err
	}
	o, err = originOf(db)
	return o, errors.Join(err, db.Close())
}

// renew upgrades a file and begins a new epoch in it.
func renew(path string, from origin) (store.Revision, error) {
	s, err := Open(path, Options{isCopy: true})
	if err != nil {
		return store.Revision{}, err
	}
	epoch := newEpoch()
	err = s.file.update(func(r *reader) error {
		return errors.Join(
			put(r.bucket(bucketMeta), bucketMeta, metaEpoch, epoch),
			put(r.bucket(bucketMeta), bucketMeta, metaInstallation, []byte(from.installation)))
	})
	return store.Revision{Epoch: string(epoch), Number: from.revision}, errors.Join(err, s.Close())
}

// there is a file that is to be replaced, locked. Nil: there is none.
type there struct {
	file   *os.File
	db     *bbolt.DB // nil: it can't be read
	origin origin
	broken error // why it can't be read
}

func lockThere(path string) (*there, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- the file that the operator names
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &there{file: f}
	c := newChecker(context.Background(), nil)
	t.broken = c.structure(f, syscall.LOCK_EX)
	switch {
	case errors.Is(t.broken, store.ErrInUse):
		return nil, errors.Join(fmt.Errorf("%s: %w", path, t.broken), f.Close())
	case t.broken == nil && c.unsafe:
		t.broken = fmt.Errorf("%w: in %s: %s", store.ErrCorrupt, c.Findings[0].Where, c.Findings[0].Text)
	case t.broken == nil:
		if t.db, t.broken = openChecked(f, false); t.broken == nil {
			t.origin, t.broken = originOf(t.db)
		}
	}
	if err := inPlace(path, f); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// close gives up the lock.
func (t *there) close() {
	switch {
	case t == nil:
	case t.db != nil:
		_ = t.db.Close()
	default:
		_ = t.file.Close()
	}
}

// own gives a file that takes the place of another one to the owner of that, or, if there is none,
// of the directory: whoever restores need not be who runs the server.
func (t *there) own(path, name string) error {
	if t == nil {
		path = filepath.Dir(path)
	}
	return sameOwner(path, name)
}

// sameOwner gives the second file to the owner of the first, if it is another one.
func sameOwner(first, second string) error {
	var of, is unix.Stat_t
	if err := errors.Join(unix.Stat(first, &of), unix.Stat(second, &is)); err != nil {
		return err
	}
	if of.Uid == is.Uid && of.Gid == is.Gid {
		return nil
	}
	return os.Chown(second, int(of.Uid), int(of.Gid))
}

// compare returns what would be lost if a file were replaced by another one.
func (t *there) compare(path string, by origin) error {
	switch {
	case t == nil:
		return nil
	case t.broken != nil:
		return fmt.Errorf("%w: %s can't be read: %w", ErrWouldLose, path, t.broken)
	case t.origin.installation != by.installation:
		return fmt.Errorf("%w: %s is of another installation", ErrWouldLose, path)
	case t.origin.revision > by.revision:
		return fmt.Errorf("%w: %s has changes up to %s, and the backup only up to %s", ErrWouldLose, path, moment(t.origin.revision), moment(by.revision))
	}
	return nil
}

// moment says when a revision was committed. Files of format 1 have counted.
func moment(revision uint64) string {
	if revision < uint64(time.Hour) {
		return fmt.Sprint("revision ", revision)
	}
	return fromInstant(int64(revision)).Format(time.RFC3339) // #nosec G115 -- a revision is a time, below 2^63
}

// linkFree gives a file one more name, which nothing has yet.
func linkFree(path, name string) (string, error) {
	for n := 1; ; n++ {
		free := name
		if n > 1 {
			free = fmt.Sprintf("%s-%d", name, n)
		}
		if err := os.Link(path, free); !errors.Is(err, fs.ErrExist) {
			return free, err
		}
	}
}
