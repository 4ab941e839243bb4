package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// written describes planned changes, as "-user:ann seller team:a +user:ann lead".
func written(changes []store.Change) string {
	var words []string
	for _, change := range changes {
		switch change := change.(type) {
		case store.RemoveAssignment:
			sign := "-"
			if change.Cleared {
				sign = "cleared "
			}
			words = append(words, sign+strings.TrimSpace(change.Key.Role+" "+change.Key.Scope))
		case store.SetAssignment:
			words = append(words, "+"+strings.TrimSpace(change.Assignment.Role+" "+change.Assignment.Scope))
		default:
			words = append(words, fmt.Sprintf("%T", change))
		}
	}
	return strings.Join(words, ", ")
}

// TestChangeRoleInTheShop has the changes of role that no built-in catalog can show.
func TestChangeRoleInTheShop(t *testing.T) {
	t.Parallel()
	catalog := parseShop(t)
	table := policy.NewTable(catalog, nil)
	owner := actorWith(t, catalog, "user:actor owner")
	lead := actorWith(t, catalog, "user:actor lead team:a")
	groupLead := actorWith(t, catalog, "group:leads lead team:a", "user:actor seller")
	nobody := actorWith(t, catalog)
	for _, c := range []struct {
		about    string
		actor    policy.Actor
		held     []string
		from, to string
		scopes   []string
		want     string
	}{
		{"an administrator of a team, in it", lead, []string{"user:ann trainee team:a"}, "trainee", "seller", []string{"team:a"}, "-trainee team:a, +seller team:a"},
		{"and by a group", groupLead, []string{"user:ann trainee team:a"}, "trainee", "seller", []string{"team:a"}, "-trainee team:a, +seller team:a"},
		{"not where a part is taken elsewhere", lead, []string{"user:ann trainee team:a", "user:ann trainee team:b"}, "trainee", "seller", []string{"team:a"}, "ACTOR_NOT_ALLOWED"},
		{"nor where a part is given elsewhere", lead, []string{"user:ann trainee team:a"}, "trainee", "seller", []string{"team:a", "team:b"}, "ACTOR_NOT_ALLOWED"},
		{"nor given in the tenant", lead, []string{"user:ann trainee team:a"}, "trainee", "seller", nil, "ACTOR_NOT_ALLOWED"},
		{"nor moved away", lead, []string{"user:ann seller team:b"}, "seller", "seller", []string{"team:a"}, "ACTOR_NOT_ALLOWED"},
		{"nor kept elsewhere", lead, []string{"user:ann seller team:b"}, "seller", "seller", []string{"team:a", "team:b"}, "ACTOR_NOT_ALLOWED"},
		{"nothing is held, where they administer", lead, nil, "trainee", "seller", []string{"team:a"}, "NOT_HELD"},
		{"nothing is held, elsewhere", lead, nil, "trainee", "seller", []string{"team:b"}, "ACTOR_NOT_ALLOWED"},
		{"nothing is held, by nobody", nobody, nil, "trainee", "seller", []string{"team:a"}, "ACTOR_NOT_ALLOWED"},

		{"refused from and to, though several may be held", owner, []string{"user:ann seller team:a"}, "seller", "trainee", []string{"team:a"}, "TRANSITION_REFUSED"},
		{"also for later", operator, []string{"user:ann seller team:a from 2"}, "seller", "trainee", nil, "TRANSITION_REFUSED"},
		{"not when it has ended", owner, []string{"user:ann seller team:a until -1"}, "seller", "trainee", nil, "NOT_HELD"},
		{"another change from it is fine", owner, []string{"user:ann seller team:a"}, "seller", "lead", nil, "-seller team:a, +lead"},
		{"refused to anything", owner, []string{"user:ann auditor"}, "auditor", "seller", nil, "TRANSITION_REFUSED"},
		{"but to the operator", operator, []string{"user:ann auditor"}, "auditor", "seller", nil, "-auditor, +seller"},
		{"a move is no change to another role", owner, []string{"user:ann seller team:a"}, "seller", "seller", []string{"team:b"}, "-seller team:a, +seller team:b"},

		{"held by what the catalog allows", owner, []string{"group:g seller"}, "seller", "auditor", nil, "NOT_ASSIGNABLE_TO_HOLDER"},
		{"what stays is another exclusive role", owner, []string{"user:ann auditor", "user:ann seller"}, "seller", "trainee", []string{"team:a"}, "TRANSITION_REFUSED"},
		{"what stays is another exclusive role, and another is taken", operator, []string{"user:ann auditor", "user:ann lead team:a"}, "lead", "trainee", nil, "ONE_ROLE_ONLY"},
		{"what stays has a transition of its own", owner, []string{"user:ann auditor", "user:ann lead team:a"}, "lead", "trainee", nil, "TRANSITION_REFUSED"},

		{"a scope twice", owner, []string{"user:ann seller"}, "seller", "lead", []string{"team:b", "team:a", "team:b"}, "-seller, +lead team:a, +lead team:b"},
		{"what is held already stays", owner, []string{"user:ann seller", "user:ann lead team:a"}, "seller", "lead", []string{"team:a", "team:b"}, "-seller, +lead team:b"},
		{"what has ended is given anew and not taken", owner, []string{"user:ann seller until -1", "user:ann seller team:a"}, "seller", "seller", nil, "-seller team:a, +seller"},
		{"all is so already", owner, []string{"user:ann lead team:a", "user:ann lead team:b"}, "seller", "lead", []string{"team:b", "team:a"}, ""},
		{"not all is so", owner, []string{"user:ann lead team:a"}, "seller", "lead", []string{"team:b", "team:a"}, "NOT_HELD"},
		{"the last one, by the role that is given", operator, []string{"user:ann owner", "user:ann seller"}, "owner", "seller", nil, "LAST_HOLDER"},
	} {
		s := policy.Subject{Tenant: 7, Name: "user:ann", Held: holding(t, c.held...)}
		if len(s.Held) > 0 {
			s.Name = s.Held[0].Subject
		}
		changes, err := table.PlanChangeRole(c.actor, s, c.from, c.to, c.scopes, store.Interval{}, shopNow)
		if got := codeOf(err) + written(changes); got != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.about, got, err, c.want)
		}
	}
}

// TestChangeRoleMakesRoom changes a role of somebody who holds nearly all that there can be.
func TestChangeRoleMakesRoom(t *testing.T) {
	t.Parallel()
	catalog := parseShop(t)
	table := policy.NewTable(catalog, nil)
	full := make([]store.Assignment, policy.MaxAssignments)
	for i := range full {
		full[i] = holding(t, fmt.Sprintf("user:ann seller desk:%d", i))[0]
	}
	moreOf := func(held []store.Assignment, lines ...string) []store.Assignment {
		return append(slices.Clone(held), holding(t, lines...)...)
	}
	for _, c := range []struct {
		about    string
		held     []store.Assignment
		from, to string
		scopes   []string
		want     string
	}{
		{"as many as before", moreOf(full[1:], "user:ann lead team:a"), "lead", "lead", []string{"team:b"}, "-lead team:a, +lead team:b"},
		{"one more than there can be", moreOf(full[1:], "user:ann lead team:a"), "lead", "lead", []string{"team:a", "team:b"}, "TOO_MANY_ASSIGNMENTS"},
		{"up to what there can be", moreOf(full[2:], "user:ann lead team:a"), "lead", "lead", []string{"team:a", "team:b"}, "+lead team:b"},
		{
			"in the room of what has ended", moreOf(full[2:], "user:ann lead team:a", "user:ann trainee team:x until -1", "user:ann lead team:b until -2"),
			"lead", "lead", []string{"team:a", "team:b"}, "+lead team:b, cleared trainee team:x",
		},
	} {
		changes, err := table.PlanChangeRole(operator, policy.Subject{Name: "user:ann", Held: c.held}, c.from, c.to, c.scopes, store.Interval{}, shopNow)
		if got := codeOf(err) + written(changes); got != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.about, got, err, c.want)
		}
	}
}

// TestRemoveSubjectInTheShop has the removals that no built-in catalog can show.
func TestRemoveSubjectInTheShop(t *testing.T) {
	t.Parallel()
	catalog := parseShop(t)
	table := policy.NewTable(catalog, nil)
	owner := actorWith(t, catalog, "user:actor owner")
	lead := actorWith(t, catalog, "user:actor lead team:a")
	wasLead := actorWith(t, catalog, "user:actor lead team:a until -1")
	groupLead := actorWith(t, catalog, "group:leads lead team:a")
	for _, c := range []struct {
		about      string
		actor      policy.Actor
		held       []string
		othersKeep bool
		want       string
	}{
		{"all of the roles, and what is to come", owner, []string{"user:ann lead team:a", "user:ann seller", "user:ann seller team:b from 1"}, false, "-lead team:a, -seller, -seller team:b"},
		{"not what has ended", owner, []string{"user:ann lead team:a until 0", "user:ann seller"}, false, "-seller"},
		{"in the team that they administer", lead, []string{"user:ann seller team:a", "user:ann trainee team:a"}, false, "-seller team:a, -trainee team:a"},
		{"one of them elsewhere", lead, []string{"user:ann seller team:a", "user:ann seller team:b"}, false, "ACTOR_NOT_ALLOWED"},
		{"one of them in the tenant", lead, []string{"user:ann seller team:a", "user:ann seller"}, false, "ACTOR_NOT_ALLOWED"},
		{"one of them not theirs to take", lead, []string{"user:ann seller team:a", "user:ann lead team:a"}, false, "ACTOR_NOT_ALLOWED"},
		{"one that can't be taken", owner, []string{"user:ann auditor", "user:ann seller"}, false, "TRANSITION_REFUSED"},
		{"but by the operator", operator, []string{"user:ann auditor", "user:ann seller"}, false, "-auditor, -seller"},
		{"nothing held, by who may revoke in a team", lead, nil, false, ""},
		{"nothing held, by who may revoke by a group", groupLead, nil, false, ""},
		{"nothing held, by who might once", wasLead, nil, false, "ACTOR_NOT_ALLOWED"},
		{"a group that the actor is in", groupLead, []string{"group:leads seller team:a"}, false, "OWN_ROLES"},
		{"the last one", operator, []string{"user:ann owner", "user:ann seller"}, false, "LAST_HOLDER"},
		{"not the last one", operator, []string{"user:ann owner", "user:ann seller"}, true, "-owner, -seller"},
		{"a role that there is not", operator, []string{"user:ann seller", "user:ann buyer"}, true, `user:ann holds the role "buyer", which {shop 1} does not have`},
	} {
		s := policy.Subject{Name: "user:ann", Held: holding(t, c.held...), OthersKeep: c.othersKeep}
		if len(s.Held) > 0 {
			s.Name = s.Held[0].Subject
		}
		changes, err := table.PlanRemoveSubject(c.actor, s, shopNow)
		if got := codeOf(err) + written(changes); got != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.about, got, err, c.want)
		}
	}
}
