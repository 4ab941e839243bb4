package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store/bolt"
)

// startBackup begins a backup and returns it with the first piece, when the copy is whole on the
// server.
func (h *harness) startBackup(t *testing.T) (grpc.ServerStreamingClient[usherv1.BackupResponse], *usherv1.BackupResponse) {
	t.Helper()
	stream, err := h.operator.Backup(t.Context(), &usherv1.BackupRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if len(message.GetData()) > 0 {
			return stream, message
		}
	}
}

// readBackup reads a backup to its end, and writes it to a file.
func readBackup(t *testing.T, stream grpc.ServerStreamingClient[usherv1.BackupResponse], first *usherv1.BackupResponse) (path, revision string) {
	t.Helper()
	var content []byte
	last := &usherv1.BackupResponse{}
	for message, err := first, error(nil); !errors.Is(err, io.EOF); message, err = stream.Recv() {
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, message.GetData()...)
		if len(message.GetData()) > 256<<10 || message.GetBytesDone() != int64(len(content)) ||
			message.GetRevision() != first.GetRevision() || last.GetSha256() != "" {
			t.Fatalf("after %d bytes comes a message with %d, %d done, of %s", len(content), len(message.GetData()), message.GetBytesDone(), message.GetRevision())
		}
		last = message
	}
	sum := sha256.Sum256(content)
	if last.GetSha256() != hex.EncodeToString(sum[:]) || last.GetBytesTotal() != int64(len(content)) {
		t.Errorf("%d bytes have come, the last message says %d, %q", len(content), last.GetBytesTotal(), last.GetSha256())
	}
	path = filepath.Join(t.TempDir(), "usher.backup")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, first.GetRevision()
}

// filled is a harness with a tenant of some thousand assignments.
func filled(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t)
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
		Tenant: "acme", Catalog: "liveagent", FirstAdministrator: "user:root",
	}); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		batch := &usherv1.BatchWriteRequest{Tenant: "acme", By: &usherv1.BatchWriteRequest_Operator{Operator: &usherv1.Operator{}}}
		for i := range 1000 {
			batch.Acts = append(batch.Acts, &usherv1.Act{Act: &usherv1.Act_Grant{Grant: &usherv1.GrantAct{
				Subject: fmt.Sprintf("user:%d-%d@desk.example", n, i), Role: "agent", Scope: "department:a",
			}}})
		}
		if _, err := h.admin.BatchWrite(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// TestBackupIsRestoredElsewhere: a server on the restored file exports what was there, and refuses
// revisions from before.
func TestBackupIsRestoredElsewhere(t *testing.T) {
	h := filled(t)
	before := h.export(t, "")
	stream, first := h.startBackup(t)
	// The copy is made: this is not in it.
	later, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "acme", Subject: "user:later", Role: "agent", Scope: "department:a", By: asOperator})
	if err != nil {
		t.Fatal(err)
	}
	path, revision := readBackup(t, stream, first)
	dir := t.TempDir()
	restored, err := bolt.Restore(t.Context(), path, filepath.Join(dir, "usher.db"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if restored.Backup.String() != revision {
		t.Errorf("the backup was announced as of %s and is of %s", revision, restored.Backup)
	}
	other := openHarness(t, dir, &clock{now: testTime}, 64<<20)
	if after := other.export(t, ""); !bytes.Equal(before, after) {
		t.Error("restored, another file is exported")
	}
	for _, old := range []string{revision, later.GetRevision()} {
		_, err = other.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "acme", Subject: "user:x", Role: "agent", Scope: "department:a", By: asOperator, ExpectedRevision: old})
		wantError(t, err, codes.FailedPrecondition, "OTHER_EPOCH")
	}
	// Whoever reads the changes from before can go on behind them.
	changes, err := other.admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "acme", PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := other.admin.WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: "acme", AfterRevision: changes.GetChanges()[0].GetRevision()})
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		t.Errorf("watching after a change from before: %v", err)
	}
	if _, err := other.operator.VerifyChanges(t.Context(), &usherv1.VerifyChangesRequest{}); err != nil {
		t.Error(err)
	}
}

// TestBackupHoldsNothingForASlowReader: while a reader takes nothing, writes go on, the store can
// even be closed, and a second backup is refused. The reader still gets the whole.
func TestBackupHoldsNothingForASlowReader(t *testing.T) {
	h := filled(t)
	stream, first := h.startBackup(t)
	if first.GetBytesTotal() < 512<<10 {
		t.Fatalf("the backup has %d bytes, all of which may be on their way: the test doesn't test", first.GetBytesTotal())
	}
	for i := range 50 {
		if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
			Tenant: "acme", Subject: fmt.Sprint("user:", i), Role: "agent", Scope: "department:a", By: asOperator,
		}); err != nil {
			t.Fatal(err)
		}
	}
	second, err := h.operator.Backup(t.Context(), &usherv1.BackupRequest{})
	if err == nil {
		_, err = second.Recv()
	}
	wantError(t, err, codes.Aborted, "BACKUP_GOES_ON")
	if err := h.store.Close(); err != nil { // waits for whoever reads
		t.Fatal(err)
	}
	if n := h.unlabelled(t, "usher_last_backup_bytes"); n != "0" {
		t.Errorf("before it is sent, the last backup has %s bytes", n)
	}
	path, _ := readBackup(t, stream, first)
	if report, err := bolt.Check(t.Context(), path, nil); err != nil || len(report.Findings) > 0 {
		t.Errorf("of the backup: %+v, %v", report, err)
	}
	for name, want := range map[string]string{
		"usher_last_backup_bytes":             fmt.Sprint(float64(first.GetBytesTotal())),
		"usher_last_backup_timestamp_seconds": fmt.Sprint(float64(testTime.Unix())),
	} {
		if got := h.unlabelled(t, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// unlabelled returns the value of a metric without labels, as the server writes it.
func (h *harness) unlabelled(t *testing.T, name string) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.server.HTTP().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	lines := strings.Split(recorder.Body.String(), "\n")
	at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+" ") })
	if at < 0 {
		t.Fatalf("there is no metric %s", name)
	}
	return strings.TrimPrefix(lines[at], name+" ")
}

// TestBackupWithoutRoom: where the copy finds no room there is no backup, and everything else goes
// on. When there is room again, there is one.
func TestBackupWithoutRoom(t *testing.T) {
	dir := smallDisk(t, "1m")
	ballast := filepath.Join(dir, "ballast")
	fillDisk(t, ballast)
	h := configuredHarness(t, func(c *server.Config) { c.SpoolDir = dir })
	for range 3 {
		stream, err := h.operator.Backup(t.Context(), &usherv1.BackupRequest{})
		for err == nil {
			_, err = stream.Recv()
		}
		badCall{code: codes.Unavailable, reason: "STORE_UNAVAILABLE", remedy: "try again"}.compare(t, err)
		if strings.Contains(err.Error(), dir) {
			t.Errorf("the error names the server's files: %v", err)
		}
	}
	if n := h.unlabelled(t, "usher_last_backup_timestamp_seconds"); n != "0" {
		t.Errorf("none was made, and the last one is of %s", n)
	}
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "acme", Catalog: "liveagent", FirstAdministrator: "user:root"}); err != nil {
		t.Error(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	stream, first := h.startBackup(t)
	readBackup(t, stream, first)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("beside the data is left %v, %v", left, err)
	}
}

// TestBackupOfADamagedStore: none is made of it. Only the log says what is damaged.
func TestBackupOfADamagedStore(t *testing.T) {
	dir := t.TempDir()
	h := openHarness(t, dir, &clock{now: testTime}, 64<<20)
	file, err := os.OpenFile(filepath.Join(dir, "usher.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	// A comment of a catalog, which nothing reads now.
	at := bytes.Index(content, []byte("\n# "))
	if at < 0 {
		t.Fatal("there is no comment in the file")
	}
	for ; at >= 0; at = bytes.Index(content, []byte("\n# ")) { // also in what is free by now
		content[at+1] = '%'
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	stream, err := h.operator.Backup(t.Context(), &usherv1.BackupRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	wantError(t, err, codes.Internal, "STORE_DAMAGED")
}
