package main

import (
	"strings"
	"testing"
	"time"
)

// rounds returns samples of so many calls in a second each.
func rounds(calls ...int64) (samples []sample) {
	for _, n := range calls {
		samples = append(samples, sample{tally: tally{calls: n, elapsed: time.Second, latency: newHistogram()}})
	}
	return samples
}

func TestGoals(t *testing.T) {
	of := map[string][]sample{"one": rounds(100, 100, 50), "many": rounds(700, 500, 300)}
	for _, test := range []struct {
		goal
		want spread
		met  bool
	}{
		{goal{metric: rate, pair: pair{"many", "one"}, limit: 6, atLeast: true}, spread{6, 5, 7}, true},
		{goal{metric: rate, pair: pair{"many", "one"}, limit: 6.5, atLeast: true}, spread{6, 5, 7}, false},
		{goal{metric: rate, pair: pair{"one", "many"}, limit: 0.2}, spread{1. / 6, 1. / 7, 0.2}, true},
		{goal{metric: rate, pair: pair{side: "one"}, limit: 99}, spread{100, 50, 100}, false},
		{goal{metric: rate, pair: pair{"many", "one"}, minus: true, limit: 400}, spread{400, 250, 600}, true},
	} {
		if got := test.evaluate(of); got.Value != test.want || got.Met != test.met {
			t.Errorf("%s: %v, met: %v; want %v, %v", got.What, got.Value, got.Met, test.want, test.met)
		}
	}
}

// TestReport evaluates a contest without a server, and prints it.
func TestReport(t *testing.T) {
	c := contest{
		name: "write/x", about: "grants", rounds: 3,
		compare: []pair{{"many", "one"}},
		goals:   []goal{{metric: rate, pair: pair{"many", "one"}, limit: 6, atLeast: true}},
	}
	r, err := c.evaluate([]side{{name: "one"}, {name: "many"}}, [][]sample{rounds(100, 100, 50), rounds(700, 500, 300)})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r.write(&out)
	writeGoals(&out, []*result{r})
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	const want = `
write/x: grants
medians of 3 rounds in 0 s; other processes took 0 % of the CPUs

calls/s p50 µs p99 µs p99.9 µs CPU µs/call CPU µs/decision allocs/call RSS MiB anon file
one 100 0 0 0 – – – – – –
many 500 0 0 0 – – – – – –

calls/s p50 p99 p99.9 CPU/call allocs/call
many ÷ one 6.00 (5.00–7.00) – – – – –

many ÷ one, calls/s 6.00 (5.00–7.00) goal ≥ 6 met

goals

write/x: many ÷ one, calls/s 6.00 (5.00–7.00) goal ≥ 6 met`
	if got := strings.Join(got, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
