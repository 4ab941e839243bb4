package main

import (
	"context"
	"slices"
	"testing"
	"time"
)

// TestInTurn sees which side runs when, warm-ups left out.
func TestInTurn(t *testing.T) {
	var order []string
	sides := make([]side, 3)
	for i, name := range []string{"a", "b", "c"} {
		sides[i] = side{name: name, run: func(_ context.Context, d time.Duration) (tally, error) {
			if d != warmUp {
				order = append(order, name)
			}
			return tally{calls: int64(i + 1), elapsed: time.Second, latency: newHistogram()}, nil
		}}
	}
	samples, err := inTurn(context.Background(), 2, time.Second, sides, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c", "c", "b", "a", "a", "b", "c"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
	for i, of := range samples {
		if len(of) != 2 || of[0].calls != int64(i+1) {
			t.Errorf("the samples of side %d are %v", i, of)
		}
	}
}
