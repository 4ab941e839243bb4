package main

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// TestUpdatesAreWhatGrantsPut makes three grants by hand: each a record of its own in one
// bucket and two in another, and all of them the same one in a third.
func TestUpdatesAreWhatGrantsPut(t *testing.T) {
	dir := t.TempDir()
	fill := func(name string, grants int) string {
		file := filepath.Join(dir, name)
		db, err := openBare(file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = db.Update(func(tx *bbolt.Tx) error {
			for _, bucket := range []string{"one", "two", "same", "still"} {
				b, err := tx.CreateBucket([]byte(bucket))
				if err != nil {
					return err
				}
				if err := b.Put([]byte("key"), []byte{0}); err != nil {
					return err
				}
			}
			for n := range byte(grants) {
				for bucket, key := range map[string][]byte{"one": {n}, "two": {n, 1}, "same": []byte("key")} {
					if err := tx.Bucket([]byte(bucket)).Put(key, []byte{n + 1}); err != nil {
						return err
					}
				}
				if err := tx.Bucket([]byte("two")).Put([]byte{n, 2}, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	before, after := fill("before", 0), fill("after", 3)
	u, err := newUpdates(before, after, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(u.buckets) != 4 {
		t.Errorf("an update has %d records, want 4", len(u.buckets))
	}
	db, err := openBare(before)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := u.put(db, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := newUpdates(before, after, 3); err == nil {
		t.Errorf("after the updates %d buckets are different", len(left.buckets))
	}
	if _, err := newUpdates(fill("empty", 0), after, 2); err == nil {
		t.Error("no error for another number of grants")
	}
}
