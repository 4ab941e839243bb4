package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf8"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// bucket is one of the buckets of the file. Keys are made of fixed-width big-endian
// numbers and of texts with a zero byte between them, so that they sort as their
// parts do.
type bucket uint8

const (
	bucketMeta            bucket = iota // name of a number or of the epoch
	bucketTenants                       // name
	bucketHeads                         // tenant
	bucketAssignments                   // tenant, subject, role, scope
	bucketByRole                        // tenant, role, scope, subject; no value
	bucketToggles                       // tenant, toggle
	bucketCatalogs                      // name, 0, version
	bucketChanges                       // tenant, revision, position
	bucketChangesByObject               // tenant, object, 0, revision, position; no value
	bucketEnds                          // end, and the key in bucketAssignments; name of the tenant
	bucketRequests                      // tenant, caller, 0, request id
	bucketRequestsByTime                // time, and the key in bucketRequests; no value
	bucketDeleted                       // tenant
	bucketImports                       // import id, 0
	bucketImportTenants                 // import id, 0, name
	bucketImportPieces                  // import id, 0, number of the piece
	bucketCount

	// Files of older formats have those before these.
	bucketsOfFormat1 = bucketChangesByObject
	bucketsOfFormat2 = bucketImports
)

// The keys of the records at both ends of every bucket.
var (
	firstKey = []byte{0}
	lastKey  = bytes.Repeat([]byte{0xFF}, 9)
)

// The keys in bucketMeta.
var (
	metaFormat     = []byte("format")      // version of all that is described here
	metaEpoch      = []byte("epoch")       // of the revisions
	metaRevision   = []byte("revision")    // number of the last one
	metaNextTenant = []byte("next_tenant") // id of the tenant to be created next

	metaInstallation = []byte("installation") // the first epoch, in a file that was restored
)

// The name of the first is what shows that a file is a store of Usher.
var bucketNames = [bucketCount][]byte{
	[]byte("usher"), []byte("tenants"), []byte("heads"), []byte("assignments"),
	[]byte("by_role"), []byte("toggles"), []byte("catalogs"), []byte("changes"),
	[]byte("changes_by_object"), []byte("ends"), []byte("requests"), []byte("requests_by_time"), []byte("deleted"),
	[]byte("imports"), []byte("import_tenants"), []byte("import_pieces"),
}

var bucketSeeds = func() (seeds [bucketCount]uint32) {
	for b, name := range bucketNames {
		seeds[b] = crc32.Checksum(name, castagnoli)
	}
	return seeds
}()

func (b bucket) name() []byte { return bucketNames[b] }
func (b bucket) seed() uint32 { return bucketSeeds[b] }

func tenantKey(tenant store.TenantID) []byte {
	return appendTenant(make([]byte, 0, 8), tenant)
}

func appendTenant(dst []byte, tenant store.TenantID) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(tenant))
}

// tenantOf reads the beginning of a key that has a tenant there.
func tenantOf(key []byte) store.TenantID { return store.TenantID(binary.BigEndian.Uint64(key)) }

// textKey returns tenant | part 0x00 part 0x00 ….
func textKey(tenant store.TenantID, parts ...string) []byte {
	size := 8 + len(parts)
	for _, p := range parts {
		size += len(p)
	}
	key := appendTenant(make([]byte, 0, size), tenant)
	for i, p := range parts {
		if i > 0 {
			key = append(key, 0)
		}
		key = append(key, p...)
	}
	return key
}

func assignmentKey(tenant store.TenantID, k store.AssignmentKey) []byte {
	return textKey(tenant, k.Subject, k.Role, k.Scope)
}

func byRoleKey(tenant store.TenantID, k store.AssignmentKey) []byte {
	return textKey(tenant, k.Role, k.Scope, k.Subject)
}

func catalogKey(ref store.CatalogRef) []byte {
	key := append(make([]byte, 0, len(ref.Name)+5), ref.Name...)
	return binary.BigEndian.AppendUint32(append(key, 0), ref.Version)
}

func changeKey(tenant store.TenantID, p store.Position) []byte {
	return appendPosition(appendTenant(make([]byte, 0, 8+positionSize), tenant), p)
}

// objectKey is where a change of an object is listed.
func objectKey(tenant store.TenantID, object string, p store.Position) []byte {
	return appendPosition(textKey(tenant, object, ""), p)
}

// positionSize is how many bytes a position has at the end of a key.
const positionSize = 12

func appendPosition(dst []byte, p store.Position) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, p.Revision), p.Index)
}

// splitPosition reads the end of a key.
func splitPosition(key []byte) (p store.Position, ok bool) {
	n := len(key) - positionSize
	if n < 0 {
		return p, false
	}
	return store.Position{Revision: binary.BigEndian.Uint64(key[n:]), Index: binary.BigEndian.Uint32(key[n+8:])}, true
}

// timeKey is the key of something in an index by time.
func timeKey(instant int64, key []byte) []byte {
	return append(encodeNumber(uint64(instant)), key...) // #nosec G115 -- the reverse of each other
}

// splitTimeKey is the reverse of timeKey.
func splitTimeKey(indexed []byte) (instant int64, key []byte, ok bool) {
	if len(indexed) < 8 {
		return 0, nil, false
	}
	return int64(binary.BigEndian.Uint64(indexed)), indexed[8:], true // #nosec G115 -- the reverse of each other
}

// splitTexts cuts what follows the tenant of a key into three parts.
func splitTexts(key []byte) (parts [3]string, ok bool) {
	if len(key) < 8 {
		return parts, false
	}
	rest := string(key[8:])
	var found [3]bool
	parts[0], rest, found[0] = strings.Cut(rest, "\x00")
	parts[1], rest, found[1] = strings.Cut(rest, "\x00")
	parts[2], _, found[2] = strings.Cut(rest, "\x00")
	return parts, found == [3]bool{true, true, false}
}

func splitCatalogKey(key []byte) (store.CatalogRef, bool) {
	n := len(key) - 5
	if n < 0 || key[n] != 0 {
		return store.CatalogRef{}, false
	}
	return store.CatalogRef{Name: string(key[:n]), Version: binary.BigEndian.Uint32(key[n+1:])}, true
}

// usable reports whether texts can be parts of a key. Nothing is stored under those
// that can't, so to look one up is to find nothing.
func usable(parts ...string) bool {
	for _, p := range parts {
		if strings.IndexByte(p, 0) >= 0 || !utf8.ValidString(p) {
			return false
		}
	}
	return true
}

// checkPart returns what is wrong with a text that is to become part of a key.
func checkPart(what, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("can't store an empty %s", what)
	case strings.IndexByte(text, 0) >= 0:
		return fmt.Errorf("can't store the %s %q: it has a zero byte", what, text)
	case !utf8.ValidString(text):
		return fmt.Errorf("can't store the %s %q: it is not valid UTF-8", what, text)
	}
	return nil
}

func checkAssignmentKey(k store.AssignmentKey) error {
	if err := checkPart("subject", k.Subject); err != nil {
		return err
	}
	if err := checkPart("role", k.Role); err != nil {
		return err
	}
	if k.Scope != "" {
		if err := checkPart("scope", k.Scope); err != nil {
			return err
		}
	}
	if n := len(k.Subject) + len(k.Role) + len(k.Scope); n > maxTexts {
		return fmt.Errorf("can't store an assignment: subject, role and scope have %d bytes, at most %d are possible", n, maxTexts)
	}
	return nil
}

// maxTexts is how many bytes the texts of a key may have together: a key has at most two
// more numbers of 8 bytes, or one and a position, and two zero bytes.
const maxTexts = bbolt.MaxKeySize - 8 - positionSize - 2

// checkName is checkPart for a text that is a key by itself.
func checkName(what, text string) error {
	if err := checkPart(what, text); err != nil {
		return err
	}
	if len(text) > maxTexts {
		return fmt.Errorf("can't store a %s of %d bytes: at most %d are possible", what, len(text), maxTexts)
	}
	return nil
}
