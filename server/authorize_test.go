package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/access"
)

// newAccessServer is a server with the callers of the table.
func newAccessServer(t *testing.T) *guarded {
	t.Helper()
	return newGuarded(t, accessCallers(t, os.Getuid(), os.Getgid()))
}

// TestUnseenTenantLooksAbsent compares every error about a tenant that the caller doesn't see with that about
// one that isn't there: they differ in the name alone.
func TestUnseenTenantLooksAbsent(t *testing.T) {
	t.Parallel()
	g := newAccessServer(t)
	limited, all := g.as(t, "elsewhere"), g.as(t, "everything")
	type call struct {
		method  string
		request proto.Message
	}
	var calls []call
	for _, row := range accessTable(t) {
		if row.answers["elsewhere"] == "hidden" {
			calls = append(calls, call{row.method, accessRequest(t, row)})
		}
	}
	revision := g.store.Revision().String()
	calls = append(calls,
		call{"usher.v1.AdminService/WatchChanges", &usherv1.WatchChangesRequest{AfterRevision: revision}},
		call{"usher.v1.AdminService/ListChanges", &usherv1.ListChangesRequest{TenantId: 1}},
		call{"usher.v1.OperatorService/EraseSubject", &usherv1.EraseSubjectRequest{Subject: "user:left", TenantId: 1}},
		call{"usher.v1.AdminService/ListToggles", &usherv1.ListTogglesRequest{AsOf: asOfRevision(revision)}},
	)
	for _, c := range calls {
		ask := func(conn *grpc.ClientConn, tenant string) string {
			setTenant(c.request, tenant)
			err := callFirst(t.Context(), t, conn, c.method, c.request)
			if status.Code(err) != codes.NotFound {
				t.Errorf("%s about %s: got %v, want NOT_FOUND", c.method, tenant, err)
			}
			return strings.ReplaceAll(fmt.Sprint(status.Convert(err).Message(), status.Convert(err).Details()), tenant, "it")
		}
		if unseen, absent := ask(limited, "dealer"), ask(all, "dealex"); unseen != absent {
			t.Errorf("%s: a tenant that isn't seen is\n%s\nand one that isn't there\n%s", c.method, unseen, absent)
		}
	}
}

// setTenant sets the tenant of a request.
func setTenant(request proto.Message, tenant string) {
	switch r := request.(type) {
	case *usherv1.ExplainRequest:
		r.Check.Tenant = tenant
		return
	case *usherv1.DeleteTenantRequest:
		r.Confirm = tenant
	}
	m := request.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName("tenant"), protoreflect.ValueOfString(tenant))
}

func TestRecordsNameTheCaller(t *testing.T) {
	t.Parallel()
	g := newAccessServer(t)
	conn := g.as(t, "writer")
	info, err := usherv1.NewOperatorServiceClient(conn).GetServerInfo(t.Context(), &usherv1.GetServerInfoRequest{})
	if err != nil || info.GetCaller() != "writer" {
		t.Errorf("got %v, %v, want the caller writer", info, err)
	}
	admin, operator := usherv1.NewAdminServiceClient(conn), usherv1.NewOperatorServiceClient(conn)
	if _, err := operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
		Tenant: "ac-new", Catalog: "goto_contact_center", FirstAdministrator: "user:root",
	}); err != nil {
		t.Fatal(err)
	}
	grant := &usherv1.GrantRequest{Tenant: "ac-new", Subject: "user:ann", Role: "agent", By: asOperator}
	if _, err := admin.Grant(t.Context(), grant); err != nil {
		t.Fatal(err)
	}
	grant.Subject, grant.By = "user:bob", &usherv1.GrantRequest_Actor{Actor: &usherv1.Actor{Subject: "user:root"}}
	if _, err := admin.Grant(t.Context(), grant); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.DeleteTenant(t.Context(), &usherv1.DeleteTenantRequest{Tenant: "ac-new", Confirm: "ac-new"}); err != nil {
		t.Fatal(err)
	}
	listed, err := admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "ac-new"})
	if err != nil || len(listed.GetChanges()) < 4 {
		t.Fatalf("got %v, %v, want at least four changes", listed, err)
	}
	for _, change := range listed.GetChanges() {
		if change.GetCaller() != "writer" {
			t.Errorf("got the caller %q of %v, want writer", change.GetCaller(), change)
		}
	}
}

// TestListTenantsShowsWhatTheCallerSees goes through the pages: they are full, end when there is no more to see,
// and tell nothing of what is between.
func TestListTenantsShowsWhatTheCallerSees(t *testing.T) {
	t.Parallel()
	g := newAccessServer(t)
	writeFile(t, g.accessFile, accessCallers(t, os.Getuid(), os.Getgid())+`
  - name: own
    identities: [dns:own.internal]
    may: {operator: read}
    tenants: [m-*, z]
`)
	if changed, err := g.guard.Reload(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	for _, name := range []string{"a-secret", "m-1", "m-2", "m-secret", "m-3", "n-secret", "z", "zz-secret"} {
		if _, err := g.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
			Tenant: strings.Replace(name, "m-secret", "mm-secret", 1), Catalog: "liveagent", FirstAdministrator: "user:root",
		}); err != nil {
			t.Fatal(err)
		}
	}
	operator := usherv1.NewOperatorServiceClient(g.dial(t, g.authority.Client(t, "own.internal", "")))
	for _, deleted := range []bool{false, true} {
		var pages []string
		request := &usherv1.ListTenantsRequest{PageSize: 2, Deleted: deleted}
		for {
			page, err := operator.ListTenants(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, tenant := range page.GetTenants() {
				names = append(names, tenant.GetName())
			}
			pages = append(pages, strings.Join(names, " "))
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				break
			}
		}
		if want := []string{"m-1 m-2", "m-3 z"}; !slices.Equal(pages, want) {
			t.Errorf("deleted %t: got the pages %q, want %q", deleted, pages, want)
		}
		for _, name := range []string{"a-secret", "m-1", "m-2", "mm-secret", "m-3", "n-secret", "z", "zz-secret"} {
			if deleted {
				break
			}
			if _, err := g.operator.DeleteTenant(t.Context(), &usherv1.DeleteTenantRequest{Tenant: name, Confirm: name}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCallerWhoLosesTheRightIsCutOff takes rights away while streams are open. Those whose caller still may go
// on.
func TestCallerWhoLosesTheRightIsCutOff(t *testing.T) {
	t.Parallel()
	g := newAccessServer(t)
	watch := func(conn *grpc.ClientConn, tenant string) grpc.ServerStreamingClient[usherv1.WatchChangesResponse] {
		stream, err := usherv1.NewAdminServiceClient(conn).WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: tenant})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	reader, writer, elsewhere := watch(g.as(t, "reader"), "acme"), watch(g.as(t, "writer"), "acme"), watch(g.as(t, "elsewhere"), "other")
	renamed := watch(g.as(t, "no-operator"), "acme")
	named, stays := watch(g.dial(t, g.authority.Client(t, "tickets.internal", "")), "acme"), watch(g.as(t, "everything"), "acme")
	importing, err := usherv1.NewOperatorServiceClient(g.dialUnix(t)).Import(t.Context())
	if err == nil {
		err = importing.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: &usherv1.ImportStart{ImportId: "a"}}})
	}
	if err == nil {
		_, err = importing.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}

	callers := accessCallers(t, os.Getuid(), os.Getgid())
	for _, replaced := range [][2]string{
		{"{decision: read, admin: read, operator: read}\n    tenants: [acme]\n    actor: true\n    operator: true", "{decision: read}\n    tenants: [acme]"}, // reader
		{"[ac*]", "[ag*]"}, // writer
		{"dns:tickets.internal", "dns:gone.internal"},
		{"name: no-operator", "name: another"},
		{"{operator: write, reflection: read}", "{operator: read, reflection: read}"}, // user
	} {
		if strings.Count(callers, replaced[0]) != 1 {
			t.Fatalf("%q is not there once", replaced[0])
		}
		callers = strings.Replace(callers, replaced[0], replaced[1], 1)
	}
	tokens, err := os.ReadFile(g.tokensFile)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, g.accessFile, callers)
	writeFile(t, g.tokensFile, strings.Replace(string(tokens), "elsewhere", "nobody", 1))
	if changed, err := g.guard.Reload(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	for name, ended := range map[string]struct {
		receive func() error
		want    codes.Code
	}{
		"reader":      {func() error { _, err := reader.Recv(); return err }, codes.PermissionDenied},
		"writer":      {func() error { _, err := writer.Recv(); return err }, codes.NotFound},
		"elsewhere":   {func() error { _, err := elsewhere.Recv(); return err }, codes.Unauthenticated},
		"dns-name":    {func() error { _, err := named.Recv(); return err }, codes.Unauthenticated},
		"user":        {func() error { _, err := importing.Recv(); return err }, codes.PermissionDenied},
		"no-operator": {func() error { _, err := renamed.Recv(); return err }, codes.PermissionDenied},
	} {
		if err := ended.receive(); status.Code(err) != ended.want {
			t.Errorf("%s: got %v, want %v", name, err, ended.want)
		}
	}
	if _, err := g.admin.Grant(t.Context(), &usherv1.GrantRequest{Tenant: "acme", Subject: "user:last", Role: "agent", By: asOperator}); err != nil {
		t.Fatal(err)
	}
	if got, err := stays.Recv(); err != nil || len(got.GetChanges()) != 1 {
		t.Errorf("got %v, %v, want the change to be seen by who still may", got, err)
	}
}

// TestRefusedCallsAreLogged looks for what the access file would need, also where the caller is told less.
func TestRefusedCallsAreLogged(t *testing.T) {
	t.Parallel()
	g := newAccessServer(t)
	for _, c := range []struct{ caller, tenant, level, needs string }{
		{"reader", "acme", "WARN", "may: {admin: write}"},
		{"elsewhere", "acme", "WARN", "its name in tenants"},
		{"elsewhere", "nowhere", "WARN", "its name in tenants"},
		{"no-operator", "acme", "WARN", "operator: true"},
	} {
		g.logged.take(t)
		grant := &usherv1.GrantRequest{Tenant: c.tenant, Subject: "user:ann", Role: "agent", By: asOperator}
		if _, err := usherv1.NewAdminServiceClient(g.as(t, c.caller)).Grant(t.Context(), grant); err == nil {
			t.Errorf("%s may grant in %s", c.caller, c.tenant)
		}
		want := map[string]any{
			"level": c.level, "msg": "caller not allowed", "caller": c.caller, "method": "/usher.v1.AdminService/Grant", "tenant": c.tenant, "needs": c.needs,
		}
		if lines, text := g.logged.take(t); len(lines) != 1 || !maps.Equal(lines[0], want) {
			t.Errorf("%s in %s: got the log\n%s\nwant %v", c.caller, c.tenant, text, want)
		}
	}
	g.logged.take(t)
	if _, err := usherv1.NewDecisionServiceClient(g.as(t, "elsewhere")).Check(t.Context(), goodCheck()); status.Code(err) != codes.NotFound {
		t.Errorf("got %v, want NOT_FOUND", err)
	}
	if lines, text := g.logged.take(t); len(lines) != 1 || lines[0]["level"] != "DEBUG" || lines[0]["needs"] != "its name in tenants" {
		t.Errorf("a check: got the log\n%s\nwant a line at Debug", text)
	}
}

// TestReflectionEndsWithItsRight takes the right away between two messages of a stream.
func TestReflectionEndsWithItsRight(t *testing.T) {
	t.Parallel()
	callers := accessCallers(t, os.Getuid(), os.Getgid())
	g := newGuarded(t, callers+anonymousCaller)
	stream, err := reflectionv1.NewServerReflectionClient(g.dial(t, nil)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		_ = stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
		_, err := stream.Recv()
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, g.accessFile, callers)
	if changed, err := g.guard.Reload(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for err = ask(); err == nil && time.Now().Before(deadline); err = ask() {
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v, want UNAUTHENTICATED", err)
	}
}

// TestChecksGoOnWhileFilesAreReloaded makes checks while the access file changes: who may gets decisions, who may
// not is refused, whatever happens to others.
func TestChecksGoOnWhileFilesAreReloaded(t *testing.T) {
	t.Parallel()
	g := newAccessServer(t)
	conns := []*grpc.ClientConn{g.as(t, "reader"), g.dial(t, g.authority.Client(t, "", "spiffe://helpdesk.example/ns/tickets/sa/api"))}
	denied := g.as(t, "writer")
	done := make(chan struct{})
	var working sync.WaitGroup
	for n := range 4 {
		working.Go(func() {
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true // after a last check with the last file
				default:
				}
				if _, err := usherv1.NewDecisionServiceClient(conns[n%2]).Check(t.Context(), goodCheck()); err != nil {
					t.Error(err)
					return
				}
				if _, err := usherv1.NewDecisionServiceClient(denied).Check(t.Context(), goodCheck()); status.Code(err) != codes.PermissionDenied {
					t.Errorf("got %v, want PERMISSION_DENIED", err)
					return
				}
			}
		})
	}
	callers := accessCallers(t, os.Getuid(), os.Getgid())
	for n := range 200 {
		text := callers
		if n%2 == 0 {
			text += anonymousCaller
		}
		writeFile(t, g.accessFile, text)
		if changed, err := g.guard.Reload(); !changed || err != nil {
			t.Fatal(changed, err)
		}
	}
	close(done)
	working.Wait()
}

func TestMetricsAreForThoseWhoMayReadThem(t *testing.T) {
	t.Parallel()
	callers := accessCallers(t, os.Getuid(), os.Getgid())
	const scraper = "\n  - {name: scraper, identities: [dns:scraper.internal], may: {metrics: read}}\n"
	closed, open := newGuarded(t, callers+scraper), newGuarded(t, callers+anonymousCaller)
	for _, c := range []struct {
		about, path, token, name string
		server                   *guarded
		want                     int
	}{
		{"no credentials", "/metrics", "", "", closed, http.StatusUnauthorized},
		{"a wrong token", "/metrics", "usher_0", "", closed, http.StatusUnauthorized},
		{"a wrong token beside a good certificate", "/metrics", "usher_0", "scraper.internal", closed, http.StatusUnauthorized},
		{"a caller without the right", "/metrics", closed.tokens["reader"], "", closed, http.StatusForbidden},
		{"a caller with the right", "/metrics", closed.tokens["everything"], "", closed, http.StatusOK},
		{"a certificate without the right", "/metrics", "", "tickets.internal", closed, http.StatusForbidden},
		{"a certificate with the right", "/metrics", "", "scraper.internal", closed, http.StatusOK},
		{"an anonymous caller", "/metrics", "", "", open, http.StatusOK},
		{"a wrong token where everybody may", "/metrics", "usher_0", "", open, http.StatusUnauthorized},
		{"health", "/healthz", "", "", closed, http.StatusOK},
		{"readiness", "/readyz", "", "", closed, http.StatusOK},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
		if c.name != "" {
			shown := c.server.authority.Client(t, c.name, "")[0]
			request.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{shown.Leaf}}}
		}
		if c.token != "" {
			request.Header.Set("Authorization", "Bearer "+c.token)
		}
		recorded := httptest.NewRecorder()
		c.server.server.HTTP().ServeHTTP(recorded, request)
		if recorded.Code != c.want {
			t.Errorf("%s: got %d, want %d", c.about, recorded.Code, c.want)
		}
		if challenge := recorded.Header().Get("WWW-Authenticate"); (challenge == "Bearer") != (c.want == http.StatusUnauthorized) {
			t.Errorf("%s: got the challenge %q", c.about, challenge)
		}
	}
}

// TestWithoutGuardAllIsAllowed calls a server that tells nobody apart with a token: it is not looked at.
func TestWithoutGuardAllIsAllowed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.fillForBadInput(t)
	ctx := authorized(context.Background(), "Bearer usher_0")
	if _, err := h.decisions.Check(ctx, goodCheck()); err != nil {
		t.Error(err)
	}
	info, err := h.operator.GetServerInfo(ctx, &usherv1.GetServerInfoRequest{})
	if err != nil || info.GetCaller() != "" {
		t.Errorf("got %v, %v, want no caller", info, err)
	}
	if name := access.CallerOf(ctx).Name(); name != "" {
		t.Errorf("got the caller %q, want none", name)
	}
}

// TestGuardCostsChecksNoAllocation counts those of checks over a connection whose caller is known, client and all,
// and those of a server that tells nobody apart.
func TestGuardCostsChecksNoAllocation(t *testing.T) {
	g := newGuarded(t, accessCallers(t, os.Getuid()+1, os.Getgid()))
	h := newHarness(t)
	h.fillForBadInput(t)
	allocations := func(decisions usherv1.DecisionServiceClient) float64 {
		const warmUp, checks = 500, 2000
		var before, after runtime.MemStats
		for n := range warmUp + checks {
			if n == warmUp {
				runtime.ReadMemStats(&before)
			}
			if _, err := decisions.Check(t.Context(), goodCheck()); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / checks
	}
	guarded, open := allocations(usherv1.NewDecisionServiceClient(g.dialUnix(t))), allocations(h.decisions)
	if guarded > open+0.9 {
		t.Errorf("got %.2f allocations for a check, and %.2f without a guard", guarded, open)
	}
}
