package policy_test

import (
	"reflect"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

// parseExpertConnect is the one catalog that has a primary administrator.
func parseExpertConnect(t testing.TB) *policy.Catalog {
	t.Helper()
	source := catalogs.All()[0]
	catalog, err := policy.Parse(source.Name, source.YAML, nil)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

func TestFirstAdministratorIsPrimary(t *testing.T) {
	t.Parallel()
	for _, catalog := range allCatalogs(t) {
		changes, err := catalog.PlanFirstAdministrator("user:ann")
		want := []store.Change{store.SetAssignment{Assignment: store.Assignment{
			AssignmentKey: store.AssignmentKey{Subject: "user:ann", Role: catalog.ProtectedRole()},
		}}}
		if catalog.Ref().Name == "expertconnect" {
			want = append(want, store.SetPrimary{Subject: "user:ann"})
		}
		if err != nil || !reflect.DeepEqual(changes, want) {
			t.Errorf("%s: got %+v, %v, want %+v", catalog.Ref().Name, changes, err, want)
		}
		if changes, err := catalog.PlanFirstAdministrator("group:g"); codeOf(err) != "NOT_ASSIGNABLE_TO_HOLDER" || changes != nil {
			t.Errorf("%s: a group: got %+v, %v, want NOT_ASSIGNABLE_TO_HOLDER", catalog.Ref().Name, changes, err)
		}
	}
}

func TestPrimaryIsNamedByWhoMayGrant(t *testing.T) {
	t.Parallel()
	catalog := parseExpertConnect(t)
	table := policy.NewTable(catalog, nil)
	administrator := actorWith(t, catalog, "user:actor administrator")
	named := func(subject string) []store.Change {
		return []store.Change{store.SetPrimary{Tenant: 7, Subject: subject}}
	}
	for _, c := range []struct {
		about   string
		table   *policy.Table
		actor   policy.Actor
		subject string
		keeps   bool
		want    []store.Change
		refused string
	}{
		{"by an administrator", table, administrator, "user:bob", true, named("user:bob"), ""},
		{"by the operator", table, operator, "user:bob", true, named("user:bob"), ""},
		{"themselves", table, administrator, "user:actor", true, named("user:actor"), ""},
		{"the same again", table, administrator, "user:ann", true, nil, ""},
		{"somebody else", table, administrator, "user:bob", false, nil, "NOT_A_HOLDER"},
		{"who was it and holds the role no more", table, operator, "user:ann", false, nil, "NOT_A_HOLDER"},
		{"by a manager", table, actorWith(t, catalog, "user:actor manager"), "user:bob", true, nil, "ACTOR_NOT_ALLOWED"},
		{"by who was an administrator", table, actorWith(t, catalog, "user:actor administrator until 0"), "user:ann", true, nil, "ACTOR_NOT_ALLOWED"},
		{"without the word for it", policy.NewTable(parseShop(t), nil), operator, "user:bob", true, nil, "NO_PRIMARY"},
		{"without the word for it, by nobody", policy.NewTable(parseShop(t), nil), actorWith(t, parseShop(t)), "user:bob", true, nil, "ACTOR_NOT_ALLOWED"},
	} {
		changes, err := c.table.PlanSetPrimary(c.actor, store.Tenant{ID: 7, Primary: "user:ann"}, c.subject, c.keeps)
		if codeOf(err) != c.refused || !reflect.DeepEqual(changes, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v, %s", c.about, changes, err, c.want, c.refused)
		}
	}
}

// TestPrimaryIsLostWithTheRole plans acts of the operator, and looks at whether the
// primary administrator is still one afterwards.
func TestPrimaryIsLostWithTheRole(t *testing.T) {
	t.Parallel()
	catalog := parseExpertConnect(t)
	table := policy.NewTable(catalog, nil)
	tenant := store.Tenant{ID: 7, Primary: "user:ann"}
	held := holding(t, "user:ann administrator", "user:ann advisor until -1")
	s := policy.Subject{Tenant: 7, Name: "user:ann", Held: held, OthersKeep: true}
	planned := func(changes []store.Change, err error) []store.Change {
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	grant := func(line string) []store.Change {
		return planned(table.PlanGrant(operator, s, holding(t, line)[0], shopNow))
	}
	change := func(to string, interval store.Interval) []store.Change {
		return planned(table.PlanChangeRole(operator, s, "administrator", to, nil, interval, shopNow))
	}
	removed := planned(table.PlanRemoveSubject(operator, s, shopNow))
	for _, c := range []struct {
		about   string
		catalog *policy.Catalog
		tenant  store.Tenant
		held    []store.Assignment
		changes []store.Change
		want    bool
	}{
		{"nothing changes", catalog, tenant, held, nil, false},
		{"removed", catalog, tenant, held, removed, true},
		{"removed and granted anew", catalog, tenant, held, append(removed, store.SetAssignment{Tenant: 7, Assignment: held[0]}), false},
		{"demoted", catalog, tenant, held, change("manager", store.Interval{}), true},
		{"for a while", catalog, tenant, held, grant("user:ann administrator until 5"), true},
		{"from later on", catalog, tenant, held, change("administrator", store.Interval{Start: shopNow.Add(1)}), true},
		{"from earlier on", catalog, tenant, held, grant("user:ann administrator from -5"), false},
		{"somebody else is removed", catalog, tenant, held, []store.Change{store.RemoveAssignment{Key: holding(t, "user:bob administrator")[0].AssignmentKey}}, false},
		{"another role is cleared away", catalog, tenant, held, []store.Change{store.RemoveAssignment{Key: held[1].AssignmentKey}}, false},
		{"there is none", catalog, store.Tenant{ID: 7}, held, removed, false},
		{"a catalog that has none", parseShop(t), tenant, holding(t, "user:ann owner"), nil, true},
		{"a catalog in which another role is protected", catalog, tenant, holding(t, "user:ann owner"), nil, true},
	} {
		if got := c.catalog.LosesPrimary(c.tenant, c.held, c.changes, shopNow); got != c.want {
			t.Errorf("%s: got lost %v, want %v", c.about, got, c.want)
		}
	}
}

// TestAdvisoryLimits reads the limits of the built-in catalogs.
func TestAdvisoryLimits(t *testing.T) {
	t.Parallel()
	for _, catalog := range allCatalogs(t) {
		for _, role := range catalog.Message().GetRoles() {
			want := uint32(0)
			if role.GetName() == "administrator" {
				want = 3
			}
			if got := catalog.AdvisoryLimit(role.GetName()).GetHolders(); got != want {
				t.Errorf("%s: %s: got %d holders, want %d", catalog.Ref().Name, role.GetName(), got, want)
			}
		}
	}
}
