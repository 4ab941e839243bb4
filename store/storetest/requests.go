package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// testRequestIDs repeats writes, some of them after a long time.
func testRequestIDs(t *testing.T, open Open) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	f := startAt(t, open, func() time.Time { return now })
	ran := 0
	write := func(tenant, caller, id string, digest byte, changes ...store.Change) store.Write {
		return store.Write{
			Tenant: tenant, By: store.By{Operator: true, Caller: caller}, RequestID: id, Digest: [32]byte{digest},
			Plan: func(store.Reader) ([]store.Change, error) { ran++; return changes, nil },
		}
	}
	on := func(tenant store.TenantID, toggle string) store.Change {
		return store.SetToggle{Tenant: tenant, Toggle: toggle, On: true}
	}
	// commit makes a write, which is to be repeated or not, and says what it was answered.
	commit := func(what string, w store.Write, repeated bool) store.Committed {
		t.Helper()
		before, revision := ran, f.Revision()
		c, err := f.Commit(context.Background(), w)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if c.Repeated != repeated || (ran == before) != repeated {
			t.Errorf("%s: %+v, and the plan ran %d times", what, c, ran-before)
		}
		if repeated && f.Revision() != revision {
			t.Errorf("%s: there is a new revision", what)
		}
		return c
	}
	created := commit("a new tenant", write("t", "cli", "1", 0, store.CreateTenant{Name: "t"}), false)
	id := store.TenantID(1)
	again := commit("the new tenant again", write("t", "cli", "1", 0), true)
	again.Repeated = false
	equal(t, "answer to the new tenant again", again, created)
	f.tenant("u")

	first := commit("a toggle", write("t", "cli", "2", 0, on(id, "x")), false)
	commit("the toggle of another", write("t", "cli", "3", 0, on(id, "y")), false)
	again = commit("the toggle again", write("t", "cli", "2", 0, store.SetToggle{Tenant: id, Toggle: "x"}), true)
	equal(t, "answer to the toggle again", again, store.Committed{Revision: first.Revision, Changed: true, Repeated: true})
	_, err := f.Commit(context.Background(), write("t", "cli", "2", 9, on(id, "z")))
	is(t, "the same id for another request", err, store.ErrRequestReused)
	unchanged := commit("what is so already", write("t", "cli", "4", 0, on(id, "x")), false)
	if unchanged.Changed {
		t.Errorf("what is so already: %+v", unchanged)
	}
	f.commit("t", store.SetToggle{Tenant: id, Toggle: "x"})
	unchanged.Repeated = true
	equal(t, "what was so already, again", commit("what was so already", write("t", "cli", "4", 0, on(id, "x")), true), unchanged)

	for what, w := range map[string]store.Write{
		"another caller":          write("t", "clj", "2", 0, on(id, "a")),
		"another tenant":          write("u", "cli", "2", 0, on(id+1, "a")),
		"no tenant":               write("", "cli", "2", 0, store.PutCatalog{Ref: store.CatalogRef{Name: "c", Version: 1}}),
		"another cut of the name": write("t", "c", "li2", 0, on(id, "b")),
	} {
		commit(what, w, false)
		commit(what+" again", w, true)
	}
	for range 2 { // a tenant that is not there has no request ids, nor those of the installation
		commit("no such tenant", write("none", "cli", "2", 0), false)
	}
	// A write that fails is not remembered.
	refused := errors.New("refused")
	failing := write("t", "cli", "5", 0)
	failing.Plan = func(store.Reader) ([]store.Change, error) { return nil, refused }
	for range 2 {
		_, err := f.Commit(context.Background(), failing)
		is(t, "a plan that fails", err, refused)
	}
	if _, err := f.Commit(context.Background(), write("t", "cli", "5", 0, on(id+1, "x"))); err == nil {
		t.Error("another tenant's toggle is set")
	}
	commit("after failures", write("t", "cli", "5", 7, on(id, "c")), false)
	for _, bad := range []string{"a\x00b", "\xff", string(make([]byte, 1<<16))} {
		if _, err := f.Commit(context.Background(), write("t", "cli", bad, 0, on(id, "d"))); err == nil {
			t.Errorf("the request id %.9q is taken", bad)
		}
	}

	now = now.Add(store.RequestIDsKept - 1)
	commit("just before it is forgotten", write("t", "cli", "3", 0), true)
	now = now.Add(1)
	commit("when it is forgotten", write("t", "cli", "3", 1, on(id, "e")), false)
	commit("when it is used anew", write("t", "cli", "3", 1), true)
	now = now.Add(-time.Hour) // the clock goes back
	commit("when the clock has gone back", write("t", "cli", "3", 1), true)
	now = now.Add(store.RequestIDsKept)
	commit("used anew, 23 hours later", write("t", "cli", "3", 1), true)

	// What a deleted tenant had does not come back with its name.
	f.commit("u", store.DeleteTenant{Tenant: id + 1})
	f.tenant("u")
	commit("a new tenant of that name", write("u", "cli", "2", 0), false)
}

// testRequestIDsAtOnce has many clients send the same writes: one effect each.
func testRequestIDsAtOnce(t *testing.T, open Open) {
	f := start(t, open)
	id := f.tenant("t")
	const writes, clients = 12, 5
	answers := make([][]store.Committed, writes)
	var mu sync.Mutex
	var wait sync.WaitGroup
	for i := range writes {
		for range clients {
			wait.Go(func() {
				c, err := f.Commit(context.Background(), store.Write{
					Tenant: "t", RequestID: fmt.Sprint(i), Digest: [32]byte{byte(i)},
					Plan: func(r store.Reader) ([]store.Change, error) {
						n := len(all(t, r.AssignmentsOf(id, "user:all")))
						return []store.Change{set(id, key("user:all", "agent", fmt.Sprint("queue:", n)))}, nil
					},
				})
				if err != nil || !c.Changed {
					t.Errorf("Commit: %+v, %v", c, err)
				}
				mu.Lock()
				defer mu.Unlock()
				answers[i] = append(answers[i], c)
			})
		}
	}
	wait.Wait()
	f.view(func(r store.Reader) {
		equal(t, "effects", len(all(t, r.AssignmentsOf(id, "user:all"))), writes)
		equal(t, "changes", len(all(t, r.History(id, store.Range{}))), writes+1)
	})
	for i := range answers {
		made := 0
		for _, c := range answers[i] {
			if c.Revision != answers[i][0].Revision {
				t.Errorf("write %d has the revisions %v and %v", i, c.Revision, answers[i][0].Revision)
			}
			if !c.Repeated {
				made++
			}
		}
		equal(t, fmt.Sprintf("how often write %d was made", i), made, 1)
	}
}
