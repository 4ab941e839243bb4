package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"

	"go.etcd.io/bbolt"
)

// updates are what grants put into the buckets of a file, grant by grant.
type updates struct {
	buckets []records
	order   []int // of the grants
}

// records are those that the grants have put into one bucket.
type records struct {
	bucket []byte
	pairs  [][2][]byte
}

// newUpdates compares a file with what so many grants have made of it. In a bucket that has
// grown, each grant has put the same number of new records; in one that has not, it has put
// one of those that are different.
func newUpdates(before, after string, grants int) (u *updates, err error) {
	old, err := openBare(before)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	changed, err := openBare(after)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, changed.Close()) }()
	u = &updates{order: rand.New(rand.NewPCG(seed, 0)).Perm(grants)}
	err = old.View(func(was *bbolt.Tx) error {
		return changed.View(func(is *bbolt.Tx) error {
			return is.ForEach(func(name []byte, b *bbolt.Bucket) error {
				added, replaced := compareBuckets(was.Bucket(name), b)
				if len(added)%grants != 0 {
					return fmt.Errorf("%d grants have made %d records in the bucket %s", grants, len(added), name)
				}
				for n := range len(added) / grants {
					u.buckets = append(u.buckets, records{bytes.Clone(name), added[n*grants : (n+1)*grants]})
				}
				if len(added) == 0 && len(replaced) > 0 {
					u.buckets = append(u.buckets, records{bytes.Clone(name), replaced})
				}
				return nil
			})
		})
	})
	if err == nil && len(u.buckets) == 0 {
		err = errors.New("the grants have put nothing")
	}
	return u, err
}

// compareBuckets returns the records of a bucket that it did not have before, and those that
// had another value.
func compareBuckets(was, is *bbolt.Bucket) (added, replaced [][2][]byte) {
	cursor := is.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		record := [2][]byte{bytes.Clone(key), bytes.Clone(value)}
		switch before := was.Get(key); {
		case before == nil:
			added = append(added, record)
		case !bytes.Equal(before, value):
			replaced = append(replaced, record)
		}
	}
	return added, replaced
}

// put makes one update. The same again would put nothing new.
func (u *updates) put(db *bbolt.DB, n int) error {
	if n >= len(u.order) {
		return errExhausted
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, r := range u.buckets {
			pair := r.pairs[u.order[n]%len(r.pairs)]
			if err := tx.Bucket(r.bucket).Put(pair[0], pair[1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// openBare opens a file with the freelist that the store has, and without its checks.
func openBare(file string) (*bbolt.DB, error) {
	return bbolt.Open(file, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistArrayType, InitialMmapSize: 1 << 30, NoStatistics: true})
}
