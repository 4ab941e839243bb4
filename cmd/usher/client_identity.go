package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/usher-pdp/usher/server/access"
)

// clientIdentity is how a command shows who it is, and how it knows the server: by files, since
// everybody sees the command line.
type clientIdentity struct {
	caFile     string
	certFile   string
	keyFile    string
	serverName string
	tokenFile  string
}

func (i *clientIdentity) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&i.caFile, "ca-file", "", "a PEM `FILE` with the authorities of the server's certificate; with it, TLS is spoken")
	flags.StringVar(&i.certFile, "cert-file", "", "a PEM `FILE` with a client certificate to show")
	flags.StringVar(&i.keyFile, "key-file", "", "a PEM `FILE` with the key of that certificate")
	flags.StringVar(&i.serverName, "server-name", "", "the `NAME` in the server's certificate, if it is not that of the address")
	flags.StringVar(&i.tokenFile, "token-file", "", "a `FILE` with a token to show")
}

// dialOptions are those of a connection to the address. Over a unix socket there is no TLS: the kernel
// tells the server who is there.
func (i *clientIdentity) dialOptions(address string) ([]grpc.DialOption, error) {
	isUnix := strings.HasPrefix(address, "unix:")
	transport := insecure.NewCredentials()
	if i.caFile != "" && !isUnix {
		config, err := i.tlsConfig()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	} else if !isUnix && i.certFile+i.keyFile+i.serverName != "" {
		return nil, usagef("--cert-file, --key-file and --server-name are for TLS: name the authorities of the server's certificate with --ca-file, too\n" +
			"  Those that the system trusts are often in /etc/ssl/certs/ca-certificates.crt")
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if i.tokenFile == "" {
		return options, nil
	}
	host, _, _ := net.SplitHostPort(address)
	if i.caFile == "" && !isUnix && !isLoopback(host) {
		return nil, usagef("--token-file: %s is on another machine, and without TLS others could read the token: use --ca-file", address)
	}
	token, err := readToken(i.tokenFile)
	if err != nil {
		return nil, err
	}
	return append(options, grpc.WithPerRPCCredentials(bearer("Bearer "+token))), nil
}

func (i *clientIdentity) tlsConfig() (*tls.Config, error) {
	authorities, err := access.ReadFile(i.caFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: i.serverName}
	if !config.RootCAs.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("--ca-file %s: there is no certificate in it (PEM, BEGIN CERTIFICATE)", i.caFile)
	}
	switch {
	case i.certFile == "" && i.keyFile == "":
		return config, nil
	case i.keyFile == "":
		return nil, usagef("--cert-file without --key-file: name the key of the certificate, too")
	case i.certFile == "":
		return nil, usagef("--key-file without --cert-file: name the certificate of the key, too")
	}
	pair, err := tls.LoadX509KeyPair(i.certFile, i.keyFile)
	if err != nil {
		return nil, fmt.Errorf("--cert-file and --key-file: %w", err)
	}
	// Not config.Certificates: of those, one that the server's authorities haven't signed is silently not shown.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, nil
}

// readToken reads a token. Errors don't quote it.
func readToken(path string) (string, error) {
	content, err := access.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(content))
	unfit := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || strings.ContainsFunc(token, unfit) {
		return "", fmt.Errorf("--token-file %s: it has to hold a token and nothing else, as 'usher token new' prints it", path)
	}
	return token, nil
}

// bearer is the authorization that is sent with every call.
type bearer string

// GetRequestMetadata is for gRPC.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(b)}, nil
}

// RequireTransportSecurity is for gRPC. Where a token may be sent in clear is settled before there is a
// connection.
func (bearer) RequireTransportSecurity() bool { return false }
