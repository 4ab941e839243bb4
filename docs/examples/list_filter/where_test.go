package listfilter_test

import (
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	listfilter "github.com/usher-pdp/usher/docs/examples/list_filter"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

var (
	seed   = flag.Uint64("seed", 0, "the seed of the random worlds; 0: another one each time")
	worlds = flag.Int("worlds", 25, "how many random worlds")
)

// TestRowsAreThoseThatChecksAllow compares, on random catalogs, grants and tickets, the rows that
// a clause selects with the tickets that BatchCheck allows.
func TestRowsAreThoseThatChecksAllow(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("go test -seed %d", *seed)
	w := world{rand.New(rand.NewPCG(*seed, 0))}
	u := startUsher(t)
	asked, rows, selected, forbidding := 0, 0, 0, 0
	for n := range *worlds {
		tenant := fmt.Sprintf("world_%d", n)
		catalog := w.catalog(tenant)
		u.createTenant(t, tenant, tenant, catalog)
		for range w.IntN(12) {
			u.grant(t, w.grant(tenant))
		}
		db := openTickets(t)
		var tickets []*usherv1.Resource
		for i := range 60 {
			ticket := w.ticket(fmt.Sprintf("T-%02d", i))
			tickets = append(tickets, ticket)
			insertTicket(t, db, ticket)
		}
		for range 12 {
			request := &usherv1.ListScopesRequest{
				Tenant: tenant, Subject: pick(w, append([]string{"user:nobody"}, subjects...)), Groups: some(w, []string{"group:a", "group:b"}, 2),
				Action: pick(w, []string{"view", "edit"}), ResourceType: "ticket", PageSize: int32(w.IntN(4)),
			}
			filter, err := listfilter.Fetch(t.Context(), u.decisions, request)
			if err != nil {
				t.Fatal(err)
			}
			where, args, err := listfilter.Tickets.Where(filter, request.GetSubject())
			if err != nil {
				t.Fatal(err)
			}
			got, want := selectTickets(t, db, where, args), u.allowed(t, request, tickets)
			if !slices.Equal(got, want) {
				t.Fatalf("%v\nselected: %v\nallowed:  %v\n%s\n%q\n%s", request, got, want, where, args, catalog)
			}
			asked++
			rows += len(tickets)
			selected += len(got)
			if len(filter.GetForbid()) > 0 && len(filter.GetAllow()) > 0 {
				forbidding++
			}
		}
	}
	t.Logf("%d filters, %d of them with forbid rules; %d of %d rows selected", asked, forbidding, selected, rows)
	if *worlds >= 25 && (selected*20 < rows || selected*20 > rows*19 || forbidding*50 < asked) {
		t.Error("that is too one-sided to mean much")
	}
}

func insertTicket(t *testing.T, db *sql.DB, r *usherv1.Resource) {
	t.Helper()
	values := []any{r.GetId(), sql.NullString{String: r.GetOwner(), Valid: r.GetOwner() != ""}}
	for _, name := range attributeNames() {
		values = append(values, column(attributeTypes[name], r.GetAttributes().GetFields()[name]))
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO tickets (id, owner, status, priority, hours, vip, tags) VALUES (?, ?, ?, ?, ?, ?, ?)", values...); err != nil {
		t.Fatal(err)
	}
	for _, scope := range r.GetScopes() {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO ticket_scopes (ticket_id, scope) VALUES (?, ?)", r.GetId(), scope); err != nil {
			t.Fatal(err)
		}
	}
}

// allowed are the ids of the tickets that checks allow, in order.
func (u usher) allowed(t *testing.T, r *usherv1.ListScopesRequest, tickets []*usherv1.Resource) (ids []string) {
	t.Helper()
	batch := &usherv1.BatchCheckRequest{Tenant: r.GetTenant(), Subject: r.GetSubject(), Groups: r.GetGroups()}
	for _, ticket := range tickets {
		batch.Items = append(batch.Items, &usherv1.BatchCheckItem{Resource: ticket, Actions: []string{r.GetAction()}})
	}
	answer, err := u.decisions.BatchCheck(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range answer.GetResults() {
		if result.GetError() != nil {
			t.Fatal(result.GetError())
		}
		if result.GetDecisions()[0] == usherv1.Decision_DECISION_ALLOW {
			ids = append(ids, tickets[i].GetId())
		}
	}
	return ids
}
