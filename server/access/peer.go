package access

import (
	"crypto/x509"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// Peer is what a connection shows of who is at its other end. The transport makes one for each
// connection; it is the AuthInfo of gRPC's peer, and what it shows doesn't change.
type Peer struct {
	credentials.CommonAuthInfo
	// Certificate is the client certificate, which has been verified. Nil: there is none.
	Certificate *x509.Certificate
	// Process is the process at the other end of a unix socket. Nil: it is not one.
	Process *Process

	// resolved is who that is, as the policy says that was asked last.
	resolved atomic.Pointer[resolved]
}

// resolved is whom a policy takes a peer for.
type resolved struct {
	policy *Policy
	caller *Caller
	err    error
}

// Process is a process on this machine, as the kernel tells (SO_PEERCRED of unix(7)): as it was when
// it connected.
type Process struct {
	UID, GID uint32
}

// AuthType is how gRPC names this kind of credentials.
func (*Peer) AuthType() string { return "usher" }
