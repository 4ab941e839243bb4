package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// small makes a file with one record or two of each kind.
func small(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{Now: noon})
	commit(t, s, "", store.PutCatalog{Ref: store.CatalogRef{Name: "helpdesk", Version: 1}, YAML: []byte("roles:\n")})
	commit(t, s, "a", store.CreateTenant{Name: "a", Catalog: store.CatalogRef{Name: "helpdesk", Version: 1}},
		set(0, "user:000", "agent", "queue:1"), until(set(0, "user:004", "agent", "queue:1"), noon().AddDate(1, 0, 0)))
	commit(t, s, "a", store.SetToggle{Tenant: 1, Toggle: "x", On: true}, store.SetToggle{Tenant: 1, Toggle: "y"})
	commit(t, s, "c", store.CreateTenant{Name: "c"})
	commit(t, s, "c", store.DeleteTenant{Tenant: 2})
	shrink(t, s)
	return path
}

// TestRottenValues changes each byte of each value in turn, and of each key, in a file
// whose pages are as they should be. Some answer is an error then, and none is wrong.
func TestRottenValues(t *testing.T) {
	path := small(t)
	s := open(t, path, Options{})
	truth, _ := dump(s)
	var keys, values [bucketCount][][]byte
	for b := range bucketCount {
		keys[b], values[b] = recordsOf(t, s, b)
	}
	s.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for b := range bucketCount {
		for i, key := range keys[b] {
			value := values[b][i]
			for n := 0; n < len(key)+len(value); n += 1 + n/8 {
				what := fmt.Sprintf("bucket %s, key %q, byte %d", b.name(), key, n)
				replace(t, path, good)
				edit(t, path, func(tx *bbolt.Tx) error {
					k, v := bytes.Clone(key), bytes.Clone(value)
					if n < len(k) {
						k[n] ^= 0x10
					} else {
						v[n-len(k)] ^= 0x10
					}
					to := tx.Bucket(b.name())
					return errors.Join(to.Delete(key), to.Put(k, v))
				})
				refused, wrong := damagedAnswers(t, what, path, truth)
				// Nothing that is asked for needs a record that only marks an end, or one
				// that only a write reads.
				silent := bytes.Equal(key, firstKey) || bytes.Equal(key, lastKey) || bytes.Equal(key, metaNextTenant)
				if wrong != "" || refused == 0 && !silent {
					t.Errorf("%s: %d answers are errors %s", what, refused, wrong)
				}
			}
		}
	}
}

// damagedAnswers counts the answers that are errors, and returns one that is wrong. Not
// to be opened counts as well.
func damagedAnswers(t *testing.T, what, path string, truth []string) (refused int, wrong string) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		if !rotten(err) {
			t.Errorf("%s: Open: %v", what, err)
		}
		return 1, ""
	}
	defer s.Close()
	_, refused, wrong = compare(s, truth)
	return refused, wrong
}

// TestRottenNumber damages what only a write reads.
func TestRottenNumber(t *testing.T) {
	path := small(t)
	edit(t, path, func(tx *bbolt.Tx) error {
		value := bytes.Clone(tx.Bucket(bucketMeta.name()).Get(metaNextTenant))
		value[7] ^= 3
		return tx.Bucket(bucketMeta.name()).Put(metaNextTenant, value)
	})
	s := open(t, path, Options{})
	if _, err := s.Commit(ctx, store.Write{Tenant: "b", Plan: plan(store.CreateTenant{Name: "b"})}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
	commit(t, s, "a", set(1, "user:008", "agent", "")) // which needs no new number
}

// TestRottenRequestIDs damages what is remembered of request ids. Nothing is written twice then.
func TestRottenRequestIDs(t *testing.T) {
	path := small(t)
	s := open(t, path, Options{Now: noon})
	w := store.Write{Tenant: "a", RequestID: "1", Plan: plan(store.SetToggle{Tenant: 1, Toggle: "z", On: true})}
	if _, err := s.Commit(ctx, w); err != nil {
		t.Fatal(err)
	}
	shrink(t, s)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for b, key := range map[bucket][]byte{
		bucketRequests:       textKey(1, "", "1"),
		bucketRequestsByTime: timeKey(noon().UnixNano(), textKey(1, "", "1")),
	} {
		replace(t, path, good)
		edit(t, path, func(tx *bbolt.Tx) error {
			value := bytes.Clone(tx.Bucket(b.name()).Get(key))
			value[0] ^= 1
			return tx.Bucket(b.name()).Put(key, value)
		})
		s := open(t, path, Options{Now: noon})
		w.RequestID = "1"
		if b == bucketRequestsByTime { // which only a new id needs
			w.RequestID = "2"
		}
		if _, err := s.Commit(ctx, w); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: error is %v", b.name(), err)
		}
		commit(t, s, "a", set(1, "user:008", "agent", ""))
		s.Close()
	}
}

// TestMisplaced puts records whose checksums are right to where they don't belong, and
// takes some away.
func TestMisplaced(t *testing.T) {
	path := small(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := store.AssignmentKey{Subject: "user:000", Role: "agent", Scope: "queue:1"}, store.AssignmentKey{Subject: "user:004", Role: "agent", Scope: "queue:1"}
	swap := func(b bucket, one, two []byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			to := tx.Bucket(b.name())
			x, y := bytes.Clone(to.Get(one)), bytes.Clone(to.Get(two))
			if x == nil || y == nil {
				return fmt.Errorf("no record to swap")
			}
			return errors.Join(to.Put(one, y), to.Put(two, x))
		}
	}
	take := func(b bucket, key []byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			if tx.Bucket(b.name()).Get(key) == nil {
				return fmt.Errorf("no record to take away")
			}
			return tx.Bucket(b.name()).Delete(key)
		}
	}
	for what, change := range map[string]func(*bbolt.Tx) error{
		"two assignments under each other's key": swap(bucketAssignments, assignmentKey(1, ann), assignmentKey(1, bob)),
		"two toggles under each other's key":     swap(bucketToggles, textKey(1, "x"), textKey(1, "y")),
		"two changes under each other's key":     swap(bucketChanges, changeKey(1, nth(2, 1)), changeKey(1, nth(2, 2))),
		"a value of another bucket": func(tx *bbolt.Tx) error {
			key := tenantKey(1)
			return tx.Bucket(bucketToggles.name()).Put(key, seal(bucketHeads, key, nil))
		},
		"an index entry without an assignment": take(bucketAssignments, assignmentKey(1, ann)),
		"no first change":                      take(bucketChanges, changeKey(1, nth(2, 0))),
		"no change in the middle":              take(bucketChanges, changeKey(1, nth(2, 2))),
		"no last change":                       take(bucketChanges, changeKey(1, nth(3, 1))),
		"no catalog":                           take(bucketCatalogs, catalogKey(store.CatalogRef{Name: "helpdesk", Version: 1})),
		"no head":                              take(bucketHeads, tenantKey(1)),
		"no first record":                      take(bucketToggles, firstKey),
		"no last record":                       take(bucketAssignments, lastKey),
		"no epoch":                             take(bucketMeta, metaEpoch),
		"no bucket":                            func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketByRole.name()) },
		"not the bucket that describes it":     func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketMeta.name()) },
		"an empty bucket": func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("empty"))
			return errors.Join(tx.DeleteBucket(bucketToggles.name()), err)
		},
	} {
		replace(t, path, good)
		edit(t, path, change)
		// What was taken away with its checksum is missing; but not without a trace.
		refused := 0
		if s, err := Open(path, Options{}); err == nil {
			_, errs := dump(s)
			for _, err := range errs {
				if rotten(err) {
					refused++
				}
			}
			s.Close()
		} else if refused = 1; !rotten(err) {
			t.Errorf("%s: Open: %v", what, err)
		}
		if refused == 0 {
			t.Errorf("%s: no answer is an error", what)
		}
	}
}

// TestChain edits change records, with right checksums, as somebody would who wants to
// hide something.
func TestChain(t *testing.T) {
	path := small(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key := changeKey(1, nth(2, 1))
	rewrite := func(change func(*storev1.ChangeRecord, *storev1.Change)) ([]store.ChangeRecord, error) {
		replace(t, path, good)
		edit(t, path, func(tx *bbolt.Tx) error {
			to := tx.Bucket(bucketChanges.name())
			sealed := to.Get(key)
			var record storev1.ChangeRecord
			var c storev1.Change
			if err := errors.Join(proto.Unmarshal(sealed[:len(sealed)-4], &record), proto.Unmarshal(record.GetChained(), &c)); err != nil {
				return err
			}
			before := record.GetChained()
			change(&record, &c)
			if bytes.Equal(before, record.GetChained()) {
				var err error
				if record.Chained, err = encode(&c); err != nil {
					return err
				}
			}
			value, err := encode(&record)
			if err != nil {
				return err
			}
			return to.Put(key, seal(bucketChanges, key, value))
		})
		s := open(t, path, Options{})
		defer s.Close()
		var records []store.ChangeRecord
		err := s.View(ctx, func(r store.Reader) error {
			if _, err := r.Follow(1, store.Link{}, 9); err != nil {
				return err
			}
			for record, err := range r.History(1, store.Range{}) {
				if err != nil {
					return err
				}
				records = append(records, record)
			}
			return nil
		})
		return records, err
	}
	records, err := rewrite(func(*storev1.ChangeRecord, *storev1.Change) {})
	if err != nil || len(records) != 5 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for what, change := range map[string]func(*storev1.ChangeRecord, *storev1.Change){
		"another caller":          func(_ *storev1.ChangeRecord, c *storev1.Change) { c.Caller = "me" },
		"another time":            func(_ *storev1.ChangeRecord, c *storev1.Change) { c.Time++ },
		"another interval":        func(_ *storev1.ChangeRecord, c *storev1.Change) { c.GetAssignment().GetAfter().ExpiresAt = 1 },
		"no commitments":          func(_ *storev1.ChangeRecord, c *storev1.Change) { c.Commitments = nil },
		"another revision":        func(_ *storev1.ChangeRecord, c *storev1.Change) { c.Revision = 3 },
		"another justification":   func(r *storev1.ChangeRecord, _ *storev1.Change) { r.Personal[2].Value = []byte("x") },
		"another subject":         func(r *storev1.ChangeRecord, _ *storev1.Change) { r.Personal[0].Value = []byte("user:x") },
		"the subject as an actor": func(r *storev1.ChangeRecord, _ *storev1.Change) { r.Personal[0].Field = r.Personal[1].Field },
		"a field twice":           func(r *storev1.ChangeRecord, _ *storev1.Change) { r.Personal = append(r.Personal, r.Personal[0]) },
		"another salt":            func(r *storev1.ChangeRecord, _ *storev1.Change) { r.Personal[1].Salt[3] ^= 1 },
		"nothing in it":           func(r *storev1.ChangeRecord, _ *storev1.Change) { r.Chained = []byte{} },
	} {
		if records, err := rewrite(change); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %d records, error %v", what, len(records), err)
		}
	}
	// A person can be erased, and all else stays.
	records, err = rewrite(func(r *storev1.ChangeRecord, _ *storev1.Change) { r.Personal = nil })
	if err != nil || len(records) != 5 {
		t.Fatalf("after erasing: %d records, %v", len(records), err)
	}
	got := records[1]
	if change, ok := got.Change.(store.SetAssignment); !ok || change.Assignment.Subject != "" || change.Assignment.Role != "agent" ||
		got.By.Subject != "" || got.Justification != "" {
		t.Errorf("the erased record is %+v", got)
	}
}

// TestMetaRots damages either meta page. bbolt would go back to the state before then.
func TestMetaRots(t *testing.T) {
	path := small(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{})
	truth, _ := dump(s)
	s.Close()
	pageSize := os.Getpagesize()
	for offset := pageHeaderSize; offset < pageHeaderSize+metaSize; offset += 3 {
		bad := [2][]byte{bytes.Clone(good), bytes.Clone(good)}
		bad[0][offset] ^= 4
		bad[1][pageSize+offset] ^= 4
		refused := 0
		for page := range bad {
			what := fmt.Sprintf("byte %d of meta page %d", offset, page)
			replace(t, path, bad[page])
			if _, err := Open(path, Options{}); !rotten(err) {
				t.Errorf("%s: Open: %v", what, err)
			}
			// The same under an open store: with the older page gone, nothing is missing.
			replace(t, path, good)
			s := open(t, path, Options{})
			if err := os.WriteFile(path, bad[page], 0o600); err != nil {
				t.Fatal(err)
			}
			_, n, wrong := compare(s, truth)
			if wrong != "" {
				t.Errorf("%s, while open: %s", what, wrong)
			}
			refused += n
			_, err := s.Commit(ctx, store.Write{Tenant: "a", Plan: plan(set(1, "user:new", "agent", ""))})
			if n > 0 && err == nil {
				t.Errorf("%s, while open: a write succeeds", what)
			}
			s.Close()
		}
		if refused == 0 {
			t.Errorf("byte %d of the newest meta page is not missed", offset)
		}
	}
}

// TestNoLastChange takes the newest change record away, and asks for the newest only.
func TestNoLastChange(t *testing.T) {
	path := small(t)
	edit(t, path, func(tx *bbolt.Tx) error {
		to := tx.Bucket(bucketChanges.name())
		return errors.Join(to.Delete(changeKey(1, nth(3, 0))), to.Delete(changeKey(1, nth(3, 1))))
	})
	s := open(t, path, Options{})
	for after := range uint64(5) {
		err := s.View(ctx, func(r store.Reader) error {
			h := store.Range{After: store.Position{Revision: nth(after, 0).Revision, Index: 9}, NewestFirst: after%2 == 0}
			for _, err := range r.History(1, h) {
				if err != nil || h.NewestFirst { // the first is to be the newest
					return err
				}
			}
			return nil
		})
		if want := after < 3; want != errors.Is(err, store.ErrCorrupt) || !want && err != nil {
			t.Errorf("changes after %d: error %v", after, err)
		}
	}
}
