package bolt

import (
	"encoding/binary"
	"iter"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// importKey is where an import is, and the beginning of where its tenants and pieces are.
func importKey(id string) []byte { return append([]byte(id), 0) }

// importTenantKey is where a tenant is that an import fills.
func importTenantKey(id, name string) []byte { return append(importKey(id), name...) }

// importPieceKey is where a piece of the file of an import is.
func importPieceKey(id string, piece uint64) []byte {
	return binary.BigEndian.AppendUint64(importKey(id), piece)
}

// Import returns the import with that id.
func (r *reader) Import(id string) (store.Import, error) {
	if id == "" || !usable(id) {
		return store.Import{}, store.ErrNotFound
	}
	value, found, err := r.get(bucketImports, importKey(id))
	if err == nil && !found {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Import{}, err
	}
	return r.decodeImport(importKey(id), value)
}

// Imports yields the imports after an id.
func (r *reader) Imports(after string) iter.Seq2[store.Import, error] {
	if !usable(after) {
		return none[store.Import](nil)
	}
	from := firstKey
	if after != "" {
		from = importKey(after)
	}
	return records(r, bucketImports, nil, from, r.decodeImport)
}

// ImportPiece returns a piece of the file of an import.
func (r *reader) ImportPiece(id string, piece uint64) ([]byte, error) {
	if id == "" || !usable(id) {
		return nil, store.ErrNotFound
	}
	value, found, err := r.get(bucketImportPieces, importPieceKey(id, piece))
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return append([]byte(nil), value...), err
}

func (r *reader) decodeImport(key, value []byte) (store.Import, error) {
	m, err := parseImport(value)
	if err != nil {
		return store.Import{}, err
	}
	i := store.Import{
		ID: string(key[:len(key)-1]), Bytes: m.GetBytes(), Pieces: m.GetPieces(), Filled: m.GetFilled(),
		Time: fromInstant(m.GetTime()), Abandoned: m.GetAbandoned(),
	}
	copy(i.Digest[:], m.GetDigest())
	if done := m.GetDone(); done != nil {
		i.Done = &store.ImportDone{
			Revision: store.Revision{Epoch: r.revision.Epoch, Number: done.GetRevision()},
			Tenants:  done.GetTenants(), Replaced: done.GetReplaced(),
			Assignments: done.GetAssignments(), Toggles: done.GetToggles(), Catalogs: done.GetCatalogs(),
		}
	}
	return i, nil
}

func parseImport(value []byte) (*storev1.Import, error) {
	m := new(storev1.Import)
	if err := proto.Unmarshal(value, m); err != nil {
		return nil, damaged("an import can't be read: %v", err)
	}
	return m, nil
}

func parseImportTenant(value []byte) (*storev1.ImportTenant, error) {
	m := new(storev1.ImportTenant)
	if err := proto.Unmarshal(value, m); err != nil || m.GetTenant().GetId() == 0 {
		return nil, damaged("a tenant of an import can't be read")
	}
	return m, nil
}
