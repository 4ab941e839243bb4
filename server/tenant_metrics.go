package server

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// maxTenantSeries is how many tenants have decisions of their own in the metrics. Those of further ones
// are counted together, for the tenant "", which no tenant is called.
const maxTenantSeries = 10_000

// tenantMetrics counts decisions by tenant.
type tenantMetrics struct {
	store    store.Store
	mu       sync.Mutex
	counters map[store.TenantID]*tenantDecisions
	others   tenantDecisions // of tenants for which there was no room
}

// tenantDecisions are the decisions of one tenant.
type tenantDecisions struct {
	name        string
	allow, deny atomic.Uint64
}

// add counts decisions with that reason.
func (d *tenantDecisions) add(code policy.Code, count int) {
	if code == policy.Granted {
		d.allow.Add(uint64(count)) // #nosec G115 -- a count
	} else {
		d.deny.Add(uint64(count)) // #nosec G115 -- a count
	}
}

// of returns the counters of a tenant. They are looked up when the tenant is read, not with every
// check.
func (m *tenantMetrics) of(t store.Tenant) *tenantDecisions {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, found := m.counters[t.ID]
	switch {
	case !found && len(m.counters) == maxTenantSeries:
		return &m.others
	case !found:
		d = &tenantDecisions{name: t.Name}
		m.counters[t.ID] = d
	}
	return d
}

// forgetDeleted forgets the tenants that have been deleted.
func (m *tenantMetrics) forgetDeleted() {
	m.mu.Lock()
	counted := maps.Clone(m.counters)
	m.mu.Unlock()
	var gone []store.TenantID
	err := m.store.View(context.Background(), func(r store.Reader) error {
		for id, d := range counted {
			switch t, err := r.Tenant(d.name); {
			case errors.Is(err, store.ErrNotFound), err == nil && t.ID != id:
				gone = append(gone, id)
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil {
		return // they stay until the store can be read
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range gone {
		delete(m.counters, id)
	}
}

var tenantDecisionsCounted = prometheus.NewDesc("usher_tenant_decisions_total",
	`Decisions made, by tenant and effect (allow, deny). The tenant "" stands for all for which there was no room.`, []string{"tenant", "effect"}, nil)

// Describe implements prometheus.Collector.
func (m *tenantMetrics) Describe(out chan<- *prometheus.Desc) { out <- tenantDecisionsCounted }

// Collect implements prometheus.Collector.
func (m *tenantMetrics) Collect(out chan<- prometheus.Metric) {
	m.forgetDeleted()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.counters {
		d.collect(out)
	}
	m.others.collect(out)
}

func (d *tenantDecisions) collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(tenantDecisionsCounted, prometheus.CounterValue, float64(d.allow.Load()), d.name, "allow")
	out <- prometheus.MustNewConstMetric(tenantDecisionsCounted, prometheus.CounterValue, float64(d.deny.Load()), d.name, "deny")
}
