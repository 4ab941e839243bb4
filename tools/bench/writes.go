package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// writers is how many write at once where many do.
const writers = 64

// prepared is more grants than an experiment makes.
const prepared = 150_000

// writeExperiments are those about grants.
func writeExperiments() []experiment {
	return []experiment{
		contest{
			name:    "write/lone",
			about:   "one Grant after the other over TCP, and one Commit after the other in process, 10,000 assignments; against bbolt alone with the same records, in process and behind the tuned echo",
			rounds:  9,
			window:  2 * time.Second,
			open:    openLoneGrant,
			compare: []pair{{"store", "bare bbolt"}, {"grant", "bare bbolt"}, {"echo and bbolt", "bare bbolt"}, {"grant", "echo and bbolt"}},
			goals: []goal{
				{metric: p50, pair: pair{"store", "bare bbolt"}, limit: 1.2},
				{metric: p50, pair: pair{"grant", "bare bbolt"}, limit: 1.4},
			},
		}.experiment(),
		contest{
			name:    "write/many",
			about:   fmt.Sprintf("Grants of %d writers at once over TCP, 10,000 assignments", writers),
			rounds:  7,
			window:  time.Second,
			open:    func(st *stage) ([]side, error) { return openWriters(st, []size{small}) },
			compare: []pair{{size(small).writers(writers), size(small).writers(1)}},
			goals:   []goal{manyWriters(small)},
		}.experiment(),
		contest{
			name:    "write/beside-checks",
			about:   "Check at a fixed rate, a tenth of full load, over TCP; alone and while 1,000 grants a second run; and the same of the tuned echo, with bbolt alone",
			rounds:  9,
			window:  2 * time.Second,
			open:    openBeside,
			compare: []pair{{"beside grants", "alone"}, {"echo beside bbolt", "echo alone"}, {"beside grants", "echo beside bbolt"}},
			goals:   []goal{{metric: p99, pair: pair{"beside grants", "alone"}, limit: 1.5}},
		}.experiment(),
	}
}

// startGranting starts Usher and the tuned echo on copies of a small store. A Grant of the
// echo is a bare Update of bbolt with the records that Usher puts for one. What it returns
// as bare makes such updates in this process.
func (st *stage) startGranting() (usher, echo *process, bare func() error, err error) {
	const records = 100_000
	sample, err := st.copied(small)
	if err != nil {
		return nil, nil, nil, err
	}
	// Started once, so that what a start writes is not among the records.
	if err := st.startAndStop(sample, nil); err != nil {
		return nil, nil, nil, err
	}
	after := filepath.Join(sample, "usher.db")
	var before [2]string
	for i := range before {
		before[i] = st.newPath(st.dir)
		if out, err := exec.CommandContext(st.ctx, "cp", after, before[i]).CombinedOutput(); err != nil {
			return nil, nil, nil, fmt.Errorf("%w\n%s", err, out)
		}
	}
	err = st.startAndStop(sample, func(s *process) error {
		c, err := st.client(s, "tcp", grants(st.files.installation(small), records))
		if err != nil {
			return err
		}
		st.say("making grants, to see what they put")
		return c.sendAll(st.ctx, writers)
	})
	if err != nil {
		return nil, nil, nil, err
	}
	updates, err := newUpdates(before[0], after, records)
	if err != nil {
		return nil, nil, nil, err
	}
	db, err := openBare(before[0])
	if err != nil {
		return nil, nil, nil, err
	}
	st.ends = append(st.ends, db.Close)
	usher, err = st.startWriting(small)
	if err != nil {
		return nil, nil, nil, err
	}
	echo, err = st.startEcho("tuned", usher, checks(st.files.installation(small), 501),
		"-before", before[1], "-after", after, "-grants", strconv.Itoa(records))
	next := 0
	return usher, echo, func() error { next++; return updates.put(db, next-1) }, err
}

func openLoneGrant(st *stage) ([]side, error) {
	usher, echo, bare, err := st.startGranting()
	if err != nil {
		return nil, err
	}
	commit, err := openStore(st)
	if err != nil {
		return nil, err
	}
	sides := []side{
		{name: "store", run: func(ctx context.Context, d time.Duration) (tally, error) {
			return keepBusy(ctx, 1, d, func(ctx context.Context, _ int) error { return commit(ctx) })
		}},
		{name: "bare bbolt", run: func(ctx context.Context, d time.Duration) (tally, error) {
			return keepBusy(ctx, 1, d, func(context.Context, int) error { return bare() })
		}},
		{name: "grant", server: usher},
		{name: "echo and bbolt", server: echo},
	}
	for i := range sides[2:] {
		s := &sides[2+i]
		if s.client, err = st.client(s.server, "tcp", grants(st.files.installation(small), prepared)); err != nil {
			return nil, err
		}
		s.run = s.client.keepBusy(1)
	}
	return sides, nil
}

// openStore opens a copy of a small store in this process, and returns what commits one
// grant after the other, of what grants asks for.
func openStore(st *stage) (commit func(context.Context) error, err error) {
	dir, err := st.copied(small)
	if err != nil {
		return nil, err
	}
	s, err := bolt.Open(filepath.Join(dir, "usher.db"), bolt.Options{})
	if err != nil {
		return nil, err
	}
	st.ends = append(st.ends, s.Close)
	requests := grants(st.files.installation(small), prepared).requests
	return func(ctx context.Context) error {
		if len(requests) == 0 {
			return errExhausted
		}
		var r usherv1.GrantRequest
		if err := proto.Unmarshal(requests[0], &r); err != nil {
			return err
		}
		requests = requests[1:]
		_, err := s.Commit(ctx, store.Write{
			Tenant: r.GetTenant(), By: store.By{Operator: true},
			Plan: func(reader store.Reader) ([]store.Change, error) {
				t, err := reader.Tenant(r.GetTenant())
				return []store.Change{store.SetAssignment{Tenant: t.ID, Assignment: store.Assignment{
					AssignmentKey: store.AssignmentKey{Subject: r.GetSubject(), Role: r.GetRole(), Scope: r.GetScope()},
				}}}, err
			},
		})
		return err
	}, nil
}

// size is how many assignments a store has.
type size int

func (s size) String() string {
	for power, n := 0, size(1); n <= s; power, n = power+1, 10*n {
		if n == s {
			return fmt.Sprintf("10^%d", power)
		}
	}
	return fmt.Sprint(int(s))
}

// writers is the name of a side in which so many write to a store of that size.
func (s size) writers(n int) string {
	if n == 1 {
		return s.String() + ", 1 writer"
	}
	return fmt.Sprintf("%s, %d writers", s, n)
}

// openWriters starts Usher on stores of those sizes, each with one writer and with many.
func openWriters(st *stage, sizes []size) (sides []side, err error) {
	for _, size := range sizes {
		usher, err := st.startWriting(int(size))
		if err != nil {
			return nil, err
		}
		c, err := st.client(usher, "tcp", grants(st.files.installation(int(size)), prepared))
		if err != nil {
			return nil, err
		}
		for _, n := range []int{1, writers} {
			sides = append(sides, side{name: size.writers(n), server: usher, client: c, run: c.keepBusy(n)})
		}
	}
	return sides, nil
}

func manyWriters(s size) goal {
	return goal{metric: rate, pair: pair{s.writers(writers), s.writers(1)}, limit: 6, atLeast: true}
}

func openBeside(st *stage) (sides []side, err error) {
	usher, echo, _, err := st.startGranting()
	if err != nil {
		return nil, err
	}
	in := st.files.installation(small)
	perSecond := 0.0
	for _, s := range []struct {
		server        *process
		alone, beside string
	}{{usher, "alone", "beside grants"}, {echo, "echo alone", "echo beside bbolt"}} {
		checking, err := st.client(s.server, "tcp", checks(in, 10_000))
		if err != nil {
			return nil, err
		}
		granting, err := st.client(s.server, "tcp", grants(in, prepared))
		if err != nil {
			return nil, err
		}
		if perSecond == 0 {
			full, err := fullRate(st, side{server: usher, run: checking.keepBusy(busy)})
			if err != nil {
				return nil, err
			}
			perSecond = full / 10 // two CPUs have not much more to give beside grants and clients
		}
		alone := checking.atRate(perSecond)
		sides = append(sides,
			side{name: s.alone, server: s.server, client: checking, run: alone},
			side{name: s.beside, server: s.server, client: checking, run: beside(alone, granting.atRate(1000))})
	}
	return sides, nil
}

// beside is a run with another one in the background, which is not counted.
func beside(counted, background run) run {
	return func(ctx context.Context, d time.Duration) (t tally, err error) {
		var failed error
		var wg sync.WaitGroup
		wg.Go(func() { _, failed = background(ctx, d) })
		t, err = counted(ctx, d)
		wg.Wait()
		return t, errors.Join(err, failed)
	}
}
