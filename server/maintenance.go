package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-pdp/usher/store"
)

// Retention says how long is kept what is not needed for decisions. Zero durations keep
// it for ever.
type Retention struct {
	// Ended is how long an assignment stays after its end. Then it is removed, on record.
	Ended time.Duration
	// Changes is how long the record of a change stays. The chain of what is left still
	// verifies.
	Changes time.Duration
}

// maintained is how many records one write of the maintenance changes, so that other
// writes never wait long for it.
const maintained = 1_000

// Maintain removes what need not be kept any more: assignments that ended long ago, old
// change records, the data of deleted tenants, and imports that nobody goes on with. It ends
// when there is nothing left to remove, and is meant to be called every few minutes, by one
// goroutine.
func (s *Server) Maintain(ctx context.Context, keep Retention) error {
	now := s.now()
	err := errors.Join(
		s.clearEnded(ctx, now, keep.Ended),
		s.trimAll(ctx, now, keep.Changes),
		s.purgeDeleted(ctx),
		s.clearImports(ctx, now),
	)
	if err == nil {
		s.metrics.maintained.Set(timestamp(s.now()))
	}
	return err
}

// clearEnded removes the assignments that ended so long ago.
func (s *Server) clearEnded(ctx context.Context, now time.Time, kept time.Duration) error {
	for kept > 0 {
		var ended []store.Ended
		err := s.store.View(ctx, func(r store.Reader) error {
			for e, err := range r.EndedBefore(now.Add(-kept)) {
				if err != nil {
					return err
				}
				if ended = append(ended, e); len(ended) == maintained {
					break
				}
			}
			return nil
		})
		if err != nil || len(ended) == 0 {
			return err
		}
		for _, of := range byTenant(ended) {
			if err := s.clear(ctx, of, now.Add(-kept)); err != nil {
				return err
			}
		}
	}
	return nil
}

// byTenant sorts ended assignments by tenant.
func byTenant(ended []store.Ended) map[store.TenantID][]store.Ended {
	sorted := map[store.TenantID][]store.Ended{}
	for _, e := range ended {
		sorted[e.Tenant.ID] = append(sorted[e.Tenant.ID], e)
	}
	return sorted
}

// clear removes ended assignments of one tenant, as far as they have not been granted anew.
func (s *Server) clear(ctx context.Context, ended []store.Ended, limit time.Time) error {
	tenant := ended[0].Tenant
	_, err := s.store.Commit(ctx, store.Write{
		Tenant: tenant.Name,
		Plan: func(r store.Reader) ([]store.Change, error) {
			t, err := r.Tenant(tenant.Name)
			if errors.Is(err, store.ErrNotFound) || err == nil && t.ID != tenant.ID {
				return nil, nil // it has been deleted
			}
			if err != nil {
				return nil, err
			}
			var changes []store.Change
			for _, e := range ended {
				a, err := r.Assignment(t.ID, e.AssignmentKey)
				switch {
				case errors.Is(err, store.ErrNotFound):
				case err != nil:
					return nil, err
				case a.Ended(limit):
					changes = append(changes, store.RemoveAssignment{Tenant: t.ID, Key: a.AssignmentKey, Cleared: true})
				}
			}
			return changes, nil
		},
	})
	return err
}

// purgeDeleted removes the data of deleted tenants, except for their change records.
func (s *Server) purgeDeleted(ctx context.Context) error {
	for {
		var next store.Tenant
		err := s.store.View(ctx, func(r store.Reader) error {
			for t, err := range r.DeletedTenants(s.purged) {
				next = t
				return err
			}
			return nil
		})
		if err != nil || next.ID == 0 {
			return err
		}
		for more := true; more; {
			committed, err := s.store.Commit(ctx, store.Write{Plan: func(store.Reader) ([]store.Change, error) {
				return []store.Change{store.PurgeTenant{Tenant: next.ID, Most: maintained}}, nil
			}})
			if err != nil {
				return err
			}
			more = committed.Changed
		}
		s.purged = next.ID
	}
}

// trimAll removes the change records of all tenants that are older than that.
func (s *Server) trimAll(ctx context.Context, now time.Time, kept time.Duration) error {
	if kept <= 0 {
		return nil
	}
	var tenants []store.Tenant
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		tenants, err = collect(recordedTenants(r, nil))
		return err
	})
	for _, t := range tenants {
		if failure := s.trim(ctx, t, now.Add(-kept)); failure != nil && ctx.Err() == nil {
			err = errors.Join(err, fmt.Errorf("trimming the changes of tenant %d: %w", t.ID, failure))
		}
	}
	return err
}

// trim removes the change records of a tenant from before a time.
func (s *Server) trim(ctx context.Context, t store.Tenant, before time.Time) error {
	from, upTo, err := s.trimmable(ctx, t, before)
	write := store.Write{Plan: func(store.Reader) ([]store.Change, error) {
		return []store.Change{store.TrimChanges{Tenant: t.ID, UpTo: upTo, Most: maintained}}, nil
	}}
	if t.DeletedAt.IsZero() {
		write.Tenant = t.Name
	}
	for left := upTo.Length - from.Length; err == nil && left > 0; left -= min(left, maintained) {
		_, err = s.store.Commit(ctx, write)
	}
	return err
}

// trimmable returns the link from which on records are kept, and the one up to which they
// need not be. If there are none but records of earlier trimmings, these are the same: a
// record of a trimming is no reason to trim, and make another one.
func (s *Server) trimmable(ctx context.Context, t store.Tenant, before time.Time) (from, upTo store.Link, err error) {
	worth := false
	for begun, more := false, true; more; begun = true {
		err := s.store.View(ctx, func(r store.Reader) error {
			if !begun {
				chain, err := r.Chain(t.ID)
				if err != nil {
					return err
				}
				from, upTo = chain.Trimmed, chain.Trimmed
			}
			count := 0
			more = false
			for record, err := range r.History(t.ID, store.Range{After: upTo.Position}) {
				if err != nil {
					return err
				}
				if more = count == maxSearched; more || !record.Time.Before(before) {
					break
				}
				count++
				if _, is := record.Change.(store.TrimChanges); !is {
					worth = true
				}
			}
			if count == 0 {
				return nil
			}
			var err error
			upTo, err = r.Follow(t.ID, upTo, count)
			return err
		})
		if err != nil {
			return from, from, err
		}
	}
	if !worth {
		upTo = from
	}
	return from, upTo, nil
}
