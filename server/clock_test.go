package server_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// TestClockJumps has the clock jump back and forth, over starts and ends of grants. Each check is
// decided by what the clock says at that moment, whatever is cached; the times of changes never go back.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed: %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type interval struct{ start, end time.Time } // zero: from ever, without an end
	held := map[string]interval{}
	moments := []time.Time{testTime}
	holds := func(subject string) bool {
		i, is := held[subject]
		now := h.clock.Now()
		return is && !now.Before(i.start) && (i.end.IsZero() || now.Before(i.end))
	}
	for step := range 2_000 {
		subject := fmt.Sprintf("user:clock%d", random.IntN(8))
		switch random.IntN(6) {
		case 0: // a grant with an end, a start, both or neither, or another interval for one
			now := h.clock.Now()
			var i interval
			request := &usherv1.GrantRequest{Tenant: "desk", Subject: subject, Role: "boss", By: asOperator}
			if random.IntN(2) == 0 {
				i.start = now.Add(time.Duration(1+random.IntN(48)) * time.Hour)
				request.StartsAt = timestamppb.New(i.start)
			}
			if random.IntN(2) == 0 {
				i.end = now.Add(time.Duration(49+random.IntN(48)) * time.Hour)
				request.ExpiresAt = timestamppb.New(i.end)
			}
			if _, err := h.admin.Grant(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			held[subject] = i
			moments = append(moments, i.start, i.end)
		case 1, 2: // to just before, or at, a start or an end; or anywhere within four days, either way
			to := moments[random.IntN(len(moments))].Add(-time.Duration(random.IntN(2)))
			if random.IntN(2) == 0 || to.Year() < 2000 {
				to = testTime.Add(time.Duration(random.IntN(8*24*3600)-4*24*3600) * time.Second)
			}
			h.clock.Set(to)
		}
		answer, err := h.decisions.Check(t.Context(), &usherv1.CheckRequest{
			Tenant: "desk", Subject: subject, Action: "view", Resource: &usherv1.Resource{Type: "ticket", Id: "1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.GetDecision() == usherv1.Decision_DECISION_ALLOW; got != holds(subject) {
			t.Fatalf("step %d, at %v: %s holds %+v, and is allowed: %v", step, h.clock.Now(), subject, held[subject], got)
		}
		if by := answer.GetRecheckBy(); by != nil && !by.AsTime().After(h.clock.Now()) {
			t.Fatalf("step %d: to be checked again by %v, which is past at %v", step, by.AsTime(), h.clock.Now())
		}
	}
	var last time.Time
	for _, c := range h.changes(t, "desk") {
		if c.GetTime().AsTime().Before(last) {
			t.Errorf("change %s has the time %v, and one before it %v", c.GetRevision(), c.GetTime().AsTime(), last)
		}
		last = c.GetTime().AsTime()
	}
}

// TestClockAhead says what a clock does that is ahead for a moment: what was removed meanwhile
// as ended long ago stays removed, on record, and nothing else is.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	for subject, end := range map[string]time.Duration{"user:soon": time.Hour, "user:late": 90 * 24 * time.Hour} {
		if _, err := h.admin.Grant(t.Context(), &usherv1.GrantRequest{
			Tenant: "desk", Subject: subject, Role: "boss", ExpiresAt: timestamppb.New(testTime.Add(end)), By: asOperator,
		}); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.Set(testTime.Add(40 * 24 * time.Hour))
	if err := h.server.Maintain(t.Context(), server.Retention{Ended: 30 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	h.clock.Set(testTime)
	for subject, want := range map[string]usherv1.ReasonCode{
		"user:soon": usherv1.ReasonCode_REASON_CODE_NO_ROLE, "user:late": usherv1.ReasonCode_REASON_CODE_GRANTED,
		"user:root": usherv1.ReasonCode_REASON_CODE_GRANTED,
	} {
		answer, err := h.decisions.Check(t.Context(), &usherv1.CheckRequest{
			Tenant: "desk", Subject: subject, Action: "view", Resource: &usherv1.Resource{Type: "ticket", Id: "1"},
		})
		if err != nil || answer.GetReason().GetCode() != want {
			t.Errorf("%s: %v, %v; want %v", subject, answer.GetReason(), err, want)
		}
	}
	changes := h.changes(t, "desk")
	if newest := changes[len(changes)-1]; !strings.Contains(newest.String(), "user:soon") || strings.Contains(newest.String(), "user:late") {
		t.Errorf("the newest change is %v", newest)
	}
}

// TestRequestIDWhileTheClockJumps: the same request is done once while the clock goes back, or on by
// less than a day.
func TestRequestIDWhileTheClockJumps(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	request := &usherv1.GrantRequest{Tenant: "desk", Subject: "user:once", Role: "boss", By: asOperator, RequestId: "once"}
	first, err := h.admin.Grant(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	before := len(h.changes(t, "desk"))
	for _, jump := range []time.Duration{-time.Hour, 23 * time.Hour, -400 * 24 * time.Hour, 0} {
		h.clock.Set(testTime.Add(jump))
		again, err := h.admin.Grant(t.Context(), request)
		if err != nil || !proto.Equal(again, first) {
			t.Errorf("after a jump by %v: %v, %v; the first answer was %v", jump, again, err, first)
		}
		other := proto.Clone(request).(*usherv1.GrantRequest)
		other.Subject = "user:other"
		_, err = h.admin.Grant(t.Context(), other)
		badCall{code: codes.AlreadyExists, reason: "REQUEST_ID_REUSED", remedy: "take a new one"}.compare(t, err)
	}
	if n := len(h.changes(t, "desk")); n != before {
		t.Errorf("%d more changes", n-before)
	}
}
