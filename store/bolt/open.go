package bolt

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// formatVersion is the version of what is stored under which key. A file with a
// higher one is refused, one with a lower one upgraded.
const formatVersion = 3

// These are returned by identify for a file that can be upgraded.
var (
	errFormat1 = errors.New("the file has format 1")
	errFormat2 = errors.New("the file has format 2")
)

// reserve is how much address space is mapped at least, if there is so much. Growing
// beyond what is mapped makes bbolt wait for all Views, and every new View waits for that;
// address space costs nothing.
const reserve = min(64<<30, math.MaxInt)

// Open opens the store in that file, and creates the file and its directory if they
// are missing. It does not read more than a few pages.
func Open(path string, options Options) (*Store, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.openFile == nil {
		options.openFile = os.OpenFile
	}
	if options.reserve == 0 {
		options.reserve = reserve
	}
	if options.retryAfter == 0 {
		options.retryAfter = retryAfter
	}
	if options.upgradeStep == 0 {
		options.upgradeStep = upgradeStep
	}
	s := &Store{
		path:    path,
		options: options,
		metrics: newMetrics(),
		queue:   make(chan *request, maxWaiting),
		done:    make(chan struct{}),
		closed:  make(chan struct{}),
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, 0); err != nil {
			return nil, openError(path, err)
		}
	}
	f, newest, err := s.open()
	if err != nil {
		return nil, openError(path, err)
	}
	s.file = f
	s.newest.Store(newest)
	if err := settle(f.os, filepath.Dir(path)); err != nil {
		s.setFailure(writeFailure(err)) // what is there can be read meanwhile
	}
	go s.run()
	return s, nil
}

// open opens the file and returns its newest state.
func (s *Store) open() (*file, *state, error) {
	reserve := s.options.reserve
	f, err := s.openFile(reserve)
	for errors.Is(err, syscall.ENOMEM) && reserve > 0 { // address space is limited, by ulimit -v or the like
		reserve /= 2
		f, err = s.openFile(reserve)
	}
	if err != nil {
		return nil, nil, err
	}
	epoch, newest, err := identify(f)
	if old := err; old == errFormat1 || old == errFormat2 {
		if err = s.keepOld(f, old); err != nil {
			return nil, nil, errors.Join(err, f.close())
		}
		if old == errFormat1 {
			err = f.upgradeFrom1(s.options.upgradeStep)
		} else {
			err = f.upgradeFrom2()
		}
		if err == nil {
			epoch, newest, err = identify(f)
		}
	}
	if err == nil && s.epoch != "" && s.epoch != epoch {
		err = fmt.Errorf("%w: another file is in its place; restart Usher to use that one", store.ErrUnavailable)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.close())
	}
	if s.epoch == "" { // it is read without a lock when the file is reopened
		s.epoch = epoch
	}
	return f, newest, nil
}

// openFile has bbolt open the file, after a look at whether it is whole.
func (s *Store) openFile(reserve int) (opened *file, err error) {
	f := new(file)
	defer func() {
		if err != nil {
			_ = f.close() // bbolt has not, if it panicked
		}
	}()
	defer guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var m meta
	f.DB, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
		Timeout:         time.Millisecond, // inspect has the lock already
		FreelistType:    bbolt.FreelistArrayType,
		InitialMmapSize: reserve,
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f.os, err = s.options.openFile(name, flag&^os.O_CREATE, mode)
			if err != nil {
				return nil, err
			}
			if m, _, err = inspect(f.os, syscall.LOCK_EX); err == nil {
				err = inPlace(name, f.os)
			}
			return f.os, err
		},
	})
	if err != nil {
		return nil, err
	}
	f.metas, err = syscall.Mmap(int(f.os.Fd()), 0, 2*int(m.pageSize), syscall.PROT_READ, syscall.MAP_SHARED)
	return f, err
}

// inPlace checks that a locked file still has its name: Restore and Compact, which also lock it,
// put another one in its place.
func inPlace(name string, f *os.File) error {
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(opened, named) {
		return fmt.Errorf("%w: another file was put in its place meanwhile; try again", store.ErrUnavailable)
	}
	return nil
}

// identify checks that the file is a store which this version can read, and returns
// its epoch and state.
func identify(f *file) (epoch string, newest *state, err error) {
	tx, err := f.begin(false)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = tx.Rollback() }()
	d, err := describe(tx)
	return d.epoch, &state{tx.ID(), d.revision}, err
}

// description is what a file says about itself.
type description struct {
	format   uint64
	epoch    string
	revision uint64
}

// describe reads what a file says about itself. With errFormat1 and errFormat2, that is all there.
func describe(tx *bbolt.Tx) (d description, err error) {
	defer guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	ours, first, second := 0, 0, 0 // of them, those that formats 1 and 2 have
	for b := range bucketCount {
		if tx.Bucket(b.name()) != nil {
			ours++
			if b < bucketsOfFormat1 {
				first++
			}
			if b < bucketsOfFormat2 {
				second++
			}
		}
	}
	if ours == 0 {
		return d, fmt.Errorf("%w: it is a bbolt file of another program; name another data directory", store.ErrForeign)
	}
	r := &reader{tx: tx}
	if d.format, err = r.number(metaFormat); err != nil {
		return d, err
	}
	var old error
	switch {
	case d.format > formatVersion:
		return d, fmt.Errorf("%w: it has format %d and this version knows format %d; start the newer version, or restore a backup that this one has made",
			store.ErrNewerFormat, d.format, formatVersion)
	case d.format == 1 && first == int(bucketsOfFormat1):
		old = errFormat1
	case d.format == 2 && second == int(bucketsOfFormat2):
		old = errFormat2
	case d.format < formatVersion || ours < int(bucketCount):
		return d, damaged("it has format %d and %d of %d buckets", d.format, ours, bucketCount)
	}
	value, found, err := r.get(bucketMeta, metaEpoch)
	if err != nil {
		return d, err
	}
	if !found {
		return d, damaged("its epoch is missing")
	}
	d.epoch = string(value)
	if d.revision, err = r.number(metaRevision); err != nil {
		return d, err
	}
	return d, old
}

// create makes a new store. It gets its name when it is whole, so that a file that was
// emptied is not taken for a new one. If another process is faster, its file stays. The
// pages have the size that the operating system's have if pageSize is 0. The name need not
// survive a loss of power yet: Open sees to that, also after a process that was killed here.
func create(path string, pageSize int) error {
	dir := filepath.Dir(path)
	if err := makeDirectory(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // has mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{
		Timeout:  time.Millisecond,
		PageSize: pageSize,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(fill), db.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// makeDirectory makes a directory and those above it, as far as they are missing. Their names
// survive a loss of power.
func makeDirectory(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeDirectory(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(filepath.Dir(dir))
}

// fill writes what a new store has.
func fill(tx *bbolt.Tx) error {
	for b := range bucketCount {
		if err := createBucket(tx, b); err != nil {
			return err
		}
	}
	for key, value := range map[string][]byte{
		string(metaFormat):     encodeNumber(formatVersion),
		string(metaEpoch):      newEpoch(),
		string(metaRevision):   encodeNumber(0),
		string(metaNextTenant): encodeNumber(1),
	} {
		if err := put(tx.Bucket(bucketMeta.name()), bucketMeta, []byte(key), value); err != nil {
			return err
		}
	}
	return nil
}

func newEpoch() []byte {
	epoch := make([]byte, 8)
	rand.Read(epoch) // never fails
	return hex.AppendEncode(nil, epoch)
}

// createBucket makes a bucket. A record that sorts before and one that sorts behind all
// others are never removed: a search that finds nothing on one side has been misled.
func createBucket(tx *bbolt.Tx, b bucket) error {
	created, err := tx.CreateBucket(b.name())
	if err != nil {
		return err
	}
	return errors.Join(put(created, b, firstKey, nil), put(created, b, lastKey, nil))
}

// put puts a record with its checksum.
func put(to *bbolt.Bucket, b bucket, key, value []byte) error {
	return to.Put(key, seal(b, key, value))
}

// syncDirectory makes a new name in a directory survive a loss of power.
func syncDirectory(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the directory that the settings name
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openError says which file could not be opened, and what helps.
func openError(path string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, store.ErrInUse), errors.Is(err, store.ErrCorrupt),
		errors.Is(err, store.ErrForeign), errors.Is(err, store.ErrNewerFormat):
	case errors.Is(err, fs.ErrPermission):
		advice = "; the user that Usher runs as has to own the data directory and what is in it"
	default:
		advice = fmt.Sprintf("; check that %s is a directory on a disk that can be written", filepath.Dir(path))
	}
	return fmt.Errorf("can't open the store %s: %w%s", path, err, advice)
}
