package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// gatedCatalog is a catalog in which three kinds of facts decide together: a viewer may
// view while the gate is on, unless somebody is blocked.
const gatedCatalog = `
name: gated
version: 1
holders: [user, group]
resource_types: [{name: ticket, actions: [view]}]
toggles: [{name: gate, starts_on: false}]
roles:
  - name: boss
    rules: [{allow: ["role:grant", "role:revoke", "toggle:set"], reach: tenant}]
  - name: viewer
    rules: [{allow: ["ticket:view"], reach: tenant, while_on: gate}]
  - name: blocked
    rules: [{forbid: ["ticket:view"], reach: tenant}]
administration: {protected_role: boss}
`

// gatedState is the naive model of a tenant on gatedCatalog.
type gatedState struct {
	gate bool
	held map[string]bool // "subject role"
}

func (s gatedState) decide(asker string, groups []string) usherv1.ReasonCode {
	holds := func(role string) bool {
		return slices.ContainsFunc(append([]string{asker}, groups...), func(h string) bool { return s.held[h+" "+role] })
	}
	switch {
	case holds("blocked"):
		return usherv1.ReasonCode_REASON_CODE_FORBIDDEN
	case holds("viewer") && s.gate:
		return usherv1.ReasonCode_REASON_CODE_GRANTED
	case holds("viewer"):
		return usherv1.ReasonCode_REASON_CODE_TOGGLE
	}
	return usherv1.ReasonCode_REASON_CODE_NO_ROLE
}

// gatedWrite is a write that was answered: how it changed the model, at a revision.
type gatedWrite struct {
	revision uint64
	key      string // of held, or "" for the gate
	on       bool
}

// gatedAnswer is a decision as a client saw it.
type gatedAnswer struct {
	atLeast  uint64 // the newest revision that had been answered when the call began
	revision uint64
	subject  string
	groups   []string
	code     usherv1.ReasonCode
}

// TestCacheTruth runs grants, revokes, toggles and checks at once, and then replays the
// writes: every answer has to be the decision at the revision that it names, and that
// revision must not be older than any write that was answered before the call began.
func TestCacheTruth(t *testing.T) {
	for name, cacheBytes := range map[string]uint64{"roomy": 64 << 20, "tiny": 4096} {
		t.Run(name, func(t *testing.T) {
			h := openHarness(t, t.TempDir(), &clock{now: testTime}, cacheBytes)
			run := newGatedRun(t, h)
			run.start()
			run.replay()
		})
	}
}

type gatedRun struct {
	t        *testing.T
	h        *harness
	seed     uint64
	subjects []string
	groups   []string
	answered atomic.Uint64 // newest revision that a writer has seen

	mu      sync.Mutex
	writes  []gatedWrite
	answers []gatedAnswer
}

func newGatedRun(t *testing.T, h *harness) *gatedRun {
	ctx := context.Background()
	if _, err := h.operator.PutCatalog(ctx, &usherv1.PutCatalogRequest{Yaml: gatedCatalog}); err != nil {
		t.Fatal(err)
	}
	created, err := h.operator.CreateTenant(ctx, &usherv1.CreateTenantRequest{Tenant: "t", Catalog: "gated", FirstAdministrator: "user:boss"})
	if err != nil {
		t.Fatal(err)
	}
	r := &gatedRun{t: t, h: h, seed: rand.Uint64(), subjects: []string{"user:a", "user:b"}}
	// Many groups make the time long in which the facts of one check are collected.
	for i := range 40 {
		r.groups = append(r.groups, fmt.Sprintf("group:%02d", i))
	}
	r.answered.Store(number(t, created.GetRevision()))
	t.Logf("seed %d", r.seed)
	return r
}

func number(t *testing.T, revision string) uint64 {
	parsed, err := store.ParseRevision(revision)
	if err != nil {
		t.Error(err)
	}
	return parsed.Number
}

const (
	gatedWriters  = 3
	gatedCheckers = 8
	gatedWrites   = 100 // of each writer
)

func (r *gatedRun) start() {
	var writers, checkers sync.WaitGroup
	done := make(chan struct{})
	for i := range gatedWriters {
		writers.Go(func() { r.write(rand.New(rand.NewPCG(r.seed, uint64(i))), i) })
	}
	for i := range gatedCheckers {
		checkers.Go(func() { r.check(rand.New(rand.NewPCG(r.seed, uint64(100+i))), done) })
	}
	writers.Wait()
	close(done)
	checkers.Wait()
}

// write makes random writes. Each writer has keys of its own, so that it knows what
// its writes change.
func (r *gatedRun) write(random *rand.Rand, writer int) {
	ctx := context.Background()
	state := map[string]bool{}
	for range gatedWrites {
		w := gatedWrite{}
		var revision string
		var err error
		if writer == 0 {
			w.on = !state["gate"]
			state["gate"] = w.on
			revision, err = r.setGate(ctx, w.on)
		} else {
			// The subjects, and groups from both ends of the list.
			holder := []string{"user:a", "user:b", r.groups[0], r.groups[len(r.groups)-1]}[random.IntN(4)]
			role := []string{"", "viewer", "blocked"}[writer]
			w.key = holder + " " + role
			w.on = !state[w.key]
			state[w.key] = w.on
			revision, err = r.setRole(ctx, holder, role, w.on)
		}
		if err != nil {
			r.t.Error(err)
			return
		}
		w.revision = number(r.t, revision)
		r.mu.Lock()
		r.writes = append(r.writes, w)
		r.mu.Unlock()
		raise(&r.answered, w.revision)
	}
}

// raise sets a counter to at least n.
func raise(counter *atomic.Uint64, n uint64) {
	for old := counter.Load(); old < n && !counter.CompareAndSwap(old, n); old = counter.Load() {
	}
}

func (r *gatedRun) setGate(ctx context.Context, on bool) (string, error) {
	state := usherv1.ToggleState_TOGGLE_STATE_OFF
	if on {
		state = usherv1.ToggleState_TOGGLE_STATE_ON
	}
	response, err := r.h.admin.SetToggle(ctx, &usherv1.SetToggleRequest{
		Tenant: "t", Toggle: "gate", State: state, By: &usherv1.SetToggleRequest_Operator{},
	})
	return response.GetRevision(), err
}

func (r *gatedRun) setRole(ctx context.Context, holder, role string, on bool) (string, error) {
	if on {
		response, err := r.h.admin.Grant(ctx, &usherv1.GrantRequest{
			Tenant: "t", Subject: holder, Role: role, By: &usherv1.GrantRequest_Operator{},
		})
		return response.GetRevision(), err
	}
	response, err := r.h.admin.Revoke(ctx, &usherv1.RevokeRequest{
		Tenant: "t", Subject: holder, Role: role, By: &usherv1.RevokeRequest_Operator{},
	})
	return response.GetRevision(), err
}

// check asks until the writers are done, one question or a batch of them.
func (r *gatedRun) check(random *rand.Rand, done <-chan struct{}) {
	ctx := context.Background()
	resource := &usherv1.Resource{Type: "ticket"}
	for {
		select {
		case <-done:
			return
		default:
		}
		subject := r.subjects[random.IntN(len(r.subjects))]
		groups := r.groups
		if random.IntN(4) == 0 {
			groups = r.groups[:1]
		}
		atLeast := r.answered.Load()
		var answers []gatedAnswer
		if random.IntN(3) == 0 {
			response, err := r.h.decisions.BatchCheck(ctx, &usherv1.BatchCheckRequest{
				Tenant: "t", Detail: usherv1.Detail_DETAIL_REASONS,
				Items: []*usherv1.BatchCheckItem{
					{Subject: r.subjects[0], Groups: groups, Resource: resource, Actions: []string{"view"}},
					{Subject: r.subjects[1], Groups: groups, Resource: resource, Actions: []string{"view", "view"}},
				},
			})
			if err != nil {
				r.t.Error(err)
				return
			}
			for i, result := range response.GetResults() {
				for _, reason := range result.GetReasons() {
					answers = append(answers, gatedAnswer{atLeast, number(r.t, response.GetRevision()), r.subjects[i], groups, reason.GetCode()})
				}
			}
		} else {
			response, err := r.h.decisions.Check(ctx, &usherv1.CheckRequest{
				Tenant: "t", Subject: subject, Groups: groups, Action: "view", Resource: resource,
			})
			if err != nil {
				r.t.Error(err)
				return
			}
			answers = []gatedAnswer{{atLeast, number(r.t, response.GetRevision()), subject, groups, response.GetReason().GetCode()}}
		}
		r.mu.Lock()
		r.answers = append(r.answers, answers...)
		r.mu.Unlock()
	}
}

// replay goes through the writes in the order of their revisions, and judges the
// answers at each.
func (r *gatedRun) replay() {
	slices.SortFunc(r.writes, func(a, b gatedWrite) int { return int(a.revision) - int(b.revision) })
	slices.SortFunc(r.answers, func(a, b gatedAnswer) int { return int(a.revision) - int(b.revision) })
	state := gatedState{held: map[string]bool{}}
	codes := map[usherv1.ReasonCode]int{}
	next := 0
	for _, a := range r.answers {
		for next < len(r.writes) && r.writes[next].revision <= a.revision {
			w := r.writes[next]
			if w.key == "" {
				state.gate = w.on
			} else {
				state.held[w.key] = w.on
			}
			next++
		}
		codes[a.code]++
		if a.revision < a.atLeast {
			r.t.Fatalf("stale: revision %d was answered, then a check began and was decided at %d", a.atLeast, a.revision)
		}
		if want := state.decide(a.subject, a.groups); a.code != want {
			r.t.Fatalf("wrong: %s with %d groups at revision %d: got %v, want %v", a.subject, len(a.groups), a.revision, a.code, want)
		}
	}
	r.t.Logf("%d writes, %d answers: %v", len(r.writes), len(r.answers), codes)
	if len(r.writes) != gatedWriters*gatedWrites || len(codes) != 4 {
		r.t.Errorf("the run was too one-sided to mean much")
	}
}
