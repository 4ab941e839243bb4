package server

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// maxPageBytes is how large the changes of a page may become before it ends, so that an answer
// stays below the 4 MiB that gRPC clients take.
const maxPageBytes = 2 << 20

// ListChanges lists the record of changes, a page at a time.
func (a adminService) ListChanges(ctx context.Context, r *usherv1.ListChangesRequest) (*usherv1.ListChangesResponse, error) {
	if slices.Contains(r.GetKinds(), usherv1.ChangeKind_CHANGE_KIND_UNSPECIFIED) {
		return nil, malformed("kinds", "name kinds of changes, or none for all of them")
	}
	var response *usherv1.ListChangesResponse
	err := a.server.store.View(ctx, func(reader store.Reader) error {
		tenant, err := recordedTenant(reader, r.GetTenant(), store.TenantID(r.GetTenantId()))
		if err != nil {
			return err
		}
		response, err = listChanges(reader, tenant.ID, r)
		return err
	})
	return response, err
}

// listChanges makes one page of the changes that pass a filter.
func listChanges(r store.Reader, tenant store.TenantID, request *usherv1.ListChangesRequest) (*usherv1.ListChangesResponse, error) {
	filter := pageFilter("changes", r.Revision().Epoch, tenant, request.GetSubject(), request.GetActor(), request.GetKinds(),
		instantOf(request.GetSince()), instantOf(request.GetUntil()), request.GetOldestFirst())
	from, err := filter.gap(request.GetPageToken(), request.GetOldestFirst())
	if err != nil {
		return nil, err
	}
	records, err := rangeOf(r, tenant, request, from)
	if err != nil {
		return nil, err
	}
	response := &usherv1.ListChangesResponse{Revision: r.Revision().String()}
	to := from // the gap behind the last record that was looked at
	scanned, bytes, more := 0, 0, false
	for c, err := range r.History(tenant, records) {
		if err != nil {
			return nil, err
		}
		if len(response.Changes) == pageSize(request.GetPageSize()) || scanned == maxScanned || bytes >= maxPageBytes {
			more = true
			break
		}
		scanned++
		to.at = store.Position{Revision: c.Revision.Number, Index: c.Index}
		if to.newer {
			to.at.Index++
		}
		if changePasses(request, c) {
			m := changeMessage(c)
			bytes += proto.Size(m)
			response.Changes = append(response.Changes, m)
		}
	}
	var onward, back string
	if more {
		onward = filter.gapToken(to)
	}
	if request.GetPageToken() != "" {
		back = filter.gapToken(gap{at: from.at, newer: !from.newer})
	}
	if from.newer == request.GetOldestFirst() {
		response.NextPageToken, response.PreviousPageToken = onward, back
	} else {
		slices.Reverse(response.Changes)
		response.NextPageToken, response.PreviousPageToken = back, onward
	}
	return response, nil
}

// rangeOf returns which records to look at for a page from a gap on.
func rangeOf(r store.Reader, tenant store.TenantID, request *usherv1.ListChangesRequest, from gap) (store.Range, error) {
	records := store.Range{NewestFirst: !from.newer}
	if subject := request.GetSubject(); subject != "" {
		records.Object = store.SubjectObject(subject)
	}
	if request.GetSince() != nil {
		last, err := revisionAt(r, tenant, request.GetSince().AsTime().Add(-1))
		if err != nil {
			return records, err
		}
		records.After = store.Position{Revision: last, Index: math.MaxUint32}
	}
	if request.GetUntil() != nil {
		last, err := revisionAt(r, tenant, request.GetUntil().AsTime().Add(-1))
		if err != nil {
			return records, err
		}
		records.Before = store.Position{Revision: last + 1}
	}
	switch {
	case from.at == store.Position{}: // the first page
	case from.newer:
		records.After = from.before()
	default:
		records.Before = from.at
	}
	return records, nil
}

func changePasses(request *usherv1.ListChangesRequest, c store.ChangeRecord) bool {
	return (request.GetActor() == "" || request.GetActor() == c.By.Subject) &&
		(len(request.GetKinds()) == 0 || slices.Contains(request.GetKinds(), kindOf(c.Change)))
}

// gap is a place between two records: the one at a position, or where it would be, and the
// one before it. From there a page has newer records or older ones.
type gap struct {
	at    store.Position
	newer bool
}

// before is the last position before the gap.
func (g gap) before() store.Position {
	if g.at.Index == 0 {
		return store.Position{Revision: g.at.Revision - 1, Index: math.MaxUint32}
	}
	return store.Position{Revision: g.at.Revision, Index: g.at.Index - 1}
}

// gapToken makes the token of a page from a gap on.
func (f filter) gapToken(g gap) string {
	return f.token(strconv.FormatBool(g.newer), strconv.FormatUint(g.at.Revision, 10), strconv.FormatUint(uint64(g.at.Index), 10))
}

// gap reads a token. An empty one stands for the first page.
func (f filter) gap(token string, oldestFirst bool) (gap, error) {
	parts, err := f.position(token, 3)
	if err != nil || token == "" {
		return gap{newer: oldestFirst}, err
	}
	newer, err1 := strconv.ParseBool(parts[0])
	revision, err2 := strconv.ParseUint(parts[1], 10, 64)
	index, err3 := strconv.ParseUint(parts[2], 10, 32)
	if err1 != nil || err2 != nil || err3 != nil || revision == 0 {
		return gap{}, notAToken()
	}
	return gap{at: store.Position{Revision: revision, Index: uint32(index)}, newer: newer}, nil
}

// firstTimed is the least revision number that can be the time of its commit. Those of stores
// that counted from 1 are below.
const firstTimed = 1e15

// revisionAt returns a revision number so that the changes of a tenant up to it are those at
// or before a time.
func revisionAt(r store.Reader, tenant store.TenantID, t time.Time) (uint64, error) {
	number := uint64(max(t.UnixNano(), 0))
	counted, found, err := first(r.History(tenant, store.Range{Before: store.Position{Revision: firstTimed}, NewestFirst: true}))
	if err != nil || !found {
		return number, err
	}
	if !counted.Time.After(t) {
		return max(number, counted.Revision.Number), nil
	}
	low, high := uint64(0), counted.Revision.Number // later than low, and not before high
	for low < high {
		middle := low + (high-low)/2
		next, found, err := first(r.History(tenant, store.Range{After: store.Position{Revision: middle, Index: math.MaxUint32}}))
		if err != nil {
			return 0, err
		}
		if !found || next.Time.After(t) {
			high = middle
		} else {
			low = next.Revision.Number
		}
	}
	return low, nil
}

// instantOf returns a time as a number, and 0 for nil.
func instantOf(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return t.AsTime().UnixNano()
}
