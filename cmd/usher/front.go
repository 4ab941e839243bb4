package main

import (
	"io"
	"net/http"
	"sync/atomic"
)

// front answers over HTTP from the beginning: until there is a server, that the process lives and is
// not ready.
type front struct {
	server atomic.Pointer[http.Handler] // nil until then
}

// ServeHTTP is for net/http.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if server := f.server.Load(); server != nil {
		(*server).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path == "/healthz" {
		_, _ = io.WriteString(w, "ok\n") // a client that went away does not need it
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "starting: the store is being opened\n")
}
