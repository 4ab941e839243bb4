package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"net"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// collector is a collector of traces, which keeps the spans.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	resources chan *tracev1.ResourceSpans
}

func (c *collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	for _, spans := range r.GetResourceSpans() {
		c.resources <- spans
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// startCollector starts a collector that ends with the test, and returns its address.
func startCollector(t *testing.T) (*collector, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{resources: make(chan *tracev1.ResourceSpans, 100)}
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
	return c, listener.Addr().String()
}

// tracedHarness is a server with a tenant that traces, and what sends the spans that wait.
func tracedHarness(t *testing.T, config server.TracingConfig) (*harness, func(context.Context) error) {
	t.Helper()
	handler, shutdown, err := server.NewTracing(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	h := configuredHarness(t, func(c *server.Config) { c.Tracing = handler })
	h.addDesk(t)
	return h, shutdown
}

// spans returns the spans that the collector has, by the name of their method.
func (c *collector) spans(t *testing.T) map[string][]*tracev1.Span {
	t.Helper()
	byName := map[string][]*tracev1.Span{}
	for len(c.resources) > 0 {
		of := <-c.resources
		about := map[string]string{}
		for _, a := range of.GetResource().GetAttributes() {
			about[a.GetKey()] = a.GetValue().GetStringValue()
		}
		if about["service.name"] != "usher" || about["service.version"] != "v1.2.3" {
			t.Errorf("the spans are of %v", about)
		}
		for _, scope := range of.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				byName[span.GetName()] = append(byName[span.GetName()], span)
			}
		}
	}
	return byName
}

const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
)

// asTraced is the context of a call that is a part of a client's trace.
func asTraced(ctx context.Context, sampled bool) context.Context {
	flags := "00"
	if sampled {
		flags = "01"
	}
	return metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+clientTrace+"-"+clientSpan+"-"+flags)
}

func TestTracedCheckIsAPartOfTheClientsTrace(t *testing.T) {
	t.Parallel()
	collector, address := startCollector(t)
	h, shutdown := tracedHarness(t, server.TracingConfig{Endpoint: address, Sample: 0, Version: "v1.2.3"})
	check := func(ctx context.Context) {
		_, err := h.decisions.Check(ctx, &usherv1.CheckRequest{
			Tenant: "desk", Subject: "user:ann", Action: "view", Resource: &usherv1.Resource{Type: "ticket", Scopes: []string{"team:b"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check(t.Context())                  // of which nobody says whether it is traced: none is
	check(asTraced(t.Context(), false)) // which the client does not want
	check(asTraced(t.Context(), true))
	if _, err := healthv1.NewHealthClient(h.conn).Check(asTraced(t.Context(), true), &healthv1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	h.server.GRPC().GracefulStop() // spans end with their calls
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := collector.spans(t)
	if len(spans) != 1 || len(spans["usher.v1.DecisionService/Check"]) != 1 {
		t.Fatalf("there should be one span, of a Check: %v", spans)
	}
	span := spans["usher.v1.DecisionService/Check"][0]
	if id, parent := trace.TraceID(span.GetTraceId()), trace.SpanID(span.GetParentSpanId()); id.String() != clientTrace || parent.String() != clientSpan {
		t.Errorf("it is of the trace %v, and its parent is %v", id, parent)
	}
	reason := ""
	for _, a := range span.GetAttributes() {
		switch a.GetKey() {
		case "usher.allowed":
			if a.GetValue().GetBoolValue() {
				t.Error("the span says that it was allowed")
			}
		case "usher.reason":
			reason = a.GetValue().GetStringValue()
		}
	}
	if reason != "OUT_OF_SCOPE" {
		t.Errorf("the reason is %q", reason)
	}
	for _, personal := range []string{"user:ann", "desk", "team:b"} {
		if strings.Contains(span.String(), personal) {
			t.Errorf("%q is in the span: %v", personal, span)
		}
	}
}

func TestAllCallsAreTracedIfAskedFor(t *testing.T) {
	t.Parallel()
	collector, address := startCollector(t)
	h, shutdown := tracedHarness(t, server.TracingConfig{Endpoint: address, Sample: 1, Version: "v1.2.3"})
	h.askMuch(t)
	h.server.GRPC().GracefulStop()
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := collector.spans(t)
	if len(spans["usher.v1.DecisionService/Check"]) != 2 || len(spans["usher.v1.DecisionService/BatchCheck"]) != 1 || len(spans["usher.v1.OperatorService/CreateTenant"]) != 1 {
		t.Errorf("not all calls are there: %v", spans)
	}
}

// TestCollectorOfTracesThatIsNotThere: calls don't notice, and the log says it once.
func TestCollectorOfTracesThatIsNotThere(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200") // milliseconds for which it is tried again
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	var logged bytes.Buffer
	h, shutdown := tracedHarness(t, server.TracingConfig{
		Endpoint: listener.Addr().String(), Sample: 1, Version: "v1.2.3", Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	h.askMuch(t)
	h.server.GRPC().GracefulStop()
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(logged.String(), "\n"); lines != 1 || !strings.Contains(logged.String(), "takes no spans") {
		t.Errorf("it should be logged once: %s", &logged)
	}
}

func TestTracingRefusesSamplesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, sample := range []float64{-1, 2, math.NaN()} {
		if _, _, err := server.NewTracing(t.Context(), server.TracingConfig{Endpoint: "127.0.0.1:4317", Sample: sample}); err == nil || !strings.Contains(err.Error(), "from 0 to 1") {
			t.Errorf("%v: %v", sample, err)
		}
	}
}
