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
	value, _ = encode(&storev1.Import{Digest: make([]byte, 32), Bytes: 9, Pieces: 1, Time: 7, Done: &storev1.ImportDone{Revision: 8, Tenants: 1}})
	f.Add(importKey("an import"), value)
	value, _ = encode(&storev1.ImportTenant{Tenant: &storev1.Tenant{Id: 3, Catalog: "c", CatalogVersion: 1}, Assignments: 2})
	f.Add(importTenantKey("an import", "tenant"), value)
	change, _ = encode(&storev1.Change{Epoch: "e", Revision: 1, Change: &storev1.Change_TenantImport{TenantImport: &storev1.TenantImport{Id: 3, Sha256: make([]byte, 32)}}})
	value, _ = encode(&storev1.ChangeRecord{Chained: change})
	f.Add(changeKey(3, store.Position{Revision: 1}), value)
	value, _ = encode(&storev1.Head{Revision: 1, ChainHash: make([]byte, 32), ChainLength: 2, Trimmed: &storev1.Anchor{Revision: 1, ChainLength: 1}})
	f.Add(timeKey(1<<60, tenantKey(3)), value)
	f.Add(encodeNumber(7), encodeNumber(7))
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
		if n, err := decodeNumber(value); err == nil && !bytes.Equal(encodeNumber(n), value) {
			t.Errorf("the number %x is read as %d", value, n)
		}
		if m, err := parseImport(value); err == nil && len(key) > 0 {
			if i, err := new(reader).decodeImport(key, value); err != nil || i.Bytes != m.GetBytes() || (i.Done != nil) != (m.GetDone() != nil) {
				t.Errorf("%v is read as %+v, %v", m, i, err)
			}
		}
		if m, err := parseImportTenant(value); err == nil && m.GetTenant().GetId() == 0 {
			t.Errorf("a tenant of an import without an id is read: %v", m)
		}
		if instant, rest, ok := splitTimeKey(key); ok && !bytes.Equal(timeKey(instant, rest), key) {
			t.Errorf("%x is read as %d and %x", key, instant, rest)
		}
		if at, ok := splitPosition(key); ok && !bytes.HasSuffix(key, appendPosition(nil, at)) {
			t.Errorf("%q is read as %+v", key, at)
		}
		if record, c, err := parseChange(0, key, value); err == nil && c.GetCatalog() == nil {
			new(reader).decodeChange(0, record, c)
			objectOf(c, subjectOf(record))
			decodeTenantImport(store.TenantID(c.GetTenantImport().GetId()), c.GetTenantImport())
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
