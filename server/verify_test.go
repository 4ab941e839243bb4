package server_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/grpc/codes"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// heads gets all heads.
func (h *harness) heads(t testing.TB) (all []*usherv1.Head) {
	t.Helper()
	for r := (&usherv1.ListHeadsRequest{PageSize: 2}); ; {
		page, err := h.operator.ListHeads(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.GetHeads()...)
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return all
		}
	}
}

// verify verifies, and returns the last message with all findings.
func (h *harness) verify(t *testing.T, r *usherv1.VerifyChangesRequest) (last *usherv1.VerifyChangesResponse, findings []*usherv1.Finding) {
	t.Helper()
	stream, err := h.operator.VerifyChanges(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if !last.GetDone() {
				t.Fatalf("got %v for the last message", last)
			}
			return last, findings
		}
		if err != nil {
			t.Fatal(err)
		}
		last = m
		findings = append(findings, m.GetFindings()...)
	}
}

// wantFindings checks that there is one finding for each text, in order.
func wantFindings(t *testing.T, got []*usherv1.Finding, want ...string) {
	t.Helper()
	ok := len(got) == len(want)
	for i, f := range got {
		ok = ok && strings.Contains(fmt.Sprintf("tenant %d %s: %s", f.GetTenantId(), f.GetTenant(), f.GetText()), want[i])
	}
	if !ok {
		t.Errorf("got %v, want %q", got, want)
	}
}

// TestHeadsOfAllChains lists the heads of the installation, of tenants, and of deleted ones.
func TestHeadsOfAllChains(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, name := range []string{"c", "b", "a", "b"} {
		if name == "b" {
			raceTenant(t, h, name, "liveagent")
			h.commitAs(t, name, store.Write{}, func(found store.Tenant) []store.Change {
				return []store.Change{store.DeleteTenant{Tenant: found.ID}}
			})
			continue
		}
		raceTenant(t, h, name, "liveagent")
	}
	var got []string
	for _, head := range h.heads(t) {
		got = append(got, fmt.Sprint(head.GetTenantId(), head.GetTenant(), head.GetLength()))
		if len(head.GetHash()) != 64 || head.GetRevision() == "" {
			t.Errorf("got the head %v", head)
		}
	}
	if want := "[03 3a2 1c2 2b3 4b3]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestVerifyWholeChains verifies chains that are whole: with heads of every time, after a
// trimming and an erasure, and while they grow.
func TestVerifyWholeChains(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	h := newHarness(t)
	raceTenant(t, h, "t", "goto_contact_center")
	raceTenant(t, h, "u", "goto_contact_center")
	heads := h.heads(t)
	done, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		for {
			select {
			case <-done:
				return
			default:
				h.writeRandomly(t, random, "t")
			}
		}
	}()
	stop := sync.OnceFunc(func() {
		close(done)
		<-written
	})
	defer stop()
	var records uint64
	for i := 0; i < 20 || records < 100; i++ { // more than are trimmed
		heads = append(heads, h.heads(t)...)
		last, findings := h.verify(t, &usherv1.VerifyChangesRequest{Heads: heads})
		if len(findings) > 0 || last.GetChains() != 3 || last.GetRecords() < records {
			t.Errorf("got %v and %v", last, findings)
		}
		records = last.GetRecords()
	}
	stop()
	heads = append(heads, h.heads(t)...) // one at least that is kept
	h.trim(t, "t", 10)
	last, findings := h.verify(t, &usherv1.VerifyChangesRequest{Tenant: "t", Heads: heads})
	if len(findings) > 0 || last.GetChains() != 1 {
		t.Errorf("after a trimming: got %v and %v", last, findings)
	}
	old := slices.DeleteFunc(slices.Clone(heads), func(h *usherv1.Head) bool { return h.GetTenant() != "t" || h.GetLength() > 5 })
	_, findings = h.verify(t, &usherv1.VerifyChangesRequest{Tenant: "t", Heads: old})
	if len(findings) != 1 || !strings.Contains(findings[0].GetText(), "not compared") {
		t.Errorf("with old heads only: got %v", findings)
	}
	stream, err := h.operator.VerifyChanges(t.Context(), &usherv1.VerifyChangesRequest{Tenant: "none"})
	if err == nil {
		_, err = stream.Recv()
	}
	wantError(t, err, codes.NotFound, "TENANT_NOT_FOUND")
	stream, err = h.operator.VerifyChanges(t.Context(), &usherv1.VerifyChangesRequest{Heads: []*usherv1.Head{{Hash: "x"}}})
	if err == nil {
		_, err = stream.Recv()
	}
	wantError(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
}

// TestVerifyFindsOtherHeads verifies with heads that are not those of the chains.
func TestVerifyFindsOtherHeads(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	raceTenant(t, h, "t", "liveagent")
	tenant := h.heads(t)[1]
	other := strings.Repeat("5", 64)
	_, got := h.verify(t, &usherv1.VerifyChangesRequest{Heads: []*usherv1.Head{
		{TenantId: tenant.GetTenantId(), Length: 1, Hash: other},
		{TenantId: tenant.GetTenantId(), Length: 2, Hash: tenant.GetHash()},
		{TenantId: tenant.GetTenantId(), Length: 5, Hash: other},
		{TenantId: 77, Tenant: "lost", Length: 5, Hash: other},
	}})
	wantFindings(t, got, "tenant 1 t: record 1 of the chain is not the one whose hash was kept", "tenant 1 t: the chain ends with its record 2, and a head was kept of its record 5",
		"tenant 77 lost: a head of this tenant was kept, and there is no such tenant")
}

// TestVerifyFindsTampering changes the file while no server has it, and verifies it then, with
// heads from before.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "usher.db")
	serve := func(use func(t *testing.T, h *harness)) {
		t.Helper()
		t.Run("", func(t *testing.T) { use(t, openHarness(t, dir, &clock{now: testTime}, 1<<20)) })
	}
	var heads []*usherv1.Head
	var older []byte
	serve(func(t *testing.T, h *harness) {
		raceTenant(t, h, "t", "liveagent")
		raceTenant(t, h, "u", "liveagent")
	})
	older = readFile(t, file)
	serve(func(t *testing.T, h *harness) {
		raceTenant(t, h, "v", "liveagent")
		for i := range 5 {
			if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "t", Subject: fmt.Sprint("user:", i), Role: "user", By: byOperator()}); err != nil {
				t.Fatal(err)
			}
		}
		heads = h.heads(t)
	})
	whole := readFile(t, file)
	for what, tamper := range map[string]struct {
		with func() error
		want []string
	}{
		"nothing": {with: func() error { return os.WriteFile(file, whole, 0o600) }},
		"an older file": {
			with: func() error { return os.WriteFile(file, older, 0o600) },
			want: []string{"tenant 1 t: the chain ends with its record 2, and a head was kept of its record 7", "tenant 3 v: a head of this tenant was kept"},
		},
		"a record removed": {
			with: func() error {
				return editChanges(file, whole, func(changes *bbolt.Bucket, keys [][]byte) error { return changes.Delete(keys[3]) })
			},
			want: []string{"tenant 1 t: the next record is not the one that was written there"},
		},
		"the last record removed": {
			with: func() error {
				return editChanges(file, whole, func(changes *bbolt.Bucket, keys [][]byte) error { return changes.Delete(keys[6]) })
			},
			want: []string{"tenant 1 t: the next record is not the one that was written there"},
		},
	} {
		if err := tamper.with(); err != nil {
			t.Fatal(err)
		}
		serve(func(t *testing.T, h *harness) {
			last, findings := h.verify(t, &usherv1.VerifyChangesRequest{Heads: heads})
			wantFindings(t, findings, tamper.want...)
			for _, f := range findings {
				if (f.GetAfterRevision() == "") != (f.GetTenantId() == 3) {
					t.Errorf("got %v, with a revision that it does not have", f)
				}
			}
			if t.Failed() {
				t.Logf("after %s, with %v", what, last)
			}
		})
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// editChanges writes a file and changes the records of the first tenant in it.
func editChanges(file string, content []byte, edit func(changes *bbolt.Bucket, keys [][]byte) error) error {
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return err
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		var keys [][]byte
		err := tx.Bucket([]byte("changes")).ForEach(func(key, _ []byte) error {
			if len(key) == 20 && key[7] == 1 {
				keys = append(keys, key)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return edit(tx.Bucket([]byte("changes")), keys)
	})
	return errors.Join(err, db.Close())
}
