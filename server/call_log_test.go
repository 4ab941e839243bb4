package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// logBuffer keeps the lines of a log.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// take returns the lines that came since the last time, and what they say, but for time and duration.
func (b *logBuffer) take(t *testing.T) (lines []map[string]any, text string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	text = b.text.String()
	b.text.Reset()
	for line := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if took, is := m["duration"].(float64); m["msg"] == "administrative call" && (!is || took <= 0) {
			t.Errorf("no duration: %s", line)
		}
		delete(m, "time")
		delete(m, "duration")
		lines = append(lines, m)
	}
	return lines, text
}

// callLogHarness is a server with a tenant, and its log from level Debug on.
func callLogHarness(t *testing.T) (*harness, *logBuffer) {
	t.Helper()
	logged := &logBuffer{}
	h := configuredHarness(t, func(c *server.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	h.addDesk(t)
	logged.take(t)
	return h, logged
}

// TestEachAdministrativeCallIsALine makes calls, and compares what is logged of each.
func TestEachAdministrativeCallIsALine(t *testing.T) {
	t.Parallel()
	h, logged := callLogHarness(t)
	by := &usherv1.Actor{Subject: "user:root", Groups: []string{"group:hidden"}}
	const secret = "because of his illness"
	for name, test := range map[string]struct {
		call func() (revision string, err error)
		want map[string]any // without method
	}{
		"Admin/Grant": {func() (string, error) {
			r, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
				Tenant: "desk", Subject: "user:new", Role: "agent", Scope: "team:c", Justification: secret, RequestId: "hidden",
				By: &usherv1.GrantRequest_Actor{Actor: by},
			})
			return r.GetRevision(), err
		}, map[string]any{"level": "INFO", "code": "OK", "on_behalf_of": "user:root", "tenant": "desk", "subject": "user:new", "role": "agent", "scope": "team:c", "outcome": "OUTCOME_CHANGED"}},
		"Admin/SetToggle": {func() (string, error) {
			r, err := h.admin.SetToggle(t.Context(), &usherv1.SetToggleRequest{
				Tenant: "desk", Toggle: "night", State: usherv1.ToggleState_TOGGLE_STATE_ON, By: &usherv1.SetToggleRequest_Operator{Operator: &usherv1.Operator{}},
			})
			return r.GetRevision(), err
		}, map[string]any{"level": "INFO", "code": "OK", "on_behalf_of": "operator", "tenant": "desk", "toggle": "night", "state": "TOGGLE_STATE_ON", "outcome": "OUTCOME_UNCHANGED"}},
		"Admin/BatchWrite": {func() (string, error) {
			r := h.write(t, "desk", actGrant("user:hidden", "agent", "team:hidden"), actGrant("user:hidden2", "agent", "team:hidden"))
			return r.GetRevision(), nil
		}, map[string]any{"level": "INFO", "code": "OK", "on_behalf_of": "operator", "tenant": "desk", "acts": 2.0, "outcome": "OUTCOME_CHANGED"}},
		"Admin/ChangeRole": {func() (string, error) { // refused: an agent may not
			_, err := h.admin.ChangeRole(t.Context(), &usherv1.ChangeRoleRequest{
				Tenant: "desk", Subject: "user:bob", From: "agent", To: "boss", Justification: secret,
				By: &usherv1.ChangeRoleRequest_Actor{Actor: &usherv1.Actor{Subject: "user:ann"}},
			})
			return "", err
		}, map[string]any{"level": "INFO", "code": "PermissionDenied", "on_behalf_of": "user:ann", "tenant": "desk", "subject": "user:bob", "from": "agent", "to": "boss", "reason": "ACTOR_NOT_ALLOWED"}},
		"Admin/Revoke": {func() (string, error) { // what is sent may be long
			_, err := h.admin.Revoke(t.Context(), &usherv1.RevokeRequest{
				Tenant: "desk", Subject: "user:" + strings.Repeat("ö", 1000), Role: "agent", By: &usherv1.RevokeRequest_Actor{Actor: by},
			})
			return "", err
		}, map[string]any{"level": "INFO", "code": "InvalidArgument", "on_behalf_of": "user:root", "tenant": "desk", "subject": "user:" + strings.Repeat("ö", 125) + "…", "role": "agent", "reason": "MALFORMED_REQUEST"}},
		"Admin/ListAssignments": {func() (string, error) {
			r, err := h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: "desk", Subject: "user:bob"})
			return r.GetRevision(), err
		}, map[string]any{"level": "DEBUG", "code": "OK", "tenant": "desk", "subject": "user:bob"}},
		"Operator/PutCatalog": {func() (string, error) {
			_, err := h.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: deskCatalog(1, deskAgent)})
			return "", err
		}, map[string]any{"level": "INFO", "code": "OK", "name": "desk", "version": 1.0, "outcome": "OUTCOME_UNCHANGED"}},
		"Operator/GetTenant": {func() (string, error) {
			_, err := h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: "nobody"})
			return "", err
		}, map[string]any{"level": "INFO", "code": "NotFound", "tenant": "nobody", "reason": "TENANT_NOT_FOUND"}},
		"Operator/Export": {func() (string, error) { // a copy of all, which is logged like a write
			stream, err := h.operator.Export(t.Context(), &usherv1.ExportRequest{Tenant: "desk"})
			for err == nil {
				_, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return "", err
		}, map[string]any{"level": "INFO", "code": "OK", "tenant": "desk"}},
		"Operator/EraseSubject": {func() (string, error) { // the log forgets, too
			r, err := h.operator.EraseSubject(t.Context(), &usherv1.EraseSubjectRequest{Tenant: "desk", Subject: "user:hidden3", Justification: secret})
			return r.GetRevision(), err
		}, map[string]any{"level": "INFO", "code": "OK", "tenant": "desk", "outcome": "OUTCOME_UNCHANGED"}},
	} {
		revision, err := test.call()
		if code := status.Code(err).String(); code != test.want["code"] {
			t.Errorf("%s: %v", name, err)
		}
		service, method, _ := strings.Cut(name, "/")
		test.want["msg"], test.want["method"] = "administrative call", "/usher.v1."+service+"Service/"+method
		if revision != "" {
			test.want["revision"] = revision
		}
		lines, text := logged.take(t)
		got, _ := json.MarshalIndent(lines, "", " ")
		if want, _ := json.MarshalIndent([]map[string]any{test.want}, "", " "); !bytes.Equal(got, want) {
			t.Errorf("%s: got %s\nwant %s", name, got, want)
		}
		if strings.Contains(text, "hidden") || strings.Contains(text, secret) {
			t.Errorf("%s: the log has what it should not: %s", name, text)
		}
	}
	h.may(t, "desk", "user:ann", "view", "team:a")
	if lines, text := logged.take(t); len(lines) > 0 {
		t.Errorf("a check is logged: %s", text)
	}
}

// TestFaultsAreLoggedWithTheirCause: the client is told to look there.
func TestFaultsAreLoggedWithTheirCause(t *testing.T) {
	t.Parallel()
	h, logged := callLogHarness(t)
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := h.admin.ListToggles(t.Context(), &usherv1.ListTogglesRequest{Tenant: "desk"})
	if status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	lines, text := logged.take(t)
	if len(lines) != 1 || lines[0]["level"] != "ERROR" || lines[0]["reason"] != "STORE_UNAVAILABLE" || !strings.Contains(text, "is not open") {
		t.Errorf("%s", text)
	}
}
