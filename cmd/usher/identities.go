package main

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"github.com/usher-pdp/usher/server/access"
)

// identities are what tells callers apart: nil for what is not configured.
type identities struct {
	guard        *access.Guard
	certificates *access.Reloaded[access.Certificates]
}

// loadIdentities reads the files that tell callers apart. What is wrong in a file is told with its name, and
// that there is no such file with the name of the setting, too.
func (s *settings) loadIdentities() (i identities, err error) {
	var faults [2]error
	if s.certFile != "" {
		if faults[0] = s.checkReadable("tls-cert-file", "tls-key-file", "tls-client-ca-file"); faults[0] == nil {
			i.certificates, faults[0] = access.LoadCertificates(s.certFile, s.keyFile, s.clientCAFile)
		}
	}
	if s.accessFile != "" {
		if faults[1] = s.checkReadable("access-file", "tokens-file"); faults[1] == nil {
			i.guard, faults[1] = access.NewGuard(s.accessFile, s.tokensFile)
		}
	}
	return i, errors.Join(faults[:]...)
}

// checkReadable refuses settings whose file is named and can't be read.
func (s *settings) checkReadable(names ...string) error {
	var faults []error
	for _, name := range names {
		path := s.flags.Lookup(name).Value.String()
		if path == "" {
			continue
		}
		if _, err := access.ReadFile(path); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.named(name), err))
		}
	}
	return errors.Join(faults...)
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
