package server

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// moment is a state of a tenant in the past.
type moment struct {
	revision uint64    // of the last change that it has
	time     time.Time // at which it is judged
}

// after is the range of the changes since.
func (m moment) after() store.Range { return store.Range{After: endOf(m.revision)} }

// momentOf finds a state of the past, as far as it is kept.
func (s *Server) momentOf(r store.Reader, tenant store.TenantID, asOf *usherv1.AsOf) (moment, error) {
	span, err := s.spanOf(r, tenant)
	if err != nil {
		return moment{}, err
	}
	var m moment
	var last uint64 // no change after it belongs to the state
	if text, ok := asOf.GetMoment().(*usherv1.AsOf_Revision); ok {
		if last, err = parseRevision(r, "as_of.revision", text.Revision); err != nil {
			return m, err
		}
		if last < span.first || last > r.Revision().Number {
			return m, span.notKept("as_of: there is no state of that revision")
		}
		if last >= firstTimed {
			m.time = time.Unix(0, int64(last)).UTC() // #nosec G115 -- a revision is a time, below 2^63
		}
	} else {
		m.time = asOf.GetTime().AsTime()
		if m.time.Before(span.oldest) || m.time.After(span.newest) {
			return m, span.notKept("as_of: there is no state of that time")
		}
		if last, err = revisionAt(r, tenant, m.time); err != nil {
			return m, err
		}
	}
	change, found, err := first(r.History(tenant, store.Range{Before: store.Position{Revision: last + 1}, NewestFirst: true}))
	if err != nil {
		return m, err
	}
	m.revision = span.first // if that is the last change of which nothing else is kept
	at := span.oldest
	if found {
		m.revision, at = change.Revision.Number, change.Time
	}
	if m.time.IsZero() {
		m.time = at
	}
	return m, nil
}

// span is how far back the states of a tenant are known.
type span struct {
	first          uint64 // revision of the first
	oldest, newest time.Time
}

// spanOf finds how far back the states of a tenant are known. The present is, too; the clock
// may be behind the newest change.
func (s *Server) spanOf(r store.Reader, tenant store.TenantID) (span, error) {
	chain, err := r.Chain(tenant)
	if err != nil {
		return span{}, err
	}
	known := span{first: chain.Trimmed.Revision, oldest: chain.TrimmedTime, newest: s.now()}
	if chain.Trimmed.Length == 0 {
		creation, _, err := first(r.History(tenant, store.Range{}))
		if err != nil {
			return known, err
		}
		known.first, known.oldest = creation.Revision.Number, creation.Time
	}
	newest, found, err := first(r.History(tenant, store.Range{NewestFirst: true}))
	if err != nil {
		return known, err
	}
	if found && newest.Time.After(known.newest) {
		known.newest = newest.Time
	}
	return known, nil
}

func (s span) notKept(what string) error {
	return &notKeptError{what: what, oldest: s.oldest, newest: s.newest}
}

// tableAt returns the table that a tenant had at a moment.
func (s *Server) tableAt(r store.Reader, t store.Tenant, m moment) (*policy.Table, error) {
	ref := t.Catalog
	since := m.after()
	since.Object = store.TenantObject
	move, found, err := first(r.History(t.ID, since))
	if err != nil {
		return nil, err
	}
	if found {
		ref = *move.CatalogBefore
	}
	catalog, err := s.readCatalog(r, ref)
	if err != nil {
		return nil, err
	}
	toggles, err := r.Toggles(t.ID)
	if err != nil {
		return nil, err
	}
	for _, toggle := range catalog.Message().GetToggles() {
		since.Object = store.ToggleObject(toggle.GetName())
		switch change, found, err := first(r.History(t.ID, since)); {
		case err != nil:
			return nil, err
		case !found:
		case change.ToggleBefore == nil:
			delete(toggles, toggle.GetName())
		default:
			toggles[toggle.GetName()] = *change.ToggleBefore
		}
	}
	return policy.NewTable(catalog, toggles), nil
}

// listAssignmentsAt makes one page of the assignments of a moment that pass a filter. Those of
// a subject are always found together.
func listAssignmentsAt(r store.Reader, tenant store.TenantID, request *usherv1.ListAssignmentsRequest, m moment) (*usherv1.ListAssignmentsResponse, error) {
	filter := assignmentFilter(tenant, request)
	after, err := filter.assignment(request.GetPageToken())
	if err != nil {
		return nil, err
	}
	response := &usherv1.ListAssignmentsResponse{
		Revision: store.Revision{Epoch: r.Revision().Epoch, Number: m.revision}.String(),
	}
	scanned := 0
	for subject, err := range subjectsFrom(r, tenant, after.Subject, request.GetSubject()) {
		if err != nil {
			return nil, err
		}
		if scanned >= maxScanned {
			response.NextPageToken = filter.token(after.Subject, after.Role, after.Scope)
			break
		}
		held, looked, err := heldAt(r, tenant, subject, m)
		if err != nil {
			return nil, err
		}
		scanned += looked
		for _, a := range held {
			if compareKeys(a.AssignmentKey, after) <= 0 || !passes(request, a, m.time) {
				continue
			}
			if len(response.Assignments) == pageSize(request.GetPageSize()) {
				response.NextPageToken = filter.token(after.Subject, after.Role, after.Scope)
				return response, nil
			}
			after = a.AssignmentKey
			response.Assignments = append(response.Assignments, assignmentMessage(a, m.time))
		}
		after = store.AssignmentKey{Subject: subject, Role: afterRoles}
	}
	return response, nil
}

// afterRoles comes after the name of every role.
const afterRoles = "~"

// subjectsFrom yields the subjects that hold something or have held something, from one on in
// byte order. If only one is asked for, it is that.
func subjectsFrom(r store.Reader, tenant store.TenantID, from, only string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if only != "" {
			yield(only, nil)
			return
		}
		last := from
		if from != "" && !yield(from, nil) {
			return
		}
		holding, stop := iter.Pull2(r.Assignments(tenant, store.AssignmentKey{Subject: from}))
		defer stop()
		changed, stop := iter.Pull2(r.Objects(tenant, store.SubjectObject(from)))
		defer stop()
		holder, err1, more1 := holding()
		object, err2, more2 := changed()
		for {
			switch {
			case err1 != nil || err2 != nil:
				yield("", cmp.Or(err1, err2))
				return
			case more1 && holder.Subject <= last:
				holder, err1, more1 = holding()
				continue
			case more2 && (string(object) <= last || !strings.Contains(string(object), ":")):
				object, err2, more2 = changed()
				continue
			case more1 && (!more2 || holder.Subject <= string(object)):
				last = holder.Subject
			case more2:
				last = string(object)
			default:
				return
			}
			if !yield(last, nil) {
				return
			}
		}
	}
}

// heldAt returns what a subject held at a moment, in the order of keys, and how many records
// had to be looked at. The changes since are undone, the newest first.
func heldAt(r store.Reader, tenant store.TenantID, subject string, m moment) (held []store.Assignment, looked int, err error) {
	intervals := map[store.AssignmentKey]store.Interval{}
	for a, err := range r.AssignmentsOf(tenant, subject) {
		if err != nil {
			return nil, 0, err
		}
		intervals[a.AssignmentKey] = a.Interval
	}
	looked = 1 + len(intervals)
	since := m.after()
	since.Object, since.NewestFirst = store.SubjectObject(subject), true
	for c, err := range r.History(tenant, since) {
		if err != nil {
			return nil, 0, err
		}
		looked++
		var key store.AssignmentKey
		switch change := c.Change.(type) {
		case store.SetAssignment:
			key = change.Assignment.AssignmentKey
		case store.RemoveAssignment:
			key = change.Key
		}
		if c.Before == nil {
			delete(intervals, key)
		} else {
			intervals[key] = *c.Before
		}
	}
	for key, interval := range intervals {
		held = append(held, store.Assignment{AssignmentKey: key, Interval: interval})
	}
	slices.SortFunc(held, func(a, b store.Assignment) int { return compareKeys(a.AssignmentKey, b.AssignmentKey) })
	return held, looked, nil
}
