package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/stats"

	"github.com/usher-pdp/usher/server/policy"
)

// TracingConfig says which calls are traced, and where the spans are sent.
type TracingConfig struct {
	// Endpoint is the collector, which speaks OTLP over gRPC: HOST:PORT, in plain text, or
	// https://HOST:PORT, with the authorities that the operating system trusts.
	Endpoint string
	// Sample is the share of the calls that are traced, from 0 to 1, among those whose caller
	// does not say. What a caller traces is traced here, and what it doesn't, is not.
	Sample float64
	// Version is the version of Usher.
	Version string
	// Logger is told when spans begin to get lost, and when they go through again. Nil: nobody is.
	Logger *slog.Logger
}

// NewTracing returns what a Config's Tracing is, and a function that sends the spans which still
// wait, to be called after the server has stopped. The collector need not be there: spans that it
// does not take are lost, and the calls don't notice.
func NewTracing(ctx context.Context, config TracingConfig) (handler stats.Handler, shutdown func(context.Context) error, err error) {
	if !(config.Sample >= 0 && config.Sample <= 1) {
		return nil, nil, fmt.Errorf("the sample of the traces is %v: name the share of the calls to trace, from 0 to 1", config.Sample)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	collector := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(config.Endpoint), otlptracegrpc.WithInsecure()}
	if strings.HasPrefix(config.Endpoint, "https://") {
		collector = []otlptracegrpc.Option{otlptracegrpc.WithEndpointURL(config.Endpoint)}
	}
	exporter, err := otlptracegrpc.New(ctx, collector...)
	if err != nil {
		return nil, nil, fmt.Errorf("can't make the exporter of traces to %s: %w", config.Endpoint, err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "usher"), attribute.String("service.version", config.Version)),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("the resource of traces: %w; correct OTEL_RESOURCE_ATTRIBUTES", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&faultLogger{SpanExporter: exporter, endpoint: config.Endpoint, logger: config.Logger}),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(config.Sample))),
		sdktrace.WithResource(about),
	)
	handler = otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(provider),
		otelgrpc.WithMeterProvider(noop.NewMeterProvider()), // Prometheus counts
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(filters.Not(filters.HealthCheck())),
	)
	return handler, provider.Shutdown, nil
}

// faultLogger says once that spans get lost, and not with every batch.
type faultLogger struct {
	sdktrace.SpanExporter
	endpoint string
	logger   *slog.Logger
	failing  atomic.Bool
}

// ExportSpans sends spans. That it failed is logged, and nobody else need know.
func (f *faultLogger) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := f.SpanExporter.ExportSpans(ctx, spans)
	switch failed := err != nil; {
	case failed && f.failing.CompareAndSwap(false, true):
		f.logger.Warn("the collector of traces takes no spans: they are lost until it does", "endpoint", f.endpoint, "error", err)
	case !failed && f.failing.CompareAndSwap(true, false):
		f.logger.Info("the collector of traces takes spans again", "endpoint", f.endpoint)
	}
	return nil
}

// traceDecision adds a decision to the span of the call, if it has one.
func traceDecision(ctx context.Context, d *policy.Decision) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.Bool("usher.allowed", d.Allow), attribute.String("usher.reason", reasonName(d.Reason.Code)))
}
