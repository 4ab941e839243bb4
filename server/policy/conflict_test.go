package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// describeConflicts is one line for each conflict.
func describeConflicts(conflicts []policy.Conflict) string {
	var lines []string
	for _, c := range conflicts {
		about := c.Toggle
		if c.Assignment != nil {
			about = strings.TrimSpace(c.Assignment.Role + " " + c.Assignment.Scope)
		}
		lines = append(lines, strings.TrimPrefix(about+": "+c.Text, ": "))
	}
	return strings.Join(lines, "\n")
}

func TestConflictsOfSubject(t *testing.T) {
	t.Parallel()
	catalog := parseShop(t)
	for _, c := range []struct {
		about string
		held  []string
		want  []string
	}{
		{"nothing", nil, nil},
		{"what is allowed", []string{"user:ann owner", "user:ann seller desk:a", "user:ann trainee team:a", "user:ann trainee team:b"}, nil},
		{"no such role", []string{"user:ann buyer", "user:ann seller"}, []string{`buyer: there is no role "buyer": revoke it`}},
		{"no such role, yet to come", []string{"user:ann buyer team:a from 1"}, []string{`buyer team:a: there is no role "buyer": revoke it`}},
		{"no such role, and it has ended", []string{"user:ann buyer until -1"}, []string{`buyer: there is no role "buyer"; the assignment has ended and will be cleared away: try again then`}},
		{"the default role", []string{"user:ann guest"}, []string{`guest: "guest" is the role of everybody who holds no other one, and is never granted`}},
		{"a holder of another type", []string{"group:g auditor"}, []string{`auditor: the role "auditor" can't be held by group:g`}},
		{"a scope of another type", []string{"user:ann trainee desk:a"}, []string{`trainee desk:a: the role "trainee" can't be held in desk:a`}},
		{"a scope of a type that there is not", []string{"user:ann seller shelf:a"}, []string{`seller shelf:a: the role "seller" can't be held in shelf:a`}},
		{"a role of the tenant in a scope", []string{"user:ann owner team:a"}, []string{`owner team:a: the role "owner" can't be held in team:a`}},
		{"none of it, when it has ended", []string{"user:ann guest until -1", "user:ann trainee desk:a until 0", "user:ann owner team:a until -1"}, nil},
		{"two exclusive roles", []string{"user:ann auditor", "user:ann trainee team:a"}, []string{
			`trainee team:a: user:ann holds the role "auditor" at the same time, and may hold one of these roles only`,
		}},
		{"two exclusive roles, for some time later", []string{"user:ann auditor from 2 until 5", "user:ann trainee team:a until 2", "user:ann trainee team:b until 3"}, []string{
			`trainee team:b: user:ann holds the role "auditor" at the same time, and may hold one of these roles only`,
		}},
		{"one after the other", []string{"user:ann auditor until 2", "user:ann trainee team:a from 2"}, nil},
		{"the other one has ended", []string{"user:ann auditor until 0", "user:ann trainee team:a"}, nil},
	} {
		got := describeConflicts(catalog.ConflictsOfSubject(holding(t, c.held...), shopNow))
		if want := strings.Join(c.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.about, got, want)
		}
	}
}

func TestConflictsOfToggles(t *testing.T) {
	t.Parallel()
	got := describeConflicts(parseShop(t).ConflictsOfToggles(map[string]bool{"sealed": false, "tills_open": false, "open": true, "closed": false}))
	want := "closed: there is no toggle \"closed\", and it is set\nopen: there is no toggle \"open\", and it is set"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestConflictsOfTenant(t *testing.T) {
	t.Parallel()
	catalog := parseShop(t)
	if got := catalog.ConflictsOfTenant(true); got != nil {
		t.Errorf("got %+v, want none", got)
	}
	want := `no user holds the role "owner" in the tenant, now and without an end: grant it to somebody first`
	if got := describeConflicts(catalog.ConflictsOfTenant(false)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestConflictsAreWhatGrantsRefuse grants at random, as the operator: whatever could be
// granted is no conflict, and whatever could not be, beside that, is one.
func TestConflictsAreWhatGrantsRefuse(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	all := allCatalogs(t)
	granted, refused := 0, 0
	for round := range 3000 {
		catalog := pick(random, all)
		table := policy.NewTable(catalog, nil)
		message := catalog.Message()
		subject := pick(random, []string{"user:ann", "user:ann", "group:g", "service:bot"})
		scopes := []string{"", ""}
		for _, scopeType := range append(message.GetScopeTypes(), "shelf") {
			scopes = append(scopes, scopeType+":a")
		}
		var held []store.Assignment
		for range 6 {
			line := fmt.Sprintf("%s %s %s", subject, pick(random, message.GetRoles()).GetName(), pick(random, scopes))
			if start := random.IntN(6); start > 0 {
				line += fmt.Sprintf(" from %d until %d", start-3, start-3+1+random.IntN(4))
			}
			a := holding(t, line)[0]
			if a.Ended(shopNow) {
				continue
			}
			others := slices.DeleteFunc(slices.Clone(held), func(b store.Assignment) bool { return b.AssignmentKey == a.AssignmentKey })
			_, err := table.PlanGrant(operator, policy.Subject{Name: subject, Held: others, OthersKeep: true}, a, shopNow)
			conflicts := catalog.ConflictsOfSubject(append(others, a), shopNow)
			if (err == nil) != (len(conflicts) == 0) {
				t.Fatalf("round %d, %s: beside %+v, %s: the grant says %v, the conflicts are\n%s",
					round, catalog.Ref().Name, others, line, err, describeConflicts(conflicts))
			}
			if err == nil {
				held = append(others, a)
				granted++
			} else {
				refused++
			}
		}
	}
	if granted < 1000 || refused < 1000 {
		t.Errorf("%d grants and %d refusals are too few of one kind", granted, refused)
	}
}
