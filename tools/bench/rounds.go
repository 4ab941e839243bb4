package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"
)

// side is one of the things that are measured in turn.
type side struct {
	name      string
	server    *process // nil: none
	client    *client  // likewise
	echo      bool     // whether the server is one
	decisions int      // per call
	run       run
}

// run calls for so long.
type run func(ctx context.Context, d time.Duration) (tally, error)

// warmUp is how long a side runs before it is measured.
const warmUp = 300 * time.Millisecond

// inTurn measures the sides one after the other, so many rounds, every other round
// backwards: what changes steadily meanwhile changes nothing in the ratio of two sides.
// A round before the first is not counted. The samples are by side and round.
func inTurn(ctx context.Context, rounds int, window time.Duration, sides []side, progress func(string)) ([][]sample, error) {
	samples := make([][]sample, len(sides))
	for round := range rounds + 1 {
		for i := range sides {
			if round%2 == 1 {
				i = len(sides) - 1 - i
			}
			progress(fmt.Sprintf("round %d of %d (0 is not counted): %s", round, rounds, sides[i].name))
			s, err := sides[i].measure(ctx, window)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", sides[i].name, err)
			}
			if round > 0 {
				samples[i] = append(samples[i], s)
			}
		}
	}
	return samples, nil
}

// measure measures a side once.
func (s *side) measure(ctx context.Context, window time.Duration) (sample, error) {
	if _, err := s.run(ctx, warmUp); err != nil {
		return sample{}, err
	}
	runtime.GC() // ours, so that it is not due while we measure
	mallocs, err := s.mallocs()
	if err != nil {
		return sample{}, err
	}
	before, err := s.clocks()
	if err != nil {
		return sample{}, err
	}
	t, err := s.run(ctx, window)
	if err != nil {
		return sample{}, err
	}
	after, err := s.clocks()
	if err != nil {
		return sample{}, err
	}
	mallocsAfter, err := s.mallocs()
	cpu := after.server - before.server
	return sample{
		tally:     t,
		decisions: s.decisions,
		cpu:       cpu,
		mallocs:   mallocsAfter - mallocs,
		others:    max(0, after.machine-before.machine-cpu-(after.own-before.own)),
	}, err
}

// clocks are CPU times: of the whole machine, of this process and of the server.
type clocks struct{ machine, own, server time.Duration }

func (s *side) clocks() (c clocks, err error) {
	if c.machine, err = machineTime(); err != nil {
		return c, err
	}
	if c.own, err = cpuTime(os.Getpid()); err != nil || s.server == nil {
		return c, err
	}
	c.server, err = cpuTime(s.server.pid())
	return c, err
}

// mallocs returns how many allocations the server has made. To ask takes some hundreds.
func (s *side) mallocs() (float64, error) {
	if s.server == nil {
		return 0, nil
	}
	page, err := s.server.scrape()
	return page["go_memstats_mallocs_total"], err
}
