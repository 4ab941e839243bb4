package bolt

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// format1 returns a file that a version with format 1 has made: a catalog, and tenants a
// and b, each with 13 changes of assignments and toggles, and five assignments, of which two end.
func format1(t *testing.T) string {
	t.Helper()
	return unpacked(t, "format1.db.gz")
}

// unpacked returns a file of testdata, unpacked.
func unpacked(t *testing.T, name string) string {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacking, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unpacking)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "usher.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// historyOf returns the records of a tenant, after verifying its chain.
func historyOf(t *testing.T, s *Store, tenant store.TenantID, h store.Range) (records []store.ChangeRecord) {
	t.Helper()
	err := s.View(ctx, func(r store.Reader) error {
		if err := verify(r, tenant); err != nil {
			return err
		}
		for record, err := range r.History(tenant, h) {
			if err != nil {
				return err
			}
			records = append(records, record)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestUpgrade opens files of format 1, in transactions of all sizes.
func TestUpgrade(t *testing.T) {
	for step := 1; step < 40; step += 1 + step/4 {
		path := format1(t)
		s := open(t, path, Options{upgradeStep: step})
		checkUpgraded(t, s)
		if n := commits(t, s); n < 40/step {
			t.Errorf("step %d: the upgrade took until transaction %d", step, n)
		}
		want, errs := dump(s)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		s.Close()
		before, _ := os.ReadFile(path)
		s = open(t, path, Options{})
		if got, _ := dump(s); !reflect.DeepEqual(got, want) {
			t.Errorf("step %d: opened again, it says something else", step)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("step %d: opened again, it is upgraded again", step)
		}
		// What is new goes on where the old ended.
		commit(t, s, "a", until(set(1, "user:new", "agent", ""), time.Now()), remove(1, "user:3", "agent", "queue:1"))
		if n := len(historyOf(t, s, 1, store.Range{Object: "user:3"})); n != 2 {
			t.Errorf("step %d: user:3 has %d changes", step, n)
		}
		s.Close()
	}
}

// checkUpgraded compares what is listed with what there was.
func checkUpgraded(t *testing.T, s *Store) {
	t.Helper()
	if n := s.Revision().Number; n != 15 {
		t.Errorf("revision %d", n)
	}
	var ends []string
	for id := store.TenantID(1); id <= 2; id++ {
		records := historyOf(t, s, id, store.Range{})
		if len(records) != 13 {
			t.Errorf("tenant %d has %d records", id, len(records))
		}
		for i, r := range records {
			if want := noon().Add(time.Duration(r.Revision.Number) * time.Minute); !r.Time.Equal(want) {
				t.Errorf("record %d of tenant %d has the time %v, want %v", i, id, r.Time, want)
			}
		}
		for _, object := range []store.Object{"user:boss", "user:0", "user:1", "user:2", "user:3", "x"} {
			listed := historyOf(t, s, id, store.Range{Object: object})
			there := slices.DeleteFunc(slices.Clone(records), func(r store.ChangeRecord) bool {
				switch c := r.Change.(type) {
				case store.SetAssignment:
					return object != store.SubjectObject(c.Assignment.Subject)
				case store.RemoveAssignment:
					return object != store.SubjectObject(c.Key.Subject)
				case store.SetToggle:
					return object != store.ToggleObject(c.Toggle)
				}
				return true
			})
			if !reflect.DeepEqual(listed, there) {
				t.Errorf("tenant %d has the changes %+v of %s, want %+v", id, listed, object, there)
			}
		}
	}
	err := s.View(ctx, func(r store.Reader) error {
		for e, err := range r.EndedBefore(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)) {
			if err != nil {
				return err
			}
			ends = append(ends, fmt.Sprint(e.Tenant.Name, " ", e.Subject, " ", e.End.Year()))
		}
		return nil
	})
	if want := "[a user:2 2033 b user:2 2033 a user:3 2034 b user:3 2034]"; err != nil || fmt.Sprint(ends) != want {
		t.Errorf("ends are %v, %v; want %s", ends, err, want)
	}
}

// TestUpgradeStops has an upgrade come to a damaged record when much of it has been done. The
// file keeps its format; when it is mended it is upgraded from the start.
func TestUpgradeStops(t *testing.T) {
	for _, b := range []bucket{bucketChanges, bucketAssignments, bucketHeads} {
		path := format1(t)
		var key, good []byte
		edit(t, path, func(tx *bbolt.Tx) error {
			c := tx.Bucket(b.name()).Cursor()
			c.Last()
			k, v := c.Prev() // the last record is no record
			key, good = bytes.Clone(k), bytes.Clone(v)
			bad := bytes.Clone(v)
			bad[len(bad)/2] ^= 1
			return tx.Bucket(b.name()).Put(key, bad)
		})
		if _, err := Open(path, Options{upgradeStep: 3}); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: error is %v", b.name(), err)
		}
		edit(t, path, func(tx *bbolt.Tx) error {
			if got, want := tx.Bucket(bucketMeta.name()).Get(metaFormat), seal(bucketMeta, metaFormat, encodeNumber(1)); !bytes.Equal(got, want) {
				t.Errorf("%s: the file has format %x", b.name(), got)
			}
			// Something that the version with format 1 has removed meanwhile.
			stale := timeKey(5, assignmentKey(1, store.AssignmentKey{Subject: "user:stale", Role: "agent"}))
			return errors.Join(tx.Bucket(b.name()).Put(key, good), put(tx.Bucket(bucketEnds.name()), bucketEnds, stale, []byte("a")))
		})
		checkUpgraded(t, open(t, path, Options{}))
	}
	path := format1(t)
	for range 2 { // all that the last write has changed
		edit(t, path, func(tx *bbolt.Tx) error {
			c := tx.Bucket(bucketChanges.name()).Cursor()
			c.Last()
			newest, _ := c.Prev()
			return tx.Bucket(bucketChanges.name()).Delete(bytes.Clone(newest))
		})
	}
	if _, err := Open(path, Options{}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("without the newest change: error is %v", err)
	}
}

// TestUpgradeFrom2 opens a file that a version with format 2 has made: catalogs, and tenants a and
// b, each with hundreds of changes. It says what it says once the new buckets are taken out again.
func TestUpgradeFrom2(t *testing.T) {
	path := unpacked(t, "format2.db.gz")
	s := open(t, path, Options{})
	want, errs := dump(s)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for id := store.TenantID(1); id <= 2; id++ {
		if n := len(historyOf(t, s, id, store.Range{})); n < 100 {
			t.Errorf("tenant %d has %d changes", id, n)
		}
	}
	s.Close()
	edit(t, path, func(tx *bbolt.Tx) error {
		for b := bucketsOfFormat2; b < bucketCount; b++ {
			if err := tx.DeleteBucket(b.name()); err != nil {
				return err
			}
		}
		return put(tx.Bucket(bucketMeta.name()), bucketMeta, metaFormat, encodeNumber(2))
	})
	s = open(t, path, Options{})
	if got, errs := dump(s); !reflect.DeepEqual(got, want) {
		t.Errorf("upgraded, it says something else: %v", errors.Join(errs...))
	}
	commit(t, s, "", store.TakeImport{ID: "i", Piece: []byte("piece")})
	s.Close()
	s = open(t, path, Options{})
	err := s.View(ctx, func(r store.Reader) error {
		_, err := r.ImportPiece("i", 0)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFormat3 opens a file that a version with format 3 has made, with records of every kind. It
// stays as it is, and says what it always has.
func TestFormat3(t *testing.T) {
	path := unpacked(t, "format3.db.gz")
	before, _ := os.ReadFile(path)
	if report := checked(t, path); len(report.Findings) > 0 || report.Format != 3 {
		t.Errorf("it is %+v", report)
	}
	s := open(t, path, Options{})
	sum := sha256.New()
	err := s.View(ctx, func(r store.Reader) error {
		for id := range store.TenantID(5) {
			chain, err := r.Chain(id)
			if err != nil {
				return err
			}
			fmt.Fprintf(sum, "%x %d\n", chain.Head.Hash, chain.Head.Length)
			for a, err := range r.Assignments(id, store.AssignmentKey{}) {
				if err != nil {
					return err
				}
				fmt.Fprintf(sum, "%s %s %s %v %v\n", a.Subject, a.Role, a.Scope, a.Start, a.End)
			}
			toggles, err := r.Toggles(id)
			if err != nil {
				return err
			}
			fmt.Fprintln(sum, toggles)
		}
		piece, err := r.ImportPiece("i", 1)
		if err == nil && string(piece) != "two" {
			err = fmt.Errorf("a piece is %q", piece)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != "6039c332682d02157d5ba41765cd961c795c022bde07dc25c8ea54900006ccc1" {
		t.Errorf("the SHA-256 of what it says is %s", got)
	}
	s.Close()
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("it was changed")
	}
}
