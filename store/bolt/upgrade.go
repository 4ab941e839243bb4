package bolt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// upgradeStep is how many records are looked at in one transaction of an upgrade.
const upgradeStep = 10_000

// keepOld copies a file that is to be upgraded to another name: the version that made it can't
// open it afterwards. If an upgrade was interrupted, the copy of its beginning is the one to keep.
func (s *Store) keepOld(f *file, old error) (err error) {
	if s.options.isCopy {
		return nil
	}
	format := 2
	if old == errFormat1 {
		format = 1
	}
	name := fmt.Sprintf("%s.format%d-backup", s.path, format)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: the file has format %d and is copied to %s before it is upgraded, and the copy can't be made (%w): "+
				"nothing has been changed; make room for it, or move away what has that name", store.ErrUnavailable, format, name, err)
		}
	}()
	if same, err := f.sameState(name); same || err != nil {
		return err
	}
	to, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".upgrade-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(to.Name()) }()
	info, err := f.os.Stat()
	if err == nil {
		_, err = io.Copy(to, io.NewSectionReader(f.os, 0, info.Size()))
	}
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	if _, err := linkFree(to.Name(), name); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(s.path))
}

// sameState reports whether a copy has the epoch and the revision of the file.
func (f *file) sameState(name string) (bool, error) {
	copied, err := os.Open(name) // #nosec G304 -- beside the file that the operator names
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, _, err := inspect(copied, syscall.LOCK_SH); err != nil {
		return false, errors.Join(err, copied.Close())
	}
	db, err := openChecked(copied, true)
	if err != nil {
		return false, errors.Join(err, copied.Close())
	}
	of, err := originOf(db)
	is, wrong := originOf(f.DB)
	return of == is, errors.Join(err, wrong, db.Close())
}

// upgradeFrom2 adds to a file of format 2 the buckets that are new, which are empty.
func (f *file) upgradeFrom2() error {
	return f.update(func(r *reader) error {
		if err := r.addBuckets(bucketsOfFormat2); err != nil {
			return err
		}
		return put(r.bucket(bucketMeta), bucketMeta, metaFormat, encodeNumber(formatVersion))
	})
}

// addBuckets makes the buckets from one on, empty.
func (r *reader) addBuckets(first bucket) error {
	for b := first; b < bucketCount; b++ {
		if r.tx.Bucket(b.name()) != nil {
			if err := r.tx.DeleteBucket(b.name()); err != nil {
				return err
			}
		}
		if err := createBucket(r.tx, b); err != nil {
			return err
		}
	}
	return nil
}

// upgradeFrom1 makes a file of format 1 one of this format: it adds the buckets that are new, and
// lists in them what there is. If it does not get to the end, the file has format 1 as before,
// also for the version that made it, and the next upgrade begins anew.
func (f *file) upgradeFrom1(step int) error {
	names := make(map[store.TenantID]string)
	err := f.update(func(r *reader) error {
		if err := r.addBuckets(bucketsOfFormat1); err != nil {
			return err
		}
		for t, err := range r.Tenants("") {
			if err != nil {
				return err
			}
			names[t.ID] = t.Name
		}
		return nil
	})
	if err == nil {
		err = f.upgradeAll(bucketChanges, step, func(r *reader, key, value []byte) error {
			at, ok := splitPosition(key)
			if !ok || len(key) != 8+positionSize {
				return damaged("the key of a change record can't be read")
			}
			tenant := tenantOf(key)
			record, change, err := parseChange(tenant, key, value)
			if err != nil {
				return err
			}
			if object := objectOf(change, subjectOf(record)); object != "" {
				err = put(r.bucket(bucketChangesByObject), bucketChangesByObject, objectKey(tenant, object, at), nil)
			}
			return err
		})
	}
	if err == nil {
		err = f.upgradeAll(bucketAssignments, step, func(r *reader, key, value []byte) error {
			interval, err := decodeInterval(value)
			if err != nil || interval.End.IsZero() || len(key) < 8 {
				return err
			}
			return put(r.bucket(bucketEnds), bucketEnds, timeKey(interval.End.UnixNano(), key), []byte(names[tenantOf(key)]))
		})
	}
	if err != nil {
		return err
	}
	return f.update(func(r *reader) error {
		if err := r.placeHeads(); err != nil {
			return err
		}
		return put(r.bucket(bucketMeta), bucketMeta, metaFormat, encodeNumber(formatVersion))
	})
}

// upgradeAll calls each with all records of a bucket, so many in one transaction.
func (f *file) upgradeAll(b bucket, step int, each func(r *reader, key, value []byte) error) error {
	after := firstKey
	for more := true; more; {
		err := f.update(func(r *reader) (err error) {
			n := 0
			more = false
			scanned := r.scan(b, nil, after, func(key, value []byte) bool {
				after = append([]byte(nil), key...)
				err = each(r, key, value)
				n++
				more = n == step
				return err == nil && !more
			})
			if err == nil {
				err = scanned
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// placeHeads adds to each head the position of the newest change record.
func (r *reader) placeHeads() error {
	heads := make(map[store.TenantID]*storev1.Head)
	var broken error
	err := r.scan(bucketHeads, nil, firstKey, func(key, value []byte) bool {
		if len(key) != 8 {
			broken = damaged("the key of a head can't be read")
			return false
		}
		heads[tenantOf(key)], broken = decodeHead(value)
		return broken == nil
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return err
	}
	for tenant, head := range heads {
		prefix := tenantKey(tenant)
		var newest store.Position
		err := r.scanBack(bucketChanges, prefix, changeKey(tenant, store.Position{Revision: math.MaxUint64}), func(key, _ []byte) bool {
			newest, _ = splitPosition(key)
			return false
		})
		if err == nil && newest.Revision != head.GetRevision() {
			err = damaged("the newest change record of tenant %d is not the one that was written last", tenant)
		}
		if err != nil {
			return err
		}
		head.Position = newest.Index
		value, err := encode(head)
		if err != nil {
			return err
		}
		if err := put(r.bucket(bucketHeads), bucketHeads, prefix, value); err != nil {
			return err
		}
	}
	return nil
}

// update makes changes that are no write.
func (f *file) update(change func(*reader) error) (err error) {
	tx, err := f.begin(true)
	if err != nil {
		return err
	}
	defer f.abandon(tx)
	defer guard(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := change(&reader{tx: tx}); err != nil {
		return err
	}
	return tx.Commit()
}
