package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

func testChanges(t *testing.T, open Open) {
	f := start(t, open)
	begun := time.Now().Truncate(0)
	id := f.tenant("t")
	ann := key("user:ann", "agent", "queue:billing")
	first := store.Interval{End: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}
	second := store.Interval{Start: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	actor := store.By{Subject: "user:boss", Groups: []string{"group:leads", "group:all"}, Caller: "tickets"}
	operator := store.By{Operator: true, Caller: "cli"}
	writes := []store.Write{
		{By: actor, Justification: "new here", Plan: plan(store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: ann, Interval: first}})},
		{By: operator, Plan: plan(store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: ann, Interval: second}},
			store.SetToggle{Tenant: id, Toggle: "x", On: true})},
		{By: store.By{Subject: "user:boss"}, Justification: "left", Plan: plan(store.RemoveAssignment{Tenant: id, Key: ann, Cleared: true},
			store.SetToggle{Tenant: id, Toggle: "x", On: false})},
	}
	revisions := []store.Revision{f.Revision()}
	for _, w := range writes {
		w.Tenant = "t"
		c, err := f.Commit(context.Background(), w)
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, c.Revision)
	}
	record := func(n int, index uint32, by store.By, why string, before *store.Interval, c store.Change) store.ChangeRecord {
		return store.ChangeRecord{Revision: revisions[n], Index: index, By: by, Justification: why, Before: before, Change: c}
	}
	on := true
	switchedOff := record(3, 1, store.By{Subject: "user:boss"}, "left", nil, store.SetToggle{Tenant: id, Toggle: "x", On: false})
	switchedOff.ToggleBefore = &on
	want := []store.ChangeRecord{
		record(0, 0, store.By{Operator: true}, "", nil, store.CreateTenant{Name: "t", Catalog: store.CatalogRef{Name: "helpdesk", Version: 1}}),
		record(1, 0, actor, "new here", nil, store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: ann, Interval: first}}),
		record(2, 0, operator, "", &first, store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: ann, Interval: second}}),
		record(2, 1, operator, "", nil, store.SetToggle{Tenant: id, Toggle: "x", On: true}),
		record(3, 0, store.By{Subject: "user:boss"}, "left", &second, store.RemoveAssignment{Tenant: id, Key: ann, Cleared: true}),
		switchedOff,
	}
	f.view(func(r store.Reader) {
		got := all(t, r.History(id, store.Range{}))
		last := begun
		for i := range got {
			if got[i].Time.Before(last) || got[i].Time.After(time.Now()) {
				t.Errorf("record %d has the time %s", i, got[i].Time)
			}
			last = got[i].Time
			got[i].Time = time.Time{}
		}
		equalRecords(t, got, want)
	})
}

// equalRecords compares change records, whose times have to be zero.
func equalRecords(t *testing.T, got, want []store.ChangeRecord) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("record %d is missing: %s", i, recordText(want[i]))
		case i >= len(want):
			t.Errorf("record %d should not be there: %s", i, recordText(got[i]))
		default:
			equal(t, fmt.Sprintf("record %d", i), recordText(got[i]), recordText(want[i]))
		}
	}
}

// recordText shows a record with what it points to.
func recordText(r store.ChangeRecord) string {
	before, toggle, catalog := "none", "none", "none"
	if r.Before != nil {
		before = fmt.Sprint(*r.Before)
	}
	if r.ToggleBefore != nil {
		toggle = fmt.Sprint(*r.ToggleBefore)
	}
	if r.CatalogBefore != nil {
		catalog = fmt.Sprint(*r.CatalogBefore)
	}
	r.Before, r.ToggleBefore, r.CatalogBefore = nil, nil, nil
	return fmt.Sprintf("%+v %T before %s toggle before %s catalog before %s", r, r.Change, before, toggle, catalog)
}
