package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// place is where a record is.
func place(r store.ChangeRecord) store.Position {
	return store.Position{Revision: r.Revision.Number, Index: r.Index}
}

func comparePlaces(a, b store.Position) int {
	return slices.Compare([]uint64{a.Revision, uint64(a.Index)}, []uint64{b.Revision, uint64(b.Index)})
}

// objectOf is what a change is about, or "".
func objectOf(c store.Change) store.Object {
	switch c := c.(type) {
	case store.SetAssignment:
		return store.SubjectObject(c.Assignment.Subject)
	case store.RemoveAssignment:
		return store.SubjectObject(c.Key.Subject)
	case store.SetToggle:
		return store.ToggleObject(c.Toggle)
	case store.UpdateTenant:
		return store.TenantObject
	}
	return ""
}

// within returns those of the records, which are all of a tenant, that are in a range.
func within(records []store.ChangeRecord, h store.Range) (in []store.ChangeRecord) {
	for _, r := range records {
		switch p := place(r); {
		case comparePlaces(p, h.After) <= 0, h.Before != (store.Position{}) && comparePlaces(p, h.Before) >= 0:
		case h.Object != "" && objectOf(r.Change) != h.Object:
		default:
			in = append(in, r)
		}
	}
	if h.NewestFirst {
		slices.Reverse(in)
	}
	return in
}

// objectsAfter returns the objects of records that come after one.
func objectsAfter(records []store.ChangeRecord, after store.Object) (objects []store.Object) {
	for _, r := range records {
		if object := objectOf(r.Change); object > after {
			objects = append(objects, object)
		}
	}
	slices.Sort(objects)
	return slices.Compact(objects)
}

// testHistory asks for all ranges of a small history.
func testHistory(t *testing.T, open Open) {
	f := start(t, open)
	f.tenant("before")
	id := f.tenant("t")
	other := f.tenant("after")
	ann, an := key("user:ann", "agent", ""), key("user:an", "agent", "queue:1")
	f.commit("t", set(id, ann), set(id, an), store.SetToggle{Tenant: id, Toggle: "x", On: true})
	f.commit("after", set(other, ann))
	f.commit("t", remove(id, ann), set(id, ann))
	f.commit("t", store.SetToggle{Tenant: id, Toggle: "x"}, set(id, key("user:ann", "admin", "")), remove(id, an))
	f.commit("after", remove(other, ann))
	f.commit("t", store.UpdateTenant{Tenant: id, Catalog: store.CatalogRef{Name: "helpdesk", Version: 2}})
	f.view(func(r store.Reader) {
		records := all(t, r.History(id, store.Range{}))
		equal(t, "number of records", len(records), 10)
		for _, after := range []store.Object{"", ".", "user:", "user:an", "user:ann", "x", "y", "a\x00b"} {
			want := objectsAfter(records, after)
			if after == "a\x00b" { // which can be none
				want = nil
			}
			equal(t, fmt.Sprintf("Objects after %q", after), all(t, r.Objects(id, after)), want)
		}
		equal(t, "the first object", first(t, r.Objects(id, ""), 1), []store.Object{store.TenantObject})
		limits := []store.Position{{}, {Revision: 1}, {Revision: ^uint64(0)}}
		for _, record := range records {
			limits = append(limits, place(record), store.Position{Revision: record.Revision.Number, Index: record.Index + 1})
		}
		for _, object := range []store.Object{"", "user:ann", "user:an", "x", store.TenantObject, "user:none", "a\x00b", "\xff"} {
			for _, after := range limits {
				for _, before := range limits {
					for _, back := range []bool{false, true} {
						h := store.Range{Object: object, After: after, Before: before, NewestFirst: back}
						var got, want []store.Position
						for _, record := range all(t, r.History(id, h)) {
							got = append(got, place(record))
						}
						for _, record := range within(records, h) {
							want = append(want, place(record))
						}
						equal(t, fmt.Sprintf("History(%+v)", h), got, want)
					}
				}
			}
		}
		equal(t, "the newest two", len(first(t, r.History(id, store.Range{NewestFirst: true}), 2)), 2)
	})
}

// testFollow goes along a chain in steps of all sizes.
func testFollow(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	other := f.tenant("other")
	for i := range 4 {
		f.commit("t", set(id, key(fmt.Sprint("user:", i), "agent", "")), store.SetToggle{Tenant: id, Toggle: fmt.Sprint("x", i), On: true})
	}
	f.view(func(r store.Reader) {
		chain, err := r.Chain(id)
		if err != nil || chain.Head.Length != 9 || chain.Trimmed != (store.Link{}) || !chain.TrimmedTime.IsZero() {
			t.Fatalf("Chain: %+v, %v", chain, err)
		}
		records := all(t, r.History(id, store.Range{}))
		var links []store.Link
		for most := range 12 {
			at := chain.Trimmed
			for n := 0; ; n++ {
				next, err := r.Follow(id, at, most)
				if err != nil || next.Length != min(9, at.Length+uint64(most)) {
					t.Fatalf("Follow(%+v, %d): %+v, %v", at, most, next, err)
				}
				if most == 1 && next != at {
					links = append(links, next)
					equal(t, "place of a link", next.Position, place(records[n]))
				}
				if next == at {
					break
				}
				at = next
			}
			if most > 0 && at != chain.Head {
				t.Errorf("in steps of %d the end is %+v, want %+v", most, at, chain.Head)
			}
		}
		equal(t, "number of links", len(links), 9)
		for n, link := range links {
			for what, change := range map[string]func(*store.Link){
				"hash":     func(l *store.Link) { l.Hash[9] ^= 1 },
				"revision": func(l *store.Link) { l.Revision += 1 << 40 },
				"length":   func(l *store.Link) { l.Length += 20 },
			} {
				wrong := link
				change(&wrong)
				_, err := r.Follow(id, wrong, 20)
				is(t, fmt.Sprintf("Follow from link %d with another %s", n, what), err, store.ErrCorrupt)
			}
			_, err = r.Follow(other, link, 9)
			is(t, "Follow along another chain", err, store.ErrCorrupt)
		}
		none, err := r.Chain(77)
		if err != nil || none != (store.Chain{}) {
			t.Errorf("Chain of no tenant: %+v, %v", none, err)
		}
		if at, err := r.Follow(77, store.Link{}, 5); err != nil || at != (store.Link{}) {
			t.Errorf("Follow of no tenant: %+v, %v", at, err)
		}
	})
}

// testClock has a clock that goes back and stands: the time of commits doesn't go back, and
// is the number of their revision.
func testClock(t *testing.T, open Open) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	now := noon
	f := startAt(t, open, func() time.Time { return now })
	id := f.tenant("t")
	for i, c := range []struct{ now, want time.Time }{
		{noon, noon.Add(1)},
		{noon.Add(-time.Hour), noon.Add(2)},
		{noon.Add(time.Minute), noon.Add(time.Minute)},
		{time.Time{}, noon.Add(time.Minute + 1)},
		{time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC), noon.Add(time.Minute + 2)},
		{time.Unix(-5, 0), noon.Add(time.Minute + 3)},
		{noon.Add(time.Hour), noon.Add(time.Hour)},
	} {
		now = c.now
		done := f.commit("t", store.SetToggle{Tenant: id, Toggle: "x", On: i%2 == 0})
		equal(t, "revision", done.Revision.Number, uint64(c.want.UnixNano()))
		f.view(func(r store.Reader) {
			equal(t, "time", first(t, r.History(id, store.Range{NewestFirst: true}), 1)[0].Time, c.want)
		})
	}
	now = noon.Add(2 * time.Hour)
	f.tenant("u")
	f.commit("u", store.DeleteTenant{Tenant: id + 1})
	f.view(func(r store.Reader) {
		deleted := all(t, r.DeletedTenants(0))
		equal(t, "times", []time.Time{deleted[0].CreatedAt, deleted[0].DeletedAt}, []time.Time{now, now.Add(1)})
	})
}
