package bolt

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/usher-pdp/usher/store"
)

// formatVersion is the version of what is stored under which key. A file with a
// higher one is refused.
const formatVersion = 1

// reserve is how much address space is mapped at least. Growing beyond what is mapped
// makes bbolt wait for all Views; address space costs nothing.
const reserve = 1 << 30

// Open opens the store in that file, and creates the file and its directory if they
// are missing. It does not read more than a few pages.
func Open(path string, options Options) (*Store, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.openFile == nil {
		options.openFile = os.OpenFile
	}
	s := &Store{
		path:    path,
		options: options,
		queue:   make(chan *request, maxWaiting),
		done:    make(chan struct{}),
		closed:  make(chan struct{}),
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, openError(path, err)
	}
	if err := s.open(); err != nil {
		return nil, openError(path, err)
	}
	go s.run()
	return s, nil
}

// open opens the file, creates what a new one has, and publishes its revision.
func (s *Store) open() error {
	db, err := s.openFile()
	if err != nil {
		return err
	}
	number, err := s.identify(db)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	s.revision.Store(number)
	return nil
}

// openFile has bbolt open the file, after a look at whether it is whole.
func (s *Store) openFile() (db *bbolt.DB, err error) {
	defer guard(&err)
	var file *os.File
	db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
		Timeout:         time.Millisecond, // less than bbolt's pause between tries, so it tries once
		FreelistType:    bbolt.FreelistArrayType,
		InitialMmapSize: reserve,
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			file, err = s.options.openFile(name, flag, mode)
			if err != nil {
				return nil, err
			}
			if err := checkLength(file); err != nil {
				return nil, errors.Join(err, file.Close())
			}
			return file, nil
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, inUse(s.path)
	case errors.Is(err, bolterrors.ErrInvalid):
		return nil, fmt.Errorf("%w: it is not a bbolt file; name another data directory", store.ErrForeign)
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", store.ErrNewerFormat, err)
	case errors.Is(err, bolterrors.ErrChecksum):
		return nil, damaged("both of its meta pages")
	}
	return db, err
}

// identify creates what a new file has, checks that the file is a store which this
// version can read, and returns the number of its revision.
func (s *Store) identify(db *bbolt.DB) (number uint64, err error) {
	defer guard(&err)
	tx, err := db.Begin(false)
	if err != nil {
		return 0, err
	}
	first, _ := tx.Cursor().First()
	isNew, isOurs := first == nil, tx.Bucket(bucketMeta.name()) != nil
	if err := tx.Rollback(); err != nil {
		return 0, err
	}
	switch {
	case isNew:
		if err := create(db); err != nil {
			return 0, err
		}
	case !isOurs:
		return 0, fmt.Errorf("%w: it is a bbolt file of another program; name another data directory", store.ErrForeign)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		r := &reader{tx: tx}
		format, err := r.number(metaFormat)
		if err != nil {
			return err
		}
		if format != formatVersion {
			return fmt.Errorf("%w: it has format %d and this version knows format %d; start the newer version, or restore a backup that this one has made",
				store.ErrNewerFormat, format, formatVersion)
		}
		epoch, found, err := r.get(bucketMeta, metaEpoch)
		if err != nil || !found {
			return errors.Join(err, damaged("its epoch is missing"))
		}
		s.epoch = string(epoch)
		number, err = r.number(metaRevision)
		return err
	})
	return number, err
}

// create writes what a new store has. In each bucket, a record that sorts before and
// one that sorts behind all others are never removed: a search that finds nothing on
// one side has been misled.
func create(db *bbolt.DB) error {
	epoch := make([]byte, 8)
	rand.Read(epoch) // never fails
	err := db.Update(func(tx *bbolt.Tx) error {
		for b := range bucketCount {
			records := map[string][]byte{string(firstKey): nil, string(lastKey): nil}
			if b == bucketMeta {
				records[string(metaFormat)] = encodeNumber(formatVersion)
				records[string(metaEpoch)] = []byte(hex.EncodeToString(epoch))
				records[string(metaRevision)] = encodeNumber(0)
				records[string(metaNextTenant)] = encodeNumber(1)
			}
			bucket, err := tx.CreateBucket(b.name())
			if err != nil {
				return err
			}
			for key, value := range records {
				if err := bucket.Put([]byte(key), seal(b, []byte(key), value)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(db.Path()))
}

// syncDirectory makes a new name in a directory survive a loss of power.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
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
