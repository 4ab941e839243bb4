package main

import "slices"

// spread is what several measurements of the same come to.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of at least one value.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// ratio returns the spread of the ratios of each value to its partner. The ratio of the
// medians would be another one: it compares what was measured at different times.
func ratio(values, partners []float64) spread {
	return pairwise(values, partners, func(a, b float64) float64 { return a / b })
}

// difference returns the spread of the differences of each value to its partner.
func difference(values, partners []float64) spread {
	return pairwise(values, partners, func(a, b float64) float64 { return a - b })
}

func pairwise(values, partners []float64, compare func(a, b float64) float64) spread {
	compared := make([]float64, len(values))
	for i := range values {
		compared[i] = compare(values[i], partners[i])
	}
	return spreadOf(compared)
}
