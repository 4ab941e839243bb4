package server_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// walkEndedKept is how long an assignment stays after its end.
const walkEndedKept = 6 * time.Hour

// maintain lets the server clear away what ended long ago, in all tenants.
func (w *walk) maintain() {
	w.Helper()
	for t, records := range w.maintained(server.Retention{Ended: walkEndedKept}) {
		for _, r := range records {
			if intervalOf(nil, r.GetBefore().GetExpiresAt()).until > w.now()-int64(walkEndedKept) {
				w.fail("it ended not long ago, and was cleared away: %v", r)
			}
		}
		t.clear(records)
		t.remember()
	}
	for _, t := range w.tenants {
		for key, i := range t.state.held {
			if i.until < w.now()-int64(walkEndedKept) {
				w.fail("%s: %v ended long ago, and was not cleared away", t.name, key)
			}
		}
	}
}

// maintained lets the server maintain itself, and takes in what it records by that: at most
// one write for each tenant.
func (w *walk) maintained(keep server.Retention) map[*walkTenant][]*usherv1.ChangeRecord {
	w.Helper()
	w.trace = append(w.trace, fmt.Sprintf("step %d at %s: Maintain %+v", w.step, w.h.clock.Now().Format(time.RFC3339Nano), keep))
	w.must(w.h.server.Maintain(w.Context(), keep))
	records := map[*walkTenant][]*usherv1.ChangeRecord{}
	for _, t := range w.tenants {
		if unread := t.unread(); len(unread) > 0 {
			records[t] = unread
		}
	}
	inOrder := slices.SortedFunc(maps.Keys(records), func(a, b *walkTenant) int {
		return records[a][0].GetTime().AsTime().Compare(records[b][0].GetTime().AsTime())
	})
	for _, t := range inOrder {
		t.takeIn(records[t])
	}
	return records
}

// trim lets the server forget the older half of the history. What is left is as it was, the
// chains are still whole, and what was before is no longer answered.
func (w *walk) trim() {
	w.Helper()
	limit := w.revisions[len(w.revisions)/2].time
	trimmed := map[*walkTenant]int{}
	for _, t := range w.tenants {
		trimmed[t] = len(t.records)
		if i := slices.IndexFunc(t.records, func(r *usherv1.ChangeRecord) bool { return r.GetTime().AsTime().UnixNano() >= limit }); i >= 0 {
			trimmed[t] = i
		}
	}
	trimmings := w.maintained(server.Retention{Changes: time.Duration(w.now() - limit)})
	for _, t := range w.tenants {
		t.checkTrimmed(trimmed[t], trimmings[t])
	}
	if findings := w.verify("", w.heads); len(findings) > 0 {
		w.fail("the trimmed chains are not whole: %v", findings)
	}
}

// checkTrimmed looks at a tenant of whose history so many records are no longer kept.
func (t *walkTenant) checkTrimmed(trimmed int, trimmings []*usherv1.ChangeRecord) {
	t.Helper()
	if trimmed == 0 {
		if trimmings != nil {
			t.fail("%s: nothing is old, and it was trimmed: %v", t.name, trimmings)
		}
		return
	}
	if len(trimmings) != 1 || trimmings[0].GetKind() != usherv1.ChangeKind_CHANGE_KIND_RECORD_TRIMMED ||
		trimmings[0].GetRecordCount() != uint64(trimmed) {
		t.fail("%s: %d records were to be trimmed, and recorded is %v", t.name, trimmed, trimmings)
	}
	if all := t.history(); !sameRecords(all, t.records[trimmed:]) {
		t.fail("%s: the trimmed history has %d records that differ from the last %d", t.name, len(all), len(t.records)-trimmed)
	}
	last := t.records[trimmed-1]
	before := last.GetTime().AsTime().Add(-1)
	_, err := t.h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{
		Tenant: t.name, AsOf: &usherv1.AsOf{Moment: &usherv1.AsOf_Time{Time: timestamppb.New(before)}},
	})
	if got := errorWords(err); got != walkNotKept {
		t.fail("%s: as of %v, which is not kept, it answers %s", t.name, before, got)
	}
	t.moments = slices.DeleteFunc(t.moments, func(m walkMoment) bool { return m.order < t.order[last.GetRevision()] })
	for range 20 {
		t.checkPast()
	}
}
