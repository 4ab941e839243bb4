package bolt

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// FuzzDecode decodes what can't have been written. Nothing panics, and the decoder that
// is written by hand agrees with the generated one.
func FuzzDecode(f *testing.F) {
	value, _ := encode(&storev1.Assignment{StartsAt: 1, ExpiresAt: 1 << 60, Revision: 7})
	f.Add(assignmentKey(1, store.AssignmentKey{Subject: "user:ann", Role: "agent"}), value)
	value, _ = encode(&storev1.Tenant{Id: 1, Catalog: "c", CatalogVersion: 1, CreatedAt: 5})
	f.Add([]byte("tenant"), value)
	change, _ := encode(&storev1.Change{Epoch: "e", Revision: 1, Change: &storev1.Change_Assignment{Assignment: &storev1.AssignmentChange{Role: "r"}}})
	value, _ = encode(&storev1.ChangeRecord{Chained: change, Personal: []*storev1.Personal{{Field: 1, Salt: []byte("s"), Value: []byte("v")}}})
	f.Add(changeKey(0, store.Position{Revision: 1}), value)
	f.Add(catalogKey(store.CatalogRef{Name: "c", Version: 9}), []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		got, err := decodeInterval(value)
		var want storev1.Assignment
		if wrong := proto.Unmarshal(value, &want); wrong == nil && (err != nil ||
			!got.Equal(store.Interval{Start: fromInstant(want.GetStartsAt()), End: fromInstant(want.GetExpiresAt())})) {
			t.Errorf("interval %v, %v; want %v", got, err, &want)
		}
		if a, err := decodeAssignment(key, value); err == nil && !bytes.Equal(assignmentKey(0, a.AssignmentKey)[8:], key[8:]) {
			t.Errorf("%q is read as %+v", key, a.AssignmentKey)
		}
		if ref, ok := splitCatalogKey(key); ok && !bytes.Equal(catalogKey(ref), key) {
			t.Errorf("%q is read as %+v", key, ref)
		}
		decodeTenant(key, value)
		decodeDeleted(key, value)
		decodeRequest(value)
		decodeToggle(value)
		decodeCatalog(value)
		decodeHead(value)
		decodeNumber(value)
		if at, ok := splitPosition(key); ok && !bytes.HasSuffix(key, appendPosition(nil, at)) {
			t.Errorf("%q is read as %+v", key, at)
		}
		if record, c, err := parseChange(0, key, value); err == nil && c.GetCatalog() == nil {
			new(reader).decodeChange(0, record, c)
			objectOf(c, subjectOf(record))
		}
	})
}

// FuzzDecodeMeta reads meta pages that can't have been written.
func FuzzDecodeMeta(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add(bytes.Repeat([]byte{0xED, 0xDA, 0x0C, 0xED}, 3000), int64(12000))
	f.Fuzz(func(t *testing.T, file []byte, size int64) {
		r := bytes.NewReader(file)
		if m, err := newestMeta(r, size); err == nil {
			readFreelist(r, m)
		}
		readFreelist(r, meta{pageSize: 1024, freelist: 2, high: uint64(max(size, 0)) & (1<<40 - 1)})
	})
}
