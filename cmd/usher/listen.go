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

// listeners are where a server can be reached: grpc[0] is on TCP.
type listeners struct {
	grpc []net.Listener
	http net.Listener
}

// listen returns what it has opened also with an error, to be closed. Over HTTP it speaks TLS
// if there is a certificate; over gRPC that is a matter of the server's credentials.
func (s *settings) listen(certificates *access.Reloaded[access.Certificates]) (*listeners, error) {
	ls := &listeners{}
	tcp, err := s.listenTCP("grpc-address", s.grpcAddress)
	if err != nil {
		return ls, err
	}
	ls.grpc = append(ls.grpc, tcp)
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
	ls.http, err = s.listenTCP("http-address", s.httpAddress)
	if err == nil && certificates != nil {
		ls.http = tls.NewListener(ls.http, access.TLS(certificates))
	}
	return ls, err
}

// announce prints where the server can be reached, in a form that scripts may rely on.
func (ls *listeners) announce(out io.Writer, logger *slog.Logger) {
	for _, l := range ls.grpc {
		address := l.Addr().String()
		if l.Addr().Network() == "unix" {
			address = "unix://" + address
		}
		fmt.Fprintln(out, "grpc listening on", address)
		logger.Info("listening", "protocol", "grpc", "address", address)
	}
	fmt.Fprintln(out, "http listening on", ls.http.Addr())
	logger.Info("listening", "protocol", "http", "address", ls.http.Addr().String())
}

func (ls *listeners) close() {
	for _, l := range ls.grpc {
		l.Close()
	}
	if ls.http != nil {
		ls.http.Close()
	}
}
