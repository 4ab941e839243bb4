package access

import "crypto/tls"

// Certificates are the server's certificate and the authorities of its clients.
type Certificates struct{}

// LoadCertificates reads PEM files. Without clientCAFile, clients need no certificate.
func LoadCertificates(certFile, keyFile, clientCAFile string) (*Reloaded[Certificates], error) {
	return nil, nil
}

// TLS returns a configuration that follows the certificates.
func TLS(certificates *Reloaded[Certificates]) *tls.Config { return nil }
