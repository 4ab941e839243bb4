package access

import "github.com/prometheus/client_golang/prometheus"

var authenticationFailures = prometheus.NewDesc("usher_authentication_failures_total",
	"Calls whose caller is not known, by what is wrong with their credentials.", []string{"reason"}, nil)

// Describe is for Prometheus: who was not let in, and how it is with the files.
func (g *Guard) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- authenticationFailures
	g.policy.Describe(descriptions)
	if g.tokens != nil {
		g.tokens.Describe(descriptions)
	}
}

// Collect is for Prometheus.
func (g *Guard) Collect(metrics chan<- prometheus.Metric) {
	for why := range failureReasons {
		metrics <- prometheus.MustNewConstMetric(authenticationFailures, prometheus.CounterValue, float64(g.failures[why].Load()), why.String())
	}
	g.policy.Collect(metrics)
	if g.tokens != nil {
		g.tokens.Collect(metrics)
	}
}
