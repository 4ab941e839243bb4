package server_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// differences writes down, a line for each, the changes that lead from one state to another.
func differences(before, after *walkState) []string {
	var lines []string
	for key, i := range after.held {
		if old, there := before.held[key]; !there || old != i {
			lines = append(lines, fmt.Sprintf("set %v %v before %s", key, i, describeBefore(old, there)))
		}
	}
	for key, i := range before.held {
		if _, there := after.held[key]; !there {
			lines = append(lines, fmt.Sprintf("removed %v before %v", key, i))
		}
	}
	for toggle, on := range after.toggles {
		if old, there := before.toggles[toggle]; !there || old != on {
			lines = append(lines, fmt.Sprintf("toggle %s %v before %s", toggle, on, describeBefore(old, there)))
		}
	}
	if before.primary != after.primary {
		lines = append(lines, "primary set "+primaryName(after.primary))
	}
	return lines
}

func describeBefore(old any, there bool) string {
	if !there {
		return "none"
	}
	return fmt.Sprint(old)
}

func primaryName(subject string) string {
	if subject == "" {
		return "nobody"
	}
	return subject
}

// recordLine writes a record in the words of differences.
func recordLine(r *usherv1.ChangeRecord) string {
	a := r.GetAssignment()
	key := walkKey{a.GetSubject(), a.GetRole(), a.GetScope()}
	before := intervalOf(r.GetBefore().GetStartsAt(), r.GetBefore().GetExpiresAt())
	switch r.GetKind() {
	case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET:
		return fmt.Sprintf("set %v %v before %s", key, intervalOf(a.GetStartsAt(), a.GetExpiresAt()), describeBefore(before, r.GetBefore() != nil))
	case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_REMOVED:
		return fmt.Sprintf("removed %v before %s", key, describeBefore(before, r.GetBefore() != nil))
	case usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET:
		on := r.GetState() == usherv1.ToggleState_TOGGLE_STATE_ON
		wasOn := r.GetStateBefore() == usherv1.ToggleState_TOGGLE_STATE_ON
		return fmt.Sprintf("toggle %s %v before %s", r.GetToggle(), on,
			describeBefore(wasOn, r.GetStateBefore() != usherv1.ToggleState_TOGGLE_STATE_UNSPECIFIED))
	case usherv1.ChangeKind_CHANGE_KIND_PRIMARY_SET:
		return "primary set " + primaryName(a.GetSubject())
	case usherv1.ChangeKind_CHANGE_KIND_TENANT_CREATED:
		return "tenant created " + r.GetCatalog()
	}
	return fmt.Sprint(r)
}

// objectsOf are the objects that a record is about.
func objectsOf(r *usherv1.ChangeRecord) []string {
	switch r.GetKind() {
	case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET, usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_REMOVED,
		usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_CLEARED:
		return []string{r.GetAssignment().GetSubject()}
	case usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET:
		return []string{r.GetToggle()}
	}
	return nil
}

// replay does to a state what a record says was done.
func (s *walkState) replay(r *usherv1.ChangeRecord) {
	a := r.GetAssignment()
	key := walkKey{a.GetSubject(), a.GetRole(), a.GetScope()}
	switch r.GetKind() {
	case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET:
		s.held[key] = intervalOf(a.GetStartsAt(), a.GetExpiresAt())
	case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_REMOVED, usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_CLEARED:
		delete(s.held, key)
	case usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET:
		s.toggles[r.GetToggle()] = r.GetState() == usherv1.ToggleState_TOGGLE_STATE_ON
	case usherv1.ChangeKind_CHANGE_KIND_PRIMARY_SET:
		s.primary = a.GetSubject()
	}
}

// changed takes in that a write was made, and compares its records.
func (t *walkTenant) changed(revision string, after *walkState, want []string, actor *usherv1.Actor, justification string) {
	t.Helper()
	if _, old := t.order[revision]; old {
		t.fail("a write answers with the revision %s, which there was already", revision)
	}
	var got []string
	cleared := slices.Clone(t.newRecords())
	cleared = slices.DeleteFunc(cleared, func(r *usherv1.ChangeRecord) bool {
		if r.GetRevision() != revision || r.GetKind() == usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_CLEARED {
			return false
		}
		got = append(got, recordLine(r))
		if r.GetJustification() != justification || !proto.Equal(r.GetActor(), actor) || (r.GetOperator() == nil) != (actor != nil) {
			t.fail("the record does not say who did it, and why: %v", r)
		}
		return true
	})
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.fail("recorded is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	t.state = after
	t.clear(cleared)
	t.remember()
}

// unchanged looks whether there are no records but of what has ended and was cleared away.
func (t *walkTenant) unchanged() {
	t.Helper()
	t.clear(t.newRecords())
	t.remember()
}

// clear takes in that assignments were cleared away, which may be at any time after their end.
func (t *walkTenant) clear(records []*usherv1.ChangeRecord) {
	t.Helper()
	for _, r := range records {
		a := r.GetAssignment()
		key := walkKey{a.GetSubject(), a.GetRole(), a.GetScope()}
		i, there := t.state.held[key]
		if r.GetKind() != usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_CLEARED || !there || !i.ended(r.GetTime().AsTime().UnixNano()) {
			t.fail("there is a record of what nobody has done: %v", r)
		}
		t.seen["cleared"]++
		t.state = t.state.clone()
		delete(t.state.held, key)
	}
}

// remember keeps the present state to compare answers about the past with.
func (t *walkTenant) remember() {
	newest := len(t.revisions) - 1
	if len(t.moments) == 0 || t.moments[len(t.moments)-1].state != t.state {
		t.moments = append(t.moments, walkMoment{newest, t.revisions[newest].time, t.state})
	}
}

// newRecords reads what has been recorded since it was called last, and takes it in.
func (t *walkTenant) newRecords() []*usherv1.ChangeRecord {
	t.Helper()
	records := t.unread()
	t.takeIn(records)
	return records
}

// unread reads what has been recorded and was not taken in yet.
func (t *walkTenant) unread() []*usherv1.ChangeRecord {
	t.Helper()
	var records []*usherv1.ChangeRecord // newest first
	request := &usherv1.ListChangesRequest{Tenant: t.name, PageSize: int32(1 + t.IntN(20))}
	known := func(r *usherv1.ChangeRecord) bool {
		last := t.records[len(t.records)-1]
		return r.GetRevision() == last.GetRevision() && r.GetPosition() == last.GetPosition()
	}
	for {
		page, err := t.h.admin.ListChanges(t.Context(), request)
		t.must(err)
		for _, r := range page.GetChanges() {
			if len(t.records) > 0 && known(r) {
				page.NextPageToken = ""
				break
			}
			records = append(records, r)
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	slices.Reverse(records)
	return records
}

// takeIn replays records, and looks at where each stands in the history.
func (t *walkTenant) takeIn(records []*usherv1.ChangeRecord) {
	t.Helper()
	for i, r := range records {
		t.place(r, i > 0 && records[i-1].GetRevision() == r.GetRevision())
		for _, object := range objectsOf(r) {
			t.changedAt[object] = t.order[r.GetRevision()]
		}
		t.records = append(t.records, r)
		t.replayed.replay(r)
	}
}

// place looks at where a record stands in the history: times and revisions only grow.
func (t *walkTenant) place(r *usherv1.ChangeRecord, sameWrite bool) {
	t.Helper()
	when := r.GetTime().AsTime().UnixNano()
	position := uint32(0)
	if sameWrite {
		position = t.records[len(t.records)-1].GetPosition() + 1
	} else {
		least := t.now()
		if len(t.revisions) > 0 {
			least = max(least, t.revisions[len(t.revisions)-1].time)
		}
		if when < least || when > least+int64(time.Millisecond) {
			t.fail("the record says that it was written at %d, and it is %d: %v", when, least, r)
		}
		t.order[r.GetRevision()] = len(t.revisions)
		t.revisions = append(t.revisions, walkRevision{r.GetRevision(), when})
	}
	if r.GetPosition() != position || when != t.revisions[len(t.revisions)-1].time ||
		r.GetRevision() != t.revisions[len(t.revisions)-1].revision {
		t.fail("the record does not fit in the place where it is: %v", r)
	}
	if a := r.GetAssignment(); r.GetKind() == usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET &&
		a.GetState() != intervalOf(a.GetStartsAt(), a.GetExpiresAt()).state(when) {
		t.fail("the record has a state that is not the one of its time: %v", r)
	}
}

// check compares all that can be read with the model.
func (t *walkTenant) check() {
	t.Helper()
	now := t.now()
	if problem := listProblem(t.list(&usherv1.ListAssignmentsRequest{}), t.state, t.keys(), now); problem != "" {
		t.fail("%s: %s", t.name, problem)
	}
	t.checkList(&usherv1.ListAssignmentsRequest{}, t.state, now)
	t.checkToggles(nil, t.state)
	if got, want := t.replayed.describe(now), t.state.describe(now); got != want {
		t.fail("%s: the history says\n%s\nand the state is\n%s", t.name, got, want)
	}
	if !slices.ContainsFunc(t.list(&usherv1.ListAssignmentsRequest{Role: t.protected}), func(a *usherv1.Assignment) bool {
		return a.GetScope() == "" && strings.HasPrefix(a.GetSubject(), "user:") && a.GetExpiresAt() == nil &&
			a.GetState() == usherv1.AssignmentState_ASSIGNMENT_STATE_ACTIVE
	}) {
		t.fail("%s has no %s any more", t.name, t.protected)
	}
	tenant, err := t.h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: t.name})
	t.must(err)
	if got := tenant.GetTenant().GetPrimaryAdministrator(); got != t.state.primary {
		t.fail("%s: the primary administrator is %q, want %q", t.name, got, t.state.primary)
	}
	for range 2 {
		t.checkPast()
	}
	t.checkNoPast()
	t.checkChain()
	if t.IntN(40) == 0 {
		t.checkWhole()
	}
}

// list lists assignments of the tenant, all pages of them.
func (t *walkTenant) list(request *usherv1.ListAssignmentsRequest) []*usherv1.Assignment {
	t.Helper()
	request.Tenant, request.PageSize = t.name, int32(1+t.IntN(30))
	var all []*usherv1.Assignment
	for {
		page, err := t.h.admin.ListAssignments(t.Context(), request)
		t.must(err)
		all = append(all, page.GetAssignments()...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return all
		}
	}
}

// checkList lists with a random filter what was held in a state.
func (t *walkTenant) checkList(request *usherv1.ListAssignmentsRequest, s *walkState, now int64) {
	t.Helper()
	key := pick(t.Rand, sortedKeys(s))
	if t.IntN(3) == 0 {
		request.Subject = key.subject
	}
	if t.IntN(3) == 0 {
		request.Role = key.role
	}
	if t.IntN(6) == 0 {
		request.Scope = key.scope
	}
	if t.IntN(3) == 0 {
		request.State = usherv1.AssignmentState(t.IntN(4))
	}
	if t.IntN(4) == 0 {
		request.EndsBefore = timestamppb.New(time.Unix(0, now+t.Int64N(int64(40*time.Hour))))
	}
	keys := slices.DeleteFunc(sortedKeys(s), func(key walkKey) bool {
		i := s.held[key]
		ending := !i.ended(now) && i.until != withoutEnd && i.until < request.GetEndsBefore().AsTime().UnixNano()
		return request.GetSubject() != "" && request.GetSubject() != key.subject ||
			request.GetRole() != "" && request.GetRole() != key.role ||
			request.GetScope() != "" && request.GetScope() != key.scope ||
			request.GetState() != usherv1.AssignmentState_ASSIGNMENT_STATE_UNSPECIFIED && request.GetState() != i.state(now) ||
			request.GetEndsBefore() != nil && !ending
	})
	if request.GetRole() != "" && request.GetSubject() == "" && request.GetAsOf() == nil {
		slices.SortFunc(keys, func(a, b walkKey) int {
			return slices.Compare([]string{a.role, a.scope, a.subject}, []string{b.role, b.scope, b.subject})
		})
	}
	if problem := listProblem(t.list(request), s, keys, now); problem != "" {
		t.fail("%s: %v: %s", t.name, request, problem)
	}
}

func (t *walkTenant) checkToggles(at *usherv1.AsOf, s *walkState) {
	t.Helper()
	response, err := t.h.admin.ListToggles(t.Context(), &usherv1.ListTogglesRequest{Tenant: t.name, AsOf: at})
	t.must(err)
	var got, want []string
	for _, toggle := range response.GetToggles() {
		got = append(got, fmt.Sprint(toggle.GetName(), toggle.GetState(), toggle.GetInitialState(), toggle.GetLocked()))
	}
	for _, toggle := range t.toggles {
		want = append(want, fmt.Sprint(toggle.name, toggleState(t.stands(s, &toggle)), toggleState(toggle.startsOn), toggle.locked))
	}
	if !slices.Equal(got, want) {
		t.fail("%s: as of %v the toggles are\n%q\nwant\n%q", t.name, at, got, want)
	}
}

// at returns the state that was current when a revision was the newest, or at a time.
func (t *walkTenant) at(passed func(walkMoment) bool) *walkState {
	var s *walkState
	for _, m := range t.moments {
		if passed(m) {
			s = m.state
		}
	}
	return s
}

// checkPast asks for what was at some revision, and at some time.
func (t *walkTenant) checkPast() {
	t.Helper()
	first := t.moments[0]
	order := first.order + t.IntN(len(t.revisions)-first.order)
	revision := t.revisions[order]
	at := &usherv1.AsOf{Moment: &usherv1.AsOf_Revision{Revision: revision.revision}}
	s := t.at(func(m walkMoment) bool { return m.order <= order })
	t.checkList(&usherv1.ListAssignmentsRequest{AsOf: at}, s, revision.time)
	t.checkToggles(at, s)

	t.seen["asked for the past"]++
	if t.now() < first.time {
		return // a commit is later than the clock by as many nanoseconds as there were others in the same instant
	}
	when := pick(t.Rand, t.moments).time + int64(t.IntN(3)) - 1
	if t.IntN(2) == 0 {
		when = first.time + t.Int64N(t.now()-first.time+1)
	}
	when = min(max(when, first.time), t.now())
	at = &usherv1.AsOf{Moment: &usherv1.AsOf_Time{Time: timestamppb.New(time.Unix(0, when))}}
	s = t.at(func(m walkMoment) bool { return m.time <= when })
	t.checkList(&usherv1.ListAssignmentsRequest{AsOf: at}, s, when)
	t.checkToggles(at, s)
}

// checkNoPast asks for moments that there are not.
func (t *walkTenant) checkNoPast() {
	t.Helper()
	future := time.Unix(0, max(t.now(), t.revisions[len(t.revisions)-1].time)).Add(time.Second)
	for words, at := range map[string]*usherv1.AsOf{
		"OUT_OF_RANGE NOT_KEPT": {Moment: &usherv1.AsOf_Time{Time: timestamppb.New(future)}},
		walkOtherEpoch:          {Moment: &usherv1.AsOf_Revision{Revision: t.otherEpoch}},
		walkMalformed:           {Moment: &usherv1.AsOf_Revision{Revision: "yesterday"}},
	} {
		_, err := t.h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: t.name, AsOf: at})
		if got := errorWords(err); !isRefusal(got, []string{words}) {
			t.fail("as of %v: got %s, want %s", at, got, words)
		}
	}
}

// checkChain verifies the chain of the tenant's record, with heads that were kept.
func (t *walkTenant) checkChain() {
	t.Helper()
	var kept []*usherv1.Head
	for _, head := range t.heads {
		if head.GetTenant() == t.name && t.IntN(10) == 0 {
			kept = append(kept, head)
		}
	}
	if findings := t.verify(t.name, kept); len(findings) > 0 {
		t.fail("%s: the chain is not whole: %v", t.name, findings)
	}
	if len(kept) == 0 || t.IntN(10) > 0 {
		return
	}
	// A head that there never was is found.
	forged := proto.CloneOf(kept[0])
	if t.IntN(2) == 0 {
		forged.Hash = strings.Repeat("0", 64)
	} else {
		forged.Length += uint64(len(t.records))
	}
	if len(t.verify(t.name, []*usherv1.Head{forged})) == 0 {
		t.fail("%s: a head is taken to be contained that there never was: %v", t.name, forged)
	}
}

func (w *walk) verify(tenant string, heads []*usherv1.Head) []*usherv1.Finding {
	w.Helper()
	stream, err := w.h.operator.VerifyChanges(w.Context(), &usherv1.VerifyChangesRequest{Tenant: tenant, Heads: heads})
	w.must(err)
	var findings []*usherv1.Finding
	done := false
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		w.must(err)
		findings = append(findings, message.GetFindings()...)
		done = message.GetDone()
	}
	if !done {
		w.fail("the last message of a verification does not say that it is the last")
	}
	return findings
}

// checkWhole reads the whole history from its start, replays it from nothing, and keeps the
// heads of all chains.
func (t *walkTenant) checkWhole() {
	t.Helper()
	request := &usherv1.ListChangesRequest{Tenant: t.name, OldestFirst: true, PageSize: int32(1 + t.IntN(200))}
	var all []*usherv1.ChangeRecord
	for {
		page, err := t.h.admin.ListChanges(t.Context(), request)
		t.must(err)
		all = append(all, page.GetChanges()...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if !slices.EqualFunc(all, t.records, func(a, b *usherv1.ChangeRecord) bool { return proto.Equal(a, b) }) {
		t.fail("%s: the history from its start has %d records that differ from the %d that were read one by one", t.name, len(all), len(t.records))
	}
	s := &walkState{held: map[walkKey]walkInterval{}, toggles: map[string]bool{}}
	for _, r := range all {
		s.replay(r)
	}
	if got, want := s.describe(t.now()), t.state.describe(t.now()); got != want {
		t.fail("%s: the history from its start says\n%s\nand the state is\n%s", t.name, got, want)
	}
	t.keepHeads()
}

// keepHeads reads the heads of all chains, and keeps them.
func (w *walk) keepHeads() {
	w.Helper()
	response, err := w.h.operator.ListHeads(w.Context(), &usherv1.ListHeadsRequest{})
	w.must(err)
	for _, t := range w.tenants {
		i := slices.IndexFunc(response.GetHeads(), func(head *usherv1.Head) bool { return head.GetTenant() == t.name })
		if i < 0 {
			w.fail("%s has no head: %v", t.name, response)
		}
		head := response.GetHeads()[i]
		if head.GetLength() != uint64(len(t.records)) || head.GetRevision() != t.records[len(t.records)-1].GetRevision() {
			w.fail("%s: the head is %v after %d records, the last of which is %v", t.name, head, len(t.records), t.records[len(t.records)-1])
		}
	}
	w.heads = append(w.heads, response.GetHeads()...)
	if findings := w.verify("", response.GetHeads()); len(findings) > 0 {
		w.fail("the chains are not whole: %v", findings)
	}
}
