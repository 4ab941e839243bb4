package server

import (
	"cmp"
	"context"
	"slices"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// EraseSubject removes what names a person from a tenant's change record. The records are
// searched for before the writes, so that no other write waits for that; those that come
// meanwhile are searched for in the last one.
func (o operatorService) EraseSubject(ctx context.Context, r *usherv1.EraseSubjectRequest) (*usherv1.EraseSubjectResponse, error) {
	tenant, err := o.server.forgetEnded(ctx, r)
	if err != nil {
		return nil, err
	}
	var after store.Position
	var found []store.Position
	for done := false; !done; {
		err := o.server.store.View(ctx, func(reader store.Reader) (err error) {
			after, done, err = recordsNaming(reader, tenant.ID, r.GetSubject(), after, &found)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	response := &usherv1.EraseSubjectResponse{Outcome: usherv1.Outcome_OUTCOME_UNCHANGED}
	for erased, last := 0, false; !last; {
		rest := found[erased:]
		n := min(len(rest), maxErased)
		last = n == len(rest)
		write := store.Write{By: asOperator(ctx), Justification: r.GetJustification(), Plan: func(reader store.Reader) ([]store.Change, error) {
			if t, err := erasable(reader, r, o.server.now()); err != nil || t.ID != tenant.ID {
				return nil, cmp.Or(err, errMovedOn)
			}
			chain, err := reader.Chain(tenant.ID)
			if err != nil {
				return nil, err
			}
			trimmed := func(p store.Position) bool { return comparePositions(p, chain.Trimmed.Position) <= 0 }
			erase := store.EraseSubject{
				Tenant: tenant.ID, Subject: r.GetSubject(), Records: slices.DeleteFunc(slices.Clone(rest[:n]), trimmed), Last: last, Count: uint64(len(found)),
			}
			if last {
				var late []store.Position
				if _, _, err := recordsNaming(reader, tenant.ID, r.GetSubject(), after, &late); err != nil {
					return nil, err
				}
				if len(late) > maxErased {
					return nil, errMovedOn
				}
				erase.Records = slices.Concat(erase.Records, late)
				erase.Count += uint64(len(late))
			}
			if response.RecordCount = erase.Count; erase.Count == 0 {
				return nil, nil
			}
			return []store.Change{erase}, nil
		}}
		if tenant.DeletedAt.IsZero() {
			write.Tenant = tenant.Name
		}
		committed, err := o.server.store.Commit(ctx, write)
		if err != nil {
			return nil, err
		}
		response.Outcome, response.Revision = outcomeOf(committed.Changed), committed.Revision.String()
		erased += n
	}
	return response, nil
}

func comparePositions(a, b store.Position) int {
	return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Index, b.Index))
}

// forgetEnded clears away what the subject has held, and returns the tenant.
func (s *Server) forgetEnded(ctx context.Context, r *usherv1.EraseSubjectRequest) (tenant store.Tenant, err error) {
	now := s.now()
	var ended []store.Ended
	err = s.store.View(ctx, func(reader store.Reader) error {
		if tenant, err = erasable(reader, r, now); err != nil {
			return err
		}
		for a, err := range reader.AssignmentsOf(tenant.ID, r.GetSubject()) {
			if err != nil {
				return err
			}
			ended = append(ended, store.Ended{Tenant: tenant, Assignment: a})
		}
		return nil
	})
	if err != nil || len(ended) == 0 {
		return tenant, err
	}
	return tenant, s.clear(ctx, ended, now)
}

const (
	// maxErased is how many records a write erases, and leaves room for late ones.
	maxErased = 500
	// maxSearched is how many records are looked at in one View.
	maxSearched = 20_000
)

// erasable finds the tenant, and refuses while the subject holds something there, or while the
// data of a deleted tenant have not been purged.
func erasable(r store.Reader, request *usherv1.EraseSubjectRequest, now time.Time) (t store.Tenant, err error) {
	if request.GetTenantId() != 0 {
		t, err = recordedTenant(r, request.GetTenant(), store.TenantID(request.GetTenantId()))
	} else {
		t, err = findTenant(r, request.GetTenant())
	}
	if err != nil {
		return t, err
	}
	for a, err := range r.AssignmentsOf(t.ID, request.GetSubject()) {
		if err == nil && (!a.Ended(now) || !t.DeletedAt.IsZero()) {
			err = &stillHeldError{subject: request.GetSubject(), deleted: !t.DeletedAt.IsZero()}
		}
		if err != nil {
			return t, err
		}
	}
	if t.Primary == request.GetSubject() {
		return t, &stillHeldError{subject: request.GetSubject(), primary: true}
	}
	return t, nil
}

// recordsNaming adds the records that name a subject, from a position on, and reports
// whether it has come to the end.
func recordsNaming(r store.Reader, tenant store.TenantID, subject string, after store.Position, found *[]store.Position) (store.Position, bool, error) {
	looked := 0
	for record, err := range r.History(tenant, store.Range{After: after}) {
		if err != nil {
			return after, false, err
		}
		if looked++; looked > maxSearched {
			return after, false, nil
		}
		after = store.Position{Revision: record.Revision.Number, Index: record.Index}
		if names(record, subject) {
			*found = append(*found, after)
		}
	}
	return after, true, nil
}

// names reports whether a record names a subject.
func names(record store.ChangeRecord, subject string) bool {
	if record.By.Subject == subject {
		return true
	}
	for _, g := range record.By.Groups {
		if g == subject {
			return true
		}
	}
	switch c := record.Change.(type) {
	case store.SetAssignment:
		return c.Assignment.Subject == subject
	case store.RemoveAssignment:
		return c.Key.Subject == subject
	case store.SetPrimary:
		return c.Subject == subject
	}
	return false
}
