package policy_test

import (
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

// TestLockedToggleIgnoresWhatIsStored has stored states that the API never writes, as
// an import or a catalog of a later version might leave them: a locked toggle stands as
// it starts, and a toggle that the catalog does not have changes nothing.
func TestLockedToggleIgnoresWhatIsStored(t *testing.T) {
	for _, source := range catalogs.All() {
		catalog, err := policy.Parse(source.Name, source.YAML, nil)
		if err != nil {
			t.Fatal(err)
		}
		contrary := map[string]bool{"no_such_toggle": true}
		for _, toggle := range catalog.Message().GetToggles() {
			contrary[toggle.GetName()] = !toggle.GetStartsOn()
		}
		table := policy.NewTable(catalog, contrary)
		for i, toggle := range catalog.Message().GetToggles() {
			if want := toggle.GetStartsOn() == toggle.GetLocked(); table.On(i) != want {
				t.Errorf("%s: %s stands %v, want %v", source.Name, toggle.GetName(), table.On(i), want)
			}
		}
	}
}
