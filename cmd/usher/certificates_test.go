package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/usher-pdp/usher/server/access/accesstest"
)

// writeCertificates writes what a server and two clients need: ca.crt, server.crt and server.key; clients.crt is
// the authority of client.crt and client.key, who are spiffe://helpdesk.example/tickets; those of stranger.crt
// and stranger.key have another one.
func writeCertificates(t testing.TB, dir string) (servers *accesstest.Authority) {
	t.Helper()
	servers, clients, others := accesstest.NewAuthority(t, "servers"), accesstest.NewAuthority(t, "clients"), accesstest.NewAuthority(t, "others")
	const id = "spiffe://helpdesk.example/tickets"
	write := func(name string, content []byte) { writePrivately(t, filepath.Join(dir, name), content) }
	write("ca.crt", servers.PEM())
	write("clients.crt", clients.PEM())
	write("others.crt", others.PEM())
	for name, issued := range map[string]func() (cert, key []byte){
		"server":   func() (cert, key []byte) { return servers.Issue(t, "usher.example", "", time.Hour) },
		"expired":  func() (cert, key []byte) { return servers.Issue(t, "usher.example", "", -time.Hour) },
		"client":   func() (cert, key []byte) { return clients.Issue(t, "tickets.example", id, time.Hour) },
		"stranger": func() (cert, key []byte) { return others.Issue(t, "tickets.example", id, time.Hour) },
	} {
		cert, key := issued()
		write(name+".crt", cert)
		write(name+".key", key)
	}
	return servers
}

func writePrivately(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func scriptCertificates(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 0 {
			ts.Fatalf("usage: certificates")
		}
		writeCertificates(t, ts.MkAbs("."))
	}
}
