package main

import "time"

// compareExperiments set a build of Usher against an older one.
func compareExperiments(old string) (all []experiment) {
	const ofOld, ofNew = "old", "new"
	for _, q := range questions {
		for _, transport := range transports {
			open := func(st *stage) ([]side, error) {
				var sides []side
				for _, build := range []struct{ name, usher string }{{ofOld, old}, {ofNew, st.usher}} {
					data, err := st.copied(q.assignments)
					if err != nil {
						return nil, err
					}
					s, err := st.startOn(build.usher, data)
					if err != nil {
						return nil, err
					}
					sides = append(sides, side{name: build.name, server: s})
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
