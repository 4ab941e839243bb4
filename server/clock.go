package server

import (
	"context"
	"time"
)

const (
	// clockLook is the pause between two looks at the clock.
	clockLook = time.Second
	// clockStep is by how much the clock has to be ahead or behind after such a pause to have been set.
	// Clocks that are slewed are off by half a millisecond.
	clockStep = 500 * time.Millisecond
)

// WatchClock counts and logs the steps of the clock, until ctx is done: times at which it was set, or the
// machine was asleep. It compares the clock with the one that only goes forward.
func (s *Server) WatchClock(ctx context.Context) {
	ticker := time.NewTicker(clockLook)
	defer ticker.Stop()
	steady, wall := s.clocks()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		nextSteady, nextWall := s.clocks()
		step := nextWall.Sub(wall) - nextSteady.Sub(steady)
		steady, wall = nextSteady, nextWall
		switch {
		case step >= clockStep:
			s.metrics.clockForward.Inc()
		case step <= -clockStep:
			s.metrics.clockBack.Inc()
		default:
			continue
		}
		s.metrics.clockStepped.Add(step.Abs().Seconds())
		s.logger.WarnContext(ctx, "the clock was set: grants with a start or an end go by it", "by", step.String())
	}
}

// clocks reads the clock that only goes forward and the one that is set, at the same time.
func (s *Server) clocks() (steady, wall time.Time) {
	for {
		steady, wall = time.Now(), s.now().Round(0)
		if time.Since(steady) < clockStep/10 { // it was not interrupted between them
			return steady, wall
		}
	}
}
