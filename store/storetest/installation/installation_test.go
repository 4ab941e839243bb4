package installation_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
	"github.com/usher-pdp/usher/store/storetest/installation"
)

var now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func TestSizes(t *testing.T) {
	for _, assignments := range []int{10, 100, 1_000, 30_000, 1_000_000} {
		i := installation.New(1, assignments)
		got := 0
		for n, tenant := range i.Tenants() {
			for member := range tenant.Staff {
				got += len(i.AssignmentsOf(n, member))
			}
		}
		if got != i.Assignments() {
			t.Errorf("New(1, %d) has %d assignments and says %d", assignments, got, i.Assignments())
		}
		if off := got - assignments; max(off, -off) > assignments/20+3 {
			t.Errorf("New(1, %d) has %d assignments", assignments, got)
		}
	}
	for _, size := range [][2]int{{1, 1}, {1, 10_000}, {10_000, 1}, {7, 11}} {
		tenants := installation.Uniform(size[0], size[1]).Tenants()
		if len(tenants) != size[0] || tenants[0].Staff != size[1] || tenants[len(tenants)-1].Staff != size[1] {
			t.Errorf("Uniform(%d, %d) has %d tenants, the first one with %d members of staff", size[0], size[1], len(tenants), tenants[0].Staff)
		}
	}
}

// TestZipf: one tenant in a thousand has a large part of all, and half of them hardly any.
func TestZipf(t *testing.T) {
	tenants := installation.New(1, 100_000).Tenants()
	all := 0
	for n, tenant := range tenants {
		all += tenant.Staff
		if n > 0 && tenant.Staff > tenants[n-1].Staff {
			t.Fatalf("tenant %d is larger than the one before", n)
		}
	}
	largest, median := tenants[0].Staff, tenants[len(tenants)/2].Staff
	if share := float64(largest) / float64(all); share < 0.08 || share > 0.25 {
		t.Errorf("the largest of %d tenants has %.0f %% of the staff", len(tenants), 100*share)
	}
	if largest < 500*median || median > 15 {
		t.Errorf("the largest tenant has %d members of staff, and the one in the middle %d", largest, median)
	}
}

func TestEqualSeeds(t *testing.T) {
	draw := func(seed uint64) (drawn []any) {
		i := installation.New(seed, 5_000)
		r := rand.New(rand.NewPCG(1, 2))
		drawn = append(drawn, i.Tenants(), i.Assignments())
		for n := range 100 {
			drawn = append(drawn, i.Question(r), i.Page(r, 3, 4), i.AssignmentsOf(2, n), i.QuestionFor(n, 0), i.Subject(n, 1))
		}
		return drawn
	}
	if !reflect.DeepEqual(draw(1), draw(1)) {
		t.Error("equal seeds give different installations")
	}
	if reflect.DeepEqual(draw(1), draw(2)) {
		t.Error("different seeds give equal installations")
	}
}

// TestSubjects: all members of staff are different, and not customers.
func TestSubjects(t *testing.T) {
	i := installation.New(1, 10_000)
	seen := make(map[string]bool)
	for n, tenant := range i.Tenants() {
		for member := range tenant.Staff + 10 {
			subject := i.Subject(n, member)
			if seen[subject] || strings.HasSuffix(subject, "@mail.example") {
				t.Fatalf("%s is two", subject)
			}
			seen[subject] = true
		}
	}
}

// TestMemory: an installation of a million assignments takes less than a byte for each.
func TestMemory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	i := installation.New(1, 1_000_000)
	if took := int64(heap()) - int64(before); took > 500_000 {
		t.Errorf("an installation of %d assignments takes %d bytes", i.Assignments(), took)
	}
}

// TestLegal has the catalogs' own rules look at everything: each assignment is granted by the
// operator, on top of what its subject has got before.
func TestLegal(t *testing.T) {
	tables := tables(t)
	i := installation.New(1, 10_000)
	roles := make(map[string]int)
	for n, tenant := range i.Tenants() {
		table := tables[tenant.Catalog]
		for member := range tenant.Staff + 3 {
			var held []store.Assignment
			for _, a := range i.AssignmentsOf(n, member) {
				subject := policy.Subject{Tenant: store.TenantID(n + 1), Name: a.Subject, Held: held}
				changes, err := table.PlanGrant(policy.Actor{Operator: true}, subject, a, now)
				if err != nil || len(changes) != 1 {
					t.Fatalf("%s: %+v: %d changes, %v", tenant.Name, a, len(changes), err)
				}
				held = append(held, a)
				roles[tenant.Catalog.Name+"/"+a.Role]++
			}
			if protected := table.Catalog().ProtectedRole(); member == 0 && (held[0].Role != protected || !held[0].Interval.Equal(store.Interval{})) {
				t.Fatalf("%s: the first one holds %+v and not %s", tenant.Name, held, protected)
			}
		}
	}
	// All but the default role.
	if len(roles) != 5+3+3 {
		t.Errorf("the roles are %v", roles)
	}
}

func tables(t *testing.T) map[store.CatalogRef]*policy.Table {
	t.Helper()
	tables := make(map[store.CatalogRef]*policy.Table)
	for _, source := range catalogs.All() {
		catalog, err := policy.Parse(source.Name, source.YAML, nil)
		if err != nil {
			t.Fatal(err)
		}
		tables[catalog.Ref()] = policy.NewTable(catalog, nil)
	}
	return tables
}

// answers decides what is asked about an installation, without a store.
type answers struct {
	*installation.Installation
	t       *testing.T
	tables  map[store.CatalogRef]*policy.Table
	tenants map[string]int
	staff   []map[string]int // by tenant
	refs    []store.CatalogRef
}

func answersOf(t *testing.T, i *installation.Installation) *answers {
	a := &answers{Installation: i, t: t, tables: tables(t), tenants: make(map[string]int)}
	for n, tenant := range i.Tenants() {
		a.tenants[tenant.Name] = n
		a.refs = append(a.refs, tenant.Catalog)
		staff := make(map[string]int)
		for member := range tenant.Staff {
			staff[i.Subject(n, member)] = member
		}
		a.staff = append(a.staff, staff)
	}
	return a
}

func (a *answers) to(q installation.Question) (allow, staff bool) {
	a.t.Helper()
	tenant, ok := a.tenants[q.Tenant]
	if !ok {
		a.t.Fatalf("there is no tenant of %+v", q)
	}
	table := a.tables[a.refs[tenant]]
	var holds []store.Assignment
	member, staff := a.staff[tenant][q.Subject]
	if staff {
		holds = a.AssignmentsOf(tenant, member)
	}
	holder, err := policy.NewHolder(table.Catalog(), q.Subject, holds, now)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, scope := range q.Scopes {
		if err := table.Catalog().CheckScope("scopes", scope); err != nil {
			a.t.Fatalf("%+v: %v", q, err)
		}
	}
	decision, err := table.Decide([]*policy.Holder{holder}, &policy.Request{
		Subject: q.Subject, Action: q.Action,
		Resource: policy.Resource{Type: q.ResourceType, ID: q.ResourceID, Scopes: q.Scopes, Owner: q.Owner},
	})
	if err != nil {
		a.t.Fatalf("%+v: %v", q, err)
	}
	return decision.Allow, staff
}

func TestQuestions(t *testing.T) {
	const count = 10_000
	a := answersOf(t, installation.New(1, 10_000))
	r := rand.New(rand.NewPCG(1, 2))
	allowed, staff := 0, 0
	asked := make(map[string]int) // by subject
	for range count {
		q := a.Question(r)
		allow, isStaff := a.to(q)
		if allow {
			allowed++
		}
		if isStaff {
			staff++
			asked[q.Tenant+" "+q.Subject]++
		}
	}
	if allowed < count*60/100 || allowed > count*95/100 {
		t.Errorf("%d of %d questions are allowed", allowed, count)
	}
	if staff < count*85/100 || staff > count*95/100 {
		t.Errorf("%d of %d questions are those of staff", staff, count)
	}
	var frequent []int
	for _, times := range asked {
		frequent = append(frequent, times)
	}
	slices.Sort(frequent)
	busy := 0
	for _, times := range frequent[len(frequent)*9/10:] {
		busy += times
	}
	if busy < staff*25/100 {
		t.Errorf("the busiest tenth of those who ask anything asks %d of %d questions", busy, staff)
	}
}

// TestQuestionFor: everybody has a question, and most of them are allowed.
func TestQuestionFor(t *testing.T) {
	a := answersOf(t, installation.New(1, 5_000))
	allowed, all := 0, 0
	for n, tenant := range a.Tenants() {
		for member := range tenant.Staff {
			q := a.QuestionFor(n, member)
			allow, staff := a.to(q)
			if !staff || q.Tenant != tenant.Name || q.Subject != a.Subject(n, member) {
				t.Fatalf("the question of %s is %+v", a.Subject(n, member), q)
			}
			if all++; allow {
				allowed++
			}
		}
	}
	if allowed < all*60/100 || allowed > all*95/100 {
		t.Errorf("%d of %d questions are allowed", allowed, all)
	}
}

func TestPages(t *testing.T) {
	a := answersOf(t, installation.New(1, 5_000))
	r := rand.New(rand.NewPCG(1, 2))
	allowed, all := 0, 0
	for range 200 {
		page := a.Page(r, 5, 5)
		if len(page.Tickets) != 5 || len(page.Actions) != 5 {
			t.Fatalf("a page has %d tickets and %d actions", len(page.Tickets), len(page.Actions))
		}
		for _, ticket := range page.Tickets {
			if len(ticket.Scopes) != 2 || ticket.Scopes[0] == ticket.Scopes[1] {
				t.Fatalf("a ticket is in %q", ticket.Scopes)
			}
			for _, action := range page.Actions {
				allow, staff := a.to(installation.Question{
					Tenant: page.Tenant, Subject: page.Subject, Action: action,
					ResourceType: page.ResourceType, ResourceID: ticket.ID, Scopes: ticket.Scopes, Owner: ticket.Owner,
				})
				if !staff {
					t.Fatalf("%s is not of the staff of %s", page.Subject, page.Tenant)
				}
				if all++; allow {
					allowed++
				}
			}
		}
	}
	if allowed < all*40/100 || allowed > all*95/100 {
		t.Errorf("%d of %d buttons are allowed", allowed, all)
	}
	if page := a.Page(r, 1, 100); len(page.Actions) != 9 {
		t.Errorf("a page with as many actions as can be has %q", page.Actions)
	}
}

func TestFill(t *testing.T) {
	for name, i := range map[string]*installation.Installation{
		"New":             installation.New(1, 5_000),
		"OneLargeTenant":  installation.Uniform(1, 1_234),
		"ManySmallOnes":   installation.Uniform(321, 1),
		"OneAndNoMembers": installation.New(1, 10),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := bolt.Open(filepath.Join(t.TempDir(), "usher.db"), bolt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			last := 0
			err = i.Fill(t.Context(), s, func(done, total int) {
				if done <= last || done > total || total != i.Assignments() {
					t.Errorf("after %d, %d of %d are done", last, done, total)
				}
				last = done
			})
			if err != nil || last != i.Assignments() {
				t.Fatalf("%d of %d: %v", last, i.Assignments(), err)
			}
			err = s.View(t.Context(), func(r store.Reader) error {
				checkStored(t, r, i)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func checkStored(t *testing.T, r store.Reader, i *installation.Installation) {
	t.Helper()
	tenants := 0
	for _, err := range r.Tenants("") {
		if err != nil {
			t.Fatal(err)
		}
		tenants++
	}
	planned := i.Tenants()
	if tenants != len(planned) {
		t.Errorf("there are %d tenants and not %d", tenants, len(planned))
	}
	for n, p := range planned {
		tenant, err := r.Tenant(p.Name)
		if err != nil || tenant.Catalog != p.Catalog {
			t.Fatalf("%+v, %v", tenant, err)
		}
		want := make(map[store.Assignment]bool)
		for member := range p.Staff {
			for _, a := range i.AssignmentsOf(n, member) {
				want[a] = true
			}
		}
		for got, err := range r.Assignments(tenant.ID, store.AssignmentKey{}) {
			if err != nil || !want[got] {
				t.Fatalf("%s: %+v, %v", p.Name, got, err)
			}
			delete(want, got)
		}
		if len(want) > 0 {
			t.Errorf("%s: %d assignments are missing", p.Name, len(want))
		}
	}
}

// TestFillFails: the error of the store is that of Fill, which does not go on for long.
func TestFillFails(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "usher.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i := installation.New(1, 5_000)
	ctx, cancel := context.WithCancel(t.Context())
	if err := i.Fill(ctx, s, func(done, total int) { cancel() }); err != context.Canceled {
		t.Errorf("Fill whose context has been cancelled: %v", err)
	}
	if err := i.Fill(t.Context(), s, nil); err == nil || !strings.Contains(err.Error(), "there is one of that name") {
		t.Errorf("Fill of a store that is not empty: %v", err)
	}
}
