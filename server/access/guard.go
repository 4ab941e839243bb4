package access

import (
	"context"
	"net/http"
)

// Guard says who the caller of a call is. A nil Guard tells nobody apart.
type Guard struct {
	policy *Reloaded[*Policy]
	tokens *Reloaded[*Tokens] // nil: there are none
}

// NewGuard makes a guard of an access file and, if it is not empty, a tokens file.
func NewGuard(accessFile, tokensFile string) (*Guard, error) {
	return &Guard{}, nil
}

// Caller returns who calls. The error says why the credentials are not accepted.
func (g *Guard) Caller(ctx context.Context) (*Caller, error) { return nil, nil }

// HTTPCaller is Caller for a request over HTTP.
func (g *Guard) HTTPCaller(r *http.Request) (*Caller, error) { return nil, nil }
