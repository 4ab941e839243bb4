package access

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Transport returns the credentials of the gRPC server: on a unix socket they ask the kernel for the
// process at the other end; on TCP they speak TLS if config is not nil. Connections have a Peer.
//
// A listener that wraps its connections has to give them a method NetConn() net.Conn, as tls.Conn has
// one, which returns what is wrapped. How long a handshake may take is the ConnectionTimeout of the
// gRPC server.
func Transport(config *tls.Config) credentials.TransportCredentials {
	if config == nil {
		return &transport{TransportCredentials: insecure.NewCredentials()}
	}
	return &transport{TransportCredentials: credentials.NewTLS(config), tls: true}
}

// transport is what it embeds, for TCP.
type transport struct {
	credentials.TransportCredentials
	tls bool
}

func (t *transport) Clone() credentials.TransportCredentials {
	return &transport{TransportCredentials: t.TransportCredentials.Clone(), tls: t.tls}
}

func (t *transport) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these are the credentials of a server")
}

func (t *transport) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if raw.LocalAddr().Network() == "unix" {
		// Only this machine sees what is sent.
		peer := &Peer{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
		var err error
		peer.Process, err = processAt(raw)
		return raw, peer, err
	}
	if !t.tls {
		return raw, &Peer{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}, nil
	}
	conn, info, err := t.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	tlsInfo := info.(credentials.TLSInfo)
	peer := &Peer{CommonAuthInfo: tlsInfo.CommonAuthInfo}
	if chains := tlsInfo.State.VerifiedChains; len(chains) > 0 {
		peer.Certificate = chains[0][0]
	}
	return conn, peer, nil
}

// unwrapped returns the connection that the operating system knows.
func unwrapped(conn net.Conn) net.Conn {
	for {
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = wrapper.NetConn()
	}
}
