// Package installation makes up believable helpdesk installations, for tests and benchmarks.
//
// A few tenants are large and many are small, by Zipf's law. All three built-in catalogs are
// in use, and roles are held as they let them be. Everything about a member of staff is
// derived from the seed and the member's number, so an installation takes eight bytes of
// memory for each tenant, however many assignments it has.
package installation

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"sort"

	"github.com/usher-pdp/usher/store"
)

// Installation is a made-up installation. Equal seeds and sizes give equal installations. It
// never changes; several goroutines may use it.
type Installation struct {
	seed        uint64
	before      []int // by tenant: how many members of staff those before it have; and all of them
	assignments int
}

// Tenant is one of the tenants of an installation. Its number is its place in what Tenants
// returns.
type Tenant struct {
	Name    string
	Catalog store.CatalogRef
	// Staff is how many hold roles. The member with the number 0 holds the role that the
	// catalog protects, in the tenant and for ever.
	Staff int
	// Scopes is how many teams, departments, queues … there are, at least two.
	Scopes int
}

const (
	// tenantSize is how many assignments a tenant has on the average.
	tenantSize = 50
	// staffSize is about how many assignments a member of staff has on the average.
	staffSize = 1.47
	// scopeSize is about how many members of staff there are to a scope.
	scopeSize = 12
)

// New plans an installation with about so many assignments (10 to 10⁷ and more). It has at
// least three tenants, one for each catalog.
func New(seed uint64, assignments int) *Installation {
	tenants := max(len(models), assignments/tenantSize)
	harmonic := 0.0
	for n := 1; n <= tenants; n++ {
		harmonic += 1 / float64(n)
	}
	largest := float64(assignments) / staffSize / harmonic
	return plan(seed, tenants, func(n int) int {
		return max(1, int(math.Round(largest/float64(n+1))))
	})
}

// Uniform plans an installation of equal tenants.
func Uniform(tenants, staffPerTenant int) *Installation {
	return plan(1, tenants, func(int) int { return staffPerTenant })
}

func plan(seed uint64, tenants int, staff func(tenant int) int) *Installation {
	i := &Installation{seed: seed, before: make([]int, tenants+1)}
	for t := range tenants {
		i.before[t+1] = i.before[t] + staff(t)
		for n := range i.staff(t) {
			i.assignments += i.member(t, n).size()
		}
	}
	return i
}

// Tenants returns the tenants, the largest first.
func (i *Installation) Tenants() []Tenant {
	tenants := make([]Tenant, i.tenants())
	for t := range tenants {
		tenants[t] = Tenant{Name: tenantName(t), Catalog: modelOf(t).catalog, Staff: i.staff(t), Scopes: i.scopes(t)}
	}
	return tenants
}

// Assignments returns how many assignments Fill makes.
func (i *Installation) Assignments() int { return i.assignments }

func (i *Installation) tenants() int { return len(i.before) - 1 }

func (i *Installation) staff(tenant int) int { return i.before[tenant+1] - i.before[tenant] }

func (i *Installation) scopes(tenant int) int { return 2 + i.staff(tenant)/scopeSize }

// someTenant draws a tenant, by their sizes.
func (i *Installation) someTenant(r *rand.Rand) int {
	member := r.IntN(i.before[i.tenants()])
	return sort.Search(i.tenants(), func(t int) bool { return i.before[t+1] > member })
}

// modelOf returns the catalog of a tenant, and how it uses it.
func modelOf(tenant int) *model { return &models[tenant%len(models)] }

// What the numbers of a dice are for, so that those of the same member differ.
const (
	forMember uint64 = iota << 56
	forName
	forQuestion
)

// dice throws what an installation is made of: always the same numbers for the same place.
type dice struct{ rand.PCG }

func (i *Installation) dice(purpose uint64, tenant, n int) (d dice) {
	d.Seed(i.seed^purpose, uint64(tenant)<<32^uint64(n))
	return d
}

// below returns a number from 0 to n-1.
func (d *dice) below(n int) int {
	high, _ := bits.Mul64(d.Uint64(), uint64(n))
	return int(high)
}
