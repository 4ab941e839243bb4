package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Holder is what one subject or group holds in a tenant, in the form that decisions
// use. It is current for an interval of time only, and good for decisions by one
// Catalog. It never changes and may be used by several goroutines at once.
type Holder struct {
	name string
	// holdings are first those in force, and then those that have not started or have
	// ended; both in the order of the roles.
	holdings []holding
	active   int32 // how many of them are in force
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
	h := &Holder{from: math.MinInt64, until: never}
	all := make([]held, 0, len(assignments))
	for _, a := range assignments {
		r := c.rolesByName[a.Role]
		if r == nil {
			return nil, fmt.Errorf("%s holds the role %q, which %v does not have", name, a.Role, c.Ref())
		}
		h.limit(a.Start, now)
		h.limit(a.End, now)
		active := a.Contains(now)
		h.endsDefault = h.endsDefault || active && r.allows
		all = append(all, held{r, a.Scope, !active})
	}
	slices.SortFunc(all, held.compare)
	h.hold(name, all)
	return h, nil
}

// held is one assignment.
type held struct {
	role    *role
	scope   string
	dormant bool
}

func (a held) compare(b held) int {
	switch {
	case a.dormant != b.dormant && b.dormant:
		return -1
	case a.dormant != b.dormant:
		return 1
	case a.role != b.role:
		return cmp.Compare(a.role.index, b.role.index)
	}
	return cmp.Compare(a.scope, b.scope)
}

// hold makes the holdings of sorted assignments. All that a Holder keeps is three
// allocations of the right size: there may be millions of them, and what the names and
// scopes were read with are parts of longer strings.
func (h *Holder) hold(name string, all []held) {
	var text strings.Builder
	n, holdings := len(name), 0
	for i, a := range all {
		n += len(a.scope)
		if i == 0 || !all[i-1].together(a) {
			holdings++
		}
	}
	text.Grow(n)
	text.WriteString(name)
	for _, a := range all {
		text.WriteString(a.scope)
	}
	h.name = text.String()[:len(name)]
	rest, scopes := text.String()[len(name):], make([]string, 0, len(all))
	h.holdings = make([]holding, 0, holdings)
	for i, a := range all {
		if i == 0 || !all[i-1].together(a) {
			h.holdings = append(h.holdings, holding{holder: h, role: a.role, scopes: scopes[i:i]})
			if !a.dormant {
				h.active++
			}
		}
		last := &h.holdings[len(h.holdings)-1]
		last.scopes = append(last.scopes, rest[:len(a.scope)])
		rest = rest[len(a.scope):]
	}
}

// together reports whether two assignments are one holding.
func (a held) together(b held) bool { return a.role == b.role && a.dormant == b.dormant }

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

// Current reports whether the Holder can be used for a decision by that catalog at an
// instant, in nanoseconds since 1970. Nothing is held alike in all catalogs.
func (h *Holder) Current(c *Catalog, now int64) bool {
	return (h.Empty() || h.holdings[0].role.catalog == c) && h.from <= now && now < h.until
}

// Name returns whose Holder it is. The string shares its memory with the Holder.
func (h *Holder) Name() string { return h.name }

// Empty reports whether nothing at all is held, now or at any time.
func (h *Holder) Empty() bool { return len(h.holdings) == 0 }

// Size is about how many bytes of memory the Holder takes.
func (h *Holder) Size() int {
	size := holderSize + len(h.name)
	for _, held := range h.holdings {
		size += holdingSize
		for _, s := range held.scopes {
			size += stringSize + len(s)
		}
	}
	return size
}

// Sizes in bytes of the parts of a Holder, as the compiler lays them out.
const (
	holderSize  = 64
	holdingSize = 40
	stringSize  = 16
)
