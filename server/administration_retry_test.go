package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// retryClients is how many clients do the same at once.
const retryClients = 6

// retryRun is a tenant in which many clients make the same calls.
type retryRun struct {
	*testing.T
	h *harness
	// records is how many change records each call makes, by the justification.
	records map[string]int
	calls   []*walkCall
}

func newRetryRun(t *testing.T) *retryRun {
	r := &retryRun{T: t, h: newHarness(t), records: map[string]int{}}
	raceTenant(t, r.h, "t", "liveagent")
	return r
}

// invoke makes a call.
func (r *retryRun) invoke(c *walkCall) (walkAnswer, error) {
	method, request, answer := c.message("t", false)
	return answer, r.h.conn.Invoke(context.Background(), method, request, answer)
}

// do makes a call that has to come through.
func (r *retryRun) do(c *walkCall) walkAnswer {
	r.Helper()
	answer, err := r.invoke(c)
	if err != nil {
		r.Fatalf("%s: %v", c, err)
	}
	return answer
}

// add is a call with a request id, by the actor, that makes so many records.
func (r *retryRun) add(records int, actor *usherv1.Actor, acts ...*usherv1.Act) {
	id := fmt.Sprintf("call %d", len(r.calls))
	r.calls = append(r.calls, &walkCall{acts: acts, batch: len(acts) > 1, actor: actor, requestID: id, justification: id})
	r.records[id] = records
}

func grantAct(subject, role, scope string) *usherv1.Act {
	return &usherv1.Act{Act: &usherv1.Act_Grant{Grant: &usherv1.GrantAct{Subject: subject, Role: role, Scope: scope}}}
}

func removeAct(subject string) *usherv1.Act {
	return &usherv1.Act{Act: &usherv1.Act_RemoveSubject{RemoveSubject: &usherv1.RemoveSubjectAct{Subject: subject}}}
}

// history is the record of the tenant, oldest first.
func (r *retryRun) history() []*usherv1.ChangeRecord {
	r.Helper()
	request := &usherv1.ListChangesRequest{Tenant: "t", OldestFirst: true, PageSize: 1_000}
	var all []*usherv1.ChangeRecord
	for {
		page, err := r.h.admin.ListChanges(r.Context(), request)
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, page.GetChanges()...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return all
		}
	}
}

// TestRetriesHaveOneEffect lets many clients make the same calls with request ids, each in an
// order of its own and each call twice. Every call is answered alike to all, and recorded once.
// It stays so when what the calls did has been undone, and the actor may do nothing any more.
func TestRetriesHaveOneEffect(t *testing.T) {
	r := newRetryRun(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	actor := &usherv1.Actor{Subject: "user:a"}
	r.do(&walkCall{acts: []*usherv1.Act{grantAct("user:b", "admin", "")}})
	for i := range 20 {
		changing, leaving := fmt.Sprint("user:changing-", i), fmt.Sprint("user:leaving-", i)
		r.do(&walkCall{batch: true, acts: []*usherv1.Act{
			grantAct(changing, "agent", "department:sales"),
			grantAct(leaving, "agent", "department:sales"), grantAct(leaving, "user", ""),
		}})
		r.add(1, actor, grantAct(fmt.Sprint("user:new-", i), "agent", "department:sales"))
		r.add(3, actor, grantAct(fmt.Sprint("user:many-", i), "agent", "department:sales"),
			grantAct(fmt.Sprint("user:many-", i), "agent", "department:support"), grantAct(fmt.Sprint("user:many-", i), "user", ""))
		r.add(2, actor, &usherv1.Act{Act: &usherv1.Act_ChangeRole{ChangeRole: &usherv1.ChangeRoleAct{Subject: changing, From: "agent", To: "user"}}})
		r.add(2, actor, removeAct(leaving))
	}
	before := len(r.history())

	answers := make([][]walkAnswer, len(r.calls))
	var mu sync.Mutex
	all := func() {
		var clients sync.WaitGroup
		for client := range retryClients {
			clients.Go(func() {
				order := rand.New(rand.NewPCG(seed, uint64(client))).Perm(2 * len(r.calls))
				for _, i := range order {
					c := r.calls[i/2]
					answer, err := r.invoke(c)
					if err != nil {
						t.Errorf("%s: %v", c, err)
						return
					}
					mu.Lock()
					answers[i/2] = append(answers[i/2], answer)
					mu.Unlock()
				}
			})
		}
		clients.Wait()
	}
	all()
	wanted := r.checkRecords(before)

	// All of it is undone, and the actor is no administrator any more.
	var undo []*usherv1.Act
	for i := range 20 {
		undo = append(undo, removeAct(fmt.Sprint("user:new-", i)), removeAct(fmt.Sprint("user:many-", i)),
			removeAct(fmt.Sprint("user:changing-", i)), grantAct(fmt.Sprint("user:leaving-", i), "user", ""))
	}
	r.do(&walkCall{batch: true, acts: append(undo, removeAct("user:a"))})
	after := len(r.history())
	r.h.clock.Set(testTime.Add(23 * time.Hour))
	all()
	if got := len(r.history()); got != after {
		t.Errorf("late repetitions made %d records", got-after)
	}
	for i, c := range r.calls {
		for _, answer := range answers[i] {
			if answer.GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED || answer.GetRevision() != wanted[c.justification] {
				t.Fatalf("%s was done at %s, and an answer is %v", c, wanted[c.justification], answer)
			}
		}
	}
}

// checkRecords counts the records of each call, and returns the revisions at which they were made.
func (r *retryRun) checkRecords(from int) map[string]string {
	r.Helper()
	got, revisions := map[string]int{}, map[string]string{}
	for _, record := range r.history()[from:] {
		why := record.GetJustification()
		got[why]++
		if revisions[why] == "" {
			revisions[why] = record.GetRevision()
		}
		if revisions[why] != record.GetRevision() {
			r.Errorf("%s is recorded at %s and at %s", why, revisions[why], record.GetRevision())
		}
	}
	for why, want := range r.records {
		if got[why] != want {
			r.Errorf("%s has %d records, want %d", why, got[why], want)
		}
	}
	return revisions
}

// TestRaceOfRequestIDs makes two different calls with one request id at once: one comes
// through, and the other one is told that the id is taken.
func TestRaceOfRequestIDs(t *testing.T) {
	r := newRetryRun(t)
	for round := range raceRounds {
		id := fmt.Sprint("round ", round)
		call := func(subject string) func() error {
			return func() error {
				_, err := r.invoke(&walkCall{acts: []*usherv1.Act{grantAct(subject, "agent", "")}, requestID: id, justification: id})
				return err
			}
		}
		wantOne(t, race(call(fmt.Sprint("user:x-", round)), call(fmt.Sprint("user:y-", round))), codes.AlreadyExists)
		r.records[id] = 1
	}
	r.checkRecords(0)
}

// TestExpectedRevisionLosesNoUpdate lets many clients prolong one assignment by an hour and
// switch one toggle over, each resting on what it has read. What comes through adds up, and
// none of it was decided on what was no longer so.
func TestExpectedRevisionLosesNoUpdate(t *testing.T) {
	r := &retryRun{T: t, h: newHarness(t)}
	raceTenant(t, r.h, "t", "goto_contact_center")
	end := testTime.Add(time.Hour)
	first := grantAct("user:x", "agent", "queue:a")
	first.GetGrant().ExpiresAt = timestamppb.New(end)
	r.do(&walkCall{acts: []*usherv1.Act{first}})

	const each = 10 // times that a client succeeds
	var clients sync.WaitGroup
	for client := range retryClients {
		clients.Go(func() {
			for n, done := 0, 0; done < each; n++ {
				make := r.prolong
				if client%2 == 1 {
					make = r.switchOver
				}
				c, err := make()
				if err != nil {
					t.Error(err)
					return
				}
				c.requestID = fmt.Sprintf("client %d, attempt %d", client, n)
				c.justification = c.requestID
				came, err := r.twice(c)
				if err != nil {
					t.Error(err)
					return
				}
				if came {
					done++
				}
			}
		})
	}
	clients.Wait()

	kinds := map[usherv1.ChangeKind]int{}
	on, until := false, end
	for _, record := range r.history() {
		kinds[record.GetKind()]++
		switch record.GetKind() {
		case usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET:
			if on = !on; record.GetState() != toggleState(on) {
				t.Errorf("switched over to what it was: %v", record)
			}
		case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET:
			if a := record.GetAssignment(); a.GetSubject() == "user:x" {
				until = a.GetExpiresAt().AsTime()
			}
		}
	}
	const wanted = retryClients / 2 * each
	if got := kinds[usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET]; got != wanted {
		t.Errorf("the toggle was switched over %d times, want %d", got, wanted)
	}
	if want := end.Add(wanted * time.Hour); !until.Equal(want) {
		t.Errorf("prolonged until %v, want %v", until, want)
	}
}

// twice makes a call twice at once. Both are answered alike. It reports whether it came
// through, or was decided too late.
func (r *retryRun) twice(c *walkCall) (bool, error) {
	var answers [2]walkAnswer
	var errs [2]error
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() { answers[i], errs[i] = r.invoke(c) })
	}
	both.Wait()
	outcomes := []codes.Code{status.Code(errs[0]), status.Code(errs[1])}
	switch {
	case slices.Equal(outcomes, []codes.Code{codes.Aborted, codes.Aborted}):
		return false, nil
	case !slices.Equal(outcomes, []codes.Code{codes.OK, codes.OK}):
		return false, fmt.Errorf("%s: twice the same is answered %v", c, outcomes)
	case answers[0].GetRevision() != answers[1].GetRevision(),
		answers[0].GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED, answers[1].GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED:
		return false, fmt.Errorf("%s: twice the same is answered %v", c, answers)
	}
	return true, nil
}

// prolong reads until when user:x holds a role, and makes a call that adds an hour.
func (r *retryRun) prolong() (*walkCall, error) {
	held, err := r.h.admin.ListAssignments(context.Background(), &usherv1.ListAssignmentsRequest{Tenant: "t", Subject: "user:x"})
	if err != nil {
		return nil, err
	}
	act := grantAct("user:x", "agent", "queue:a")
	act.GetGrant().ExpiresAt = timestamppb.New(held.GetAssignments()[0].GetExpiresAt().AsTime().Add(time.Hour))
	act.ExpectedRevision = held.GetRevision()
	return &walkCall{acts: []*usherv1.Act{act}}, nil
}

// switchOver reads how a toggle stands, and makes a call that switches it over.
func (r *retryRun) switchOver() (*walkCall, error) {
	const toggle = "create_custom_tags"
	response, err := r.h.admin.ListToggles(context.Background(), &usherv1.ListTogglesRequest{Tenant: "t"})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(response.GetToggles(), func(t *usherv1.Toggle) bool { return t.GetName() == toggle })
	on := response.GetToggles()[i].GetState() == usherv1.ToggleState_TOGGLE_STATE_ON
	return &walkCall{acts: []*usherv1.Act{{
		Act:              &usherv1.Act_SetToggle{SetToggle: &usherv1.SetToggleAct{Toggle: toggle, State: toggleState(!on)}},
		ExpectedRevision: response.GetRevision(),
	}}}, nil
}
