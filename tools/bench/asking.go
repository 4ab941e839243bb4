package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"

	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store/storetest/installation"
)

// The requests that loads are made of. All are drawn with the same seed, so that every run
// asks the same.

// checks returns checks of n questions, which come again and again.
func checks(in *installation.Installation, n int) *load {
	r := newRand()
	l := checkLoad()
	for range n {
		l.add(checkRequest(in.Question(r)))
	}
	return l
}

// coldChecks returns checks of members of staff who have not been asked about before: so
// many of them, from all over the largest tenants. Tenants beyond those are left out,
// because they would be cold themselves.
func coldChecks(in *installation.Installation, n int) *load {
	const largest = 1000
	tenants := in.Tenants()
	tenants = tenants[:min(len(tenants), largest)]
	total := 0
	var ends []int // how many members of staff there are up to the end of each tenant
	for _, t := range tenants {
		total += t.Staff
		ends = append(ends, total)
	}
	l := checkLoad()
	l.once = true
	for i := range min(n, total) {
		const stride = 2_147_483_647 // a prime: it comes by everybody, and neighbours are far apart
		member := i * stride % total
		t := sort.SearchInts(ends, member+1)
		l.add(checkRequest(in.QuestionFor(t, member-(ends[t]-tenants[t].Staff))))
	}
	return l
}

// pages returns n list pages of so many tickets with so many actions each, decisions only.
func pages(in *installation.Installation, n, tickets, actions int) *load {
	r := newRand()
	l := &load{method: usherv1.DecisionService_BatchCheck_FullMethodName, decisions: tickets * actions, verify: verifyBatch}
	for range n {
		page := in.Page(r, tickets, actions)
		request := &usherv1.BatchCheckRequest{Tenant: page.Tenant, Subject: page.Subject}
		for _, ticket := range page.Tickets {
			request.Items = append(request.Items, &usherv1.BatchCheckItem{
				Resource: &usherv1.Resource{Type: page.ResourceType, Id: ticket.ID, Scopes: ticket.Scopes, Owner: ticket.Owner},
				Actions:  page.Actions,
			})
		}
		l.add(request)
	}
	return l
}

// grants returns n grants to people who hold nothing yet, from all over the tenants by
// their size, each of what they would be hired for.
func grants(in *installation.Installation, n int) *load {
	r := newRand()
	l := &load{method: usherv1.AdminService_Grant_FullMethodName, once: true, decisions: 1, verify: verifyGrant}
	tenants := in.Tenants()
	hired := make([]int, len(tenants))
	places := make(map[string]int, len(tenants))
	for t, tenant := range tenants {
		places[tenant.Name] = t
	}
	for range n {
		t := places[in.Question(r).Tenant]
		assignment := in.AssignmentsOf(t, tenants[t].Staff+hired[t])[0]
		hired[t]++
		l.add(&usherv1.GrantRequest{
			Tenant: tenants[t].Name, Subject: assignment.Subject, Role: assignment.Role, Scope: assignment.Scope,
			By: &usherv1.GrantRequest_Operator{Operator: &usherv1.Operator{}},
		})
	}
	return l
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func checkLoad() *load {
	return &load{method: usherv1.DecisionService_Check_FullMethodName, decisions: 1, verify: verifyCheck}
}

func checkRequest(q installation.Question) *usherv1.CheckRequest {
	return &usherv1.CheckRequest{
		Tenant: q.Tenant, Subject: q.Subject, Action: q.Action,
		Resource: &usherv1.Resource{Type: q.ResourceType, Id: q.ResourceID, Scopes: q.Scopes, Owner: q.Owner},
	}
}

func (l *load) add(request proto.Message) {
	encoded, err := proto.Marshal(request)
	if err != nil {
		panic(err) // a name that is not UTF-8
	}
	l.requests = append(l.requests, encoded)
}

var errUndecided = errors.New("it has no decision")

func verifyCheck(response []byte) error {
	var m usherv1.CheckResponse
	if err := proto.Unmarshal(response, &m); err != nil {
		return err
	}
	if m.GetDecision() == usherv1.Decision_DECISION_UNSPECIFIED || m.GetRevision() == "" {
		return errUndecided
	}
	return nil
}

func verifyBatch(response []byte) error {
	var m usherv1.BatchCheckResponse
	if err := proto.Unmarshal(response, &m); err != nil {
		return err
	}
	for _, result := range m.GetResults() {
		if result.GetError() != nil {
			return fmt.Errorf("an item has an error: %v", result.GetError())
		}
		for _, decision := range result.GetDecisions() {
			if decision == usherv1.Decision_DECISION_UNSPECIFIED {
				return errUndecided
			}
		}
	}
	if len(m.GetResults()) == 0 {
		return errUndecided
	}
	return nil
}

func verifyGrant(response []byte) error {
	var m usherv1.GrantResponse
	if err := proto.Unmarshal(response, &m); err != nil {
		return err
	}
	if m.GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED {
		return fmt.Errorf("its outcome is %v", m.GetOutcome())
	}
	return nil
}

func verifyList(response []byte) error {
	var m usherv1.ListAssignmentsResponse
	if err := proto.Unmarshal(response, &m); err != nil {
		return err
	}
	if len(m.GetAssignments()) == 0 {
		return errors.New("the page is empty")
	}
	return nil
}
