package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/usher-pdp/usher/gen/usher/store/v1"
	"github.com/usher-pdp/usher/store"
)

// The last instant that is stored: 2200-01-01.
var lastInstant = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// instant returns the stored form of a time. The zero time is 0.
func instant(t time.Time) (int64, error) {
	if t.IsZero() {
		return 0, nil
	}
	// UnixNano is undefined far outside of the years that are kept.
	if n := t.UnixNano(); t.Year() >= 1970 && t.Year() <= 2200 && n > 0 && n <= lastInstant {
		return n, nil
	}
	return 0, fmt.Errorf("can't store the time %s: it has to lie after 1970-01-01 and not after 2200-01-01", t)
}

// fromInstant is the reverse of instant.
func fromInstant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func toInterval(i store.Interval) (*storev1.Interval, error) {
	start, err := instant(i.Start)
	if err != nil {
		return nil, err
	}
	end, err := instant(i.End)
	if err != nil {
		return nil, err
	}
	return &storev1.Interval{StartsAt: start, ExpiresAt: end}, nil
}

func fromInterval(i *storev1.Interval) store.Interval {
	return store.Interval{Start: fromInstant(i.GetStartsAt()), End: fromInstant(i.GetExpiresAt())}
}

// encode returns the stored form of a message. Only a text that is not UTF-8 makes
// it fail.
func encode(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

func decodeAssignment(key, value []byte) (store.Assignment, error) {
	parts, ok := splitTexts(key)
	if !ok {
		return store.Assignment{}, damaged("the key of an assignment can't be read")
	}
	i, err := decodeInterval(value)
	return store.Assignment{
		AssignmentKey: store.AssignmentKey{Subject: parts[0], Role: parts[1], Scope: parts[2]},
		Interval:      i,
	}, err
}

// decodeInterval reads a stored Assignment. It does what proto.Unmarshal does, on
// the path of a cache miss, without allocating.
func decodeInterval(value []byte) (i store.Interval, err error) {
	for len(value) > 0 {
		number, kind, n := protowire.ConsumeTag(value)
		if n < 0 {
			return i, damaged("an assignment can't be read")
		}
		value = value[n:]
		if kind != protowire.VarintType || number > 2 {
			n = protowire.ConsumeFieldValue(number, kind, value)
		} else {
			var v uint64
			v, n = protowire.ConsumeVarint(value)
			if number == 1 {
				i.Start = fromInstant(int64(v)) // #nosec G115 -- the reverse of how it was written
			} else {
				i.End = fromInstant(int64(v)) // #nosec G115 -- the reverse of how it was written
			}
		}
		if n < 0 {
			return i, damaged("an assignment can't be read")
		}
		value = value[n:]
	}
	return i, nil
}

// tenantMessage is what is stored under the name of a tenant, or under its id when it
// has been deleted.
func tenantMessage(t store.Tenant) *storev1.Tenant {
	m := &storev1.Tenant{
		Id:      uint64(t.ID),
		Catalog: t.Catalog.Name, CatalogVersion: t.Catalog.Version,
		CreatedAt: t.CreatedAt.UnixNano(),
		Primary:   t.Primary,
	}
	if !t.DeletedAt.IsZero() {
		m.Name, m.DeletedAt = t.Name, t.DeletedAt.UnixNano()
	}
	return m
}

func decodeTenant(key, value []byte) (store.Tenant, error) {
	var m storev1.Tenant
	if err := proto.Unmarshal(value, &m); err != nil {
		return store.Tenant{}, damaged("a tenant can't be read: %v", err)
	}
	return tenantOfMessage(string(key), &m), nil
}

func tenantOfMessage(name string, m *storev1.Tenant) store.Tenant {
	return store.Tenant{
		ID:        store.TenantID(m.GetId()),
		Name:      name,
		Catalog:   store.CatalogRef{Name: m.GetCatalog(), Version: m.GetCatalogVersion()},
		CreatedAt: fromInstant(m.GetCreatedAt()),
		Primary:   m.GetPrimary(),
	}
}

func decodeDeleted(key, value []byte) (store.Tenant, error) {
	var m storev1.Tenant
	if err := proto.Unmarshal(value, &m); err != nil || !bytes.Equal(key, encodeNumber(m.GetId())) {
		return store.Tenant{}, damaged("a deleted tenant can't be read")
	}
	t, err := decodeTenant([]byte(m.GetName()), value)
	t.DeletedAt = fromInstant(m.GetDeletedAt())
	return t, err
}

func decodeToggle(value []byte) (bool, error) {
	var m storev1.Toggle
	if err := proto.Unmarshal(value, &m); err != nil {
		return false, damaged("a toggle can't be read: %v", err)
	}
	return m.GetOn(), nil
}

func decodeCatalog(value []byte) ([]byte, error) {
	var m storev1.Catalog
	if err := proto.Unmarshal(value, &m); err != nil {
		return nil, damaged("a catalog can't be read: %v", err)
	}
	return m.GetYaml(), nil
}

func decodeHead(value []byte) (*storev1.Head, error) {
	m := new(storev1.Head)
	if err := proto.Unmarshal(value, m); err != nil {
		return nil, damaged("the head of a tenant can't be read: %v", err)
	}
	return m, nil
}

func decodeRequest(value []byte) (*storev1.Request, error) {
	m := new(storev1.Request)
	if err := proto.Unmarshal(value, m); err != nil {
		return nil, damaged("a request id can't be read: %v", err)
	}
	return m, nil
}

func encodeNumber(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func decodeNumber(value []byte) (uint64, error) {
	if len(value) != 8 {
		return 0, damaged("a number can't be read")
	}
	return binary.BigEndian.Uint64(value), nil
}
