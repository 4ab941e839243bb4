package main

import (
	"context"
	"maps"
	"net"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// collectSpans starts a collector of traces that ends with the test. It returns how many spans of each name
// have come until now, and where the collector is.
func collectSpans(t *testing.T) (spans func() map[string]int, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{spans: map[string]int{}}
	g := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(g, c)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return func() map[string]int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return maps.Clone(c.spans)
	}, listener.Addr().String()
}

// collector counts spans by their names.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans map[string]int
}

func (c *collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, from := range r.GetResourceSpans() {
		for _, scope := range from.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans[span.GetName()]++
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}
