package access_test

import (
	"context"
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/usher-pdp/usher/server/access"
)

// guarding writes the two files and makes a guard of them.
type guarding struct {
	*access.Guard
	accessFile, tokensFile string
}

func newGuard(t *testing.T, callers, tokens string) guarding {
	t.Helper()
	dir := t.TempDir()
	g := guarding{accessFile: filepath.Join(dir, "access.yaml"), tokensFile: filepath.Join(dir, "tokens")}
	write(t, g.accessFile, []byte(callers))
	write(t, g.tokensFile, []byte(tokens))
	var err error
	if g.Guard, err = access.NewGuard(g.accessFile, g.tokensFile); err != nil {
		t.Fatal(err)
	}
	return g
}

// shown is the context of a call over a connection.
func shown(t *testing.T, p *access.Peer, authorization ...string) context.Context {
	ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: p})
	return metadata.NewIncomingContext(ctx, metadata.MD{"authorization": authorization})
}

func certified(t *testing.T, names ...string) *access.Peer {
	t.Helper()
	c := &x509.Certificate{}
	for _, name := range names {
		if !strings.Contains(name, ":") {
			c.DNSNames = append(c.DNSNames, name)
			continue
		}
		uri, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, uri)
	}
	return &access.Peer{Certificate: c}
}

const severalCallers = `
callers:
  - {name: tickets, identities: ["uri:spiffe://a/tickets", dns:tickets.internal, token:tickets, uid:1], may: {decision: read}, tenants: ["*"]}
  - {name: phones, identities: [dns:phones.internal, token:phones, gid:2], may: {decision: read}, tenants: ["*"]}
`

func TestTheFirstCredentialThatIsShownDecides(t *testing.T) {
	t.Parallel()
	token, hash := access.NewToken()
	unnamed, unnamedHash := access.NewToken()
	g := newGuard(t, severalCallers, "tickets "+hash+"\nunnamed "+unnamedHash+"\n")
	process := func(uid, gid uint32) *access.Peer { return &access.Peer{Process: &access.Process{UID: uid, GID: gid}} }
	for about, c := range map[string]struct {
		ctx  context.Context
		want string // the caller, or "" and in the error:
		text string
	}{
		"a token":                                {shown(t, &access.Peer{}, "Bearer "+token), "tickets", ""},
		"a scheme in lower case":                 {shown(t, &access.Peer{}, "bearer "+token), "tickets", ""},
		"a token and another's certificate":      {shown(t, certified(t, "phones.internal"), "Bearer "+token), "tickets", ""},
		"a bad token and a good certificate":     {shown(t, certified(t, "phones.internal"), "Bearer x"), "", "token is not accepted"},
		"a token that no caller has":             {shown(t, &access.Peer{}, "Bearer "+unnamed), "", "token is not accepted"},
		"a token with a letter more":             {shown(t, &access.Peer{}, "Bearer "+token+"x"), "", "token is not accepted"},
		"the hash of a token":                    {shown(t, &access.Peer{}, "Bearer "+hash), "", "token is not accepted"},
		"the name of a token":                    {shown(t, &access.Peer{}, "Bearer tickets"), "", "token is not accepted"},
		"no token":                               {shown(t, &access.Peer{}, "Bearer "), "", "not understood"},
		"two tokens":                             {shown(t, &access.Peer{}, "Bearer "+token, "Bearer "+token), "", "not understood"},
		"another scheme":                         {shown(t, &access.Peer{}, "Basic "+token), "", "not understood"},
		"a token without a scheme":               {shown(t, &access.Peer{}, token), "", "not understood"},
		"a URI":                                  {shown(t, certified(t, "spiffe://a/tickets")), "tickets", ""},
		"a DNS name in capitals":                 {shown(t, certified(t, "Phones.INTERNAL")), "phones", ""},
		"a URI in capitals":                      {shown(t, certified(t, "spiffe://a/Tickets")), "", "certificate is not accepted"},
		"one name of several":                    {shown(t, certified(t, "other.internal", "phones.internal")), "phones", ""},
		"two names of a caller":                  {shown(t, certified(t, "tickets.internal", "spiffe://a/tickets")), "tickets", ""},
		"names of two callers":                   {shown(t, certified(t, "spiffe://a/tickets", "phones.internal")), "", "exactly one caller"},
		"a wildcard":                             {shown(t, certified(t, "*.internal")), "", "certificate is not accepted"},
		"a certificate without names":            {shown(t, certified(t)), "", "certificate is not accepted"},
		"a user":                                 {shown(t, process(1, 9)), "tickets", ""},
		"a group":                                {shown(t, process(9, 2)), "phones", ""},
		"a user before the group":                {shown(t, process(1, 2)), "tickets", ""},
		"a process of nobody":                    {shown(t, process(2, 1)), "", "process at the unix socket is not accepted"},
		"nothing":                                {shown(t, &access.Peer{}), "", "no credentials"},
		"a connection of which nothing is known": {t.Context(), "", "no credentials"},
	} {
		caller, err := g.Caller(c.ctx)
		switch {
		case c.want != "" && (err != nil || caller.Name() != c.want):
			t.Errorf("%s: got %q, %v, want %s", about, caller.Name(), err, c.want)
		case c.want == "" && (err == nil || caller != nil || !strings.Contains(err.Error(), c.text)):
			t.Errorf("%s: got %v, %v, want an error with %q", about, caller, err, c.text)
		case err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), hash)):
			t.Errorf("%s: the token is in the error %v", about, err)
		}
	}
}

func TestNilGuardTellsNobodyApart(t *testing.T) {
	t.Parallel()
	var g *access.Guard
	caller, err := g.Caller(t.Context())
	if err != nil || caller != nil {
		t.Fatalf("got %v, %v, want no caller", caller, err)
	}
	if !caller.May(access.Operator, true) || !caller.SeesAll() || !caller.Sees("a") || !caller.MayNameActors() || !caller.MayBeOperator() {
		t.Error("who is not told apart may not everything")
	}
	none := &access.Caller{}
	if none.May(access.Decision, false) || none.SeesAll() || none.Sees("") || none.Sees("a") || none.MayNameActors() || none.MayBeOperator() {
		t.Error("the zero caller may something")
	}
}

// TestConnectionsFollowTheFile keeps a connection while its caller changes.
func TestConnectionsFollowTheFile(t *testing.T) {
	t.Parallel()
	token, hash := access.NewToken()
	newer, newerHash := access.NewToken()
	g := newGuard(t, severalCallers, "tickets "+hash)
	certificate := shown(t, certified(t, "phones.internal"))
	caller := func(ctx context.Context) string {
		c, err := g.Caller(ctx)
		if err != nil {
			return "nobody"
		}
		return c.Name()
	}
	expect := func(about string, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %s, want %s", about, got, want)
		}
	}
	reload := func(wantChanged bool) {
		t.Helper()
		before := g.Changed()
		changed, err := g.Reload()
		closed := false
		select {
		case <-before:
			closed = true
		default:
		}
		if err != nil || changed != wantChanged || closed != wantChanged {
			t.Fatalf("got changed %t, closed %t, %v, want %t", changed, closed, err, wantChanged)
		}
	}
	reload(false)
	expect("at first", caller(certificate), "phones")
	write(t, g.accessFile, []byte(strings.Replace(severalCallers, "name: phones", "name: telephony", 1)))
	reload(true)
	expect("renamed", caller(certificate), "telephony")
	write(t, g.accessFile, []byte(strings.Replace(severalCallers, "dns:phones.internal, ", "", 1)))
	reload(true)
	expect("taken away", caller(certificate), "nobody")

	write(t, g.tokensFile, []byte("tickets "+hash+"\ntickets "+newerHash))
	reload(true)
	expect("the old token beside the new one", caller(shown(t, &access.Peer{}, "Bearer "+token)), "tickets")
	expect("the new one", caller(shown(t, &access.Peer{}, "Bearer "+newer)), "tickets")
	write(t, g.tokensFile, []byte("tickets "+newerHash))
	reload(true)
	expect("the old token", caller(shown(t, &access.Peer{}, "Bearer "+token)), "nobody")
	expect("the new one alone", caller(shown(t, &access.Peer{}, "Bearer "+newer)), "tickets")

	// What is wrong changes nothing, and the other file is followed.
	write(t, g.accessFile, []byte("callers: nobody"))
	write(t, g.tokensFile, []byte("tickets "+hash))
	if changed, err := g.Reload(); !changed || err == nil || !strings.Contains(err.Error(), g.accessFile+": line 1:") {
		t.Fatalf("got %t, %v, want the tokens and a fault of the access file", changed, err)
	}
	expect("after a fault", caller(shown(t, &access.Peer{}, "Bearer "+token)), "tickets")
	if err := os.Remove(g.tokensFile); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(); err == nil {
		t.Error("a file is missing, and no fault")
	}
	expect("without the file", caller(shown(t, &access.Peer{}, "Bearer "+token)), "tickets")
}

func TestRemarksAreOnTokensOfOneFile(t *testing.T) {
	t.Parallel()
	_, one := access.NewToken()
	_, two := access.NewToken()
	g := newGuard(t, severalCallers, "tickets "+one+"\nforgotten "+two)
	remarks := g.Remarks()
	if len(remarks) != 2 || !strings.Contains(remarks[0], "token phones") || !strings.Contains(remarks[1], "token forgotten") {
		t.Errorf("got %q, want remarks on phones and forgotten", remarks)
	}
	for _, remark := range remarks {
		if strings.Contains(remark, two) {
			t.Errorf("a hash is in the remark %q", remark)
		}
	}
}

func TestGuardNeedsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "access.yaml")
	write(t, file, []byte(severalCallers))
	for about, c := range map[string]struct{ access, tokens, text string }{
		"no tokens file for tokens": {file, "", "--tokens-file"},
		"no access file":            {filepath.Join(dir, "none"), "", "none"},
		"a missing tokens file":     {file, filepath.Join(dir, "none"), "none"},
		"a directory":               {dir, "", "not a regular file"},
	} {
		if _, err := access.NewGuard(c.access, c.tokens); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want an error with %q", about, err, c.text)
		}
	}
}

func TestGuardMetrics(t *testing.T) {
	t.Parallel()
	_, hash := access.NewToken()
	g := newGuard(t, severalCallers, "tickets "+hash)
	for range 2 {
		_, _ = g.Caller(shown(t, &access.Peer{}, "Bearer x"))
	}
	connection := certified(t, "other.internal")
	for range 3 {
		_, _ = g.Caller(shown(t, connection))
	}
	write(t, g.accessFile, []byte("callers: []"))
	_, _ = g.Reload()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(g.Guard)
	want := `
# HELP usher_authentication_failures_total Calls whose caller is not known, by what is wrong with their credentials.
# TYPE usher_authentication_failures_total counter
usher_authentication_failures_total{reason="certificate"} 3
usher_authentication_failures_total{reason="malformed"} 0
usher_authentication_failures_total{reason="missing"} 0
usher_authentication_failures_total{reason="process"} 0
usher_authentication_failures_total{reason="token"} 2
# HELP usher_reload_refused 1 while the newest content of the files is refused, and an older one used.
# TYPE usher_reload_refused gauge
usher_reload_refused{file="access"} 1
usher_reload_refused{file="tokens"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "usher_authentication_failures_total", "usher_reload_refused"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v, want nothing to complain of", problems, err)
	}
}

// TestKnownConnectionsCostNothing asks for the caller of a connection again and again.
func TestKnownConnectionsCostNothing(t *testing.T) {
	g := newGuard(t, severalCallers, "")
	ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: certified(t, "phones.internal")})
	allocations := testing.AllocsPerRun(100, func() {
		if caller, err := g.Caller(ctx); err != nil || !caller.May(access.Decision, false) || !caller.Sees("acme") {
			t.Error(caller, err)
		}
	})
	if allocations != 0 {
		t.Errorf("got %v allocations, want none", allocations)
	}
}

func TestTokensAreNeverTheSame(t *testing.T) {
	t.Parallel()
	var seen []string
	for range 100 {
		token, hash := access.NewToken()
		if slices.Contains(seen, token) || !strings.HasPrefix(token, "usher_") || len(token) != len("usher_")+43 {
			t.Fatalf("got the token of %d bytes with the hash %s", len(token), hash)
		}
		seen = append(seen, token)
	}
}
