package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
)

// The sides of experiments about what it costs to tell callers apart.
const (
	ofNobody      = "nobody told apart"
	ofToken       = "bearer token"
	ofCertificate = "client certificate"
	ofProcess     = "uid of the process"
)

// callerExperiments set checks whose caller has to be known against checks over the same
// transport for which nobody is told apart.
func callerExperiments() []experiment {
	return []experiment{
		callerContest("tls", ofToken, ofCertificate),
		callerContest("tcp", ofToken),
		callerContest("unix", ofProcess),
	}
}

func callerContest(transport string, told ...string) experiment {
	c := contest{
		name:   "check/callers/" + transport,
		about:  fmt.Sprintf("%s, over %s; %d callers, whose right to ask is looked up with every call", questions[0].about, transport, busy),
		rounds: 9,
		window: time.Second,
		open: func(st *stage) ([]side, error) {
			papers, err := newPapers(st.newPath(st.dir))
			if err != nil {
				return nil, err
			}
			var sides []side
			for _, name := range append([]string{ofNobody}, told...) {
				data, err := st.copied(small)
				if err != nil {
					return nil, err
				}
				s, err := st.startOn(st.usher, data, papers.settings(transport, name != ofNobody)...)
				if err != nil {
					return nil, err
				}
				papers.show(s, transport, name)
				sides = append(sides, side{name: name, server: s})
			}
			return st.askAll(questions[0], transport, sides)
		},
	}
	for _, name := range told {
		c.compare = append(c.compare, pair{name, ofNobody})
		c.goals = append(c.goals, goal{metric: cpuPerCall, pair: pair{name, ofNobody}, limit: 1.05})
	}
	return c.experiment()
}

// papers are what a server and its callers show each other. The server's are in files.
type papers struct {
	dir       string
	token     string
	authority *x509.CertPool
	client    tls.Certificate
}

// callerName is the URI in the certificate of the caller.
const callerName = "spiffe://usher.example/bench"

// newPapers makes a directory with papers.
func newPapers(dir string) (*papers, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	p := &papers{dir: dir, token: "bench_" + rand.Text(), authority: x509.NewCertPool()}
	authority, err := issue(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	if err != nil {
		return nil, err
	}
	p.authority.AddCert(authority.Leaf)
	server, err := issue(&x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority)
	if err != nil {
		return nil, err
	}
	client, err := issue(&x509.Certificate{
		URIs: []*url.URL{{Scheme: "spiffe", Host: "usher.example", Path: "/bench"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority)
	if err != nil {
		return nil, err
	}
	p.client = *client
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return nil, err
	}
	return p, errors.Join(
		p.write("cert.pem", string(inPEM("CERTIFICATE", server.Leaf.Raw))),
		p.write("key.pem", string(inPEM("PRIVATE KEY", key))),
		p.write("authority.pem", string(inPEM("CERTIFICATE", authority.Leaf.Raw))),
		p.write("tokens", fmt.Sprintf("bench sha256:%x\n", sha256.Sum256([]byte(p.token)))),
		p.write("access.yaml", fmt.Sprintf(`callers:
  - name: bench
    identities: [token:bench, %q, uid:%d]
    may: {decision: read, metrics: read}
    tenants: ["*"]
  - name: anybody
    identities: [anonymous]
    may: {metrics: read}
`, "uri:"+callerName, os.Getuid())),
	)
}

// issue makes a certificate and its key, signed by the authority; nil: by itself.
func issue(template *x509.Certificate, by *tls.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: "usher bench"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (p *papers) path(name string) string { return filepath.Join(p.dir, name) }

func (p *papers) write(name, content string) error {
	return os.WriteFile(p.path(name), []byte(content), 0o600)
}

// settings are those of a server on a transport that tells callers apart, or not.
func (p *papers) settings(transport string, tells bool) (args []string) {
	if transport == "tls" {
		args = append(args, "--tls-cert-file", p.path("cert.pem"), "--tls-key-file", p.path("key.pem"))
		if tells {
			args = append(args, "--tls-client-ca-file", p.path("authority.pem"))
		}
	}
	if tells {
		args = append(args, "--access-file", p.path("access.yaml"), "--tokens-file", p.path("tokens"))
	}
	return args
}

// show has those who call a server show what they are known by.
func (p *papers) show(s *process, transport, side string) {
	if transport == "tls" {
		s.tls = &tls.Config{RootCAs: p.authority, MinVersion: tls.VersionTLS13}
	}
	switch side {
	case ofCertificate:
		s.tls.Certificates = []tls.Certificate{p.client}
	case ofToken:
		s.options = append(s.options, grpc.WithPerRPCCredentials(bearer(p.token)))
	}
}

// bearer is a token that goes with every call.
type bearer string

// GetRequestMetadata returns the header that carries it.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false: over loopback there need not be any.
func (bearer) RequireTransportSecurity() bool { return false }
