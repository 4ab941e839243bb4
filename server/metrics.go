package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// metrics counts what the server does.
type metrics struct {
	registry *prometheus.Registry
	// Calls by service and method: those that have begun, those that have ended by status
	// code, and how long they took.
	started, handled *prometheus.CounterVec
	took             *prometheus.HistogramVec
	// decisions are the counters of usher_decisions_total by reason code.
	decisions [reasonCodes]prometheus.Counter
	// tenants are the counters of usher_tenant_decisions_total; nil: nobody wants them.
	tenants *tenantMetrics
	// clockForward and clockBack count the steps of the clock, clockStepped adds them up.
	clockForward, clockBack, clockStepped prometheus.Counter
	// maintained is when the last maintenance ended well.
	maintained prometheus.Gauge
	// lastBackup is when the last backup was sent to its end, lastBackupBytes how long it was.
	lastBackup, lastBackupBytes prometheus.Gauge
}

// reasonCodes is one more than the highest reason code.
const reasonCodes = int(policy.NoRole) + 1

func newMetrics(s *Server, config *Config) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		started: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grpc_server_started_total",
			Help: "Calls that have begun.",
		}, callLabels),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grpc_server_handled_total",
			Help: "Calls that have ended, by status code.",
		}, append(callLabels, "grpc_code")),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "grpc_server_handling_seconds",
			Help:    "How long calls took from their decoded request to their response, which is not all that the caller waits for.",
			Buckets: []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 5},
		}, callLabels),
		clockStepped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "usher_clock_step_seconds_total",
			Help: "By how much the clock has stepped, forward and back added up.",
		}),
		maintained: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "usher_maintenance_last_success_timestamp_seconds",
			Help: "When the last maintenance ended well, in seconds since 1970; 0: none has since the start.",
		}),
		lastBackup: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "usher_last_backup_timestamp_seconds",
			Help: "When the last backup was sent to its end, in seconds since 1970; 0: none was since the start.",
		}),
		lastBackupBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "usher_last_backup_bytes",
			Help: "How long the last backup was; 0: there was none since the start.",
		}),
	}
	steps := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_clock_steps_total",
		Help: "How often the clock was found to have been set by half a second or more, by direction (forward, back).",
	}, []string{"direction"})
	m.clockForward, m.clockBack = steps.WithLabelValues("forward"), steps.WithLabelValues("back")
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "usher_decisions_total",
		Help: "Decisions made, by effect (allow, deny) and reason code.",
	}, []string{"effect", "reason"})
	for code := policy.Granted; code <= policy.NoRole; code++ {
		effect := "deny"
		if code == policy.Granted {
			effect = "allow"
		}
		m.decisions[code] = decisions.WithLabelValues(effect, reasonName(code))
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
		m.started, m.handled, m.took, decisions, build,
		cacheCollector{s.cache}, s.overload, s.connections,
		steps, m.clockStepped, m.maintained, m.lastBackup, m.lastBackupBytes,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "usher_watchers",
			Help: "Calls of WatchChanges that wait for changes.",
		}, func() float64 { return float64(s.cache.watchers.waitingNow()) }),
	)
	if config.TenantMetrics {
		m.tenants = &tenantMetrics{store: s.store, counters: map[store.TenantID]*tenantDecisions{}}
		m.registry.MustRegister(m.tenants)
	}
	if config.DecisionLog != nil {
		m.registry.MustRegister(config.DecisionLog)
	}
	m.registry.MustRegister(config.Collectors...)
	return m
}

// decided counts decisions of a tenant that have the same reason.
func (m *metrics) decided(t *tenant, code policy.Code, count int) {
	m.decisions[code].Add(float64(count))
	if t.decisions != nil {
		t.decisions.add(code, count)
	}
}

// timestamp is how metrics write a time: in seconds since 1970.
func timestamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }

// callLabels are the labels of what is counted by method. Names and labels are those of
// go-grpc-middleware, which dashboards know.
var callLabels = []string{"grpc_type", "grpc_service", "grpc_method"}

// count is the interceptor that counts the calls of a method. It finds its counters once
// and not with every call, which is most of what counting costs.
func (m *metrics) count(kind, service, method string) grpc.UnaryServerInterceptor {
	labels := []string{kind, service, method}
	started, took := m.started.WithLabelValues(labels...), m.took.WithLabelValues(labels...)
	var handled [codes.Unauthenticated + 1]prometheus.Counter
	for code := range handled {
		handled[code] = m.handled.WithLabelValues(append(labels, codes.Code(code).String())...)
	}
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		begun := time.Now()
		started.Inc()
		response, err := handler(ctx, request)
		handled[status.Code(err)].Inc()
		took.Observe(time.Since(begun).Seconds())
		return response, err
	}
}

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
		{cacheEvictions, prometheus.CounterValue, g.evictions.n.Load()},
		{cacheInvalidations, prometheus.CounterValue, g.drops.Load()},
		{cacheBytes, prometheus.GaugeValue, g.entries.WeightedSize()},
		{cacheLimit, prometheus.GaugeValue, g.entries.GetMaximum()},
	} {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.value), name)
	}
}
