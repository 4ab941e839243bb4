package main

import (
	"crypto/tls"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"github.com/usher-pdp/usher/server/access"
)

// identities are what tells callers apart: nil for what is not configured.
type identities struct {
	guard        *access.Guard
	certificates *access.Reloaded[access.Certificates]
}

// loadIdentities reads the files that tell callers apart.
func (s *settings) loadIdentities() (i identities, err error) {
	var faults [2]error
	if s.certFile != "" {
		i.certificates, faults[0] = access.LoadCertificates(s.certFile, s.keyFile, s.clientCAFile)
	}
	if s.accessFile != "" {
		i.guard, faults[1] = access.NewGuard(s.accessFile, s.tokensFile)
	}
	return i, errors.Join(faults[:]...)
}

// credentials are those of the gRPC server: with TLS on TCP if there is a certificate.
func (i identities) credentials() credentials.TransportCredentials {
	var config *tls.Config
	if i.certificates != nil {
		config = access.TLS(i.certificates)
	}
	return access.Transport(config)
}

// collectors are the metrics of the files.
func (i identities) collectors() (all []prometheus.Collector) {
	if i.certificates != nil {
		all = append(all, i.certificates)
	}
	if i.guard != nil {
		all = append(all, i.guard)
	}
	return all
}

// remarks are sentences on what is probably not meant.
func (i identities) remarks() []string {
	if i.guard == nil {
		return nil
	}
	return i.guard.Remarks()
}

// files are what is read again while the server runs.
func (i identities) files() (files []*followed) {
	if i.certificates != nil {
		files = append(files, &followed{what: "certificate", reload: i.certificates.Reload})
	}
	if i.guard != nil {
		files = append(files, &followed{what: "access and tokens", reload: i.guard.Reload})
	}
	return files
}
