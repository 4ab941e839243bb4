package main

import (
	"fmt"
	"time"

	"github.com/usher-pdp/usher/store/storetest/installation"
)

// The sides of experiments that set Usher against echoes.
const (
	ofUsher   = "usher"
	ofDefault = "default echo"
	ofTuned   = "tuned echo"
)

// small and medium are how many assignments the stores have that Usher is measured on.
const (
	small  = 10_000
	medium = 1_000_000
)

// cold is more checks of a cold subject than an experiment asks.
const cold = 600_000

// question is something that is asked of Usher and of both echoes.
type question struct {
	name        string
	about       string
	assignments int
	rounds      int
	load        func(*installation.Installation) *load
	goals       []goal
}

// questions are asked over TCP and over a unix socket each.
var questions = []question{
	{
		"check/warm", "Check of 10,000 questions that come again", small, 9,
		func(in *installation.Installation) *load { return checks(in, 10_000) },
		[]goal{
			{metric: cpuPerCall, pair: pair{ofUsher, ofDefault}, limit: 0.90},
			{metric: cpuPerCall, pair: pair{ofUsher, ofTuned}, limit: 1.10},
		},
	},
	{
		"check/cold", "Check of a subject for the first time; 1,000,000 assignments, in the page cache", medium, 5,
		func(in *installation.Installation) *load { return coldChecks(in, cold) },
		nil,
	},
	{
		"batch/10", "BatchCheck of 2 tickets × 5 actions", small, 5,
		func(in *installation.Installation) *load { return pages(in, 2000, 2, 5) },
		nil,
	},
	{
		"batch/100", "BatchCheck of 20 tickets × 5 actions", small, 7,
		func(in *installation.Installation) *load { return pages(in, 1000, 20, 5) },
		[]goal{{metric: cpuPerDecision, pair: pair{side: ofUsher}, limit: 1.5}},
	},
	{
		"batch/1000", "BatchCheck of 200 tickets × 5 actions", small, 5,
		func(in *installation.Installation) *load { return pages(in, 200, 200, 5) },
		[]goal{{metric: cpuPerDecision, pair: pair{side: ofUsher}, limit: 0.6}},
	},
}

// transports are those over which each question is asked.
var transports = []string{"tcp", "unix"}

// echoExperiments are those that set Usher against echoes.
func echoExperiments() (all []experiment) {
	for _, q := range questions {
		for _, transport := range transports {
			all = append(all, q.atFullLoad(transport).experiment())
		}
	}
	for _, transport := range transports {
		half := questions[0].atPartOfLoad(transport, "half", 2)
		half.goals = append(half.goals, goal{metric: p99, pair: pair{ofUsher, ofTuned}, limit: 1.15})
		all = append(all, half.experiment(), questions[0].atPartOfLoad(transport, "quarter", 4).experiment())
	}
	return all
}

// atFullLoad has as much asked as is answered.
func (q question) atFullLoad(transport string) contest {
	return contest{
		name:    q.name + "/" + transport,
		about:   fmt.Sprintf("%s; %d callers", q.about, busy),
		rounds:  q.rounds,
		window:  time.Second,
		compare: []pair{{ofUsher, ofDefault}, {ofUsher, ofTuned}},
		goals:   q.goals,
		open:    func(st *stage) ([]side, error) { return q.besideEchoes(st, transport) },
	}
}

// atPartOfLoad asks at a fixed rate: a part of what the tuned echo answers at full load. The
// client has the same CPUs, and calls that come one by one take more of them than calls
// that have to wait for each other: on two of them, half of the load is not far from all.
func (q question) atPartOfLoad(transport, part string, divisor float64) contest {
	return contest{
		name:    q.name + "/" + transport + "/" + part + "-load",
		about:   fmt.Sprintf("%s; at a fixed rate, a %s of the tuned echo's at full load", q.about, part),
		rounds:  11,
		window:  time.Second,
		compare: []pair{{ofUsher, ofDefault}, {ofUsher, ofTuned}},
		goals:   q.goals,
		open: func(st *stage) ([]side, error) {
			sides, err := q.besideEchoes(st, transport)
			if err != nil {
				return nil, err
			}
			perSecond, err := fullRate(st, sides[2])
			if err != nil {
				return nil, err
			}
			for i := range sides {
				sides[i].run = sides[i].client.atRate(perSecond / divisor)
			}
			return sides, nil
		},
	}
}

// besideEchoes starts Usher and both echoes. Usher is in the middle, because it is compared
// with the one before it and the one after it.
func (q question) besideEchoes(st *stage, transport string) ([]side, error) {
	usher, err := st.startReading(q.assignments)
	if err != nil {
		return nil, err
	}
	// Not the questions themselves: what has been asked is not cold any more.
	like := checks(st.files.installation(q.assignments), 501)
	plain, err := st.startEcho("default", usher, like)
	if err != nil {
		return nil, err
	}
	tuned, err := st.startEcho("tuned", usher, like)
	if err != nil {
		return nil, err
	}
	return st.askAll(q, transport, []side{
		{name: ofDefault, server: plain, echo: true},
		{name: ofUsher, server: usher},
		{name: ofTuned, server: tuned, echo: true},
	})
}

// askAll has sides asked as much of a question as they answer.
func (st *stage) askAll(q question, transport string, sides []side) ([]side, error) {
	l := q.load(st.files.installation(q.assignments))
	again := *l
	again.once = false // nothing is cold for an echo, which may also be too fast
	for i := range sides {
		s, l := &sides[i], l
		if s.echo {
			l = &again
		}
		c, err := st.client(s.server, transport, l)
		if err != nil {
			return nil, err
		}
		s.client, s.run, s.decisions = c, c.keepBusy(busy), l.decisions
	}
	return sides, nil
}

// fullRate measures how many calls a second a side answers at full load.
func fullRate(st *stage, s side) (float64, error) {
	s.name = "full load, to know the rate"
	samples, err := inTurn(st.ctx, 3, time.Second, []side{s}, st.say)
	if err != nil {
		return 0, err
	}
	return spreadOf(values(rate, samples[0])).Median, nil
}
