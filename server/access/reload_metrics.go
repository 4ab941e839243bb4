package access

import "github.com/prometheus/client_golang/prometheus"

// measured is what has metrics of its own among the contents of files.
type measured interface {
	describe(descriptions chan<- *prometheus.Desc)
	collect(metrics chan<- prometheus.Metric)
}

// Describe is for Prometheus: how often the files have been read anew, whether what they say now is
// refused, and what their content has to tell.
func (r *Reloaded[T]) Describe(descriptions chan<- *prometheus.Desc) {
	reloads, refused := r.descriptions()
	descriptions <- reloads
	descriptions <- refused
	if content, ok := any(*new(T)).(measured); ok {
		content.describe(descriptions)
	}
}

// Collect is for Prometheus.
func (r *Reloaded[T]) Collect(metrics chan<- prometheus.Metric) {
	reloads, refused := r.descriptions()
	isRefused := 0.0
	if r.refused() {
		isRefused = 1
	}
	metrics <- prometheus.MustNewConstMetric(reloads, prometheus.CounterValue, float64(r.reloads.Load()))
	metrics <- prometheus.MustNewConstMetric(refused, prometheus.GaugeValue, isRefused)
	if content, ok := any(*r.Current()).(measured); ok {
		content.collect(metrics)
	}
}

func (r *Reloaded[T]) descriptions() (reloads, refused *prometheus.Desc) {
	file := prometheus.Labels{"file": r.name}
	return prometheus.NewDesc("usher_reloads_total", "How often a new content of the files has been taken since the start.", nil, file),
		prometheus.NewDesc("usher_reload_refused", "1 while the newest content of the files is refused, and an older one used.", nil, file)
}
