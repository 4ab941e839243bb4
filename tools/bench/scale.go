package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// sizes are those that the suite scale is about.
var sizes = []size{10_000, 100_000, 1_000_000, largest}

const largest = 10_000_000

// scaleExperiments show what depends on how much is stored.
func scaleExperiments() []experiment {
	return []experiment{
		contest{
			name:   "scale/open",
			about:  "from the start of the process to 'ready'; nothing stored, and stores of several sizes in the page cache",
			rounds: 11,
			open: func(st *stage) ([]side, error) {
				return openStarts(st, func(*process, *usherv1.CheckRequest) error { return nil })
			},
			compare: againstSmallest(),
		}.experiment(),
		contest{
			name:    "scale/first-answer",
			about:   "from the start of the process to the answer to a Check",
			rounds:  11,
			open:    func(st *stage) ([]side, error) { return openStarts(st, st.firstCheck) },
			compare: againstSmallest(),
			goals:   []goal{{metric: p50, pair: pair{size(largest).String(), "empty"}, minus: true, limit: 50_000}},
		}.experiment(),
		contest{
			name:    "scale/check",
			about:   fmt.Sprintf("Check of 10,000 questions that come again, over TCP; %d callers", busy),
			rounds:  9,
			window:  time.Second,
			open:    func(st *stage) ([]side, error) { return openChecks(st, busy) },
			compare: againstSmallest(),
			goals:   []goal{{metric: cpuPerCall, pair: pair{size(largest).String(), sizes[0].String()}, limit: 1.05}},
		}.experiment(),
		contest{
			name:    "scale/check/lone",
			about:   "Check of 10,000 questions that come again, over TCP; one caller",
			rounds:  9,
			window:  time.Second,
			open:    func(st *stage) ([]side, error) { return openChecks(st, 1) },
			compare: againstSmallest(),
			goals:   []goal{{metric: p50, pair: pair{size(largest).String(), sizes[0].String()}, limit: 1.05}},
		}.experiment(),
		contest{
			name:    "scale/cold",
			about:   fmt.Sprintf("Check of a subject for the first time against Check of 10,000 questions that come again, 10^7 assignments in the page cache, over TCP; %d callers", busy),
			rounds:  9,
			window:  time.Second,
			open:    func(st *stage) ([]side, error) { return openCold(st, busy) },
			compare: []pair{{"cold", "warm"}},
			goals:   []goal{{metric: cpuPerCall, pair: pair{"cold", "warm"}, limit: 1.5}},
		}.experiment(),
		contest{
			name:    "scale/cold/lone",
			about:   "the same; one caller",
			rounds:  9,
			window:  time.Second,
			open:    func(st *stage) ([]side, error) { return openCold(st, 1) },
			compare: []pair{{"cold", "warm"}},
			goals:   []goal{{metric: p50, pair: pair{"cold", "warm"}, limit: 1.5}},
		}.experiment(),
		contest{
			name:    "scale/list",
			about:   "ListAssignments, pages of 100 all over the largest tenants, over TCP; one caller",
			rounds:  7,
			window:  time.Second,
			open:    openLists,
			compare: againstSmallest(),
		}.experiment(),
		contest{
			name:    "scale/write",
			about:   fmt.Sprintf("Grants of one writer and of %d at once, over TCP", writers),
			rounds:  7,
			window:  time.Second,
			open:    func(st *stage) ([]side, error) { return openWriters(st, sizes) },
			compare: comparedWriters(),
			goals: []goal{
				{metric: p50, pair: pair{size(largest).writers(1), sizes[0].writers(1)}, limit: 2},
				manyWriters(sizes[0]),
				manyWriters(largest),
			},
		}.experiment(),
		{"scale/cached", measureCached},
	}
}

func againstSmallest() (pairs []pair) {
	for _, s := range sizes[1:] {
		pairs = append(pairs, pair{s.String(), sizes[0].String()})
	}
	return pairs
}

func comparedWriters() (pairs []pair) {
	for _, s := range sizes {
		pairs = append(pairs, pair{s.writers(writers), s.writers(1)})
	}
	for _, s := range sizes[1:] {
		pairs = append(pairs, pair{s.writers(1), sizes[0].writers(1)}, pair{s.writers(writers), sizes[0].writers(writers)})
	}
	return pairs
}

// openStarts has starts as calls: what takes the time of one ends with answered.
func openStarts(st *stage, answered func(*process, *usherv1.CheckRequest) error) (sides []side, err error) {
	names := []string{"empty"}
	data := []string{filepath.Join(st.dir, "empty")}
	if err := os.Mkdir(data[0], 0o700); err != nil {
		return nil, err
	}
	for _, s := range sizes {
		d, err := st.files.directory(st.ctx, int(s), st.say)
		if err != nil {
			return nil, err
		}
		names, data = append(names, s.String()), append(data, d)
	}
	request := checkRequest(st.files.installation(int(sizes[0])).Question(newRand()))
	for i, name := range names {
		sides = append(sides, side{name: name, run: func(context.Context, time.Duration) (tally, error) {
			t := tally{calls: 1, latency: newHistogram()}
			err := st.startAndStop(data[i], func(s *process) error {
				if err := answered(s, request); err != nil {
					return err
				}
				t.elapsed = time.Since(s.startedAt)
				return t.latency.RecordValue(int64(t.elapsed))
			})
			return t, err
		}})
	}
	return sides, nil
}

// firstCheck asks one question. That there is no such tenant is an answer, too.
func (st *stage) firstCheck(s *process, request *usherv1.CheckRequest) error {
	_, err := ask(st.ctx, s, usherv1.DecisionService_Check_FullMethodName, request, &usherv1.CheckResponse{})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// openChecks starts Usher on stores of all sizes, to be asked the same number of questions.
func openChecks(st *stage, callers int) (sides []side, err error) {
	for _, size := range sizes {
		usher, err := st.startReading(int(size))
		if err != nil {
			return nil, err
		}
		c, err := st.client(usher, "tcp", checks(st.files.installation(int(size)), 10_000))
		if err != nil {
			return nil, err
		}
		sides = append(sides, side{name: size.String(), server: usher, client: c, run: c.keepBusy(callers)})
	}
	return sides, nil
}

func openCold(st *stage, callers int) (sides []side, err error) {
	in := st.files.installation(largest)
	usher, err := st.startReading(largest)
	if err != nil {
		return nil, err
	}
	for _, l := range []struct {
		name string
		load *load
	}{{"warm", checks(in, 10_000)}, {"cold", coldChecks(in, cold)}} {
		c, err := st.client(usher, "tcp", l.load)
		if err != nil {
			return nil, err
		}
		sides = append(sides, side{name: l.name, server: usher, client: c, run: c.keepBusy(callers)})
	}
	return sides, nil
}

// openLists starts Usher on stores of all sizes, and finds out by which tokens pages of the
// largest tenants are had.
func openLists(st *stage) (sides []side, err error) {
	for _, size := range sizes {
		usher, err := st.startReading(int(size))
		if err != nil {
			return nil, err
		}
		l := &load{method: usherv1.AdminService_ListAssignments_FullMethodName, verify: verifyList}
		for _, tenant := range st.files.installation(int(size)).Tenants()[:30] {
			request := &usherv1.ListAssignmentsRequest{Tenant: tenant.Name, PageSize: 100}
			for range 30 {
				l.add(request)
				page, err := ask(st.ctx, usher, l.method, request, &usherv1.ListAssignmentsResponse{})
				if err != nil {
					return nil, err
				}
				if page.GetNextPageToken() == "" {
					break
				}
				request.PageToken = page.GetNextPageToken()
			}
		}
		c, err := st.client(usher, "tcp", l)
		if err != nil {
			return nil, err
		}
		sides = append(sides, side{name: size.String(), server: usher, client: c, run: c.keepBusy(1)})
	}
	return sides, nil
}
