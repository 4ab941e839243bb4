package store_test

import (
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

// The instants of the test: boundaries lie at whole seconds, and instants between them
// and beyond them are looked at, too.
const lastBoundary = 4

func second(n float64) time.Time {
	return time.Unix(1_000_000, 0).Add(time.Duration(n * float64(time.Second)))
}

func intervals() []store.Interval {
	var all []store.Interval
	for start := 0; start <= lastBoundary; start++ {
		for end := 0; end <= lastBoundary; end++ {
			var i store.Interval
			if start > 0 {
				i.Start = second(float64(start))
			}
			if end > 0 {
				i.End = second(float64(end))
			}
			if start == 0 || end == 0 || start < end {
				all = append(all, i)
			}
		}
	}
	return all
}

// within is the definition: from the start on, until just before the end.
func within(i store.Interval, t time.Time) bool {
	started := i.Start.IsZero() || !t.Before(i.Start)
	ended := !i.End.IsZero() && !t.Before(i.End)
	return started && !ended
}

// TestInterval compares what intervals answer with a look at every instant.
func TestInterval(t *testing.T) {
	var instants []time.Time
	for n := 0.5; n <= lastBoundary+0.5; n += 0.5 {
		instants = append(instants, second(n))
	}
	for _, i := range intervals() {
		for _, at := range instants {
			if got, want := i.Contains(at), within(i, at); got != want {
				t.Errorf("%v contains %v: %v, want %v", i, at, got, want)
			}
			if got, want := i.Ended(at), !i.End.IsZero() && !at.Before(i.End); got != want {
				t.Errorf("%v has ended at %v: %v, want %v", i, at, got, want)
			}
		}
		for _, j := range intervals() {
			overlaps := false
			for _, at := range instants {
				overlaps = overlaps || within(i, at) && within(j, at)
			}
			if got := i.Overlaps(j); got != overlaps {
				t.Errorf("%v overlaps %v: %v, want %v", i, j, got, overlaps)
			}
			for _, now := range instants {
				covers := true
				for _, at := range instants {
					covers = covers && (at.Before(now) || !within(j, at) || within(i, at))
				}
				if got := i.CoversFrom(now, j); got != covers {
					t.Errorf("%v covers %v from %v on: %v, want %v", i, j, now, got, covers)
				}
			}
		}
	}
}

// FuzzParseRevision checks that what parses is what String writes.
func FuzzParseRevision(f *testing.F) {
	for _, s := range []string{"", ".", "a.1", "a.01", "a.-1", "a.b.1", ".1", "6a945e09064c63f0.18446744073709551615", "a.18446744073709551616"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := store.ParseRevision(s)
		if err == nil && (r.String() != s || r.Epoch == "") {
			t.Errorf("%q became %+v", s, r)
		}
	})
}
