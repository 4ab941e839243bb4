package access

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificates are the server's certificate and the authorities of its clients.
type Certificates struct {
	config *tls.Config
	// server is when the first of the certificates that the server sends expires.
	server time.Time
	// clients is the same of the authorities that have not expired yet, or if all have of those. Zero:
	// there are none.
	clients time.Time
}

// LoadCertificates reads PEM files. Without clientCAFile, clients need no certificate, and one that
// they send is not asked for. A server certificate that has expired is refused, as one that no client would
// take.
func LoadCertificates(certFile, keyFile, clientCAFile string) (*Reloaded[Certificates], error) {
	paths := []string{certFile, keyFile}
	if clientCAFile != "" {
		paths = append(paths, clientCAFile)
	}
	return Load("certificate", func(contents [][]byte) (Certificates, error) {
		return parseCertificates(paths, contents)
	}, paths...)
}

func parseCertificates(paths []string, contents [][]byte) (c Certificates, err error) {
	sent, err := parseChain(paths[0], contents[0])
	if err != nil {
		return c, err
	}
	c.server = firstExpiry(sent)
	if !time.Now().Before(c.server) {
		return c, fmt.Errorf("%s: the certificate has expired, on %s: renew it", paths[0], c.server.UTC().Format(time.RFC3339))
	}
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return c, keyFault(paths[0], paths[1], err)
	}
	c.config = &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		// A session that is resumed would rest on what was verified with the certificates of
		// another time. Connections are long: little is gained by resuming.
		SessionTicketsDisabled: true,
	}
	if len(paths) < 3 {
		return c, nil
	}
	authorities, err := parseChain(paths[2], contents[2])
	if err != nil {
		return c, err
	}
	c.clients = firstExpiry(unexpired(authorities))
	c.config.ClientCAs = x509.NewCertPool()
	for _, authority := range authorities {
		if authority.Version == 3 && !authority.IsCA { // version 1 can't say what it is
			return c, fmt.Errorf("%s: %s is not the certificate of an authority, and can't have signed another", paths[2], authority.Subject)
		}
		c.config.ClientCAs.AddCert(authority)
	}
	// Not RequireAndVerify: others come with a token, and probes with nothing. The Guard lets
	// nobody in whom the access file doesn't name. A certificate that is not right ends the handshake.
	c.config.ClientAuth = tls.VerifyClientCertIfGiven
	return c, nil
}

// parseChain reads the certificates of a PEM file, of which there has to be one at least. Text
// between them is for people; other things are refused but for a key, which a certificate may stand beside.
func parseChain(path string, content []byte) (chain []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		block, content = pem.Decode(content)
		switch {
		case block == nil && len(chain) == 0:
			return nil, fmt.Errorf("%s: there is no certificate in it (PEM, BEGIN CERTIFICATE)", path)
		case block == nil:
			return chain, nil
		case strings.HasSuffix(block.Type, "PRIVATE KEY"), strings.HasSuffix(block.Type, "PARAMETERS"):
			continue
		case block.Type != "CERTIFICATE":
			return nil, fmt.Errorf("%s: it has a block %q where certificates are expected", path, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		chain = append(chain, certificate)
	}
}

// keyFault says what is wrong with the key: its certificate could be read.
func keyFault(certFile, keyFile string, err error) error {
	if strings.Contains(err.Error(), "does not match") {
		return fmt.Errorf("the certificate %s and the key %s do not belong together: replace both", certFile, keyFile)
	}
	// The errors of crypto/tls about it are hard to read.
	if strings.Contains(err.Error(), "failed to find any PEM data") || strings.Contains(err.Error(), "found a certificate") {
		return fmt.Errorf("%s: there is no private key in it (PEM, BEGIN PRIVATE KEY)", keyFile)
	}
	return fmt.Errorf("%s: %w", keyFile, errors.New(strings.TrimPrefix(err.Error(), "tls: ")))
}

func unexpired(certificates []*x509.Certificate) (left []*x509.Certificate) {
	now := time.Now()
	for _, certificate := range certificates {
		if now.Before(certificate.NotAfter) {
			left = append(left, certificate)
		}
	}
	if len(left) == 0 {
		return certificates
	}
	return left
}

func firstExpiry(certificates []*x509.Certificate) (first time.Time) {
	for _, certificate := range certificates {
		if first.IsZero() || certificate.NotAfter.Before(first) {
			first = certificate.NotAfter
		}
	}
	return first
}

// TLS returns a configuration that follows the certificates: a new connection gets the newest ones.
// Connections that there are already live on.
func TLS(certificates *Reloaded[Certificates]) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return certificates.Current().config, nil
		},
	}
}

var certificateExpiry = prometheus.NewDesc("usher_tls_certificate_expiry_timestamp_seconds",
	"When the first of the certificates expires that the server sends (use server), or of those that sign its clients' (use client_ca; expired ones don't count).",
	[]string{"use"}, nil)

func (Certificates) describe(descriptions chan<- *prometheus.Desc) { descriptions <- certificateExpiry }

func (c Certificates) collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.MustNewConstMetric(certificateExpiry, prometheus.GaugeValue, float64(c.server.Unix()), "server")
	if !c.clients.IsZero() {
		metrics <- prometheus.MustNewConstMetric(certificateExpiry, prometheus.GaugeValue, float64(c.clients.Unix()), "client_ca")
	}
}
