package main

import "testing"

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{9, 1, 5}, spread{5, 1, 9}},
		{[]float64{4, 1, 2, 100}, spread{3, 1, 100}},
	} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("of %v: %v, want %v", test.values, got, test.want)
		}
	}
}

// TestRatioIsOfPairs has a machine that is four times slower in one of three rounds.
func TestRatioIsOfPairs(t *testing.T) {
	usher, echo := []float64{12, 48, 12}, []float64{10, 40, 12}
	if got, want := ratio(usher, echo), (spread{1.2, 1, 1.2}); got != want {
		t.Errorf("the ratio is %v, want %v", got, want)
	}
	if got, want := difference(usher, echo), (spread{2, 0, 8}); got != want {
		t.Errorf("the difference is %v, want %v", got, want)
	}
}
