package server_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// whoCatalog has every reach, a veto, and a default role that allows by turns nothing, what
// is one's own, or all but that.
func whoCatalog(guest string) string {
	return `
name: who
version: 1
scope_types: [team, queue]
holders: [user, group, bot]
default_role: guest
resource_types:
  - name: ticket
    actions: [view, edit]
    attributes: [{name: open, type: bool}]
roles:
  - name: guest
    rules:
      - {allow: ['ticket:edit'], reach: own, condition: 'resource.id == "none"'}
      - ` + guest + `
  - name: boss
    rules:
      - {allow: ['role:grant', 'role:revoke', 'toggle:set'], reach: tenant}
  - name: clerk
    held_in: [team]
    rules:
      - {allow: ['ticket:view'], reach: assigned}
      - {allow: ['role:grant'], reach: tenant}
  - name: lead
    held_in: [team]
    rules:
      - {allow: ['ticket:view', 'ticket:edit'], reach: tenant, while_on: wide}
      - {allow: ['ticket:view'], reach: assigned, condition: resource.open, widen: {reach: any queue, while_off: wide}}
  - name: customer
    rules:
      - {allow: ['ticket:view'], reach: own}
  - name: barred
    held_in: [team]
    rules:
      - {forbid: ['ticket:view'], reach: assigned}
toggles:
  - {name: wide, starts_on: false}
administration: {protected_role: boss}
`
}

// whoWorld is a tenant "t" of which is known who may be listed.
type whoWorld struct {
	*harness
	*rand.Rand
	subjects, scopes []string
}

func newWhoWorld(t *testing.T, random *rand.Rand, guest string, teams int) *whoWorld {
	t.Helper()
	w := &whoWorld{harness: newHarness(t), Rand: random, scopes: []string{""}}
	w.putCatalog(t, whoCatalog(guest))
	raceTenant(t, w.harness, "t", "who")
	raceTenant(t, w.harness, "u", "who")
	w.write(t, "u", actGrant("user:stranger", "lead", ""), actGrant("user:00", "lead", "team:000"), actToggle("wide", true))
	for i := range teams {
		w.scopes = append(w.scopes, fmt.Sprintf("team:%03d", i))
	}
	for i := range 30 {
		w.subjects = append(w.subjects, fmt.Sprintf("user:%02d", i), fmt.Sprintf("group:%02d", i))
	}
	w.subjects = append(w.subjects, "bot:x", "user:!", "user:ä", "user:~")
	// Roles are held in all of the scopes, but few subjects are asked about.
	var all []store.Assignment
	for i, scope := range w.scopes {
		all = append(all, w.assignment(w.subjects[i%len(w.subjects)], []string{"clerk", "lead"}[i%2], scope))
	}
	for range 60 {
		all = append(all, w.draw())
	}
	w.assign(t, all...)
	return w
}

// draw draws an assignment, in force or not. Some subjects are left out for good.
func (w *whoWorld) draw() store.Assignment {
	role := oneOfThese(w.Rand, "clerk", "clerk", "lead", "customer", "barred")
	scope := w.scopes[w.IntN(min(len(w.scopes), 4))]
	if role == "customer" {
		scope = ""
	}
	return w.assignment(w.subjects[w.IntN(len(w.subjects)-4)], role, scope)
}

func (w *whoWorld) assignment(subject, role, scope string) store.Assignment {
	a := store.Assignment{AssignmentKey: store.AssignmentKey{Subject: subject, Role: role, Scope: scope}}
	switch w.IntN(8) {
	case 0:
		a.Start = testTime.Add(time.Duration(1+w.IntN(5)) * time.Hour)
	case 1:
		a.End = testTime.Add(-time.Hour)
	case 2:
		a.End = testTime.Add(time.Duration(1+w.IntN(5)) * time.Hour)
	}
	return a
}

func openIs(open bool) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"open": structpb.NewBoolValue(open)}}
}

// request draws whom to ask for.
func (w *whoWorld) request() *usherv1.ListSubjectsRequest {
	r := &usherv1.ListSubjectsRequest{Tenant: "t", Action: oneOfThese(w.Rand, "view", "view", "view", "edit"), Resource: &usherv1.Resource{Type: "ticket", Id: "7"}}
	if w.IntN(5) == 0 {
		r.Action, r.Resource.Type, r.Resource.Id = "grant", "role", oneOfThese(w.Rand, "", "clerk")
	}
	for range w.IntN(4) {
		r.Resource.Scopes = append(r.Resource.Scopes, oneOfThese(w.Rand, "team:000", "team:001", "team:002", "queue:a"))
	}
	r.Resource.Owner = oneOfThese(w.Rand, "", "user:01", "user:", "group:01", "user:nobody stored", "user:20")
	if r.Resource.Owner == "user:" {
		r.Resource.Owner = w.subjects[w.IntN(len(w.subjects))]
	}
	if w.IntN(2) == 0 {
		r.Resource.Attributes = openIs(w.IntN(4) > 0)
	}
	return r
}

// allowed asks Check about every subject that may be stored, and the owner.
func (w *whoWorld) allowed(t *testing.T, r *usherv1.ListSubjectsRequest) map[string]*usherv1.CheckResponse {
	t.Helper()
	stored := map[string]bool{}
	err := w.store.View(t.Context(), func(reader store.Reader) error {
		tenant, err := reader.Tenant("t")
		if err != nil {
			return err
		}
		for a, err := range reader.Assignments(tenant.ID, store.AssignmentKey{}) {
			if err != nil {
				return err
			}
			stored[a.Subject] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if owner := r.GetResource().GetOwner(); owner != "" && !strings.HasPrefix(owner, "group:") {
		stored[owner] = true
	}
	allowed := map[string]*usherv1.CheckResponse{}
	for subject := range stored {
		answer, err := w.decisions.Check(t.Context(), &usherv1.CheckRequest{Tenant: "t", Subject: subject, Action: r.GetAction(), Resource: r.GetResource()})
		if err != nil {
			t.Fatal(err)
		}
		if answer.GetDecision() == usherv1.Decision_DECISION_ALLOW {
			allowed[subject] = answer
		}
	}
	return allowed
}

// TestListSubjectsAgreesWithCheck lists who may in pages of any size. Between two pages
// somebody is granted or loses something; each page is right when it is made, and who may
// throughout is listed exactly once.
func TestListSubjectsAgreesWithCheck(t *testing.T) {
	for _, guest := range []string{
		"{allow: ['ticket:edit'], reach: own, condition: 'resource.id == \"none\"'}",
		"{allow: ['ticket:view', 'ticket:edit'], reach: own}",
		"{allow: ['ticket:view'], reach: any team}",
	} {
		for _, teams := range []int{3, 250} {
			t.Run(fmt.Sprintf("%s in %d teams", guest, teams), func(t *testing.T) {
				t.Parallel()
				w := newWhoWorld(t, newRandom(t), guest, teams)
				listed, everyone := 0, 0
				for round := range 25 {
					if round == 12 {
						w.write(t, "t", actToggle("wide", true))
					}
					r := w.request()
					n, open := w.listAll(t, r, round%2 == 1)
					listed += n
					if open {
						everyone++
					}
				}
				if listed < 25 || strings.Contains(guest, "any team") != (everyone > 0) {
					t.Errorf("listed %d, and everyone %d times", listed, everyone)
				}
			})
		}
	}
}

// listAll lists all pages and judges each. It returns how many are listed at the first page, and
// whether everyone is allowed.
func (w *whoWorld) listAll(t *testing.T, r *usherv1.ListSubjectsRequest, writes bool) (count int, everyone bool) {
	t.Helper()
	seen, last := map[string]bool{}, ""
	throughout := w.allowed(t, r)
	for page := 0; ; page++ {
		r.PageSize = int32(1 + w.IntN(7))
		got, err := w.decisions.ListSubjects(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		allowed := w.allowed(t, r)
		for subject := range throughout {
			if allowed[subject] == nil {
				delete(throughout, subject)
			}
		}
		var subjects []string
		for i, s := range slices.Concat(got.GetSubjects(), got.GetGroups()) {
			subject := s.GetSubject()
			if isGroup := i >= len(got.GetSubjects()); isGroup != strings.HasPrefix(subject, "group:") || seen[subject] {
				t.Errorf("%v: %s is in the wrong list, or there twice", r, subject)
			}
			seen[subject] = true
			subjects = append(subjects, subject)
			reason := allowed[subject].GetReason()
			if reason == nil || reason.GetRole() != s.GetRole() || reason.GetScope() != s.GetScope() {
				t.Errorf("%v: got %v, while Check answers %v", r, s, reason)
			}
		}
		sorted := func(list []*usherv1.ListedSubject) bool {
			return slices.IsSortedFunc(list, func(a, b *usherv1.ListedSubject) int { return strings.Compare(a.GetSubject(), b.GetSubject()) })
		}
		if !sorted(got.GetSubjects()) || !sorted(got.GetGroups()) || len(subjects) > int(r.GetPageSize()) || got.GetRevision() == "" {
			t.Errorf("a page of %d: %v", r.GetPageSize(), got)
		}
		slices.Sort(subjects)
		if len(subjects) > 0 && subjects[0] <= last {
			t.Fatalf("%v: %s comes after %s", r, subjects[0], last)
		}
		w.wantRecheck(t, r, got, subjects)
		everyone = got.GetEveryoneWithoutARole() == usherv1.Decision_DECISION_ALLOW
		nobody, err := w.decisions.Check(t.Context(), &usherv1.CheckRequest{Tenant: "t", Subject: "user:of no account", Action: r.GetAction(), Resource: r.GetResource()})
		if err != nil || nobody.GetDecision() != got.GetEveryoneWithoutARole() {
			t.Errorf("%v: everyone %v, while Check answers %v, %v", r, got.GetEveryoneWithoutARole(), nobody, err)
		}
		if len(subjects) > 0 {
			last = subjects[len(subjects)-1]
		}
		if page == 0 {
			count = len(subjects)
		}
		if r.PageToken = got.GetNextPageToken(); r.PageToken == "" {
			break
		}
		if page > 500 {
			t.Fatalf("%v: the pages do not end", r)
		}
		if writes {
			w.assign(t, w.draw(), w.draw())
			w.write(t, "t", actRevoke(w.subjects[w.IntN(len(w.subjects))], oneOfThese(w.Rand, "clerk", "lead", "barred")))
		}
	}
	for subject := range throughout {
		if !seen[subject] {
			t.Errorf("%v: %s may throughout, but is not listed", r, subject)
		}
	}
	return count, everyone
}

// wantRecheck holds that a page is asked for again when who is on it may change.
func (w *whoWorld) wantRecheck(t *testing.T, r *usherv1.ListSubjectsRequest, got *usherv1.ListSubjectsResponse, subjects []string) {
	t.Helper()
	for subject, answer := range w.allowed(t, r) {
		by := answer.GetRecheckBy()
		if slices.Contains(subjects, subject) && by != nil && (got.GetRecheckBy() == nil || got.GetRecheckBy().AsTime().After(by.AsTime())) {
			t.Errorf("%v: recheck by %v, but by %v because of %s", r, got.GetRecheckBy(), by, subject)
		}
	}
}

// TestListSubjectsPagesAreBounded lists two subjects who may, behind thousands who may not.
func TestListSubjectsPagesAreBounded(t *testing.T) {
	h := newHarness(t)
	h.putCatalog(t, whoCatalog("{allow: ['ticket:edit'], reach: own}"))
	raceTenant(t, h, "t", "who")
	var all []store.Assignment
	for i := range 5_000 {
		for _, role := range []string{"clerk", "barred"} {
			all = append(all, store.Assignment{AssignmentKey: store.AssignmentKey{Subject: fmt.Sprintf("user:%04d", i), Role: role, Scope: "team:a"}})
		}
	}
	for i := range 12_000 {
		all = append(all, store.Assignment{
			AssignmentKey: store.AssignmentKey{Subject: fmt.Sprintf("user:many%d", i/6_000), Role: "clerk", Scope: fmt.Sprintf("team:%d", i)},
		})
	}
	for _, subject := range []string{"user:many0", "user:many1", "user:may", "user:z may"} {
		all = append(all, store.Assignment{AssignmentKey: store.AssignmentKey{Subject: subject, Role: "clerk", Scope: "team:a"}})
	}
	h.assign(t, all...)
	request := &usherv1.ListSubjectsRequest{Tenant: "t", Action: "view", Resource: &usherv1.Resource{Type: "ticket", Scopes: []string{"team:a"}}}
	var pages []int
	var names []string
	for {
		got, err := h.decisions.ListSubjects(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, len(got.GetSubjects()))
		for _, s := range got.GetSubjects() {
			names = append(names, s.GetSubject())
		}
		if request.PageToken = got.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if want := []int{0, 0, 2, 2}; !slices.Equal(pages, want) {
		t.Errorf("pages of %v, want %v", pages, want)
	}
	if want := []string{"user:many0", "user:many1", "user:may", "user:z may"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// TestListSubjectsTokens uses tokens where they do not belong.
func TestListSubjectsTokens(t *testing.T) {
	w := newWhoWorld(t, newRandom(t), "{allow: ['ticket:view'], reach: any team}", 3)
	good := func() *usherv1.ListSubjectsRequest {
		return &usherv1.ListSubjectsRequest{
			Tenant: "t", Action: "view", PageSize: 1,
			Resource: &usherv1.Resource{Type: "ticket", Id: "7", Scopes: []string{"team:000"}, Attributes: openIs(true)},
		}
	}
	first, err := w.decisions.ListSubjects(t.Context(), good())
	if err != nil || first.GetNextPageToken() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	for about, change := range map[string]func(*usherv1.ListSubjectsRequest){
		"another tenant":     func(r *usherv1.ListSubjectsRequest) { r.Tenant = "u" },
		"another action":     func(r *usherv1.ListSubjectsRequest) { r.Action = "edit" },
		"another id":         func(r *usherv1.ListSubjectsRequest) { r.Resource.Id = "8" },
		"another scope":      func(r *usherv1.ListSubjectsRequest) { r.Resource.Scopes[0] = "team:001" },
		"another owner":      func(r *usherv1.ListSubjectsRequest) { r.Resource.Owner = "user:01" },
		"another attribute":  func(r *usherv1.ListSubjectsRequest) { r.Resource.Attributes = openIs(false) },
		"another type":       func(r *usherv1.ListSubjectsRequest) { r.Resource.Type, r.Resource.Id, r.Action = "role", "", "grant" },
		"a token with noise": func(r *usherv1.ListSubjectsRequest) { r.PageToken += "!" },
	} {
		r := good()
		r.PageToken = first.GetNextPageToken()
		change(r)
		_, err := w.decisions.ListSubjects(t.Context(), r)
		t.Log(about)
		wantError(t, err, codes.InvalidArgument, malformedReason)
	}
	listed, err := w.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{Tenant: "t", PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := good()
	r.PageToken = listed.GetNextPageToken()
	_, err = w.decisions.ListSubjects(t.Context(), r)
	wantError(t, err, codes.InvalidArgument, malformedReason)
	r.PageToken, r.PageSize = first.GetNextPageToken(), 3
	if _, err := w.decisions.ListSubjects(t.Context(), r); err != nil {
		t.Errorf("another size of page: %v", err)
	}
}
