package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// prepare reads all that says how to serve: the settings file, beside the command line and the
// environment, and the files that tell callers apart. It refuses what can't be served with, and opens no store
// and no port.
func (s *settings) prepare() (identities, error) {
	if err := s.readFile(); err != nil {
		return identities{}, err
	}
	if err := errors.Join(s.checkWhole(), s.checkAddress("grpc-address", s.grpcAddress), s.checkAddress("http-address", s.httpAddress),
		s.checkEndpoint(), s.checkPlaces(), s.checkDataDir()); err != nil {
		return identities{}, err
	}
	return s.loadIdentities()
}

// named is how a setting is called in an error: as it was given.
func (s *settings) named(name string) string {
	f := s.flags.Lookup(name)
	switch from := sourceOf(f); from {
	case "default":
		return "--" + name
	case s.config:
		return name
	default:
		if strings.HasPrefix(from, "USHER_") || strings.HasPrefix(from, "--") {
			return from
		}
		return from + ": " + name
	}
}

// checkWhole refuses settings of which only one half is there.
func (s *settings) checkWhole() error {
	var faults []error
	needs := func(name, value, other, otherValue, why string) {
		if value != "" && otherValue == "" {
			faults = append(faults, usagef("%s without %s: %s", s.named(name), other, why))
		}
	}
	if s.dataDir == "" {
		faults = append(faults, usagef("data-dir is not set: where are the data to be? Say it by --data-dir, USHER_DATA_DIR or data-dir in a file for --config"))
	}
	needs("tls-cert-file", s.certFile, "tls-key-file", s.keyFile, "name the key of the certificate, too")
	needs("tls-key-file", s.keyFile, "tls-cert-file", s.certFile, "name the certificate of the key, too")
	needs("tls-client-ca-file", s.clientCAFile, "tls-cert-file", s.certFile, "client certificates are shown over TLS, for which the server needs its own")
	needs("tls-client-ca-file", s.clientCAFile, "access-file", s.accessFile, "nothing would say what their callers may")
	needs("tokens-file", s.tokensFile, "access-file", s.accessFile, "nothing would say what their callers may")
	if s.grpcAddress+s.unixSocket == "" {
		faults = append(faults, usagef("%s is empty, and there is no unix-socket: nobody could call", s.named("grpc-address")))
	}
	if s.accessFile != "" && s.tokensFile+s.clientCAFile+s.unixSocket == "" {
		faults = append(faults, usagef("%s without tokens-file, tls-client-ca-file or unix-socket: nobody could show who they are", s.named("access-file")))
	}
	if s.demo && s.accessFile+s.certFile != "" {
		faults = append(faults, usagef("%s goes neither with access-file nor with tls-cert-file: its tenants are to play with, by whoever is on this machine", s.named("demo")))
	}
	return errors.Join(faults...)
}

// checkAddress refuses an address that other machines reach, unless it is safe to let them. An empty one is
// not listened on.
func (s *settings) checkAddress(name, address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isPort(port) {
		return usagef("%s %q: it is HOST:PORT, such as %s", s.named(name), address, s.flags.Lookup(name).DefValue)
	}
	if isLoopback(host) || s.isGuarded() {
		return nil
	}
	return s.refuseAddress(name, address, port)
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// checkEndpoint refuses what no traces could be sent to: nobody would miss them.
func (s *settings) checkEndpoint() error {
	if s.traceEndpoint == "" {
		return nil
	}
	endpoint, err := url.Parse("https://" + strings.TrimPrefix(s.traceEndpoint, "https://"))
	if err != nil || endpoint.Hostname() == "" || !isPort(endpoint.Port()) || endpoint.Path != "" {
		return usagef("%s: it is HOST:PORT, such as 127.0.0.1:4317, or with TLS https://HOST:PORT", s.named("trace-endpoint"))
	}
	return nil
}

// isGuarded is whether other machines may reach the server: what is sent is hidden, callers can show who
// they are, and something says what they may.
func (s *settings) isGuarded() bool {
	return s.certFile != "" && s.keyFile != "" && s.accessFile != "" && s.tokensFile+s.clientCAFile != ""
}

func (s *settings) refuseAddress(name, address, port string) error {
	var missing strings.Builder
	for _, setting := range []struct{ name, value, about string }{
		{"tls-cert-file", s.certFile, "the certificate of the server, PEM"},
		{"tls-key-file", s.keyFile, "its key"},
		{"access-file", s.accessFile, "what each caller may"},
		{"tokens-file", s.tokensFile + s.clientCAFile, "how callers show who they are; or tls-client-ca-file"},
	} {
		if setting.value == "" {
			fmt.Fprintf(&missing, "    %-19s # %s\n", setting.name+": FILE", setting.about)
		}
	}
	return usagef("%s %s is refused: it is not a loopback address. Whoever reached it could read what is sent, or change every role,\n"+
		"  as long as these settings are missing:\n%s"+
		"  Or use 127.0.0.1:%s or [::1]:%[4]s, or for gRPC unix-socket; a tunnel (ssh -L) reaches them from elsewhere",
		s.named(name), address, missing.String(), port)
}

// checkPlaces refuses names of files that can't be made.
func (s *settings) checkPlaces() error {
	var faults []error
	for _, place := range []struct {
		name, path string
		takes      func(there fs.FileInfo) error // what has the name already
	}{{"unix-socket", s.unixSocket, takesSocket}, {"decision-log", s.decisionLog, takesLog}} {
		if place.path == "" || place.path == "-" {
			continue
		}
		directory := filepath.Dir(place.path)
		info, err := os.Stat(directory)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", directory)
		}
		if there, missing := os.Lstat(place.path); err == nil && missing == nil {
			err = place.takes(there)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", s.named(place.name), place.path, err))
		}
	}
	return errors.Join(faults...)
}

func takesLog(there fs.FileInfo) error {
	if there.IsDir() {
		return errors.New("it is a directory: name a file in it")
	}
	return nil
}

// checkDataDir refuses a directory that is not there, except for the demo: an empty store denies
// everything, and on most days that would be a slip of the pen or a disk that isn't mounted.
func (s *settings) checkDataDir() error {
	info, err := os.Stat(s.dataDir)
	switch {
	case s.dataDir == "", errors.Is(err, fs.ErrNotExist) && s.demo:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the directory %s is not there\n"+
			"  If it should be, check what %s says and whether the disk is mounted;\n"+
			"  to start without data, make it: mkdir -p %[1]s", s.dataDir, s.named("data-dir"))
	case err != nil:
		return fmt.Errorf("%s: %w", s.named("data-dir"), err)
	case !info.IsDir():
		return fmt.Errorf("%s %s is a file: name the directory that it is in", s.named("data-dir"), s.dataDir)
	}
	return nil
}

// warnings are sentences on what is served with nevertheless.
func (s *settings) warnings() (sentences []string) {
	if s.accessFile == "" {
		sentences = append(sentences, "CALLERS ARE NOT TOLD APART: whoever reaches the server on this machine may do everything. "+
			"To change that, name an access-file, and a tokens-file or tls-client-ca-file")
	}
	if s.keyFile != "" {
		if info, err := os.Stat(s.keyFile); err == nil && info.Mode().Perm()&0o004 != 0 {
			sentences = append(sentences, fmt.Sprintf("everybody on this machine may read the key %s: chmod o-r %[1]s", s.keyFile))
		}
	}
	return append(sentences, unknownVariables(newRoot(), os.Environ())...)
}
