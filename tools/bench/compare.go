package main

import (
	"fmt"
	"time"
)

// compareExperiments set a build of Usher against an older one.
func compareExperiments(old string) (all []experiment) {
	const ofOld, ofNew = "old", "new"
	// start starts both on copies of a store.
	start := func(st *stage, assignments int) (sides []side, err error) {
		for _, build := range []struct{ name, usher string }{{ofOld, old}, {ofNew, st.usher}} {
			data, err := st.copied(assignments)
			if err != nil {
				return nil, err
			}
			s, err := st.startOn(build.usher, data)
			if err != nil {
				return nil, err
			}
			sides = append(sides, side{name: build.name, server: s})
		}
		return sides, nil
	}
	for _, n := range []int{1, writers} {
		all = append(all, contest{
			name: fmt.Sprintf("write/%d", n), about: fmt.Sprintf("Grants of %d writers at once over TCP, 10,000 assignments", n),
			rounds: 9, window: time.Second, compare: []pair{{ofNew, ofOld}},
			open: func(st *stage) ([]side, error) {
				sides, err := start(st, small)
				for i := range sides {
					if sides[i].client, err = st.client(sides[i].server, "tcp", grants(st.files.installation(small), prepared)); err != nil {
						return nil, err
					}
					sides[i].run = sides[i].client.keepBusy(n)
				}
				return sides, err
			},
		}.experiment())
	}
	for _, q := range questions {
		for _, transport := range transports {
			open := func(st *stage) ([]side, error) {
				sides, err := start(st, q.assignments)
				if err != nil {
					return nil, err
				}
				return st.askAll(q, transport, sides)
			}
			c := q.atFullLoad(transport)
			all = append(all, contest{
				name: c.name, about: c.about, rounds: c.rounds, window: time.Second, open: open, compare: []pair{{ofNew, ofOld}},
			}.experiment())
		}
	}
	return all
}
