package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/usher-pdp/usher/server/access"
)

// listeners are where a server can be reached.
type listeners struct {
	grpc []net.Listener // on TCP, at a unix socket or both
	http net.Listener   // nil if nothing is served over HTTP
}

// listen returns what it has opened also with an error, to be closed. Over HTTP it speaks TLS
// if there is a certificate; over gRPC that is a matter of the server's credentials.
func (s *settings) listen(certificates *access.Reloaded[access.Certificates]) (*listeners, error) {
	ls := &listeners{}
	if s.grpcAddress != "" {
		tcp, err := s.listenTCP("grpc-address", s.grpcAddress)
		if err != nil {
			return ls, err
		}
		ls.grpc = append(ls.grpc, tcp)
	}
	if s.unixSocket != "" {
		path, err := filepath.Abs(s.unixSocket) // so that the address which is printed can be used
		if err != nil {
			return ls, err
		}
		unix, err := listenUnix(path, fs.FileMode(s.unixMode))
		if err != nil {
			return ls, err
		}
		ls.grpc = append(ls.grpc, unix)
	}
	if s.httpAddress == "" {
		return ls, nil
	}
	http, err := s.listenTCP("http-address", s.httpAddress)
	if err != nil {
		return ls, err
	}
	ls.http = http
	if certificates != nil {
		ls.http = tls.NewListener(http, access.TLS(certificates))
	}
	return ls, nil
}

// announce prints where the server can be reached, in a form that scripts may rely on.
func (ls *listeners) announce(out io.Writer, logger *slog.Logger) {
	for _, l := range ls.grpc {
		announce("grpc", l, out, logger)
	}
	if ls.http != nil {
		announce("http", ls.http, out, logger)
	}
}

func announce(protocol string, l net.Listener, out io.Writer, logger *slog.Logger) {
	fmt.Fprintln(out, protocol, "listening on", addressOf(l))
	logger.Info("listening", "protocol", protocol, "address", addressOf(l))
}

// addressOf is where a client finds the listener.
func addressOf(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return "unix://" + l.Addr().String()
	}
	return l.Addr().String()
}

func (ls *listeners) close() {
	for _, l := range ls.grpc {
		l.Close()
	}
	if ls.http != nil {
		ls.http.Close()
	}
}
