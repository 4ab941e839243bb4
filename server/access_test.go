package server_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// accessRow is a line of testdata/access.txt.
type accessRow struct {
	line            int
	method, variant string
	answers         map[string]string // by credentials
}

func accessTable(t *testing.T) (rows []accessRow) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "access.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for n, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "#":
		case columns == nil:
			columns = fields[2:]
		case len(fields) != len(columns)+2:
			t.Fatalf("line %d has %d fields, want %d", n+1, len(fields), len(columns)+2)
		default:
			row := accessRow{line: n + 1, method: fields[0], variant: fields[1], answers: map[string]string{}}
			for i, column := range columns {
				row.answers[column] = fields[i+2]
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// credential is how a call is made with some credentials.
type credential struct {
	server *guarded
	conn   *grpc.ClientConn
	with   func(context.Context) context.Context
}

func accessCredentials(t *testing.T) map[string]credential {
	t.Helper()
	as := func(ctx context.Context) context.Context { return ctx }
	sends := func(authorization string) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return authorized(ctx, authorization) }
	}
	g := newGuarded(t, accessCallers(t, os.Getuid(), os.Getgid()))
	open := newGuarded(t, accessCallers(t, os.Getuid()+1, os.Getgid())+anonymousCaller)
	uriName := g.dial(t, g.authority.Client(t, "", "spiffe://helpdesk.example/ns/tickets/sa/api"))
	all := map[string]credential{
		"nobody":       {g, g.dial(t, nil), as},
		"wrong-token":  {g, uriName, sends("Bearer usher_0000")},
		"wrong-scheme": {g, uriName, sends("Basic " + g.tokens["everything"])},
		"uri-name":     {g, uriName, as},
		"dns-name":     {g, g.dial(t, g.authority.Client(t, "Tickets.internal", "")), as},
		"strange-name": {g, g.dial(t, g.authority.Client(t, "phones.internal", "spiffe://helpdesk.example/ns/phones")), as},
		"user":         {g, g.dialUnix(t), as},
		"group":        {open, open.dialUnix(t), as},
		"anonymous":    {open, open.dial(t, nil), as},
	}
	for name := range g.tokens {
		all[name] = credential{g, g.as(t, name), as}
	}
	return all
}

// TestAccessTable makes every call with every kind of credentials. A method without a row fails, and what is
// refused leaves no record.
func TestAccessTable(t *testing.T) {
	t.Parallel()
	rows, credentials := accessTable(t), accessCredentials(t)
	there := map[string]bool{}
	for _, row := range rows {
		there[row.method] = true
	}
	for name, service := range credentials["nobody"].server.server.GRPC().GetServiceInfo() {
		for _, method := range service.Methods {
			if !there[name+"/"+method.Name] {
				t.Errorf("access.txt has no row of %s/%s: say who may call it", name, method.Name)
			}
		}
	}
	for _, row := range rows {
		request := accessRequest(t, row)
		if got, want := slices.Sorted(maps.Keys(row.answers)), slices.Sorted(maps.Keys(credentials)); !slices.Equal(got, want) {
			t.Fatalf("the columns are %q, want %q", got, want)
		}
		for name, c := range credentials {
			before := c.server.heads(t)
			err := callFirst(c.with(t.Context()), t, c.conn, row.method, request)
			if got := accessAnswer(err); got != row.answers[name] {
				t.Errorf("access.txt:%d: %s (%s) by %s: got %s (%v), want %s", row.line, row.method, row.variant, name, got, err, row.answers[name])
			}
			if row.answers[name] == "yes" {
				continue
			}
			if after := c.server.heads(t); !maps.Equal(after, before) {
				t.Errorf("access.txt:%d: %s by %s is refused, and has left a record", row.line, row.method, name)
			}
			if text := status.Convert(err).Proto().String(); strings.Contains(text, "usher_") {
				t.Errorf("access.txt:%d: the token is in the error %s", row.line, text)
			}
		}
	}
	for name, c := range credentials {
		if _, text := c.server.logged.take(t); strings.Contains(text, "usher_") {
			t.Errorf("%s: a token is in the log:\n%s", name, text)
		}
	}
}

// accessAnswer is what an error says about the caller, in the words of the table.
func accessAnswer(err error) string {
	reason := ""
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "usher" {
			reason = info.GetReason()
		}
	}
	switch code := status.Code(err); {
	case code == codes.Unauthenticated && reason == "UNAUTHENTICATED":
		return "who"
	case code == codes.PermissionDenied && reason == "CALLER_NOT_ALLOWED":
		return "no"
	case code == codes.NotFound && reason == "TENANT_NOT_FOUND":
		return "hidden"
	case code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.Unavailable || code == codes.Internal:
		return fmt.Sprint(code, " ", reason)
	}
	return "yes"
}

// accessRequest is a good request about the tenant acme, on behalf of whom the variant says, or for all. What
// would make later calls differ is wrong in another way.
func accessRequest(t *testing.T, row accessRow) proto.Message {
	t.Helper()
	input := accessMethod(t, row.method).Input()
	for _, request := range slices.Concat(goodRequests(), []proto.Message{
		&usherv1.WatchChangesRequest{}, &usherv1.BackupRequest{},
		&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: &usherv1.ImportStart{ImportId: "a", ValidateOnly: true}}},
		&healthv1.HealthCheckRequest{}, &healthv1.HealthListRequest{},
		&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}},
	}) {
		m := request.ProtoReflect()
		if m.Descriptor().FullName() != input.FullName() {
			continue
		}
		if tenant := input.Fields().ByName("tenant"); tenant != nil {
			m.Set(tenant, protoreflect.ValueOfString("acme"))
			if row.variant == "all" {
				m.Clear(tenant)
			}
		}
		if explain, ok := request.(*usherv1.ExplainRequest); ok {
			explain.Check.Tenant = "acme"
		}
		switch row.variant {
		case "actor":
			m.Mutable(input.Fields().ByName("actor")).Message().Set(
				(&usherv1.Actor{}).ProtoReflect().Descriptor().Fields().ByName("subject"), protoreflect.ValueOfString("user:root"))
		case "operator":
			m.Mutable(input.Fields().ByName("operator"))
		case "-":
			if by := input.Oneofs().ByName("by"); by != nil {
				t.Fatalf("access.txt:%d: say whether on behalf of an actor or the operator", row.line)
			}
		}
		return request
	}
	t.Fatalf("no good request of %s", row.method)
	return nil
}

// accessMethod finds the descriptor of a method.
func accessMethod(t testing.TB, method string) protoreflect.MethodDescriptor {
	t.Helper()
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(method, "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	return found.(protoreflect.MethodDescriptor)
}

// callFirst makes a call of any kind and returns how its first answer was.
func callFirst(ctx context.Context, t testing.TB, conn *grpc.ClientConn, method string, request proto.Message) error {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	output, err := protoregistry.GlobalTypes.FindMessageByName(accessMethod(t, method).Output().FullName())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+method)
	if err != nil {
		return err
	}
	_ = stream.SendMsg(request) // what is wrong is in the answer
	_ = stream.CloseSend()
	return stream.RecvMsg(output.New().Interface())
}
