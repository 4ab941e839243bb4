package tables_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/server/policy/tables"
)

func builtIn(t testing.TB, name string) (source string, table *tables.Table) {
	t.Helper()
	all := catalogs.All()
	i := slices.IndexFunc(all, func(s catalogs.Source) bool { return s.Name == name+".yaml" })
	file := name + "_test.yaml"
	text, err := os.ReadFile("../catalogs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	table, err = tables.Read(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return string(all[i].YAML), table
}

func parse(t testing.TB, source string) *policy.Catalog {
	t.Helper()
	catalog, err := policy.Parse("catalog.yaml", []byte(source), nil)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

// TestBuiltInCatalogsPass runs the tables of the built-in catalogs twice: a run leaves nothing
// behind.
func TestBuiltInCatalogsPass(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"expertconnect", "liveagent", "goto_contact_center"} {
		source, table := builtIn(t, name)
		catalog := parse(t, source)
		for range 2 {
			result := table.Run(catalog)
			for _, f := range result.Failures {
				t.Error(f)
			}
			if result.Checks < 300 || result.Acts < 100 {
				t.Errorf("%s: %d checks and %d acts: not all were asked", name, result.Checks, result.Acts)
			}
		}
	}
}

// TestFailuresSayWhatAndWhy plants faults in a catalog and reads the failures.
func TestFailuresSayWhatAndWhy(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct{ catalog, old, new, failure string }{
		{
			"expertconnect", "holders: 3", "holders: 2",
			"as user:rita grant administrator to user:new: want changed without a warning; got changed with the warning MANY_HOLDERS",
		},
		{
			"expertconnect", "has_primary: true", "has_primary: false",
			"as user:rita name_primary user:rita: want changed; got FAILED_PRECONDITION NO_PRIMARY (",
		},
		{
			"liveagent", "reach: assigned", "reach: tenant",
			"may ticket:view, in department:support: want OUT_OF_SCOPE agent; got allow agent (held by user:anna in department:sales)",
		},
		{
			"liveagent", "role:grant, role:revoke,", "role:grant,",
			`as user:adam revoke agent from user:anna in department:sales: want changed; got PERMISSION_DENIED ACTOR_NOT_ALLOWED (user:adam may not revoke the role "agent" in department:sales: `,
		},
		{
			"liveagent", "holders: [user, group]", "holders: [user]",
			`group:night is agent in department:support: want that it can be held; got FAILED_PRECONDITION NOT_ASSIGNABLE_TO_HOLDER (the role "agent" can't be held by group:night: name a subject of type user)`,
		},
	} {
		source, table := builtIn(t, fault.catalog)
		result := table.Run(parse(t, strings.Replace(source, fault.old, fault.new, 1)))
		if !slices.ContainsFunc(result.Failures, func(f tables.Failure) bool { return strings.Contains(f.String(), fault.failure) }) {
			t.Errorf("%s instead of %s: no failure has %q:\n%v", fault.new, fault.old, fault.failure, result.Failures[:min(5, len(result.Failures))])
		}
	}
}

func BenchmarkRun(b *testing.B) {
	for _, name := range []string{"expertconnect", "liveagent", "goto_contact_center"} {
		source, table := builtIn(b, name)
		catalog := parse(b, source)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				table.Run(catalog)
			}
		})
	}
}
