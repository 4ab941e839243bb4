package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/usher-pdp/usher/store"
)

// testErase erases a person, who is a subject, an actor and a group in several records.
func testErase(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	ann, bob := key("user:ann", "agent", ""), key("user:bob", "agent", "")
	write := func(by store.By, why string, changes ...store.Change) {
		t.Helper()
		if _, err := f.Commit(context.Background(), store.Write{Tenant: "t", By: by, Justification: why, Plan: plan(changes...)}); err != nil {
			t.Fatal(err)
		}
	}
	boss := store.By{Subject: "user:boss", Groups: []string{"group:leads"}, Caller: "tickets"}
	write(boss, "ann is new", set(id, ann), set(id, bob), store.SetPrimary{Tenant: id, Subject: "user:ann"})
	write(store.By{Subject: "user:ann"}, "ann likes it", set(id, key("user:cy", "agent", "")), store.SetToggle{Tenant: id, Toggle: "x", On: true})
	write(store.By{Subject: "user:cy", Groups: []string{"user:ann", "group:all"}}, "ann's group", remove(id, bob))
	write(boss, "off", remove(id, ann), store.SetPrimary{Tenant: id, Subject: "user:annabel"}, store.SetToggle{Tenant: id, Toggle: "x"})
	before := f.follow(id)
	var want []store.ChangeRecord
	var places []store.Position
	f.view(func(r store.Reader) { want = all(t, r.History(id, store.Range{})) })
	for i := range want {
		places = append(places, place(want[i]))
		r := &want[i]
		erase := func(all, subject, actor bool) {
			if all {
				r.Justification, r.Erased = "", true
			}
			if actor {
				r.By = store.By{Caller: r.By.Caller}
			}
			if subject {
				switch c := r.Change.(type) {
				case store.SetAssignment:
					c.Assignment.Subject = ""
					r.Change = c
				case store.RemoveAssignment:
					c.Key.Subject = ""
					r.Change = c
				case store.SetPrimary:
					c.Subject = ""
					r.Change = c
				}
			}
		}
		switch i {
		case 1, 3, 7: // the grant, the primary administrator, the removal
			erase(true, true, false)
		case 4, 5, 6: // what ann has done, and somebody in her group
			erase(true, false, true)
		}
	}
	for what, w := range map[string]store.Write{
		"too many records":            {Tenant: "t", Plan: plan(store.EraseSubject{Tenant: id, Subject: "user:ann", Records: make([]store.Position, 1001)})},
		"a record that isn't there":   {Tenant: "t", Plan: plan(store.EraseSubject{Tenant: id, Subject: "user:ann", Records: []store.Position{{Revision: 1}}})},
		"a tenant that isn't deleted": {Plan: plan(store.EraseSubject{Tenant: id, Subject: "user:ann", Records: places})},
		"the installation":            {Tenant: "t", Plan: plan(store.EraseSubject{Subject: "user:ann", Last: true})},
		"nobody":                      {Tenant: "t", Plan: plan(store.EraseSubject{Tenant: id, Records: places})},
	} {
		if c, err := f.Commit(context.Background(), w); err == nil {
			t.Errorf("%s: %+v", what, c)
		}
	}
	revision := f.Revision()
	c := f.commit("t", store.EraseSubject{Tenant: id, Subject: "user:ann", Records: places[:5]})
	equal(t, "the first part", c, store.Committed{Revision: revision, Changed: true})
	c = f.commit("t", store.EraseSubject{Tenant: id, Subject: "user:ann", Records: places[:5]})
	equal(t, "the first part again", c, store.Committed{Revision: revision})
	c = f.commit("t", store.EraseSubject{Tenant: id, Subject: "user:ann", Records: places[5:], Last: true, Count: 6})
	want = append(want, store.ChangeRecord{Revision: c.Revision, By: store.By{Operator: true}, Change: store.EraseSubject{Tenant: id, Count: 6}})
	f.view(func(r store.Reader) {
		got := all(t, r.History(id, store.Range{}))
		for i := range got {
			got[i].Time, want[i].Time = want[0].Time, want[0].Time
		}
		equal(t, "number of records", len(got), len(want))
		for i := range got {
			equal(t, fmt.Sprintf("record %d", i), recordText(got[i]), recordText(want[i]))
		}
		equal(t, "changes of the subject", len(all(t, r.History(id, store.Range{Object: "user:ann"}))), 0)
		equal(t, "changes of another", len(all(t, r.History(id, store.Range{Object: "user:bob"}))), 2)
		if at, err := r.Follow(id, before.Head, 9); err != nil || at.Length != before.Head.Length+1 {
			t.Errorf("Follow from the head before: %+v, %v", at, err)
		}
	})
	f.follow(id)
	// In what is left of a deleted tenant.
	f.commit("t", store.DeleteTenant{Tenant: id})
	f.commit("", store.EraseSubject{Tenant: id, Subject: "user:cy", Records: places, Last: true, Count: 1})
	f.view(func(r store.Reader) {
		equal(t, "changes of the subject", len(all(t, r.History(id, store.Range{Object: "user:cy"}))), 0)
	})
	f.follow(id)
	// In the installation's own.
	if _, err := f.Commit(context.Background(), store.Write{By: store.By{Subject: "user:ann"}, Plan: plan(store.PutCatalog{Ref: store.CatalogRef{Name: "c"}})}); err != nil {
		t.Fatal(err)
	}
	f.view(func(r store.Reader) { places = []store.Position{place(all(t, r.History(0, store.Range{}))[0])} })
	f.commit("", store.EraseSubject{Subject: "user:ann", Records: places, Last: true, Count: 1})
	f.view(func(r store.Reader) {
		equal(t, "actor", all(t, r.History(0, store.Range{}))[0].By.Subject, "")
	})
	f.follow(0)
}

// testTrim removes the oldest records of a chain, in one go and bit by bit.
func testTrim(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	for i := range 10 {
		f.commit("t", set(id, key(fmt.Sprint("user:", i%3), "agent", fmt.Sprint("queue:", i))), store.SetToggle{Tenant: id, Toggle: "x", On: i%2 == 0})
	}
	var links []store.Link // by length
	var records []store.ChangeRecord
	f.view(func(r store.Reader) {
		records = all(t, r.History(id, store.Range{}))
		links = make([]store.Link, len(records)+1)
		for i := range records {
			var err error
			if links[i+1], err = r.Follow(id, links[i], 1); err != nil {
				t.Fatal(err)
			}
		}
	})
	// kept checks that all is there but the oldest, and that trimming was recorded so often.
	kept := func(trimmed, recorded int) {
		t.Helper()
		chain := f.follow(id)
		equal(t, "trimmed", chain.Trimmed, links[trimmed])
		equal(t, "length", chain.Head.Length, uint64(21+recorded))
		if want := records[max(0, trimmed-1)].Time; trimmed > 0 && !chain.TrimmedTime.Equal(want) {
			t.Errorf("trimmed up to the time %v, want %v", chain.TrimmedTime, want)
		}
		f.view(func(r store.Reader) {
			got := all(t, r.History(id, store.Range{}))
			equal(t, "number of records", len(got), 21-trimmed+recorded)
			for _, object := range []store.Object{"user:0", "user:1", "x"} {
				equal(t, "changes of "+string(object), len(all(t, r.History(id, store.Range{Object: object}))), len(within(records[trimmed:], store.Range{Object: object})))
			}
			if trimmed > 0 {
				_, err := r.Follow(id, links[trimmed-1], 5)
				is(t, "Follow from what is trimmed", err, store.ErrNotFound)
			}
			if at, err := r.Follow(id, links[trimmed], 3); err != nil || at.Length != links[trimmed].Length+3 {
				t.Errorf("Follow from the first that is kept: %+v, %v", at, err)
			}
		})
	}
	wrong := links[4]
	wrong.Hash[0] ^= 1
	far := links[4]
	far.Length = 99
	for what, w := range map[string]store.Write{
		"another hash":    {Tenant: "t", Plan: plan(store.TrimChanges{Tenant: id, UpTo: wrong, Most: 99})},
		"another length":  {Tenant: "t", Plan: plan(store.TrimChanges{Tenant: id, UpTo: far, Most: 99})},
		"a live tenant's": {Plan: plan(store.TrimChanges{Tenant: id, UpTo: links[4], Most: 99})},
	} {
		if c, err := f.Commit(context.Background(), w); err == nil {
			t.Errorf("%s: %+v", what, c)
		}
	}
	kept(0, 0)
	f.commit("t", store.TrimChanges{Tenant: id, UpTo: links[4], Most: 3}, store.TrimChanges{Tenant: id, UpTo: links[4], Most: 3})
	kept(4, 1)
	revision := f.Revision()
	for _, nothing := range []store.TrimChanges{{Tenant: id, UpTo: links[4], Most: 99}, {Tenant: id, UpTo: links[2], Most: 99}, {Tenant: id, UpTo: links[6]}} {
		equal(t, "nothing to trim", f.commit("t", nothing), store.Committed{Revision: revision})
	}
	for n := 4; n < 12; n += 4 {
		equal(t, "a part", f.commit("t", store.TrimChanges{Tenant: id, UpTo: links[13], Most: 4}), store.Committed{Revision: revision, Changed: true})
		kept(n+4, 1)
	}
	c := f.commit("t", store.TrimChanges{Tenant: id, UpTo: links[13], Most: 4})
	if !c.Changed || c.Revision.Number <= revision.Number {
		t.Errorf("the last part: %+v", c)
	}
	kept(13, 2)
	f.view(func(r store.Reader) {
		newest := all(t, r.History(id, store.Range{NewestFirst: true}))[:2]
		equal(t, "records of trimming", []store.Change{newest[0].Change, newest[1].Change}, []store.Change{
			store.TrimChanges{Tenant: id, UpTo: store.Link{Length: 9}}, store.TrimChanges{Tenant: id, UpTo: store.Link{Length: 4}},
		})
	})
	// All that there is, in one write with a change, and of a deleted tenant.
	head := f.follow(id).Head
	f.commit("t", store.SetToggle{Tenant: id, Toggle: "x", On: true}, store.TrimChanges{Tenant: id, UpTo: head, Most: 99})
	equal(t, "trimmed", f.follow(id).Trimmed, head)
	f.commit("t", store.DeleteTenant{Tenant: id})
	head = f.follow(id).Head
	f.commit("", store.TrimChanges{Tenant: id, UpTo: head, Most: 99})
	f.view(func(r store.Reader) {
		equal(t, "what is kept", kinds(all(t, r.History(id, store.Range{}))), []string{"TrimChanges"})
	})
	equal(t, "trimmed", f.follow(id).Trimmed, head)
	// Of the installation.
	f.commit("", store.PutCatalog{Ref: store.CatalogRef{Name: "c", Version: 1}})
	head = f.follow(0).Head
	f.commit("", store.TrimChanges{UpTo: head, Most: 1})
	equal(t, "trimmed", f.follow(0).Trimmed, head)
}
