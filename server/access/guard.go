package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Guard says who the caller of a call is. A nil Guard tells nobody apart.
//
// What a call shows is looked at in this order, and the first that there is decides: a bearer token, which
// has to be right even where the connection shows something better; the client certificate, by all of
// its URI and DNS names; the process at the unix socket, by its user and then its group. Who shows nothing
// that the access file names is the caller with the identity anonymous, or nobody.
type Guard struct {
	policy *Reloaded[*Policy]
	tokens *Reloaded[*Tokens] // nil: there are none

	// nothing is what a connection shows that shows nothing.
	nothing  Peer
	failures [failureReasons]atomic.Uint64

	mu      sync.Mutex
	changed chan struct{} // closed when something has changed, and replaced
}

// NewGuard makes a guard of an access file and, if it is not empty, a tokens file. An access file that
// names tokens needs a tokens file.
func NewGuard(accessFile, tokensFile string) (*Guard, error) {
	g := &Guard{changed: make(chan struct{})}
	var err error
	g.policy, err = Load("access", func(contents [][]byte) (*Policy, error) {
		policy, err := ParsePolicy(contents[0])
		if err == nil && tokensFile == "" && len(policy.tokens()) > 0 {
			err = fmt.Errorf("it names the token %s, and there is no tokens file: name one with --tokens-file, or take the token out", policy.tokens()[0])
		}
		return policy, in(accessFile, err)
	}, accessFile)
	if err != nil {
		return nil, err
	}
	if tokensFile == "" {
		return g, nil
	}
	g.tokens, err = Load("tokens", func(contents [][]byte) (*Tokens, error) {
		tokens, err := ParseTokens(contents[0])
		return tokens, in(tokensFile, err)
	}, tokensFile)
	return g, err
}

// in says in which file something is wrong.
func in(file string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", file, err)
}

// Reload reads the files again, and returns whether one of them says something new now. The error is what is
// wrong with them; a file that is wrong goes on as it was, and the other one is followed nevertheless.
func (g *Guard) Reload() (changed bool, err error) {
	changed, err = g.policy.Reload()
	if g.tokens != nil {
		tokens, fault := g.tokens.Reload()
		changed, err = changed || tokens, errors.Join(err, fault)
	}
	if changed {
		g.mu.Lock()
		defer g.mu.Unlock()
		close(g.changed)
		g.changed = make(chan struct{})
	}
	return changed, err
}

// Changed returns a channel that is closed when it may have changed who may what. A call that lasts takes
// the channel before it asks for its Caller, and asks anew when it is closed.
func (g *Guard) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// Remarks are sentences on what is probably not meant: tokens that only one of the two files names.
func (g *Guard) Remarks() (remarks []string) {
	if g.tokens == nil {
		return nil
	}
	named, there := (*g.policy.Current()).tokens(), (*g.tokens.Current()).names()
	for _, name := range named {
		if !slices.Contains(there, name) {
			remarks = append(remarks, "the access file names the token "+name+", and the tokens file has none of that name: nobody can call with it")
		}
	}
	for _, name := range there {
		if !slices.Contains(named, name) {
			remarks = append(remarks, "the tokens file has the token "+name+", and no caller in the access file has it: it is not accepted")
		}
	}
	return remarks
}

// failure is why somebody is not let in.
type failure int

// The reasons, which are also those of usher_authentication_failures_total.
const (
	missingCredentials failure = iota
	malformedToken
	unknownToken
	unknownCertificate
	unknownProcess
	failureReasons
)

func (f failure) String() string {
	return [failureReasons]string{"missing", "malformed", "token", "certificate", "process"}[f]
}

// Error says what to do. It is the same for a token that there is not and for one that no caller has.
func (f failure) Error() string {
	return [failureReasons]string{
		"there are no credentials: send a bearer token (metadata authorization: Bearer TOKEN), or connect with a client certificate or through the unix socket",
		"the metadata authorization is not understood: send it once, as Bearer TOKEN",
		"the token is not accepted: take a valid one, or ask those who run the server for one",
		"the client certificate is not accepted: exactly one caller in the server's access file has to have its names (URI or DNS)",
		"the process at the unix socket is not accepted: its user or group has to be in the server's access file",
	}[f]
}

// Caller returns who calls. The error says why the credentials are not accepted, and what to do.
func (g *Guard) Caller(ctx context.Context) (*Caller, error) {
	if g == nil {
		return nil, nil
	}
	authorization := metadata.ValueFromIncomingContext(ctx, "authorization")
	shown := &g.nothing
	if p, ok := peer.FromContext(ctx); ok && len(authorization) == 0 {
		if info, ok := p.AuthInfo.(*Peer); ok {
			shown = info
		}
	}
	return g.caller(authorization, shown)
}

// HTTPCaller is Caller for a request over HTTP.
func (g *Guard) HTTPCaller(r *http.Request) (*Caller, error) {
	if g == nil {
		return nil, nil
	}
	shown := &Peer{}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		shown.Certificate = r.TLS.VerifiedChains[0][0]
	}
	return g.caller(r.Header.Values("Authorization"), shown)
}

func (g *Guard) caller(authorization []string, shown *Peer) (caller *Caller, err error) {
	policy := *g.policy.Current()
	if len(authorization) > 0 {
		caller, err = g.byToken(policy, authorization)
	} else {
		known := shown.resolved.Load()
		if known == nil || known.policy != policy {
			known = &resolved{policy: policy}
			known.caller, known.err = policy.find(shown)
			shown.resolved.Store(known)
		}
		caller, err = known.caller, known.err
	}
	if why, failed := err.(failure); failed {
		g.failures[why].Add(1)
	}
	return caller, err
}

func (g *Guard) byToken(policy *Policy, authorization []string) (*Caller, error) {
	scheme, value, _ := strings.Cut(authorization[0], " ")
	if len(authorization) > 1 || !strings.EqualFold(scheme, "Bearer") || value == "" {
		return nil, malformedToken
	}
	if g.tokens != nil {
		if name, valid := (*g.tokens.Current()).name(value); valid {
			if caller := policy.callers[identity{kindToken, name}]; caller != nil {
				return caller, nil
			}
		}
	}
	return nil, unknownToken
}

// find finds the caller by what its connection shows.
func (p *Policy) find(shown *Peer) (*Caller, error) {
	why := missingCredentials
	if shown.Certificate != nil {
		caller, err := p.byCertificate(shown.Certificate)
		if caller != nil || err != nil {
			return caller, err
		}
		why = unknownCertificate
	}
	if shown.Process != nil {
		for _, i := range []identity{
			{kindUID, strconv.FormatUint(uint64(shown.Process.UID), 10)},
			{kindGID, strconv.FormatUint(uint64(shown.Process.GID), 10)},
		} {
			if caller := p.callers[i]; caller != nil {
				return caller, nil
			}
		}
		why = unknownProcess
	}
	if caller := p.callers[identity{kind: kindAnonymous}]; caller != nil {
		return caller, nil
	}
	return nil, why
}

// byCertificate finds the caller that has the names of a certificate. Nil: none has any of them. One with names of
// two callers is refused: it would depend on their order who it is.
func (p *Policy) byCertificate(c *x509.Certificate) (found *Caller, err error) {
	var names []identity
	for _, uri := range c.URIs {
		names = append(names, identity{kindURI, uri.String()})
	}
	for _, name := range c.DNSNames {
		names = append(names, identity{kindDNS, strings.ToLower(name)})
	}
	for _, name := range names {
		caller := p.callers[name]
		if found != nil && caller != nil && caller != found {
			return nil, unknownCertificate
		}
		if caller != nil {
			found = caller
		}
	}
	return found, nil
}

// callerKey is that of the caller in a context.
type callerKey struct{}

// WithCaller returns a context of a call whose caller is known.
func WithCaller(ctx context.Context, caller *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// CallerOf returns the caller of a call. Nil: callers are not told apart.
func CallerOf(ctx context.Context) *Caller {
	caller, _ := ctx.Value(callerKey{}).(*Caller)
	return caller
}
