package server

import (
	"net/http"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// metrics counts what the server does.
type metrics struct {
	registry *prometheus.Registry
	grpc     *grpcprom.ServerMetrics
	// decisions are the counters of usher_decisions_total by reason code.
	decisions [reasonCodes]prometheus.Counter
}

// reasonCodes is one more than the highest reason code.
const reasonCodes = int(policy.NoRole) + 1

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		grpc:     grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram()),
	}
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_decisions_total",
		Help: "Decisions made, by effect (allow, deny) and reason code.",
	}, []string{"effect", "reason"})
	for code := policy.Granted; code <= policy.NoRole; code++ {
		effect := "deny"
		if code == policy.Granted {
			effect = "allow"
		}
		name := usherv1.ReasonCode_name[int32(code)][len("REASON_CODE_"):]
		m.decisions[code] = decisions.WithLabelValues(effect, name)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "usher_build_info",
		Help:        "1; the version is in the label.",
		ConstLabels: prometheus.Labels{"version": s.version},
	})
	build.Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.grpc, decisions, build,
		cacheCollector{s.cache},
	)
	return m
}

// count is the interceptor that counts calls.
func (m *metrics) count() grpc.UnaryServerInterceptor { return m.grpc.UnaryServerInterceptor() }

// cacheCollector reads the cache's counters when Prometheus asks.
type cacheCollector struct{ cache *Cache }

var (
	cacheHits = prometheus.NewDesc("usher_cache_hits_total",
		"Look-ups that the cache answered.", []string{"cache"}, nil)
	cacheMisses = prometheus.NewDesc("usher_cache_misses_total",
		"Look-ups that were read from the store.", []string{"cache"}, nil)
	cacheEvictions = prometheus.NewDesc("usher_cache_evictions_total",
		"Entries that had to leave because the cache was full.", []string{"cache"}, nil)
	cacheInvalidations = prometheus.NewDesc("usher_cache_invalidations_total",
		"Keys whose entry a write made unusable.", []string{"cache"}, nil)
	cacheBytes = prometheus.NewDesc("usher_cache_bytes",
		"About how much memory the entries take.", []string{"cache"}, nil)
	cacheLimit = prometheus.NewDesc("usher_cache_limit_bytes",
		"How much memory the entries may take.", []string{"cache"}, nil)
)

// Describe implements prometheus.Collector.
func (c cacheCollector) Describe(out chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, out)
}

// Collect implements prometheus.Collector.
func (c cacheCollector) Collect(out chan<- prometheus.Metric) {
	collectGuarded(out, "tenants", c.cache.tenants)
	collectGuarded(out, "subjects", c.cache.subjects)
}

func collectGuarded[K comparable, V any](out chan<- prometheus.Metric, name string, g *guarded[K, V]) {
	for _, m := range []struct {
		desc  *prometheus.Desc
		kind  prometheus.ValueType
		value uint64
	}{
		{cacheHits, prometheus.CounterValue, g.hits.Load()},
		{cacheMisses, prometheus.CounterValue, g.misses.Load()},
		{cacheEvictions, prometheus.CounterValue, g.recorder.Snapshot().Evictions},
		{cacheInvalidations, prometheus.CounterValue, g.drops.Load()},
		{cacheBytes, prometheus.GaugeValue, g.entries.WeightedSize()},
		{cacheLimit, prometheus.GaugeValue, g.entries.GetMaximum()},
	} {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value), name)
	}
}

// HTTP returns the handler of /metrics, /healthz (the process lives) and /readyz (it
// takes calls and can read its store).
func (s *Server) HTTP() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		readable := s.store.View(r.Context(), func(store.Reader) error { return nil })
		switch {
		case s.draining.Load():
			answer(w, http.StatusServiceUnavailable, "draining: the server is stopping\n")
		case readable != nil:
			answer(w, http.StatusServiceUnavailable, "the store can't be read: see the server's log\n")
			s.logger.ErrorContext(r.Context(), "not ready", "error", readable)
		default:
			answer(w, http.StatusOK, "ready\n")
		}
	})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	// A client that went away does not need the answer.
	_, _ = w.Write([]byte(text))
}
