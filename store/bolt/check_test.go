package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// checked checks a file that can be checked.
func checked(t testing.TB, path string) Report {
	t.Helper()
	report, err := Check(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// everything makes a file with records of every kind.
func everything(t testing.TB) string {
	t.Helper()
	path := sample(t, source(t))
	s := open(t, path, Options{Now: noon})
	commit(t, s, "a", until(set(1, "user:ends", "agent", ""), noon().AddDate(0, 1, 0)), store.SetPrimary{Tenant: 1, Subject: "user:boss"})
	for i := range 3 {
		_, err := s.Commit(ctx, store.Write{Tenant: "a", RequestID: fmt.Sprint("r", i), By: store.By{Subject: "user:boss"}, Justification: "because",
			Plan: plan(store.SetToggle{Tenant: 1, Toggle: "y", On: i%2 == 0})})
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(t, s, "", store.TakeImport{ID: "i", Piece: []byte("one")})
	commit(t, s, "", store.TakeImport{ID: "i", After: 3, Piece: []byte("two")})
	commit(t, s, "", store.FillImport{ID: "i", Tenant: store.Tenant{Name: "filled", CreatedAt: noon()}, Filled: 1, Toggles: map[string]bool{"z": true},
		Assignments: []store.Assignment{{AssignmentKey: store.AssignmentKey{Subject: "user:f", Role: "agent"}, Interval: store.Interval{End: noon().AddDate(0, 2, 0)}}}})
	commit(t, s, "gone", store.CreateTenant{Name: "gone"}, set(0, "user:g", "agent", ""))
	commit(t, s, "gone", store.DeleteTenant{Tenant: 4})
	var link store.Link
	err := s.View(ctx, func(r store.Reader) (err error) {
		link, err = r.Follow(2, store.Link{}, 20)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, "b", store.TrimChanges{Tenant: 2, UpTo: link, Most: 20})
	shrink(t, s)
	return path
}

func TestCheckFindsNothingInWholeFiles(t *testing.T) {
	path := everything(t)
	report := checked(t, path)
	if len(report.Findings) > 0 {
		t.Fatalf("it finds %+v", report.Findings)
	}
	s := open(t, path, Options{})
	size := fileSize(t, path)
	if report.Format != formatVersion || report.Revision != s.Revision() || report.Bytes != size ||
		report.FreeBytes <= 0 || report.Tenants != 3 || report.Assignments < 100 || report.Changes < 100 || report.Records < report.Assignments*2 {
		t.Errorf("it says %+v", report)
	}
	if _, err := Check(ctx, path, nil); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("while it is in use: %v", err)
	}
	for _, path := range []string{small(t), format1(t), unpacked(t, "format2.db.gz")} {
		if report := checked(t, path); len(report.Findings) > 0 || report.Tenants == 0 || report.Revision.Epoch == "" {
			t.Errorf("of %s it says %+v", path, report)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Check(canceled, format1(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCheckFindsPlantedDamage plants one damage at a time that bbolt does not mind, with right
// checksums, and looks for what names it.
func TestCheckFindsPlantedDamage(t *testing.T) {
	path := everything(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ann := store.AssignmentKey{Subject: "user:ends", Role: "agent"}
	end := timeKey(noon().AddDate(0, 1, 0).UnixNano(), assignmentKey(1, ann))
	take := func(b bucket, key []byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			if tx.Bucket(b.name()).Get(key) == nil {
				return errors.New("no record to take away")
			}
			return tx.Bucket(b.name()).Delete(key)
		}
	}
	add := func(b bucket, key, value []byte) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return put(tx.Bucket(b.name()), b, key, value) }
	}
	// first does something with the first record of a bucket whose key begins with prefix.
	first := func(b bucket, prefix []byte, do func(to *bbolt.Bucket, key, value []byte) error) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error {
			to := tx.Bucket(b.name())
			key, value := to.Cursor().Seek(append(prefix, 0, 0))
			if key == nil || bytes.Equal(key, lastKey) {
				return errors.New("no record")
			}
			return do(to, bytes.Clone(key), bytes.Clone(value))
		}
	}
	remove := func(to *bbolt.Bucket, key, _ []byte) error { return to.Delete(key) }
	for what, test := range map[string]struct {
		plant func(*bbolt.Tx) error
		want  string // is a part of a finding
	}{
		"a flipped bit": {first(bucketAssignments, tenantKey(1), func(to *bbolt.Bucket, key, value []byte) error {
			value[0] ^= 1
			return to.Put(key, value)
		}), "it does not have its checksum"},
		"an assignment that can't be read":    {add(bucketAssignments, textKey(1, "user:x", "agent", ""), []byte{0xFF}), "can't be read"},
		"an assignment's key":                 {add(bucketAssignments, textKey(1, "user:x"), nil), "the key of an assignment can't be read"},
		"an assignment of nobody":             {add(bucketAssignments, textKey(77, "user:x", "agent", ""), nil), "there is no tenant 77"},
		"no assignment":                       {take(bucketAssignments, assignmentKey(1, ann)), "an index entry has no assignment"},
		"not listed under the role":           {take(bucketByRole, byRoleKey(1, ann)), "the assignment is not listed under its role"},
		"listed under another role, too":      {add(bucketByRole, byRoleKey(1, store.AssignmentKey{Subject: "user:x", Role: "boss"}), nil), "an index entry has no assignment"},
		"no end":                              {take(bucketEnds, end), "the end of the assignment is not listed"},
		"the end of another tenant":           {add(bucketEnds, end, []byte("b")), `is listed for the tenant "b"`},
		"one end more":                        {add(bucketEnds, timeKey(5, assignmentKey(1, ann)), []byte("a")), "is listed and is not its end"},
		"the end of nothing":                  {add(bucketEnds, timeKey(5, assignmentKey(1, store.AssignmentKey{Subject: "user:no", Role: "agent"})), []byte("a")), "an end is listed of an assignment that is not there"},
		"a toggle of nobody":                  {add(bucketToggles, textKey(77, "x"), nil), "there is no tenant 77"},
		"a toggle that can't be read":         {add(bucketToggles, textKey(1, "x"), []byte{0xFF}), "a toggle can't be read"},
		"a catalog's key":                     {add(bucketCatalogs, []byte("x"), nil), "the key of a catalog can't be read"},
		"no catalog":                          {take(bucketCatalogs, catalogKey(store.CatalogRef{Name: "helpdesk", Version: 2})), "is not the one that was written"},
		"a tenant that can't be read":         {add(bucketTenants, []byte("x"), []byte{0xFF}), "a tenant can't be read"},
		"a tenant twice":                      {add(bucketTenants, []byte("x"), []byte{8, 1}), "is also called"},
		"a tenant from the future":            {add(bucketTenants, []byte("x"), []byte{8, 100}), "the id 100 of a tenant has not been given yet"},
		"a deleted tenant":                    {first(bucketDeleted, nil, func(to *bbolt.Bucket, key, _ []byte) error { return put(to, bucketDeleted, key, nil) }), "a deleted tenant can't be read"},
		"no tenant":                           {take(bucketTenants, []byte("a")), "there is no tenant 1"},
		"no head":                             {take(bucketHeads, tenantKey(1)), "behind the one that was written last"},
		"a head that can't be read":           {add(bucketHeads, tenantKey(1), []byte{0xFF}), "the head of a tenant can't be read"},
		"no change":                           {first(bucketChanges, tenantKey(1), remove), "was edited, removed or added"},
		"a change in no chain":                {add(bucketChanges, changeKey(77, nth(1, 0)), nil), "is at the place of another"},
		"a change before those that are kept": {add(bucketChanges, changeKey(2, store.Position{Revision: 1}), nil), "change records that are in no chain"},
		"not listed under the object":         {first(bucketChangesByObject, tenantKey(1), remove), "is not listed under its object"},
		"listed under another object, too": {first(bucketChangesByObject, tenantKey(1), func(to *bbolt.Bucket, key, _ []byte) error {
			at, _ := splitPosition(key)
			return put(to, bucketChangesByObject, objectKey(1, "user:x", at), nil)
		}), "leads to the change of another"},
		"a request id that can't be read": {add(bucketRequests, textKey(1, "", "x"), []byte{0xFF}), "a request id can't be read"},
		"no request id":                   {take(bucketRequests, textKey(1, "", "r1")), "a request id is listed that is not there"},
		"not listed under the time":       {first(bucketRequestsByTime, nil, remove), "the request id is not listed under its time"},
		"no piece":                        {take(bucketImportPieces, importPieceKey("i", 1)), "of its 2 pieces, 1 are there"},
		"a piece of nothing":              {add(bucketImportPieces, importPieceKey("x", 1), nil), "a piece of an import that is not there"},
		"an import that can't be read":    {add(bucketImports, importKey("i"), []byte{0xFF}), "an import can't be read"},
		"no import":                       {take(bucketImports, importKey("i")), "a tenant of an import that is not there"},
		"a tenant of an import":           {first(bucketImportTenants, nil, func(to *bbolt.Bucket, key, _ []byte) error { return put(to, bucketImportTenants, key, nil) }), "a tenant of an import can't be read"},
		"no epoch":                        {take(bucketMeta, metaEpoch), "its epoch is missing"},
		"no next tenant":                  {take(bucketMeta, metaNextTenant), "its next_tenant is missing"},
		"no first record":                 {take(bucketToggles, firstKey), "the record at one of its ends is missing"},
		"no bucket":                       {func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketByRole.name()) }, "15 of 16 buckets"},
	} {
		replace(t, path, good)
		edit(t, path, test.plant)
		report := checked(t, path)
		if !strings.Contains(fmt.Sprint(report.Findings), test.want) {
			t.Errorf("%s: it finds %+v, want %q", what, report.Findings, test.want)
		}
	}
}

// TestCheckFindsDamagedPages writes over each page, makes pages lead to others, and flips bits
// anywhere: it ends, and always with a finding where a page is of use.
func TestCheckFindsDamagedPages(t *testing.T) {
	path := everything(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, free, err := readState(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	isFree := map[uint64]bool{}
	for _, id := range free {
		isFree[id] = true
	}
	expect := func(what string, bad []byte, page uint64) {
		replace(t, path, bad)
		report, err := Check(ctx, path, nil)
		if err == nil && len(report.Findings) == 0 && !isFree[page] || err != nil && !rotten(err) {
			t.Errorf("%s: it finds nothing, error %v", what, err)
		}
	}
	for id := uint64(2); id < m.high; id++ {
		at := int64(id) * m.pageSize
		bad := bytes.Clone(good)
		copy(bad[at:at+m.pageSize], bytes.Repeat([]byte{0xA5}, int(m.pageSize)))
		expect(fmt.Sprint("page ", id, " written over"), bad, id)
		for _, other := range []uint64{m.root, 2 + id%(m.high-2)} {
			if other != id {
				bad = bytes.Clone(good)
				copy(bad[at:at+m.pageSize], good[int64(other)*m.pageSize:])
				expect(fmt.Sprint("page ", other, " also as page ", id), bad, id)
			}
		}
		if native.Uint16(good[at+8:]) == flagBranch {
			for i := range int(native.Uint16(good[at+10:])) {
				for _, to := range []uint64{id, m.root, 0, m.high, 1 << 60} { // back to itself, and to where there is no page
					bad = bytes.Clone(good)
					native.PutUint64(bad[at+pageHeaderSize+int64(i)*elementSize+8:], to)
					expect(fmt.Sprint("element ", i, " of page ", id, " leads to ", to), bad, id)
				}
			}
		}
	}
	r := source(t)
	for range 300 {
		bad := bytes.Clone(good)
		at := somewhere(r, bad)
		bad[at] ^= 1 << r.IntN(8)
		replace(t, path, bad)
		if _, err := Check(ctx, path, nil); err != nil && !errors.Is(err, store.ErrForeign) && !errors.Is(err, store.ErrNewerFormat) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

// TestCheckFindsAnOlderPage puts the page that a commit has left behind to the place of the one that
// it wrote instead. All in it was right once: nothing but its number gives it away.
func TestCheckFindsAnOlderPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{})
	var toggles []store.Change
	for i := range 200 {
		toggles = append(toggles, store.SetToggle{Tenant: 1, Toggle: fmt.Sprintf("toggle-%03d", i), On: true})
	}
	commit(t, s, "t", append([]store.Change{store.CreateTenant{Name: "t"}}, toggles...)...)
	commit(t, s, "t", store.SetToggle{Tenant: 1, Toggle: "toggle-000", On: false})
	shrink(t, s)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, free, err := readState(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	page := func(id uint64) []byte { return good[int64(id)*m.pageSize:][:m.pageSize] }
	key := textKey(1, "toggle-000")
	planted := 0
	for id := uint64(2); id < m.high; id++ {
		if slices.Contains(free, id) || native.Uint64(page(id)) != id || native.Uint16(page(id)[8:]) != flagLeaf || !bytes.Contains(page(id), key) {
			continue
		}
		for _, old := range free {
			if native.Uint16(page(old)[8:]) != flagLeaf || native.Uint16(page(old)[10:]) != native.Uint16(page(id)[10:]) || !bytes.Contains(page(old), key) {
				continue
			}
			bad := bytes.Clone(good)
			copy(bad[int64(id)*m.pageSize:], page(old))
			replace(t, path, bad)
			if report := checked(t, path); !strings.Contains(fmt.Sprint(report.Findings), fmt.Sprint("it says that it is page ", old)) {
				t.Errorf("page %d in the place of page %d: it finds %+v", old, id, report.Findings)
			}
			planted++
		}
	}
	if planted == 0 {
		t.Fatal("there is no such page: the test doesn't test")
	}
}

// TestCheckOfWhatIsNoStore: what can't be a file of Usher is an error and no finding; one that
// was cut off is a finding.
func TestCheckOfWhatIsNoStore(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("hello\n"), 9999), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{text: store.ErrForeign, dir: store.ErrForeign, filepath.Join(dir, "none"): os.ErrNotExist} {
		if _, err := Check(ctx, path, nil); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error is %v", path, err)
		}
	}
	path := small(t)
	for _, size := range []int64{fileSize(t, path) - 1, 9000, 4096, 100, 0} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if report := checked(t, path); len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Text, "it was cut off") {
			t.Errorf("cut off at %d: it finds %+v", size, report.Findings)
		}
	}
}

func TestCheckStopsAtAThousandFindings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	s := open(t, path, Options{})
	shrink(t, s)
	edit(t, path, func(tx *bbolt.Tx) error {
		for i := range 2000 {
			if err := put(tx.Bucket(bucketToggles.name()), bucketToggles, textKey(77, fmt.Sprint("x", i)), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if report := checked(t, path); len(report.Findings) != maxFindings || !report.More {
		t.Errorf("%d findings, more %v", len(report.Findings), report.More)
	}
}
