package installation

import (
	"context"
	"fmt"
	"sync"

	"github.com/usher-pdp/usher/store"
)

const (
	// writeSize is how many members of staff are written at once at most.
	writeSize = 100
	// writers is how many writes are under way at once. A store that commits them together
	// thus commits about 40,000 assignments at once at most.
	writers = 256
)

// portion is a part of a tenant's staff. The one that starts at 0 makes the tenant, too.
type portion struct{ tenant, start, end int }

// Fill writes it into an empty store, tenants and assignments, in commits of bounded size;
// progress (may be nil) is told how far it is, in assignments. The tenants refer to the built-in
// catalogs, which a server stores when it starts.
func (i *Installation) Fill(ctx context.Context, s store.Store, progress func(done, total int)) error {
	done := 0
	written := func(assignments int) {
		done += assignments
		if progress != nil {
			progress(done, i.assignments)
		}
	}
	// First all tenants are made, each with the start of its staff; then follow the rest.
	if err := i.write(ctx, s, written, func(t int) (start, end int) { return 0, min(writeSize, i.staff(t)) }); err != nil {
		return err
	}
	return i.write(ctx, s, written, func(t int) (start, end int) { return writeSize, i.staff(t) })
}

// write writes that part of every tenant's staff.
func (i *Installation) write(ctx context.Context, s store.Store, written func(int), part func(tenant int) (start, end int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	portions := make(chan portion)
	var wg sync.WaitGroup
	var lock sync.Mutex // of what written counts
	for range writers {
		wg.Go(func() {
			for p := range portions {
				n, err := i.writePortion(ctx, s, p)
				if err != nil {
					cancel(fmt.Errorf("%s: %w", tenantName(p.tenant), err))
					continue
				}
				lock.Lock()
				written(n)
				lock.Unlock()
			}
		})
	}
	for t := range i.tenants() {
		start, end := part(t)
		for ; start < end && ctx.Err() == nil; start += writeSize {
			portions <- portion{t, start, min(end, start+writeSize)}
		}
	}
	close(portions)
	wg.Wait()
	return context.Cause(ctx)
}

func (i *Installation) writePortion(ctx context.Context, s store.Store, p portion) (assignments int, err error) {
	name := tenantName(p.tenant)
	var changes []store.Change
	if p.start == 0 {
		changes = append(changes, store.CreateTenant{Name: name, Catalog: modelOf(p.tenant).catalog})
	}
	for n := p.start; n < p.end; n++ {
		for _, a := range i.AssignmentsOf(p.tenant, n) {
			changes = append(changes, store.SetAssignment{Assignment: a})
			assignments++
		}
	}
	_, err = s.Commit(ctx, store.Write{
		Tenant: name,
		By:     store.By{Operator: true, Caller: "import"},
		Plan: func(r store.Reader) ([]store.Change, error) {
			if p.start == 0 {
				return changes, nil // for the tenant that it makes
			}
			t, err := r.Tenant(name)
			if err != nil {
				return nil, err
			}
			for n, c := range changes {
				set := c.(store.SetAssignment)
				set.Tenant = t.ID
				changes[n] = set
			}
			return changes, nil
		},
	})
	return assignments, err
}
