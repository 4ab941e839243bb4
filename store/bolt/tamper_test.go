package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// tampered is a chain in the hands of somebody who knows the format and mends checksums.
type tampered struct {
	tx      *bbolt.Tx
	tenant  store.TenantID
	keys    [][]byte
	records []*storev1.ChangeRecord
}

func tamper(tx *bbolt.Tx, tenant store.TenantID) (*tampered, error) {
	x := &tampered{tx: tx, tenant: tenant}
	err := tx.Bucket(bucketChanges.name()).ForEach(func(k, v []byte) error {
		if len(k) != 8+positionSize || tenantOf(k) != tenant {
			return nil
		}
		record := new(storev1.ChangeRecord)
		x.keys, x.records = append(x.keys, bytes.Clone(k)), append(x.records, record)
		return proto.Unmarshal(bytes.Clone(v[:len(v)-4]), record)
	})
	return x, err
}

// edit changes what a record says.
func (x *tampered) edit(i int, change func(*storev1.Change)) error {
	var c storev1.Change
	err := proto.Unmarshal(x.records[i].GetChained(), &c)
	change(&c)
	chained, wrong := encode(&c)
	x.records[i].Chained = chained
	return errors.Join(err, wrong, x.write(x.keys[i], x.records[i]))
}

func (x *tampered) write(key []byte, record *storev1.ChangeRecord) error {
	value, err := encode(record)
	return errors.Join(err, put(x.tx.Bucket(bucketChanges.name()), bucketChanges, key, value))
}

func (x *tampered) remove(i int) error {
	return x.tx.Bucket(bucketChanges.name()).Delete(x.keys[i])
}

// move writes a record to the place of another, and has it say so.
func (x *tampered) move(record *storev1.ChangeRecord, key []byte) error {
	var c storev1.Change
	err := proto.Unmarshal(record.GetChained(), &c)
	at, _ := splitPosition(key)
	c.Revision, c.Position = at.Revision, at.Index
	chained, wrong := encode(&c)
	return errors.Join(err, wrong, x.write(key, &storev1.ChangeRecord{Chained: chained, Personal: record.GetPersonal()}))
}

func (x *tampered) editHead(change func(*storev1.Head)) error {
	b := x.tx.Bucket(bucketHeads.name())
	key := tenantKey(x.tenant)
	stored := b.Get(key)
	head, err := decodeHead(bytes.Clone(stored[:len(stored)-4]))
	if err != nil {
		return err
	}
	change(head)
	value, err := encode(head)
	return errors.Join(err, put(b, bucketHeads, key, value))
}

// mend makes the records after one follow each other again, as far as they say so.
func (x *tampered) mend(hash []byte) ([]byte, error) {
	for i := range x.records {
		if i > 0 {
			if err := x.edit(i, func(c *storev1.Change) { c.Follows = hash[:followsSize] }); err != nil {
				return nil, err
			}
		}
		hash = chainHash(hash, x.records[i].GetChained())
	}
	return hash, nil
}

// TestTampered changes chains in every way, with right checksums. Whoever follows the chain
// finds it, in one go or step by step, and mostly where it is.
func TestTampered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{Now: noon})
	for i, name := range []string{"a", "b"} {
		id := store.TenantID(i + 1)
		commit(t, s, name, store.CreateTenant{Name: name}, set(0, "user:ann", "agent", ""))
		commit(t, s, name, set(id, "user:bob", "agent", ""), store.SetToggle{Tenant: id, Toggle: "x", On: true}, remove(id, "user:ann", "agent", ""))
		commit(t, s, name, store.SetPrimary{Tenant: id, Subject: "user:bob"}, set(id, "user:ann", "admin", ""))
		commit(t, s, name, store.SetToggle{Tenant: id, Toggle: "x"})
	}
	shrink(t, s)
	const last = 7 // of the records 0 to 7
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rename := func(c *storev1.Change) { c.Caller = "nobody" }
	type attempt struct {
		what   string
		right  int // how many records Follow says are right
		change func(x, other *tampered) error
	}
	attempts := []attempt{
		{"a record behind the head, which it fits", last + 1, func(x, _ *tampered) error {
			hash, err := x.mend(chainStart)
			x.keys[3] = changeKey(1, nth(99, 0))
			wrong := x.edit(3, func(c *storev1.Change) {
				c.Revision, c.Position, c.Follows = nth(99, 0).Revision, 0, hash[:followsSize]
			})
			return errors.Join(err, wrong)
		}},
		{"a record between two", 4, func(x, _ *tampered) error {
			return x.move(x.records[3], changeKey(1, nth(2, 3)))
		}},
		{"two records in each other's place", 2, func(x, _ *tampered) error {
			return errors.Join(x.write(x.keys[2], x.records[3]), x.write(x.keys[3], x.records[2]))
		}},
		{"two records in each other's place, which they name", 1, func(x, _ *tampered) error {
			return errors.Join(x.move(x.records[2], x.keys[3]), x.move(x.records[3], x.keys[2]))
		}},
		{"a record of another tenant", 3, func(x, other *tampered) error { return x.move(other.records[4], x.keys[4]) }},
		{"all records of another tenant", 0, func(x, other *tampered) error {
			var errs []error
			for i := range x.keys {
				errs = append(errs, x.move(other.records[i], x.keys[i]))
			}
			return errors.Join(errs...)
		}},
		{"a cut tail, which the head knows of", 5, func(x, _ *tampered) error {
			at, _ := splitPosition(x.keys[5])
			return errors.Join(x.remove(6), x.remove(7), x.editHead(func(h *storev1.Head) {
				h.Revision, h.Position, h.ChainLength = at.Revision, at.Index, 6
			}))
		}},
		{"the first records gone, and said to be trimmed", 2, func(x, _ *tampered) error {
			at, _ := splitPosition(x.keys[1])
			return errors.Join(x.remove(0), x.remove(1), x.editHead(func(h *storev1.Head) {
				h.Trimmed = &storev1.Anchor{Revision: at.Revision, Position: at.Index, ChainHash: chainStart, ChainLength: 2}
			}))
		}},
		{"no head", 0, func(x, _ *tampered) error { return x.tx.Bucket(bucketHeads.name()).Delete(tenantKey(1)) }},
		{"another head", 7, func(x, _ *tampered) error {
			return x.editHead(func(h *storev1.Head) { h.ChainHash = chainHash(h.GetChainHash(), nil) })
		}},
		{"another length", 8, func(x, _ *tampered) error {
			return x.editHead(func(h *storev1.Head) { h.ChainLength++ })
		}},
		{"an edit, and all later records fit it", 7, func(x, _ *tampered) error {
			err := x.edit(2, rename)
			_, wrong := x.mend(chainStart)
			return errors.Join(err, wrong)
		}},
		{"a change that isn't listed", 2, func(x, _ *tampered) error {
			return x.tx.Bucket(bucketChangesByObject.name()).Delete(objectKey(1, "user:bob", nth(2, 0)))
		}},
		{"another catalog", 0, func(x, _ *tampered) error {
			return x.edit(0, func(c *storev1.Change) { c.GetTenant().Catalog = "mine" })
		}},
	}
	for i := range last + 1 {
		attempts = append(attempts,
			attempt{fmt.Sprint("an edit of record ", i), i, func(x, _ *tampered) error { return x.edit(i, rename) }},
			// The one behind it may as well be one that was added.
			attempt{fmt.Sprint("no record ", i), []int{0, 0, 1, 2, 3, 4, 5, 7}[i], func(x, _ *tampered) error { return x.remove(i) }},
			attempt{fmt.Sprint("none from record ", i, " on"), i, func(x, _ *tampered) (err error) {
				for n := i; n <= last; n++ {
					err = errors.Join(err, x.remove(n))
				}
				return err
			}},
			attempt{fmt.Sprint("another salt in record ", i), i, func(x, _ *tampered) error {
				x.records[i].Personal[0].Salt[5] ^= 1
				return x.write(x.keys[i], x.records[i])
			}},
		)
	}
	for _, a := range attempts {
		replace(t, path, good)
		edit(t, path, func(tx *bbolt.Tx) error {
			x, err := tamper(tx, 1)
			other, wrong := tamper(tx, 2)
			if len(x.records) != last+1 || len(other.records) != last+1 {
				t.Fatalf("the chains have %d and %d records", len(x.records), len(other.records))
			}
			return errors.Join(err, wrong, a.change(x, other))
		})
		s := open(t, path, Options{})
		for _, step := range []int{1, 3, 1000} {
			at, err := followAll(s, 1, step)
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("%s, in steps of %d: error is %v", a.what, step, err)
			}
			if at.Length != uint64(a.right) {
				t.Errorf("%s, in steps of %d: %d records are said to be right, want %d", a.what, step, at.Length, a.right)
			}
			if _, err := followAll(s, 2, step); err != nil {
				t.Errorf("%s: the other tenant: %v", a.what, err)
			}
		}
		s.Close()
	}
}

// followAll follows a chain step by step.
func followAll(s *Store, tenant store.TenantID, step int) (at store.Link, err error) {
	chain, err := chainIn(s, tenant)
	if err != nil {
		return at, err
	}
	for at = chain.Trimmed; ; {
		before := at
		err := s.View(ctx, func(r store.Reader) (err error) {
			at, err = r.Follow(tenant, at, step)
			return err
		})
		if err != nil || at == before {
			return at, err
		}
	}
}

func chainIn(s *Store, tenant store.TenantID) (chain store.Chain, err error) {
	err = s.View(ctx, func(r store.Reader) error {
		chain, err = r.Chain(tenant)
		return err
	})
	return chain, err
}

// TestRewritten has somebody rewrite a chain from an edit on to its head. Only a head that
// was kept elsewhere shows it.
func TestRewritten(t *testing.T) {
	path := small(t)
	s := open(t, path, Options{})
	kept, err := chainIn(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	edit(t, path, func(tx *bbolt.Tx) error {
		x, err := tamper(tx, 1)
		if err != nil {
			return err
		}
		if err := x.edit(1, func(c *storev1.Change) { c.Caller = "nobody" }); err != nil {
			return err
		}
		hash, err := x.mend(chainStart)
		return errors.Join(err, x.editHead(func(h *storev1.Head) { h.ChainHash = hash }))
	})
	s = open(t, path, Options{})
	if at, err := followAll(s, 1, 1000); err != nil || at.Length != kept.Head.Length || at == kept.Head {
		t.Errorf("the rewritten chain: %+v, %v", at, err)
	}
	err = s.View(ctx, func(r store.Reader) error {
		_, err := r.Follow(1, kept.Head, 1)
		return err
	})
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("from the head that was kept: %v", err)
	}
}

// TestListedElsewhere has entries lead to changes of other objects, or nowhere.
func TestListedElsewhere(t *testing.T) {
	path := small(t)
	edit(t, path, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketChangesByObject.name())
		return errors.Join(put(b, bucketChangesByObject, objectKey(1, "user:x", nth(2, 1)), nil),
			put(b, bucketChangesByObject, objectKey(1, "user:y", nth(99, 1)), nil))
	})
	s := open(t, path, Options{})
	for _, object := range []store.Object{"user:x", "user:y"} {
		err := s.View(ctx, func(r store.Reader) error {
			_, err := list(r.History(1, store.Range{Object: object}))
			return err
		})
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("changes of %s: error is %v", object, err)
		}
	}
}

// TestErasedIsGone erases somebody, and looks for the id in the file.
func TestErasedIsGone(t *testing.T) {
	const name = "user:someone.in.particular@example.com"
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{})
	commit(t, s, "t", store.CreateTenant{Name: "t"}, set(0, "user:boss", "admin", ""), store.SetPrimary{Subject: name})
	for n := range 30 {
		commit(t, s, "t", until(set(1, name, "agent", fmt.Sprint("queue:", n)), noon().AddDate(1, 0, n)), set(1, "user:other", "agent", fmt.Sprint("queue:", n)))
		for i, by := range []store.By{{Subject: name}, {Subject: "user:other", Groups: []string{"group:a", name}}} {
			_, err := s.Commit(ctx, store.Write{Tenant: "t", By: by, Justification: "asked for by " + name, RequestID: fmt.Sprint(n, i), Plan: plan(
				store.SetToggle{Tenant: 1, Toggle: "x", On: i == 0})})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	commit(t, s, "t", store.SetPrimary{Tenant: 1})
	for n := range 30 {
		commit(t, s, "t", remove(1, name, "agent", fmt.Sprint("queue:", n)))
	}
	find := func() int { return bytes.Count(compacted(t, s), []byte(name)) }
	if n := find(); n < 100 {
		t.Fatalf("before erasing the id is found %d times", n)
	}
	before, err := chainIn(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	var places []store.Position
	for _, r := range historyOf(t, s, 1, store.Range{}) {
		places = append(places, store.Position{Revision: r.Revision.Number, Index: r.Index})
	}
	for chunk := range slices.Chunk(places, 50) {
		if _, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: plan(store.EraseSubject{Tenant: 1, Subject: name, Records: chunk})}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Commit(ctx, store.Write{Tenant: "t", Plan: plan(store.EraseSubject{Tenant: 1, Subject: name, Last: true, Count: 122})}); err != nil {
		t.Fatal(err)
	}
	if n := find(); n != 0 {
		t.Errorf("after erasing the id is found %d times", n)
	}
	if n := len(historyOf(t, s, 1, store.Range{})); n != len(places)+1 {
		t.Errorf("there are %d records, and were %d", n, len(places))
	}
	err = s.View(ctx, func(r store.Reader) error {
		_, err := r.Follow(1, before.Head, 1)
		return err
	})
	if err != nil {
		t.Errorf("from the head before: %v", err)
	}
}

// compacted returns the content of a store without what is free in its file.
func compacted(t *testing.T, s *Store) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "compacted.db")
	to, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(bbolt.Compact(to, s.file.DB, 0), to.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
