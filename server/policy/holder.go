package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Holder is what one subject or group holds in a tenant, in the form that decisions
// use. It is current for an interval of time only, and good for decisions by one
// Catalog. It never changes and may be used by several goroutines at once.
type Holder struct {
	catalog *Catalog
	name    string
	active  []holding // in force, in the order of the roles
	dormant []holding // not started or ended, in the order of the roles
	// endsDefault is whether an active role has an allow rule, so that the default
	// role does not count.
	endsDefault bool
	// The Holder is current at t if from ≤ t < until, in nanoseconds since 1970.
	from, until int64
}

// never is later than any instant that a store keeps.
const never int64 = math.MaxInt64

// holding is one role and where it is held, in byte order; "" is the tenant.
type holding struct {
	holder *Holder // whose it is; nil for the default role, which is the subject's
	role   *role
	scopes []string
}

// NewHolder makes the Holder of a subject from all of its assignments in the tenant,
// as they are at an instant. An assignment whose role the catalog does not have is an
// error: deciding without it could allow what a forbid rule of that role forbids.
func NewHolder(c *Catalog, name string, assignments []store.Assignment, now time.Time) (*Holder, error) {
	h := &Holder{catalog: c, name: name, from: math.MinInt64, until: never}
	for _, a := range assignments {
		r := c.rolesByName[a.Role]
		if r == nil {
			return nil, fmt.Errorf("%s holds the role %q, which %v does not have", name, a.Role, c.Ref())
		}
		h.limit(a.Start, now)
		h.limit(a.End, now)
		if a.Contains(now) {
			h.active = h.hold(h.active, r, a.Scope)
			h.endsDefault = h.endsDefault || r.allows
		} else {
			h.dormant = h.hold(h.dormant, r, a.Scope)
		}
	}
	sortHoldings(h.active)
	sortHoldings(h.dormant)
	return h, nil
}

// limit narrows the interval for which the Holder is current by a start or end.
func (h *Holder) limit(boundary, now time.Time) {
	switch {
	case boundary.IsZero():
	case boundary.After(now):
		h.until = min(h.until, boundary.UnixNano())
	default:
		h.from = max(h.from, boundary.UnixNano())
	}
}

func (h *Holder) hold(holdings []holding, r *role, scope string) []holding {
	i := slices.IndexFunc(holdings, func(held holding) bool { return held.role == r })
	if i < 0 {
		return append(holdings, holding{h, r, []string{scope}})
	}
	holdings[i].scopes = append(holdings[i].scopes, scope)
	return holdings
}

func sortHoldings(holdings []holding) {
	slices.SortFunc(holdings, func(a, b holding) int { return cmp.Compare(a.role.index, b.role.index) })
	for _, h := range holdings {
		slices.Sort(h.scopes)
	}
}

// Current reports whether the Holder can be used for a decision by that catalog at an
// instant, in nanoseconds since 1970.
func (h *Holder) Current(c *Catalog, now int64) bool {
	return h.catalog == c && h.from <= now && now < h.until
}

// Empty reports whether nothing at all is held, now or at any time.
func (h *Holder) Empty() bool { return len(h.active) == 0 && len(h.dormant) == 0 }

// Size is about how many bytes of memory the Holder takes.
func (h *Holder) Size() int {
	size := holderSize + len(h.name)
	for _, holdings := range [][]holding{h.active, h.dormant} {
		for _, held := range holdings {
			size += holdingSize
			for _, s := range held.scopes {
				size += stringSize + len(s)
			}
		}
	}
	return size
}

// Sizes in bytes of the parts of a Holder, as the compiler lays them out.
const (
	holderSize  = 112
	holdingSize = 40
	stringSize  = 16
)
