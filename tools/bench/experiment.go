package main

import (
	"math"
	"time"
)

// experiment is a table of the output.
type experiment struct {
	name string // by which -only selects it
	run  func(*stage) (*result, error)
}

// contest is an experiment with several sides that are measured in turn.
type contest struct {
	name   string
	about  string
	rounds int
	window time.Duration
	// open starts what is measured.
	open func(*stage) ([]side, error)
	// compare are the sides whose ratios are of interest.
	compare []pair
	goals   []goal
}

// pair is a side, and the one that it is set against.
type pair struct{ side, base string }

// goal is what a figure of a side should come to, or its ratio to that of another side.
type goal struct {
	metric  metric
	pair         // base "": the figure itself is meant
	minus   bool // the difference is meant, and not the ratio
	limit   float64
	atLeast bool // else at most
}

// result is what an experiment has come to.
type result struct {
	Name        string       `json:"name"`
	About       string       `json:"about"`
	Rounds      int          `json:"rounds,omitempty"`
	Sides       []sideResult `json:"sides,omitempty"`
	Comparisons []comparison `json:"comparisons,omitempty"`
	Goals       []goalResult `json:"goals,omitempty"`
	Others      float64      `json:"others"`  // the share of the machine's CPUs that other processes took
	Seconds     float64      `json:"seconds"` // all in all
}

type sideResult struct {
	Side    string            `json:"side"`
	Figures map[string]spread `json:"figures"`
	Memory  *memory           `json:"memory,omitempty"`
}

type comparison struct {
	Side   string            `json:"side"`
	Base   string            `json:"base"`
	Ratios map[string]spread `json:"ratios"`
}

type goalResult struct {
	What    string  `json:"what"`
	Value   spread  `json:"value"`
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least,omitempty"`
	Met     bool    `json:"met"`
}

func (c contest) experiment() experiment { return experiment{c.name, c.run} }

func (c contest) run(st *stage) (*result, error) {
	sides, err := c.open(st)
	if err != nil {
		return nil, err
	}
	samples, err := inTurn(st.ctx, c.rounds, c.window, sides, st.say)
	if err != nil {
		return nil, err
	}
	return c.evaluate(sides, samples)
}

func (c contest) evaluate(sides []side, samples [][]sample) (*result, error) {
	r := &result{Name: c.name, About: c.about, Rounds: c.rounds}
	of := make(map[string][]sample)
	var others []float64
	for i, s := range sides {
		of[s.name] = samples[i]
		others = append(others, values(othersShare, samples[i])...)
		evaluated := sideResult{Side: s.name, Figures: figures(metrics, func(m metric) spread { return spreadOf(values(m, samples[i])) })}
		if s.server != nil {
			resident, err := memoryOf(s.server.pid())
			if err != nil {
				return nil, err
			}
			evaluated.Memory = &resident
		}
		r.Sides = append(r.Sides, evaluated)
	}
	r.Others = spreadOf(others).Median
	for _, p := range c.compare {
		r.Comparisons = append(r.Comparisons, comparison{
			Side: p.side, Base: p.base,
			Ratios: figures(compared, func(m metric) spread { return ratio(values(m, of[p.side]), values(m, of[p.base])) }),
		})
	}
	for _, g := range c.goals {
		r.Goals = append(r.Goals, g.evaluate(of))
	}
	return r, nil
}

// figures returns what was measured, by the names of the metrics.
func figures(metrics []metric, of func(metric) spread) map[string]spread {
	known := make(map[string]spread)
	for _, m := range metrics {
		if all := of(m); !math.IsNaN(all.Median) {
			known[m.name] = all
		}
	}
	return known
}

func (g *goal) evaluate(of map[string][]sample) goalResult {
	what, all := g.side, values(g.metric, of[g.side])
	value := spreadOf(all)
	switch base := values(g.metric, of[g.base]); {
	case g.base == "":
	case g.minus:
		what, value = g.side+" − "+g.base, difference(all, base)
	default:
		what, value = g.side+" ÷ "+g.base, ratio(all, base)
	}
	return reached(what+", "+g.metric.name, value, g.limit, g.atLeast)
}

// reached says whether a goal has been.
func reached(what string, value spread, limit float64, atLeast bool) goalResult {
	met := value.Median <= limit
	if atLeast {
		met = value.Median >= limit
	}
	return goalResult{What: what, Value: value, Limit: limit, AtLeast: atLeast, Met: met}
}

func values(m metric, samples []sample) []float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = m.of(s)
	}
	return all
}
