package server_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// TestEraseSubject erases a person who has been an agent and has administered, in another
// tenant too. Of the first tenant no byte of the name is left in the file once it has been
// compacted, and the chain of the record is whole.
func TestEraseSubject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := openHarness(t, dir, &clock{now: testTime}, 64<<20)
	h.putCatalog(t, deskCatalog(1, deskAgent))
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "desk", Catalog: "desk", FirstAdministrator: "user:root"}); err != nil {
		t.Fatal(err)
	}
	const person = "user:josephine.leaver"
	h.write(t, "desk", actGrant(person, "boss", ""), actGrant("user:ann", "agent", "team:a"))
	if _, err := h.admin.SetToggle(t.Context(), &usherv1.SetToggleRequest{
		Tenant: "desk", Toggle: "night", State: usherv1.ToggleState_TOGGLE_STATE_ON, RequestId: "1",
		By: &usherv1.SetToggleRequest_Actor{Actor: &usherv1.Actor{Subject: person}}, Justification: "josephine.leaver wants it",
	}); err != nil {
		t.Fatal(err)
	}
	erase := &usherv1.EraseSubjectRequest{Tenant: "desk", Subject: person, Justification: "asked for"}
	_, err := h.operator.EraseSubject(t.Context(), erase)
	badCall{code: codes.FailedPrecondition, reason: "STILL_HELD", field: "subject/" + person, remedy: "remove the subject first"}.compare(t, err)
	removal := &usherv1.RemoveSubjectRequest{
		Tenant: "desk", Subject: person, RequestId: "2", By: &usherv1.RemoveSubjectRequest_Operator{}, Justification: "josephine.leaver left",
	}
	for range 2 {
		if _, err := h.admin.RemoveSubject(t.Context(), removal); err != nil {
			t.Fatal(err)
		}
	}
	before := h.changes(t, "desk")
	for i, want := range []usherv1.Outcome{usherv1.Outcome_OUTCOME_CHANGED, usherv1.Outcome_OUTCOME_UNCHANGED} {
		erased, err := h.operator.EraseSubject(t.Context(), erase)
		if err != nil || erased.GetOutcome() != want {
			t.Fatalf("call %d answers %v, %v", i, erased, err)
		}
	}
	after := h.changes(t, "desk")
	if len(after) != len(before)+1 || after[len(after)-1].GetKind() != usherv1.ChangeKind_CHANGE_KIND_SUBJECT_ERASED || after[len(after)-1].GetRecordCount() != 3 {
		t.Errorf("the record is %v", after)
	}
	for i, c := range before {
		if got := after[i]; got.GetRevision() != c.GetRevision() || got.GetKind() != c.GetKind() || !proto.Equal(got.GetTime(), c.GetTime()) {
			t.Errorf("record %d has become %v, was %v", i, got, c)
		}
	}
	h.wholeChains(t)
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	if where := compacted(t, filepath.Join(dir, "usher.db")); bytes.Contains(where, []byte("josephine")) {
		t.Error("the name is still in the file")
	} else if !bytes.Contains(where, []byte("user:ann")) {
		t.Error("the other names have gone, too")
	}
}

// compacted returns the bytes of a compacted copy of a file.
func compacted(t *testing.T, file string) []byte {
	t.Helper()
	from, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	name := filepath.Join(t.TempDir(), "compacted.db")
	to, err := bbolt.Open(name, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := bbolt.Compact(to, from, 0); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// changes returns the change record of a tenant, oldest first.
func (h *harness) changes(t *testing.T, tenant string) (all []*usherv1.ChangeRecord) {
	t.Helper()
	request := &usherv1.ListChangesRequest{Tenant: tenant, OldestFirst: true}
	for {
		page, err := h.admin.ListChanges(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.GetChanges()...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return all
		}
	}
}

// wholeChains wants all chains of change records to be whole.
func (h *harness) wholeChains(t *testing.T) {
	t.Helper()
	stream, err := h.operator.VerifyChanges(t.Context(), &usherv1.VerifyChangesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		progress, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range progress.GetFindings() {
			t.Error(finding)
		}
		if progress.GetDone() {
			return
		}
	}
}
