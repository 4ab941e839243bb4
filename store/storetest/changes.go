package storetest

import (
	"context"
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
		{By: store.By{Subject: "user:boss"}, Justification: "left", Plan: plan(remove(id, ann))},
	}
	for _, w := range writes {
		w.Tenant = "t"
		if _, err := f.Commit(context.Background(), w); err != nil {
			t.Fatal(err)
		}
	}
	epoch := f.Revision().Epoch
	record := func(n uint64, by store.By, why string, before *store.Interval, c store.Change) store.ChangeRecord {
		return store.ChangeRecord{Revision: store.Revision{Epoch: epoch, Number: n}, By: by, Justification: why, Before: before, Change: c}
	}
	want := []store.ChangeRecord{
		record(1, store.By{Operator: true}, "", nil, store.CreateTenant{Name: "t", Catalog: store.CatalogRef{Name: "helpdesk", Version: 1}}),
		record(2, actor, "new here", nil, store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: ann, Interval: first}}),
		record(3, operator, "", &first, store.SetAssignment{Tenant: id, Assignment: store.Assignment{AssignmentKey: ann, Interval: second}}),
		record(3, operator, "", nil, store.SetToggle{Tenant: id, Toggle: "x", On: true}),
		record(4, store.By{Subject: "user:boss"}, "left", &second, remove(id, ann)),
	}
	f.view(func(r store.Reader) {
		last := begun
		for after, rest := range map[uint64][]store.ChangeRecord{0: want, 1: want[1:], 2: want[2:], 3: want[4:], 4: nil, 9: nil} {
			got := all(t, r.Changes(id, after))
			for i := range got {
				if after == 0 {
					if got[i].Time.Before(last) || got[i].Time.After(time.Now()) {
						t.Errorf("record %d has the time %s", i, got[i].Time)
					}
					last = got[i].Time
				}
				got[i].Time = time.Time{}
			}
			equalRecords(t, got, rest)
		}
	})
}

// equalRecords compares change records, whose times have to be zero.
func equalRecords(t *testing.T, got, want []store.ChangeRecord) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("record %d is missing: %+v", i, want[i])
		case i >= len(want):
			t.Errorf("record %d should not be there: %+v", i, got[i])
		default:
			g, w := got[i], want[i]
			if (g.Before == nil) != (w.Before == nil) || g.Before != nil && !g.Before.Equal(*w.Before) {
				t.Errorf("record %d: before is %v, want %v", i, g.Before, w.Before)
			}
			g.Before, w.Before = nil, nil
			equal(t, "record", g, w)
		}
	}
}
