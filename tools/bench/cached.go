package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store/storetest/installation"
)

// measureCached measures what a million subjects take in the cache: the live heap with them
// less that without.
func measureCached(st *stage) (*result, error) {
	const subjects = 1_000_000
	in := st.files.installation(largest)
	usher, err := st.startReading(largest, "--cache-size", "1GiB")
	if err != nil {
		return nil, err
	}
	some, err := st.client(usher, "tcp", checks(in, 100))
	if err != nil {
		return nil, err
	}
	before, err := liveHeap(st, usher, some)
	if err != nil {
		return nil, err
	}
	filling, err := st.client(usher, "tcp", everyone(in, subjects))
	if err != nil {
		return nil, err
	}
	st.say("asking about a million subjects")
	if err := filling.sendAll(st.ctx, connections); err != nil {
		return nil, err
	}
	after, err := liveHeap(st, usher, some)
	if err != nil {
		return nil, err
	}
	resident, err := memoryOf(usher.pid())
	if err != nil {
		return nil, err
	}
	page, err := usher.scrape()
	if err != nil {
		return nil, err
	}
	if evicted := page[`usher_cache_evictions_total{cache="subjects"}`]; evicted > 0 {
		return nil, fmt.Errorf("the cache was too small: %v entries had to leave", evicted)
	}
	single := func(v float64) spread { return spread{v, v, v} }
	return &result{
		Name: "scale/cached",
		About: fmt.Sprintf("%d subjects in the cache; live heap %.1f MiB without them, %.1f MiB with them; RSS %.1f MiB, of which anonymous %.1f MiB",
			subjects, before/(1<<20), after/(1<<20), float64(resident.RSS)/(1<<20), float64(resident.Anon)/(1<<20)),
		Goals: []goalResult{
			reached("bytes of live heap for each", single((after-before)/subjects), 350, false),
			reached("RssAnon ÷ live heap", single(float64(resident.Anon)/after), 2, false),
		},
	}, nil
}

// everyone returns questions about so many members of staff, a thousand in a call.
func everyone(in *installation.Installation, subjects int) *load {
	const atOnce = 1000
	l := &load{method: usherv1.DecisionService_BatchCheck_FullMethodName, once: true, verify: verifyBatch}
	left := subjects
	for t, tenant := range in.Tenants() {
		for first := 0; first < tenant.Staff && left > 0; first += atOnce {
			request := &usherv1.BatchCheckRequest{Tenant: tenant.Name}
			for n := first; n < min(first+atOnce, tenant.Staff) && left > 0; n++ {
				q := in.QuestionFor(t, n)
				request.Items = append(request.Items, &usherv1.BatchCheckItem{
					Subject: q.Subject, Actions: []string{q.Action}, Resource: checkRequest(q).GetResource(),
				})
				left--
			}
			l.add(request)
		}
	}
	return l
}

// liveHeap returns how much of a server's heap is in use just after a collection, without
// its ballast: the least of some. The server has no way to be told to collect: it is kept busy until it
// does, and then left alone while it sweeps.
func liveHeap(st *stage, s *process, c *client) (least float64, err error) {
	const collections = 3
	for n := range collections {
		st.say(fmt.Sprintf("waiting for collection %d of %d", n+1, collections))
		if err := untilCollection(st.ctx, s, c); err != nil {
			return 0, err
		}
		time.Sleep(500 * time.Millisecond)
		page, err := s.scrape()
		if err != nil {
			return 0, err
		}
		if live := page["go_memstats_heap_alloc_bytes"] - server.HeapBallast; n == 0 || live < least {
			least = live
		}
	}
	return least, nil
}

// untilCollection has a server asked until it has collected its garbage.
func untilCollection(ctx context.Context, s *process, c *client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	const count = "go_gc_duration_seconds_count"
	page, err := s.scrape()
	if err != nil {
		return err
	}
	for before := page[count]; page[count] == before; {
		if _, err := keepBusy(ctx, busy, 20*time.Millisecond, c.call); err != nil {
			return errors.Join(errors.New("waiting for a garbage collection"), err)
		}
		if page, err = s.scrape(); err != nil {
			return err
		}
	}
	return nil
}
