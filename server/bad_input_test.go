package server_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// badCall is a request that has to be refused, and how.
type badCall struct {
	about   string
	request proto.Message
	code    codes.Code
	// reason is that of the ErrorInfo; empty: the error is grpc's own and has none.
	reason string
	// field is in the BadRequest, or else says what the PreconditionFailure is about;
	// empty: neither is there.
	field string
	// remedy is a regular expression in the text about that field, or else in the message.
	remedy string
}

// badRPC is one call of the API, as its descriptor tells.
type badRPC struct {
	name     string // /service/method
	request  protoreflect.MessageType
	response protoreflect.MessageType
	stream   grpc.StreamDesc
}

// badRPCs are all calls of the API by the name of their request.
func badRPCs(t testing.TB) map[protoreflect.FullName]badRPC {
	t.Helper()
	all := map[protoreflect.FullName]badRPC{}
	messageType := func(d protoreflect.MessageDescriptor) protoreflect.MessageType {
		mt, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
		if err != nil {
			t.Fatal(err)
		}
		return mt
	}
	for _, file := range []protoreflect.FileDescriptor{
		usherv1.File_usher_v1_decision_service_proto, usherv1.File_usher_v1_admin_service_proto, usherv1.File_usher_v1_operator_service_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				all[method.Input().FullName()] = badRPC{
					name:     fmt.Sprintf("/%s/%s", service.FullName(), method.Name()),
					request:  messageType(method.Input()),
					response: messageType(method.Output()),
					stream:   grpc.StreamDesc{ServerStreams: method.IsStreamingServer(), ClientStreams: method.IsStreamingClient()},
				}
			}
		}
	}
	return all
}

// call makes the call that the request belongs to.
func (rpc badRPC) call(ctx context.Context, conn *grpc.ClientConn, request proto.Message) (proto.Message, error) {
	response := rpc.response.New().Interface()
	return response, conn.Invoke(ctx, rpc.name, request, response)
}

// refused makes the calls and compares how they are refused.
func refused(t *testing.T, h *harness, calls []badCall) {
	t.Helper()
	rpcs := badRPCs(t)
	for _, c := range calls {
		t.Run(fmt.Sprintf("%s/%s", c.request.ProtoReflect().Descriptor().Name(), c.about), func(t *testing.T) {
			_, err := rpcs[c.request.ProtoReflect().Descriptor().FullName()].call(t.Context(), h.conn, c.request)
			c.compare(t, err)
		})
	}
}

func (c badCall) compare(t *testing.T, err error) {
	t.Helper()
	s := status.Convert(err)
	if s.Code() != c.code {
		t.Fatalf("got %v: %.300s, want %v", s.Code(), s.Message(), c.code)
	}
	texts := map[string]string{} // by field
	reason := ""
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
			if d.GetDomain() != "usher" {
				t.Errorf("got the domain %q, want usher", d.GetDomain())
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				texts[v.GetField()] += v.GetDescription()
			}
		case *errdetails.PreconditionFailure:
			for _, v := range d.GetViolations() {
				texts[v.GetSubject()] += v.GetDescription()
			}
		}
	}
	if reason != c.reason {
		t.Errorf("got the reason %q (%.300s), want %q", reason, s.Message(), c.reason)
	}
	text, named := texts[c.field]
	if c.field == "" {
		text, named = s.Message(), len(texts) == 0 || texts[""] != ""
	}
	if !named {
		t.Fatalf("got fields %q, want %q: %.300s", slices.Collect(maps.Keys(texts)), c.field, s.Message())
	}
	if !regexp.MustCompile(c.remedy).MatchString(text) {
		t.Errorf("got %.300q, want %q in it", text, c.remedy)
	}
}

// The tenant of these tests is "acme", of the catalog goto_contact_center, with
// user:root as its administrator; "other" is another one, "dealer" has a primary
// administrator, and "gone" is there to be deleted.
func badHarness(t testing.TB) *harness {
	t.Helper()
	h := newHarness(t)
	h.fillForBadInput(t)
	return h
}

func (h *harness) fillForBadInput(t testing.TB) {
	t.Helper()
	for name, catalog := range map[string]string{"dealer": "expertconnect", "gone": "liveagent"} {
		if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
			Tenant: name, Catalog: catalog, FirstAdministrator: "user:root",
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tenant := range []string{"acme", "other"} {
		if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
			Tenant: tenant, Catalog: "goto_contact_center", FirstAdministrator: "user:root",
		}); err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{"user:ann", "user:bob", "group:night"} {
			if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
				Tenant: tenant, Subject: subject, Role: "agent", Scope: "queue:billing", By: asOperator,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var asOperator = &usherv1.GrantRequest_Operator{Operator: &usherv1.Operator{}}

// stillRight asks a question whose answer is known.
func stillRight(t *testing.T, h *harness) {
	t.Helper()
	for scope, want := range map[string]usherv1.ReasonCode{
		"queue:billing": usherv1.ReasonCode_REASON_CODE_GRANTED,
		"queue:sales":   usherv1.ReasonCode_REASON_CODE_OUT_OF_SCOPE,
	} {
		request := goodCheck()
		request.Resource.Scopes = []string{scope}
		got, err := h.decisions.Check(t.Context(), request)
		if err != nil || got.GetReason().GetCode() != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
}

func goodCheck() *usherv1.CheckRequest {
	return &usherv1.CheckRequest{
		Tenant: "acme", Subject: "user:ann", Groups: []string{"group:day"}, Action: "login",
		Resource: &usherv1.Resource{Type: "queue", Id: "billing", Scopes: []string{"queue:billing"}, Owner: "user:bob"},
	}
}

// goodRequests are requests that are answered without an error, for every call.
func goodRequests() []proto.Message {
	actor := &usherv1.Actor{Subject: "user:root", Groups: []string{"group:day"}}
	return []proto.Message{
		goodCheck(),
		&usherv1.BatchCheckRequest{Tenant: "acme", Subject: "user:ann", Groups: []string{"group:day"}, Items: []*usherv1.BatchCheckItem{
			{Resource: goodCheck().GetResource(), Actions: []string{"login"}},
		}},
		&usherv1.ExplainRequest{Check: goodCheck(), Locale: "de-CH"},
		&usherv1.ListActionsRequest{
			Tenant: "acme", Subject: "user:ann", Groups: []string{"group:day"}, Resource: goodCheck().GetResource(), IncludeDenied: true,
		},
		&usherv1.ListScopesRequest{Tenant: "acme", Subject: "user:ann", Groups: []string{"group:day"}, Action: "login", ResourceType: "queue"},
		&usherv1.ListSubjectsRequest{Tenant: "acme", Action: "login", Resource: goodCheck().GetResource()},
		&usherv1.GrantRequest{
			Tenant: "acme", Subject: "user:new", Role: "agent", Scope: "queue:sales", By: &usherv1.GrantRequest_Actor{Actor: actor}, Justification: "new",
		},
		&usherv1.RevokeRequest{
			Tenant: "acme", Subject: "user:new", Role: "agent", Scope: "queue:sales", By: &usherv1.RevokeRequest_Actor{Actor: actor}, Justification: "gone",
		},
		&usherv1.SetToggleRequest{
			Tenant: "acme", Toggle: "view_skills", State: usherv1.ToggleState_TOGGLE_STATE_OFF,
			By: &usherv1.SetToggleRequest_Actor{Actor: actor}, Justification: "asked for",
		},
		&usherv1.ListAssignmentsRequest{Tenant: "acme", Subject: "user:ann", Role: "agent", Scope: "queue:billing"},
		&usherv1.ListChangesRequest{Tenant: "acme"}, &usherv1.ListHeadsRequest{}, &usherv1.VerifyChangesRequest{},
		&usherv1.ListTogglesRequest{Tenant: "acme"},
		&usherv1.CreateTenantRequest{Tenant: "new", Catalog: "liveagent", FirstAdministrator: "user:root"},
		&usherv1.GetTenantRequest{Tenant: "acme"},
		&usherv1.ListTenantsRequest{},
		&usherv1.PutCatalogRequest{Yaml: string(catalogs.All()[0].YAML)},
		&usherv1.GetCatalogRequest{Name: "liveagent"},
		&usherv1.ListCatalogsRequest{},
		&usherv1.ExportRequest{Tenant: "acme"}, &usherv1.BackupRequest{},
		&usherv1.GetServerInfoRequest{},
		&usherv1.ChangeRoleRequest{
			Tenant: "acme", Subject: "user:bob", From: "agent", To: "agent", Scopes: []string{"queue:sales"},
			By: &usherv1.ChangeRoleRequest_Actor{Actor: actor}, Justification: "moved",
		},
		&usherv1.RemoveSubjectRequest{
			Tenant: "acme", Subject: "user:left", By: &usherv1.RemoveSubjectRequest_Actor{Actor: actor}, Justification: "left",
		},
		&usherv1.BatchWriteRequest{
			Tenant: "acme", Acts: []*usherv1.Act{actGrant("user:eve", "agent", "queue:sales")},
			By: &usherv1.BatchWriteRequest_Actor{Actor: actor}, Justification: "new",
		},
		&usherv1.PreviewChangeRequest{
			Tenant: "acme", Acts: []*usherv1.Act{actGrant("user:eve", "agent", "queue:sales")}, By: &usherv1.PreviewChangeRequest_Actor{Actor: actor},
		},
		&usherv1.SetPrimaryAdministratorRequest{
			Tenant: "dealer", Subject: "user:root", By: &usherv1.SetPrimaryAdministratorRequest_Actor{Actor: actor}, Justification: "asked for",
		},
		&usherv1.ListRolesRequest{Tenant: "acme", By: &usherv1.ListRolesRequest_Actor{Actor: actor}},
		&usherv1.UpdateTenantRequest{Tenant: "acme", Justification: "newer"},
		&usherv1.DeleteTenantRequest{Tenant: "gone", Confirm: "gone", Justification: "closed"},
		&usherv1.EraseSubjectRequest{Tenant: "acme", Subject: "user:left", Justification: "asked for"},
	}
}

// badValues are texts that a field of a kind must not have, by what is wrong with them.
var badValues = map[string]map[string]string{
	"tenant": {
		"empty": "", "oversized": strings.Repeat("a", 129), "beginning with a dash": "-acme", "with a space": "ac me",
		"with a slash": "ac/me", "with a zero byte": "ac\x00me", "with an accent": "acmé", "with a C1 control": "ac\u0085me",
	},
	"id": {
		"empty": "", "without a type": "ann", "without an id": "user:", "with an empty type": ":ann", "with a type in capitals": "User:ann",
		"oversized": "user:" + strings.Repeat("a", 252), "with a line feed": "user:a\nb", "with a zero byte": "user:a\x00",
		"with a C1 control": "user:a\u0085b", "with a delete": "user:a\x7f", "with a type that is too long": strings.Repeat("u", 65) + ":a",
	},
	"name": {
		"empty": "", "oversized": strings.Repeat("a", 65), "in capitals": "Agent", "beginning with a digit": "1agent",
		"with a space": "agent ", "with a zero byte": "agent\x00", "with an accent": "agént", "with a C1 control": "agent\u009f",
	},
	"group": {
		"empty": "", "of a user": "user:ann", "without an id": "group:", "oversized": "group:" + strings.Repeat("a", 251),
		"with a tab": "group:a\t", "with a C1 control": "group:\u0080",
	},
	"text": {
		"oversized": strings.Repeat("a", 1025), "with a zero byte": "a\x00", "with a line feed": "a\nb", "with a C1 control": "a\u0085",
	},
	"token": {"oversized": strings.Repeat("A", 2049), "of other letters": "no token!", "too short": "AAAA", "made up": strings.Repeat("A", 40)},
	"request": {
		"oversized": strings.Repeat("a", 129), "with a zero byte": "a\x00", "with a line feed": "a\nb", "with a C1 control": "a\u0085",
	},
	"revision": {"oversized": strings.Repeat("a", 65), "of other letters": "no revision!", "without a number": "epoch.", "without an epoch": ".7"},
	"locale":   {"oversized": strings.Repeat("a", 65)},
	"language": {"oversized": strings.Repeat("a", 65), "of other letters": "no language!", "with an unknown form": "a-b-c-d"},
	"confirm":  {"of another tenant": "other", "empty": "", "oversized": strings.Repeat("a", 129)},
	"yaml":     {"empty": "", "oversized": strings.Repeat("#", 1<<20+1)},
}

// badRemedies is what is said about such a text.
var badRemedies = map[string]string{
	"tenant":   `a tenant has letters|pattern`,
	"id":       `it is written type:id|pattern|at most 256 bytes`,
	"name":     `a name has lower-case letters|pattern`,
	"group":    `a group is written group:id|pattern|at most 256 bytes`,
	"text":     `no control characters|pattern|at most (256|1024) bytes`,
	"token":    `use the next_page_token|at most 2048 bytes|begin again without a token`,
	"request":  `no control characters|pattern|at most 128 bytes`,
	"revision": `one that an answer carried|at most 64 bytes`,
	"locale":   `at most 64 bytes`,
	"language": `at most 64 bytes|such as en`,
	"confirm":  `once more|at most 128 bytes`,
	"yaml":     `at least 1 byte|at most 1048576 bytes`,
}

// badFields says of what kind each text of each request is. A question mark: it may be
// empty.
var badFields = map[protoreflect.FullName]map[string]string{
	"usher.v1.CheckRequest": {
		"tenant": "tenant", "subject": "id", "groups[0]": "group", "action": "name", "resource.type": "name", "resource.id": "text?",
		"resource.scopes[0]": "id", "resource.owner": "id?",
	},
	"usher.v1.BatchCheckRequest": {"tenant": "tenant", "subject": "id?", "groups[0]": "group"},
	"usher.v1.ExplainRequest": {
		"check.tenant": "tenant", "check.subject": "id", "check.groups[0]": "group", "check.action": "name", "check.resource.type": "name",
		"check.resource.id": "text?", "check.resource.scopes[0]": "id", "check.resource.owner": "id?", "locale": "language?",
	},
	"usher.v1.ListActionsRequest": {
		"tenant": "tenant", "subject": "id", "groups[0]": "group", "resource.type": "name", "resource.id": "text?", "resource.scopes[0]": "id",
		"resource.owner": "id?",
	},
	"usher.v1.ListScopesRequest": {
		"tenant": "tenant", "subject": "id", "groups[0]": "group", "action": "name", "resource_type": "name", "page_token": "token?",
	},
	"usher.v1.ListSubjectsRequest": {
		"tenant": "tenant", "action": "name", "resource.type": "name", "resource.id": "text?", "resource.scopes[0]": "id", "resource.owner": "id?",
		"page_token": "token?",
	},
	"usher.v1.ExportRequest": {"tenant": "tenant?"},
	"usher.v1.GrantRequest": {
		"tenant": "tenant", "subject": "id", "role": "name", "scope": "id?", "actor.subject": "id", "actor.groups[0]": "group", "justification": "text?", "request_id": "request?", "expected_revision": "revision?",
	},
	"usher.v1.RevokeRequest": {
		"tenant": "tenant", "subject": "id", "role": "name", "scope": "id?", "actor.subject": "id", "actor.groups[0]": "group", "justification": "text?", "request_id": "request?", "expected_revision": "revision?",
	},
	"usher.v1.SetToggleRequest": {
		"tenant": "tenant", "toggle": "name", "actor.subject": "id", "actor.groups[0]": "group", "justification": "text?", "request_id": "request?", "expected_revision": "revision?",
	},
	"usher.v1.ListAssignmentsRequest": {"tenant": "tenant", "subject": "id?", "role": "name?", "scope": "id?", "page_token": "token?"},
	"usher.v1.ListTogglesRequest":     {"tenant": "tenant"},
	"usher.v1.ListChangesRequest":     {"tenant": "tenant", "subject": "id?", "actor": "id?", "page_token": "token?"},
	"usher.v1.ListHeadsRequest":       {"page_token": "token?"},
	"usher.v1.VerifyChangesRequest":   {"tenant": "tenant?"},
	"usher.v1.CreateTenantRequest":    {"tenant": "tenant", "catalog": "name", "first_administrator": "id"},
	"usher.v1.GetTenantRequest":       {"tenant": "tenant"},
	"usher.v1.ListTenantsRequest":     {"page_token": "token?"},
	"usher.v1.PutCatalogRequest":      {"yaml": "yaml"},
	"usher.v1.GetCatalogRequest":      {"name": "name"},
	"usher.v1.ListCatalogsRequest":    {"page_token": "token?"},
	"usher.v1.GetServerInfoRequest":   {},
	"usher.v1.ChangeRoleRequest": {
		"tenant": "tenant", "subject": "id", "from": "name", "to": "name", "scopes[0]": "id", "actor.subject": "id", "actor.groups[0]": "group",
		"justification": "text?", "request_id": "request?", "expected_revision": "revision?",
	},
	"usher.v1.RemoveSubjectRequest": {
		"tenant": "tenant", "subject": "id", "actor.subject": "id", "actor.groups[0]": "group",
		"justification": "text?", "request_id": "request?", "expected_revision": "revision?",
	},
	"usher.v1.BatchWriteRequest": {
		"tenant": "tenant", "actor.subject": "id", "actor.groups[0]": "group", "justification": "text?", "request_id": "request?",
	},
	"usher.v1.PreviewChangeRequest": {"tenant": "tenant", "actor.subject": "id", "actor.groups[0]": "group", "page_token": "token?", "catalog": "name?"},
	"usher.v1.SetPrimaryAdministratorRequest": {
		"tenant": "tenant", "subject": "id", "actor.subject": "id", "actor.groups[0]": "group", "justification": "text?", "request_id": "request?",
	},
	"usher.v1.ListRolesRequest":    {"tenant": "tenant", "actor.subject": "id", "actor.groups[0]": "group", "locale": "locale?"},
	"usher.v1.UpdateTenantRequest": {"tenant": "tenant", "justification": "text?", "catalog": "name?"},
	"usher.v1.DeleteTenantRequest": {"tenant": "tenant", "confirm": "confirm", "justification": "text?"},
	"usher.v1.EraseSubjectRequest": {"tenant": "tenant", "subject": "id", "justification": "text?"},
}

// TestBadInputTexts gives every text field of every call each bad value of its kind.
func TestBadInputTexts(t *testing.T) {
	t.Parallel()
	h := badHarness(t)
	rpcs := badRPCs(t)
	var calls []badCall
	for _, good := range goodRequests() {
		name := good.ProtoReflect().Descriptor().FullName()
		if _, err := rpcs[name].call(t.Context(), h.conn, good); err != nil {
			t.Fatalf("%s: the request that is to be spoiled is refused already: %v", name, err)
		}
		fields := badFields[name]
		if want := textFields(good.ProtoReflect()); !slices.Equal(want, slices.Sorted(maps.Keys(fields))) {
			t.Fatalf("%s has the texts %q, want all of them in badFields: %q", name, want, fields)
		}
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			kind, mayBeEmpty := strings.CutSuffix(fields[field], "?")
			for _, wrong := range slices.Sorted(maps.Keys(badValues[kind])) {
				value := badValues[kind][wrong]
				if value == "" && mayBeEmpty {
					continue
				}
				request := proto.Clone(good)
				setText(t, request.ProtoReflect(), field, value)
				calls = append(calls, badCall{
					about: field + " " + wrong, request: request,
					code: codes.InvalidArgument, reason: "MALFORMED_REQUEST", field: field, remedy: badRemedies[kind],
				})
			}
		}
		delete(rpcs, name)
	}
	delete(rpcs, "usher.v1.WatchChangesRequest") // a good one is never answered to the end
	delete(rpcs, "usher.v1.ImportRequest")       // a good one is the first of several
	if len(rpcs) > 0 {
		t.Fatalf("no good request for %v", rpcs)
	}
	refused(t, h, calls)
	stillRight(t, h)
	t.Logf("%d calls", len(calls))
}

// textFields are the paths of the texts in a message whose submessages are all there. Those
// of the items of a batch are left out: they have answers of their own.
func textFields(m protoreflect.Message) []string {
	var paths []string
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		path := string(field.Name())
		switch {
		case field.Kind() == protoreflect.StringKind && field.IsList():
			paths = append(paths, path+"[0]")
		case field.Kind() == protoreflect.StringKind:
			paths = append(paths, path)
		case field.Message() != nil && !field.IsList() && m.Has(field):
			for _, inner := range textFields(m.Get(field).Message()) {
				paths = append(paths, path+"."+inner)
			}
		}
	}
	slices.Sort(paths)
	return paths
}

// setText sets the text at a path of names and [0].
func setText(t *testing.T, m protoreflect.Message, path, value string) {
	t.Helper()
	first, rest, deeper := strings.Cut(path, ".")
	name, isList := strings.CutSuffix(first, "[0]")
	field := m.Descriptor().Fields().ByName(protoreflect.Name(name))
	switch {
	case deeper:
		setText(t, m.Mutable(field).Message(), rest, value)
	case isList:
		m.Mutable(field).List().Set(0, protoreflect.ValueOfString(value))
	default:
		m.Set(field, protoreflect.ValueOfString(value))
	}
}

// TestBadInputCalls are the requests that are wrong in a way of their own.
func TestBadInputCalls(t *testing.T) {
	t.Parallel()
	h := badHarness(t)
	refused(t, h, badDecisions())
	refused(t, h, badWrites())
	refused(t, h, badLists(t, h))
	refused(t, h, badOperations())
	stillRight(t, h)
}

const (
	malformedReason = "MALFORMED_REQUEST"
	catalogReason   = "INVALID_CATALOG"
)

func repeated(n int, text string) []string { return slices.Repeat([]string{text}, n) }

func badDecisions() []badCall {
	check := func(about, reason, field, remedy string, spoil func(*usherv1.CheckRequest)) badCall {
		request := goodCheck()
		spoil(request)
		return badCall{about: about, request: request, code: codes.InvalidArgument, reason: reason, field: field, remedy: remedy}
	}
	batch := func(about, field, remedy string, request *usherv1.BatchCheckRequest) badCall {
		if request.GetTenant() == "" {
			request.Tenant = "acme"
		}
		return badCall{about: about, request: request, code: codes.InvalidArgument, reason: malformedReason, field: field, remedy: remedy}
	}
	asked := func(about, reason, field, remedy string, request proto.Message) badCall {
		return badCall{about: about, request: request, code: codes.InvalidArgument, reason: reason, field: field, remedy: remedy}
	}
	nowhere := func(request proto.Message) badCall {
		return badCall{about: "an unknown tenant", request: request, code: codes.NotFound, reason: "TENANT_NOT_FOUND", remedy: "CreateTenant"}
	}
	without := func(spoil func(*usherv1.CheckRequest)) *usherv1.CheckRequest {
		request := goodCheck()
		spoil(request)
		return request
	}
	attributes := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for i := range 101 {
		attributes.Fields[fmt.Sprint("a", i)] = structpb.NewBoolValue(true)
	}
	item := &usherv1.BatchCheckItem{Resource: goodCheck().GetResource(), Actions: []string{"login"}}
	full := &usherv1.BatchCheckItem{Resource: goodCheck().GetResource(), Actions: repeated(100, "login")}
	return []badCall{
		check("10,000 scopes", malformedReason, "resource.scopes", "at most 100", func(r *usherv1.CheckRequest) { r.Resource.Scopes = repeated(10_000, "queue:a") }),
		check("101 scopes", malformedReason, "resource.scopes", "at most 100", func(r *usherv1.CheckRequest) { r.Resource.Scopes = repeated(101, "queue:a") }),
		check("101 groups", malformedReason, "groups", "at most 100", func(r *usherv1.CheckRequest) { r.Groups = repeated(101, "group:a") }),
		check("101 attributes", malformedReason, "resource.attributes", "at most 100", func(r *usherv1.CheckRequest) { r.Resource.Attributes = attributes }),
		check("no resource", malformedReason, "resource", "name the resource", func(r *usherv1.CheckRequest) { r.Resource = nil }),
		check("a bad scope behind good ones", malformedReason, "resource.scopes[2]", "type:id", func(r *usherv1.CheckRequest) {
			r.Resource.Scopes = []string{"queue:a", "queue:b", "queue"}
		}),
		check("an unknown action", "UNKNOWN_ACTION", "action", `did you mean "login"\?`, func(r *usherv1.CheckRequest) { r.Action = "logn" }),
		check("an action of another resource type", "UNKNOWN_ACTION", "action", "there are assign_agent, .* serve", func(r *usherv1.CheckRequest) { r.Action = "provision" }),
		check("an unknown resource type", "UNKNOWN_RESOURCE_TYPE", "resource.type", `did you mean "queue"\?`, func(r *usherv1.CheckRequest) { r.Resource.Type = "quue" }),
		check("an unknown scope type", "UNKNOWN_SCOPE_TYPE", "resource.scopes", `did you mean "inbox"\?`, func(r *usherv1.CheckRequest) {
			r.Resource.Scopes = []string{"queue:a", "inbx:b"}
		}),
		check("an unknown role as the resource", "UNKNOWN_ROLE", "resource.id", `did you mean "supervisor"\?`, func(r *usherv1.CheckRequest) {
			r.Action, r.Resource = "grant", &usherv1.Resource{Type: "role", Id: "supervizor"}
		}),
		check("an unknown toggle as the resource", "UNKNOWN_TOGGLE", "resource.id", `did you mean "view_skills"\?`, func(r *usherv1.CheckRequest) {
			r.Action, r.Resource = "set", &usherv1.Resource{Type: "toggle", Id: "view_skill"}
		}),
		{
			about: "an unknown tenant", request: &usherv1.CheckRequest{Tenant: "nobody", Subject: "user:ann", Action: "x", Resource: &usherv1.Resource{Type: "y"}},
			code: codes.NotFound, reason: "TENANT_NOT_FOUND", remedy: "CreateTenant",
		},
		asked("no check", malformedReason, "check", "required", &usherv1.ExplainRequest{}),
		asked("no resource", malformedReason, "check.resource", "required|name the resource", &usherv1.ExplainRequest{Check: without(func(r *usherv1.CheckRequest) { r.Resource = nil })}),
		asked("an unknown action", "UNKNOWN_ACTION", "check.action", `did you mean "login"\?`, &usherv1.ExplainRequest{Check: without(func(r *usherv1.CheckRequest) { r.Action = "logn" })}),
		asked("an unknown scope type", "UNKNOWN_SCOPE_TYPE", "check.resource.scopes", `did you mean "queue"\?`, &usherv1.ExplainRequest{
			Check: without(func(r *usherv1.CheckRequest) { r.Resource.Scopes = []string{"queu:a"} }),
		}),
		asked("101 groups", malformedReason, "check.groups", "100", &usherv1.ExplainRequest{Check: without(func(r *usherv1.CheckRequest) { r.Groups = repeated(101, "group:a") })}),
		asked("an undefined audience", malformedReason, "audience", "defined", &usherv1.ExplainRequest{Check: goodCheck(), Audience: 9}),
		asked("no moment", malformedReason, "as_of.moment", "required|exactly one", &usherv1.ExplainRequest{Check: goodCheck(), AsOf: &usherv1.AsOf{}}),
		asked("no resource", malformedReason, "resource", "required|name the resource", &usherv1.ListActionsRequest{Tenant: "acme", Subject: "user:ann"}),
		asked("an unknown resource type", "UNKNOWN_RESOURCE_TYPE", "resource.type", `did you mean "queue"\?`, &usherv1.ListActionsRequest{
			Tenant: "acme", Subject: "user:ann", Resource: &usherv1.Resource{Type: "quue"},
		}),
		asked("an unknown scope type", "UNKNOWN_SCOPE_TYPE", "resource.scopes", `did you mean "queue"\?`, &usherv1.ListActionsRequest{
			Tenant: "acme", Subject: "user:ann", Resource: &usherv1.Resource{Type: "queue", Scopes: []string{"queu:a"}},
		}),
		asked("an unknown resource type", "UNKNOWN_RESOURCE_TYPE", "resource_type", `did you mean "queue"\?`, &usherv1.ListScopesRequest{
			Tenant: "acme", Subject: "user:ann", Action: "login", ResourceType: "quue",
		}),
		asked("an unknown action", "UNKNOWN_ACTION", "action", `did you mean "login"\?`, &usherv1.ListScopesRequest{
			Tenant: "acme", Subject: "user:ann", Action: "logn", ResourceType: "queue",
		}),
		asked("a page that is too large", malformedReason, "page_size", "less than or equal to 10000", &usherv1.ListScopesRequest{
			Tenant: "acme", Subject: "user:ann", Action: "login", ResourceType: "queue", PageSize: 10_001,
		}),
		asked("an unknown action", "UNKNOWN_ACTION", "action", `did you mean "login"\?`, &usherv1.ListSubjectsRequest{
			Tenant: "acme", Action: "logn", Resource: &usherv1.Resource{Type: "queue"},
		}),
		asked("an unknown role as the resource", "UNKNOWN_ROLE", "resource.id", `did you mean "agent"\?`, &usherv1.ListSubjectsRequest{
			Tenant: "acme", Action: "grant", Resource: &usherv1.Resource{Type: "role", Id: "agnet"},
		}),
		asked("a negative page", malformedReason, "page_size", "greater than or equal to 0", &usherv1.ListSubjectsRequest{
			Tenant: "acme", Action: "login", Resource: &usherv1.Resource{Type: "queue"}, PageSize: -1,
		}),
		nowhere(&usherv1.ExplainRequest{Check: without(func(r *usherv1.CheckRequest) { r.Tenant = "nobody" })}),
		nowhere(&usherv1.ListActionsRequest{Tenant: "nobody", Subject: "user:ann", Resource: &usherv1.Resource{Type: "queue"}}),
		nowhere(&usherv1.ListScopesRequest{Tenant: "nobody", Subject: "user:ann", Action: "login", ResourceType: "queue"}),
		nowhere(&usherv1.ListSubjectsRequest{Tenant: "nobody", Action: "login", Resource: &usherv1.Resource{Type: "queue"}}),
		nowhere(&usherv1.ExportRequest{Tenant: "nobody"}),
		batch("no items", "items", "1 to 1000", &usherv1.BatchCheckRequest{}),
		batch("1,001 items", "items", "1 to 1000", &usherv1.BatchCheckRequest{Subject: "user:ann", Items: slices.Repeat([]*usherv1.BatchCheckItem{item}, 1001)}),
		batch("10,100 answers", "items", "make several calls", &usherv1.BatchCheckRequest{Subject: "user:ann", Items: slices.Repeat([]*usherv1.BatchCheckItem{full}, 101)}),
		batch("101 groups", "groups", "at most 100", &usherv1.BatchCheckRequest{Groups: repeated(101, "group:a"), Items: []*usherv1.BatchCheckItem{item}}),
		batch("an unknown detail", "detail", "DETAIL_REASONS", &usherv1.BatchCheckRequest{Detail: 9, Items: []*usherv1.BatchCheckItem{item}}),
		{
			about: "an unknown tenant", request: &usherv1.BatchCheckRequest{Tenant: "nobody", Subject: "user:ann", Items: []*usherv1.BatchCheckItem{item}},
			code: codes.NotFound, reason: "TENANT_NOT_FOUND", remedy: "CreateTenant",
		},
	}
}

func badWrites() []badCall {
	grant := func(about, reason, field, remedy string, spoil func(*usherv1.GrantRequest)) badCall {
		request := &usherv1.GrantRequest{Tenant: "acme", Subject: "user:new", Role: "agent", Scope: "queue:a", By: asOperator}
		spoil(request)
		return badCall{about: about, request: request, code: codes.InvalidArgument, reason: reason, field: field, remedy: remedy}
	}
	revoke := func(about, reason, field, remedy string, spoil func(*usherv1.RevokeRequest)) badCall {
		request := &usherv1.RevokeRequest{Tenant: "acme", Subject: "user:ann", Role: "agent", By: &usherv1.RevokeRequest_Operator{Operator: &usherv1.Operator{}}}
		spoil(request)
		return badCall{about: about, request: request, code: codes.InvalidArgument, reason: reason, field: field, remedy: remedy}
	}
	set := func(about, reason, field, remedy string, spoil func(*usherv1.SetToggleRequest)) badCall {
		request := &usherv1.SetToggleRequest{
			Tenant: "acme", Toggle: "view_skills", State: usherv1.ToggleState_TOGGLE_STATE_ON, By: &usherv1.SetToggleRequest_Operator{Operator: &usherv1.Operator{}},
		}
		spoil(request)
		return badCall{about: about, request: request, code: codes.InvalidArgument, reason: reason, field: field, remedy: remedy}
	}
	actor := func(groups int) *usherv1.Actor {
		return &usherv1.Actor{Subject: "user:root", Groups: repeated(groups, "group:a")}
	}
	year2200 := timestamppb.New(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC))
	tomorrow, yesterday := timestamppb.New(testTime.Add(24*time.Hour)), timestamppb.New(testTime.Add(-24*time.Hour))
	return []badCall{
		grant("by nobody", "ACTOR_REQUIRED", "by", "set actor .* or operator", func(r *usherv1.GrantRequest) { r.By = nil }),
		grant("by an empty actor", malformedReason, "actor.subject", "type:id", func(r *usherv1.GrantRequest) { r.By = &usherv1.GrantRequest_Actor{Actor: &usherv1.Actor{}} }),
		grant("by an actor of 101 groups", malformedReason, "actor.groups", "no more than 100", func(r *usherv1.GrantRequest) { r.By = &usherv1.GrantRequest_Actor{Actor: actor(101)} }),
		grant("an unknown role", "UNKNOWN_ROLE", "role", `did you mean "agent"\?`, func(r *usherv1.GrantRequest) { r.Role = "agnt" }),
		grant("an unknown role, nothing alike", "UNKNOWN_ROLE", "role", "there are agent, contact_admin, supervisor", func(r *usherv1.GrantRequest) { r.Role = "x" }),
		grant("an unknown scope type", "UNKNOWN_SCOPE_TYPE", "scope", `did you mean "queue"\?`, func(r *usherv1.GrantRequest) { r.Scope = "queu:a" }),
		grant("an end in the past", malformedReason, "expires_at", "in the future; .* revoke it", func(r *usherv1.GrantRequest) { r.ExpiresAt = yesterday }),
		grant("an end now", malformedReason, "expires_at", "in the future", func(r *usherv1.GrantRequest) { r.ExpiresAt = timestamppb.New(testTime) }),
		grant("an end before the start", malformedReason, "expires_at", "after starts_at", func(r *usherv1.GrantRequest) {
			r.StartsAt, r.ExpiresAt = timestamppb.New(testTime.Add(48*time.Hour)), tomorrow
		}),
		grant("an end at the start", malformedReason, "expires_at", "after starts_at", func(r *usherv1.GrantRequest) { r.StartsAt, r.ExpiresAt = tomorrow, tomorrow }),
		grant("a start before 1970", malformedReason, "starts_at", "greater than", func(r *usherv1.GrantRequest) { r.StartsAt = &timestamppb.Timestamp{Seconds: -1} }),
		grant("a start at the first instant of 1970", malformedReason, "starts_at", "greater than", func(r *usherv1.GrantRequest) { r.StartsAt = &timestamppb.Timestamp{} }),
		grant("a start before 1970 by its nanoseconds", malformedReason, "starts_at", "greater than", func(r *usherv1.GrantRequest) { r.StartsAt = &timestamppb.Timestamp{Nanos: -1} }),
		grant("a start in 2200", malformedReason, "starts_at", "less than", func(r *usherv1.GrantRequest) { r.StartsAt = year2200 }),
		grant("an end in 2200", malformedReason, "expires_at", "less than", func(r *usherv1.GrantRequest) { r.ExpiresAt = year2200 }),
		grant("an end far beyond", malformedReason, "expires_at", "less than", func(r *usherv1.GrantRequest) { r.ExpiresAt = &timestamppb.Timestamp{Seconds: 1 << 62} }),
		{
			about: "an unknown tenant", request: &usherv1.GrantRequest{Tenant: "nobody", Subject: "user:new", Role: "agent", By: asOperator},
			code: codes.NotFound, reason: "TENANT_NOT_FOUND", remedy: "CreateTenant",
		},
		{
			about: "by an actor who may not", code: codes.PermissionDenied, reason: "ACTOR_NOT_ALLOWED", field: "actor/user:ann", remedy: "or the operator",
			request: &usherv1.GrantRequest{Tenant: "acme", Subject: "user:new", Role: "agent", By: &usherv1.GrantRequest_Actor{Actor: &usherv1.Actor{Subject: "user:ann"}}},
		},
		{
			about: "against a rule", code: codes.FailedPrecondition, reason: "NOT_ASSIGNABLE_IN_SCOPE", field: "role/contact_admin", remedy: "without a scope",
			request: &usherv1.GrantRequest{Tenant: "acme", Subject: "user:new", Role: "contact_admin", Scope: "queue:a", By: asOperator},
		},
		revoke("by nobody", "ACTOR_REQUIRED", "by", "set actor .* or operator", func(r *usherv1.RevokeRequest) { r.By = nil }),
		revoke("by an actor of 101 groups", malformedReason, "actor.groups", "no more than 100", func(r *usherv1.RevokeRequest) { r.By = &usherv1.RevokeRequest_Actor{Actor: actor(101)} }),
		revoke("a scope and everywhere", malformedReason, "everywhere", "name a scope or say everywhere, not both", func(r *usherv1.RevokeRequest) { r.Scope, r.Everywhere = "queue:a", true }),
		revoke("an unknown role", "UNKNOWN_ROLE", "role", `did you mean "agent"\?`, func(r *usherv1.RevokeRequest) { r.Role = "agents" }),
		revoke("an unknown scope type", "UNKNOWN_SCOPE_TYPE", "scope", `did you mean "queue"\?`, func(r *usherv1.RevokeRequest) { r.Scope = "ueue:a" }),
		{
			about: "an unknown tenant", code: codes.NotFound, reason: "TENANT_NOT_FOUND", remedy: "CreateTenant",
			request: &usherv1.RevokeRequest{Tenant: "nobody", Subject: "user:ann", Role: "agent", By: &usherv1.RevokeRequest_Operator{Operator: &usherv1.Operator{}}},
		},
		set("by nobody", "ACTOR_REQUIRED", "by", "set actor .* or operator", func(r *usherv1.SetToggleRequest) { r.By = nil }),
		set("by an actor of 101 groups", malformedReason, "actor.groups", "no more than 100", func(r *usherv1.SetToggleRequest) { r.By = &usherv1.SetToggleRequest_Actor{Actor: actor(101)} }),
		set("an unspecified state", malformedReason, "state", "say TOGGLE_STATE_ON or TOGGLE_STATE_OFF", func(r *usherv1.SetToggleRequest) { r.State = usherv1.ToggleState_TOGGLE_STATE_UNSPECIFIED }),
		set("an undefined state", malformedReason, "state", "defined", func(r *usherv1.SetToggleRequest) { r.State = 7 }),
		set("an unknown toggle", "UNKNOWN_TOGGLE", "toggle", `did you mean "view_skills"\?`, func(r *usherv1.SetToggleRequest) { r.Toggle = "view_skils" }),
		{
			about: "an unknown tenant", code: codes.NotFound, reason: "TENANT_NOT_FOUND", remedy: "CreateTenant",
			request: &usherv1.SetToggleRequest{
				Tenant: "nobody", Toggle: "view_skills", State: usherv1.ToggleState_TOGGLE_STATE_ON, By: &usherv1.SetToggleRequest_Operator{Operator: &usherv1.Operator{}},
			},
		},
	}
}

// badLists are lists with a bad size of page, or the token of another list.
func badLists(t *testing.T, h *harness) []badCall {
	t.Helper()
	page := func(request *usherv1.ListAssignmentsRequest) string {
		request.PageSize = 1
		response, err := h.admin.ListAssignments(t.Context(), request)
		if err != nil || response.GetNextPageToken() == "" {
			t.Fatalf("got %v, %v, want a page with a token", response, err)
		}
		return response.GetNextPageToken()
	}
	tenants, err := h.operator.ListTenants(t.Context(), &usherv1.ListTenantsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	cataloged, err := h.operator.ListCatalogs(t.Context(), &usherv1.ListCatalogsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	own, byRole := page(&usherv1.ListAssignmentsRequest{Tenant: "acme"}), page(&usherv1.ListAssignmentsRequest{Tenant: "acme", Role: "agent"})
	foreign := page(&usherv1.ListAssignmentsRequest{Tenant: "other"})
	ofTenants, ofCatalogs := tenants.GetNextPageToken(), cataloged.GetNextPageToken()
	const again, noToken = "begin again without a token", "use the next_page_token"
	var calls []badCall
	assignments := func(about, field, remedy string, request *usherv1.ListAssignmentsRequest) {
		request.Tenant = "acme"
		calls = append(calls, badCall{about: about, request: request, code: codes.InvalidArgument, reason: malformedReason, field: field, remedy: remedy})
	}
	for _, size := range []int32{-1, 1001, -1 << 31, 1<<31 - 1} {
		assignments(fmt.Sprintf("a page of %d", size), "page_size", "greater than or equal to 0 and less than or equal to 1000", &usherv1.ListAssignmentsRequest{PageSize: size})
		for _, request := range []proto.Message{&usherv1.ListTenantsRequest{PageSize: size}, &usherv1.ListCatalogsRequest{PageSize: size}} {
			calls = append(calls, badCall{
				about: fmt.Sprintf("a page of %d", size), request: request,
				code: codes.InvalidArgument, reason: malformedReason, field: "page_size", remedy: "less than or equal to 100",
			})
		}
	}
	for about, token := range map[string]string{
		"the token of another tenant":                 foreign,
		"the token of another filter":                 byRole,
		"the token of the list of tenants":            ofTenants,
		"the token of the list of catalogs":           ofCatalogs,
		"a token with a part too many":                retoken(t, own, func(raw []byte) []byte { return append(raw, "\x00x"...) }),
		"a token with a part too few":                 retoken(t, own, func(raw []byte) []byte { return raw[:slices.Index(raw[8:], 0)+8] }),
		"a token without a position":                  retoken(t, own, func(raw []byte) []byte { return raw[:8] }),
		"a token with one bit of its filter changed":  retoken(t, own, func(raw []byte) []byte { raw[3] ^= 1; return raw }),
		"a token whose position is no text of a list": retoken(t, own, func(raw []byte) []byte { return append(raw, 0xff) }),
	} {
		assignments(about, "page_token", again+"|"+noToken, &usherv1.ListAssignmentsRequest{PageToken: token})
	}
	for about, token := range map[string]string{
		"a token that is cut off in its filter": own[:6],
		"a token with padding":                  own + "=",
	} {
		assignments(about, "page_token", noToken, &usherv1.ListAssignmentsRequest{PageToken: token})
	}
	assignments("the token of no filter with one by subject", "page_token", again, &usherv1.ListAssignmentsRequest{Subject: "user:ann", PageToken: own})
	assignments("the token of no filter with one by scope", "page_token", again, &usherv1.ListAssignmentsRequest{Scope: "queue:billing", PageToken: own})
	assignments("the token of no filter with one by state", "page_token", again, &usherv1.ListAssignmentsRequest{
		State: usherv1.AssignmentState_ASSIGNMENT_STATE_ACTIVE, PageToken: own,
	})
	assignments("an undefined state", "state", "defined", &usherv1.ListAssignmentsRequest{State: 9})
	for about, token := range map[string]string{
		"the token of another list":    ofCatalogs,
		"a token with a part too many": retoken(t, ofTenants, func(raw []byte) []byte { return append(raw, "\x00x"...) }),
	} {
		calls = append(calls, badCall{
			about: about, request: &usherv1.ListTenantsRequest{PageToken: token},
			code: codes.InvalidArgument, reason: malformedReason, field: "page_token", remedy: again,
		})
	}
	for about, token := range map[string]string{
		"the token of another list":            ofTenants,
		"a token with a part too few":          retoken(t, ofCatalogs, func(raw []byte) []byte { return raw[:slices.Index(raw[8:], 0)+8] }),
		"a token whose version is no number":   retoken(t, ofCatalogs, func(raw []byte) []byte { return append(raw, 'x') }),
		"a token whose version is too large":   retoken(t, ofCatalogs, func(raw []byte) []byte { return append(raw, "0000000000"...) }),
		"a token whose version has a sign":     retoken(t, ofCatalogs, func(raw []byte) []byte { return append(raw[:len(raw)-1], "-1"...) }),
		"a token that is cut off in its tail":  own[:len(own)-1],
		"a token that is cut off in its parts": own[:12],
	} {
		calls = append(calls, badCall{
			about: about, request: &usherv1.ListCatalogsRequest{PageToken: token},
			code: codes.InvalidArgument, reason: malformedReason, field: "page_token", remedy: again + "|" + noToken,
		})
	}
	for about, request := range map[string]proto.Message{
		"an unknown tenant":         &usherv1.ListAssignmentsRequest{Tenant: "nobody"},
		"toggles of an unknown one": &usherv1.ListTogglesRequest{Tenant: "nobody"},
	} {
		calls = append(calls, badCall{about: about, request: request, code: codes.NotFound, reason: "TENANT_NOT_FOUND", remedy: `no tenant "nobody": create it`})
	}
	return append(calls,
		badCall{
			about: "an unknown role", request: &usherv1.ListAssignmentsRequest{Tenant: "acme", Role: "agnt"},
			code: codes.InvalidArgument, reason: "UNKNOWN_ROLE", field: "role", remedy: `did you mean "agent"\?`,
		},
		badCall{
			about: "an unknown scope type", request: &usherv1.ListAssignmentsRequest{Tenant: "acme", Scope: "queues:a"},
			code: codes.InvalidArgument, reason: "UNKNOWN_SCOPE_TYPE", field: "scope", remedy: `did you mean "queue"\?`,
		})
}

// retoken changes what a page token says.
func retoken(t *testing.T, token string, change func([]byte) []byte) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(change(raw))
}

func badOperations() []badCall {
	base := string(catalogs.All()[0].YAML) // of expertconnect
	put := func(about, remedy, yaml string) badCall {
		return badCall{
			about: about, request: &usherv1.PutCatalogRequest{Yaml: yaml},
			code: codes.InvalidArgument, reason: catalogReason, field: "yaml", remedy: remedy,
		}
	}
	create := func(about string, code codes.Code, reason, field, remedy string, spoil func(*usherv1.CreateTenantRequest)) badCall {
		request := &usherv1.CreateTenantRequest{Tenant: "newer", Catalog: "liveagent", FirstAdministrator: "user:root"}
		spoil(request)
		return badCall{about: about, request: request, code: code, reason: reason, field: field, remedy: remedy}
	}
	return []badCall{
		create("a tenant that there is", codes.AlreadyExists, "TENANT_EXISTS", "", "choose another name", func(r *usherv1.CreateTenantRequest) { r.Tenant = "acme" }),
		create("an unknown catalog", codes.NotFound, "CATALOG_NOT_FOUND", "", "ListCatalogs says", func(r *usherv1.CreateTenantRequest) { r.Catalog = "liveagents" }),
		create("an unknown version", codes.NotFound, "CATALOG_NOT_FOUND", "", "the newest version is 2", func(r *usherv1.CreateTenantRequest) { r.CatalogVersion = 7 }),
		create("a group as the first administrator", codes.FailedPrecondition, "NOT_ASSIGNABLE_TO_HOLDER", "role/admin", "a subject of type user", func(r *usherv1.CreateTenantRequest) {
			r.FirstAdministrator = "group:board"
		}),
		{about: "an unknown tenant", request: &usherv1.GetTenantRequest{Tenant: "nobody"}, code: codes.NotFound, reason: "TENANT_NOT_FOUND", remedy: "correct the name"},
		{about: "an unknown catalog", request: &usherv1.GetCatalogRequest{Name: "nothing"}, code: codes.NotFound, reason: "CATALOG_NOT_FOUND", remedy: "ListCatalogs says"},
		{
			about: "an unknown version", request: &usherv1.GetCatalogRequest{Name: "liveagent", Version: 4294967295},
			code: codes.NotFound, reason: "CATALOG_NOT_FOUND", remedy: "the newest version is 2",
		},
		put("no YAML", `^catalog\.yaml:2:1 from here on this can't be read as YAML`, "name: x\nroles: [a, {b: ]\n"),
		put("a catalog with a fault", `^catalog\.yaml:\d+:\d+ .*unknown permission "ticket:veiw": did you mean "ticket:view"\?`,
			strings.Replace(base, "ticket:view", "ticket:veiw", 1)),
		put("a list of names", `^catalog\.yaml:1:1 expected fields for usher\.catalog\.v1\.Catalog`, "- a\n"),
		put("a text that is no catalog", `^catalog\.yaml:1:1 expected fields`, "hello"),
		put("unusual ends of lines", `^catalog\.yaml:1:8 the character U\+000D is not allowed`, "name: x\rfoo: 1\rbar: 2\r"),
		put("a line with very many faults", `there are more faults than these`, "roles: ["+strings.Repeat("a,", 5_000)+"]"),
		put("very many lines with faults", `there are more faults than these`, "roles:\n"+strings.Repeat("- a\n", 5_000)),
		put("very deep nesting", `exceeded max depth`, strings.Repeat("[", 1<<20)),
		{
			about: "another content for a version", request: &usherv1.PutCatalogRequest{Yaml: strings.Replace(base, "titles: {en: ", "titles: {en: New ", 1)},
			code: codes.FailedPrecondition, reason: "CATALOG_IMMUTABLE", field: "catalog/expertconnect", remedy: "raise the version",
		},
	}
}

// badCodec sends and receives bytes as they are.
type badCodec struct{}

func (badCodec) Name() string { return "proto" }

func (badCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (badCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = slices.Clone(data)
	return nil
}

// callRaw makes a call with a request that need not be protobuf.
func callRaw(ctx context.Context, h *harness, method string, request []byte) error {
	var response []byte
	return h.conn.Invoke(ctx, method, &request, &response, grpc.ForceCodec(badCodec{}))
}

// TestBadInputMessages sends what is no message: bytes that are no UTF-8 in every text of
// every call, and messages that are cut off.
func TestBadInputMessages(t *testing.T) {
	t.Parallel()
	h := badHarness(t)
	want := badCall{
		code: codes.InvalidArgument, reason: "MALFORMED_MESSAGE",
		remedy: `^the request is not a valid usher\.v1\.\w+: .+; build it with a protobuf library$`,
	}
	compare := func(t *testing.T, rpc badRPC, request []byte) {
		t.Helper()
		err := callRaw(t.Context(), h, rpc.name, request)
		want.compare(t, err)
		if name := string(rpc.request.Descriptor().FullName()); !strings.Contains(status.Convert(err).Message(), name) {
			t.Errorf("got %v, want %s named in it", err, name)
		}
	}
	rpcs := badRPCs(t)
	for _, good := range goodRequests() {
		name := good.ProtoReflect().Descriptor().FullName()
		for field := range badFields[name] {
			t.Run(fmt.Sprintf("%s/%s/no UTF-8", name.Name(), field), func(t *testing.T) {
				const mark = "a text to be spoiled"
				request := proto.Clone(good)
				setText(t, request.ProtoReflect(), field, mark)
				compare(t, rpcs[name], spoiled(t, request, mark))
			})
		}
		t.Run(fmt.Sprintf("%s/cut off", name.Name()), func(t *testing.T) {
			compare(t, rpcs[name], []byte{1<<3 | 2, 5, 'a'}) // a text of 5 bytes, of which there is 1
		})
		t.Run(fmt.Sprintf("%s/no field has the number 0", name.Name()), func(t *testing.T) {
			compare(t, rpcs[name], []byte{0, 0})
		})
	}
	const mark = "a text to be spoiled"
	check, batch := goodCheck(), &usherv1.BatchCheckRequest{Tenant: "acme", Items: []*usherv1.BatchCheckItem{{Actions: []string{mark}}}}
	for about, attributes := range map[string]map[string]*structpb.Value{
		"the name of an attribute":  {mark: structpb.NewBoolValue(true)},
		"the value of an attribute": {"status": structpb.NewStringValue(mark)},
		"an element of a list":      {"tags": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue(mark)}})},
	} {
		t.Run(about, func(t *testing.T) {
			request := proto.Clone(check).(*usherv1.CheckRequest)
			request.Resource.Attributes = &structpb.Struct{Fields: attributes}
			compare(t, rpcs["usher.v1.CheckRequest"], spoiled(t, request, mark))
		})
	}
	t.Run("they are counted", func(t *testing.T) {
		recorder := httptest.NewRecorder()
		h.server.HTTP().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		counted := regexp.MustCompile(`grpc_server_handled_total\{grpc_code="InvalidArgument",grpc_method="Check",.*\} [1-9]`)
		if !counted.MatchString(recorder.Body.String()) {
			t.Error("no malformed Check in the metrics")
		}
	})
	t.Run("a question about health", func(t *testing.T) {
		var raw []byte
		request := []byte{0x0a, 0x02, 0xff, 0xff}
		err := h.conn.Invoke(t.Context(), healthv1.Health_Check_FullMethodName, &request, &raw, grpc.ForceCodec(badCodec{}))
		badCall{code: codes.InvalidArgument, reason: "MALFORMED_MESSAGE", remedy: "protobuf library"}.compare(t, err)
		_, err = healthv1.NewHealthClient(h.conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "nobody"})
		if status.Code(err) != codes.NotFound {
			t.Errorf("an unknown service is answered with %v", err)
		}
	})
	t.Run("an item of a batch", func(t *testing.T) {
		compare(t, rpcs["usher.v1.BatchCheckRequest"], spoiled(t, batch, mark))
	})
	t.Run("an attribute nested without end", func(t *testing.T) {
		request, err := proto.Marshal(check)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, rpcs["usher.v1.CheckRequest"], append(request, nestedResource(10_000)...))
	})
	stillRight(t, h)
}

// spoiled is a message with a byte in one of its texts that makes it no UTF-8.
func spoiled(t *testing.T, m proto.Message, mark string) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), mark); n != 1 {
		t.Fatalf("the mark is in the message %d times", n)
	}
	return []byte(strings.Replace(string(raw), mark, "\xff"+mark[1:], 1))
}

// nestedResource is the field `resource` of a CheckRequest, with the attribute
// wrap_up_seconds a list in a list in a list, so many times.
func nestedResource(depth int) []byte {
	// Built from the inside out, and so backwards.
	var backwards []byte
	wrap := func(field protowire.Number) {
		header := protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.BytesType), uint64(len(backwards)))
		slices.Reverse(header)
		backwards = append(backwards, header...)
	}
	for range depth {
		wrap(1) // Value in ListValue.values
		wrap(6) // ListValue in Value.list_value
	}
	wrap(2) // Value in the entry of a map
	key := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "wrap_up_seconds")
	slices.Reverse(key)
	backwards = append(backwards, key...)
	wrap(1) // the entry in Struct.fields
	wrap(5) // Struct in Resource.attributes
	wrap(5) // Resource in CheckRequest.resource
	slices.Reverse(backwards)
	return backwards
}

// TestBadInputNested sends an attribute nested as deep as protobuf goes. It is none of the
// declared type, so it is missing.
func TestBadInputNested(t *testing.T) {
	t.Parallel()
	h := badHarness(t)
	request, err := proto.Marshal(&usherv1.CheckRequest{
		Tenant: "acme", Subject: "user:ann", Action: "select", Resource: &usherv1.Resource{Type: "call_outcome", Scopes: []string{"queue:billing"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	request = append(request, nestedResource(4_900)...)
	var raw []byte
	if err := h.conn.Invoke(t.Context(), usherv1.DecisionService_Check_FullMethodName, &request, &raw, grpc.ForceCodec(badCodec{})); err != nil {
		t.Fatal(err)
	}
	got := &usherv1.CheckResponse{}
	if err := proto.Unmarshal(raw, got); err != nil {
		t.Fatal(err)
	}
	reason := got.GetReason()
	if got.GetDecision() != usherv1.Decision_DECISION_DENY || reason.GetCode() != usherv1.ReasonCode_REASON_CODE_MISSING_ATTRIBUTE || reason.GetAttribute() != "wrap_up_seconds" {
		t.Errorf("got %v, want a deny because wrap_up_seconds is missing", got)
	}
	stillRight(t, h)
}

// TestBadInputTransport is about what grpc refuses before our code sees it.
func TestBadInputTransport(t *testing.T) {
	t.Parallel()
	h := badHarness(t)
	huge := strings.Repeat("a", 10<<20)
	refused(t, h, []badCall{
		{about: "10 MB", request: &usherv1.CheckRequest{Tenant: huge}, code: codes.ResourceExhausted, remedy: "larger than max"},
		{about: "10 MB", request: &usherv1.GrantRequest{Justification: huge}, code: codes.ResourceExhausted, remedy: "larger than max"},
		{about: "10 MB", request: &usherv1.PutCatalogRequest{Yaml: huge}, code: codes.ResourceExhausted, remedy: "larger than max"},
	})
	for method, remedy := range map[string]string{
		"/usher.v1.DecisionService/Guess": "unknown method Guess",
		"/usher.v2.DecisionService/Check": "unknown service usher.v2.DecisionService",
		"/Check":                          "malformed method name",
	} {
		t.Run("an unknown call "+method, func(t *testing.T) {
			badCall{code: codes.Unimplemented, remedy: remedy}.compare(t, callRaw(t.Context(), h, method, nil))
		})
	}
	stillRight(t, h)
}

// TestBadInputItems spoils the items of a batch one by one. Each gets an error of its own,
// and those beside it are answered.
func TestBadInputItems(t *testing.T) {
	t.Parallel()
	h := badHarness(t)
	good := func() *usherv1.BatchCheckItem {
		return &usherv1.BatchCheckItem{Resource: goodCheck().GetResource(), Actions: []string{"login", "assign_agent"}}
	}
	attributes := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for i := range 101 {
		attributes.Fields[fmt.Sprint("a", i)] = structpb.NewNullValue()
	}
	cases := []struct {
		about, reason, field, remedy string
		spoil                        func(*usherv1.BatchCheckItem)
	}{
		{"no resource", malformedReason, "resource", "at least its type", func(i *usherv1.BatchCheckItem) { i.Resource = nil }},
		{"nothing at all", malformedReason, "actions", "1 to 100 actions", func(i *usherv1.BatchCheckItem) { proto.Reset(i) }},
		{"no actions", malformedReason, "actions", "1 to 100 actions", func(i *usherv1.BatchCheckItem) { i.Actions = nil }},
		{"101 actions", malformedReason, "actions", "1 to 100 actions", func(i *usherv1.BatchCheckItem) { i.Actions = repeated(101, "login") }},
		{"an action in capitals", malformedReason, "actions[1]", "lower-case", func(i *usherv1.BatchCheckItem) { i.Actions[1] = "Login" }},
		{"an unknown action", "UNKNOWN_ACTION", "actions[1]", `did you mean "logout"\?`, func(i *usherv1.BatchCheckItem) { i.Actions[1] = "logut" }},
		{"an unknown resource type", "UNKNOWN_RESOURCE_TYPE", "resource.type", `did you mean "queue"\?`, func(i *usherv1.BatchCheckItem) { i.Resource.Type = "qeue" }},
		{"a resource type in capitals", malformedReason, "resource.type", "lower-case", func(i *usherv1.BatchCheckItem) { i.Resource.Type = "Queue" }},
		{"a control character in the id", malformedReason, "resource.id", "no control characters", func(i *usherv1.BatchCheckItem) { i.Resource.Id = "a\u0085" }},
		{"an oversized id", malformedReason, "resource.id", "256 bytes", func(i *usherv1.BatchCheckItem) { i.Resource.Id = strings.Repeat("a", 257) }},
		{"10,000 scopes", malformedReason, "resource.scopes", "at most 100", func(i *usherv1.BatchCheckItem) { i.Resource.Scopes = repeated(10_000, "queue:a") }},
		{"a scope without a type", malformedReason, "resource.scopes[0]", "type:id", func(i *usherv1.BatchCheckItem) { i.Resource.Scopes = []string{"billing"} }},
		{"an unknown scope type", "UNKNOWN_SCOPE_TYPE", "resource.scopes", `did you mean "queue"\?`, func(i *usherv1.BatchCheckItem) { i.Resource.Scopes = []string{"queu:a"} }},
		{"an owner without an id", malformedReason, "resource.owner", "type:id", func(i *usherv1.BatchCheckItem) { i.Resource.Owner = "user:" }},
		{"101 attributes", malformedReason, "resource.attributes", "at most 100", func(i *usherv1.BatchCheckItem) { i.Resource.Attributes = attributes }},
		{"a subject without a type", malformedReason, "subject", "type:id", func(i *usherv1.BatchCheckItem) { i.Subject = "ann" }},
		{"groups without a subject", malformedReason, "groups", "name its subject", func(i *usherv1.BatchCheckItem) { i.Groups = []string{"group:a"} }},
		{"a user for a group", malformedReason, "groups[0]", "group:id", func(i *usherv1.BatchCheckItem) { i.Subject, i.Groups = "user:ann", []string{"user:bob"} }},
		{"101 groups", malformedReason, "groups", "at most 100", func(i *usherv1.BatchCheckItem) { i.Subject, i.Groups = "user:ann", repeated(101, "group:a") }},
		{"an unknown role as the resource", "UNKNOWN_ROLE", "resource.id", `did you mean "agent"\?`, func(i *usherv1.BatchCheckItem) {
			i.Actions, i.Resource = []string{"grant"}, &usherv1.Resource{Type: "role", Id: "agnet"}
		}},
	}
	for _, detail := range []usherv1.Detail{usherv1.Detail_DETAIL_DECISIONS, usherv1.Detail_DETAIL_REASONS} {
		request := &usherv1.BatchCheckRequest{Tenant: "acme", Subject: "user:ann", Detail: detail}
		for _, c := range cases {
			item := good()
			c.spoil(item)
			request.Items = append(request.Items, good(), item)
		}
		request.Items = append(request.Items, good())
		got, err := h.decisions.BatchCheck(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.GetResults()) != len(request.GetItems()) {
			t.Fatalf("got %d results for %d items", len(got.GetResults()), len(request.GetItems()))
		}
		for i, result := range got.GetResults() {
			if i%2 == 0 {
				want := []usherv1.Decision{usherv1.Decision_DECISION_ALLOW, usherv1.Decision_DECISION_DENY}
				if !slices.Equal(result.GetDecisions(), want) || result.GetError() != nil {
					t.Errorf("item %d is good: got %v", i, result)
				}
				continue
			}
			c := cases[i/2]
			failure := result.GetError()
			if len(result.GetDecisions()) > 0 || len(result.GetReasons()) > 0 || failure.GetReason() != c.reason ||
				failure.GetField() != fmt.Sprintf("items[%d].%s", i, c.field) || !regexp.MustCompile(c.remedy).MatchString(failure.GetDescription()) {
				t.Errorf("%s: got %v, want %s of %s with %q and no decision", c.about, result, c.reason, c.field, c.remedy)
			}
		}
	}
	// Without a subject of its own the request has none to give to an item.
	got, err := h.decisions.BatchCheck(t.Context(), &usherv1.BatchCheckRequest{Tenant: "acme", Items: []*usherv1.BatchCheckItem{good()}})
	if failure := got.GetResults()[0].GetError(); err != nil || failure.GetField() != "items[0].subject" || !strings.Contains(failure.GetDescription(), "names a subject") {
		t.Errorf("got %v, %v, want an error of the item about its subject", got, err)
	}
	stillRight(t, h)
}

// badSecret is a text that no answer may have.
const badSecret = "/var/lib/secret/usher.db"

// brokenStore is a store that fails as it is told.
type brokenStore struct {
	store.Store
	fail atomic.Pointer[func() error] // nil: it works
	// meanwhile is called once, before the next write.
	meanwhile atomic.Pointer[func()]
}

func (b *brokenStore) View(ctx context.Context, read func(store.Reader) error) error {
	if fail := b.fail.Load(); fail != nil {
		return (*fail)()
	}
	return b.Store.View(ctx, read)
}

func (b *brokenStore) Commit(ctx context.Context, w store.Write) (store.Committed, error) {
	if meanwhile := b.meanwhile.Swap(nil); meanwhile != nil {
		(*meanwhile)()
	}
	if fail := b.fail.Load(); fail != nil {
		return store.Committed{}, (*fail)()
	}
	return b.Store.Commit(ctx, w)
}

// badLog keeps what the server logs.
type badLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *badLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *badLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	l.text.Reset()
	return text
}

// brokenHarness is a server on a brokenStore, without a cache, and with its log.
func brokenHarness(t *testing.T) (*harness, *brokenStore, *badLog) {
	t.Helper()
	cache, log, now := server.NewCache(0), &badLog{}, &clock{now: testTime}
	opened, err := bolt.Open(filepath.Join(t.TempDir(), "usher.db"), bolt.Options{Observer: cache, Now: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	broken := &brokenStore{Store: opened}
	s, err := server.New(t.Context(), server.Config{
		Store: broken, Cache: cache, Now: now.Now, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.GRPC().Serve(listener) }()
	t.Cleanup(s.GRPC().Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h := &harness{
		server: s, store: opened, conn: conn, clock: now, decisions: usherv1.NewDecisionServiceClient(conn),
		admin: usherv1.NewAdminServiceClient(conn), operator: usherv1.NewOperatorServiceClient(conn),
	}
	h.fillForBadInput(t)
	return h, broken, log
}

// leaks finds what a client has no business to know in an error and its details.
func leaks(err error) string {
	text := status.Convert(err).Proto().String()
	for _, secret := range []string{badSecret, "usher.db", os.TempDir(), "goroutine", ".go:", "bbolt", "panic"} {
		if strings.Contains(text, secret) {
			return secret
		}
	}
	return ""
}

// TestBadInputErrors goes through every kind of error that errors.go maps: each has its
// code and reason on the wire, and none tells more than it should.
func TestBadInputErrors(t *testing.T) {
	t.Parallel()
	h, broken, log := brokenHarness(t)
	h.server.Drain() // which ends streams, and nothing else
	rpcs := badRPCs(t)
	type mapped struct {
		request proto.Message
		fail    func() error // of the store
		// meanwhile is called before the write.
		meanwhile func()
		code      codes.Code
		reason    string
		logged    bool
	}
	wrapped := func(sentinel error) func() error {
		return func() error { return fmt.Errorf("reading %s: %w", badSecret, sentinel) }
	}
	check := goodCheck()
	preview := &usherv1.PreviewChangeRequest{Tenant: "acme", Acts: []*usherv1.Act{actRemove("user:ann")}, By: &usherv1.PreviewChangeRequest_Operator{}}
	h.putCatalog(t, deskCatalog(1, deskAgent))
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "desk", Catalog: "desk", FirstAdministrator: "user:root"}); err != nil {
		t.Fatal(err)
	}
	h.write(t, "desk", actGrant("user:ann", "agent", "team:a"))
	h.putCatalog(t, deskCatalog(2, ""))
	h.write(t, "acme", actGrant("user:two", "agent", "queue:a"), actGrant("user:two", "agent", "queue:b"))
	scopes := &usherv1.ListScopesRequest{Tenant: "acme", Subject: "user:two", Action: "serve", ResourceType: "queue", PageSize: 1}
	page, err := h.decisions.ListScopes(t.Context(), scopes)
	if scopes.PageToken = page.GetNextPageToken(); err != nil || scopes.PageToken == "" {
		t.Fatalf("got %v, %v, want a page with a token", page, err)
	}
	h.write(t, "acme", actGrant("user:two", "agent", "queue:c"))
	// The keys are the variables and sentinels of the switch in errors.go.
	byError := map[string]mapped{
		"input":                    {request: &usherv1.CheckRequest{}, code: codes.InvalidArgument, reason: malformedReason},
		"rules":                    {request: &usherv1.GetTenantRequest{}, code: codes.InvalidArgument, reason: malformedReason},
		"unknown":                  {request: &usherv1.ListAssignmentsRequest{Tenant: "acme", Role: "x"}, code: codes.InvalidArgument, reason: "UNKNOWN_ROLE"},
		"catalog":                  {request: &usherv1.PutCatalogRequest{Yaml: "{}"}, code: codes.InvalidArgument, reason: catalogReason},
		"refusal":                  {request: &usherv1.CreateTenantRequest{Tenant: "x", Catalog: "liveagent", FirstAdministrator: "bot:a"}, code: codes.FailedPrecondition, reason: "NOT_ASSIGNABLE_TO_HOLDER"},
		"notFound":                 {request: &usherv1.GetTenantRequest{Tenant: "x"}, code: codes.NotFound, reason: "TENANT_NOT_FOUND"},
		"exists":                   {request: &usherv1.CreateTenantRequest{Tenant: "acme", Catalog: "liveagent", FirstAdministrator: "user:a"}, code: codes.AlreadyExists, reason: "TENANT_EXISTS"},
		"immutable":                {request: &usherv1.PutCatalogRequest{Yaml: strings.Replace(string(catalogs.All()[0].YAML), "{en: ", "{en: New ", 1)}, code: codes.FailedPrecondition, reason: "CATALOG_IMMUTABLE"},
		"context.DeadlineExceeded": {request: check, fail: wrapped(context.DeadlineExceeded), code: codes.DeadlineExceeded, reason: "DEADLINE_EXCEEDED"},
		"context.Canceled":         {request: check, fail: wrapped(context.Canceled), code: codes.Canceled, reason: "CANCELLED"},
		"store.ErrUnavailable":     {request: check, fail: wrapped(store.ErrUnavailable), code: codes.Unavailable, reason: "STORE_UNAVAILABLE", logged: true},
		"notKept":                  {request: &usherv1.ListTogglesRequest{Tenant: "acme", AsOf: asOfTime(testTime.Add(time.Hour))}, code: codes.OutOfRange, reason: "NOT_KEPT"},
		"epoch":                    {request: &usherv1.ListTogglesRequest{Tenant: "acme", AsOf: asOfRevision("other.1")}, code: codes.FailedPrecondition, reason: "OTHER_EPOCH"},
		"ended":                    {request: &usherv1.WatchChangesRequest{Tenant: "acme"}, code: codes.Unavailable, reason: "STOPPING"},
		"changed": {request: &usherv1.GrantRequest{
			Tenant: "acme", Subject: "user:ann", Role: "agent", Scope: "queue:billing", By: asOperator, ExpectedRevision: h.store.Revision().Epoch + ".1",
		}, code: codes.Aborted, reason: "CHANGED_MEANWHILE"},
		"unrelated":        {request: &usherv1.UpdateTenantRequest{Tenant: "desk", Catalog: "liveagent"}, code: codes.FailedPrecondition, reason: "CATALOG_UNRELATED"},
		"errAnswerChanged": {request: scopes, code: codes.Aborted, reason: "CHANGED_MEANWHILE"},
		"conflicts":        {request: &usherv1.UpdateTenantRequest{Tenant: "desk"}, code: codes.FailedPrecondition, reason: "CATALOG_CONFLICTS"},
		"held":             {request: &usherv1.EraseSubjectRequest{Tenant: "acme", Subject: "user:ann"}, code: codes.FailedPrecondition, reason: "STILL_HELD"},
		"cases":            {request: preview, fail: func() error { return &policy.TooManyCasesError{Permission: "ticket:view"} }, code: codes.FailedPrecondition, reason: "TOO_MANY_CASES"},
		"errMovedOn": {request: &usherv1.EraseSubjectRequest{Tenant: "other", Subject: "user:left"}, meanwhile: func() {
			if _, err := h.operator.DeleteTenant(t.Context(), &usherv1.DeleteTenantRequest{Tenant: "other", Confirm: "other"}); err != nil {
				t.Error(err)
			}
			if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "other", Catalog: "liveagent", FirstAdministrator: "user:a"}); err != nil {
				t.Error(err)
			}
		}, code: codes.Aborted, reason: "CHANGED_MEANWHILE"},
		"store.ErrRequestReused": {request: goodRequests()[2], fail: wrapped(store.ErrRequestReused), code: codes.AlreadyExists, reason: "REQUEST_ID_REUSED"},
		"store.ErrCorrupt":       {request: check, fail: wrapped(store.ErrCorrupt), code: codes.Internal, reason: "STORE_DAMAGED", logged: true},
	}
	code, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	var inSwitch []string
	for _, match := range regexp.MustCompile(`case errors\.(?:As|Is)\(err, &?([\w.]+)\)`).FindAllSubmatch(code, -1) {
		inSwitch = append(inSwitch, string(match[1]))
	}
	slices.Sort(inSwitch)
	if want := slices.Sorted(maps.Keys(byError)); !slices.Equal(inSwitch, want) {
		t.Errorf("errors.go maps %q, and this test knows %q", inSwitch, want)
	}
	byError["an error that the map does not know"] = mapped{request: check, fail: wrapped(errors.New("something else")), code: codes.Internal, reason: "INTERNAL", logged: true}
	byError["a panic"] = mapped{request: check, fail: func() error { panic("at " + badSecret) }, code: codes.Internal, reason: "INTERNAL", logged: true}
	byError["an error in a write"] = mapped{request: goodRequests()[2], fail: wrapped(store.ErrUnavailable), code: codes.Unavailable, reason: "STORE_UNAVAILABLE", logged: true}
	for about, m := range byError {
		t.Run(about, func(t *testing.T) {
			log.take()
			if m.fail != nil {
				broken.fail.Store(&m.fail)
				defer broken.fail.Store(nil)
			}
			if m.meanwhile != nil {
				broken.meanwhile.Store(&m.meanwhile)
			}
			response, err := rpcs[m.request.ProtoReflect().Descriptor().FullName()].call(t.Context(), h.conn, m.request)
			got, reason := status.Code(err), ""
			for _, detail := range status.Convert(err).Details() {
				if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "usher" {
					reason = info.GetReason()
				}
			}
			if got != m.code || reason != m.reason {
				t.Errorf("got %v %s (%v), want %v %s", got, reason, err, m.code, m.reason)
			}
			if proto.Size(response) != 0 {
				t.Errorf("got the answer %v with an error", response)
			}
			if leak := leaks(err); leak != "" {
				t.Errorf("%q is in the answer: %v", leak, err)
			}
			if text := log.take(); m.logged != strings.Contains(text, badSecret) {
				t.Errorf("got the log %q, want the cause in it: %t", text, m.logged)
			}
		})
	}
	stillRight(t, h)
}

// TestBadInputClosedStore closes the store under the server. Whatever needs it is then
// refused; nothing is allowed or denied without it.
func TestBadInputClosedStore(t *testing.T) {
	t.Parallel()
	h := openHarness(t, t.TempDir(), &clock{now: testTime}, 0)
	h.fillForBadInput(t)
	stillRight(t, h)
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	rpcs := badRPCs(t)
	for _, request := range goodRequests() {
		name := request.ProtoReflect().Descriptor().FullName()
		response, err := rpcs[name].call(t.Context(), h.conn, request)
		for n := 0; err == nil && n < 1000 && name != "usher.v1.GetServerInfoRequest"; n++ {
			// What is too much for the cache is dropped in the background.
			response, err = rpcs[name].call(t.Context(), h.conn, request)
		}
		if name == "usher.v1.GetServerInfoRequest" {
			if err != nil {
				t.Errorf("%s needs no store: got %v", name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: got %v without a store", name, response)
			continue
		}
		badCall{code: codes.Unavailable, reason: "STORE_UNAVAILABLE", remedy: "try again"}.compare(t, err)
		if leak := leaks(err); leak != "" || proto.Size(response) != 0 {
			t.Errorf("%s: got %v and %v, with %q in it", name, response, err, leak)
		}
	}
}
