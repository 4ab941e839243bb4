package policy_test

import (
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
)

// TestSettingsThatNobodyCanNoticeAreNoDifference edits the rules of administration.
func TestSettingsThatNobodyCanNoticeAreNoDifference(t *testing.T) {
	t.Parallel()
	const kiosk = `name: kiosk
version: 1
holders: [user, group]
scope_types: [floor]
resource_types: [{name: door, actions: [open]}]
default_role: guest
roles:
  - {name: guest, rules: [{allow: ['door:open'], reach: own}]}
  - {name: clerk, holders: [user], rules: [{allow: ['door:open'], reach: tenant}]}
  - {name: owner, holders: [user], rules: [{allow: ['role:grant', 'role:revoke'], reach: tenant}]}
  - {name: shift, holders: [group], rules: [{allow: ['door:open'], reach: tenant}]}
administration: {protected_role: owner, exclusive_roles: []}
`
	edited := func(guest, exclusive string) *policy.Catalog {
		source := strings.NewReplacer("name: guest,", "name: guest,"+guest, "exclusive_roles: []", "exclusive_roles: ["+exclusive+"]").Replace(kiosk)
		catalog, err := policy.Parse("kiosk.yaml", []byte(source), nil)
		if err != nil {
			t.Fatal(err)
		}
		return catalog
	}
	for _, test := range []struct {
		about, guest, from, to string
		same                   bool
	}{
		{"who may hold the default role", " holders: [group],", "", "", true},
		{"one exclusive role excludes nothing", "", "", "clerk", true},
		{"nor does one beside the default role", "", "", "clerk, guest", true},
		{"nor do those that nobody can hold together", "", "clerk", "clerk, shift", true},
		{"a third one that excludes nothing", "", "clerk, owner", "clerk, owner, shift", true},
		{"two that exclude each other", "", "clerk", "clerk, owner", false},
	} {
		diff := policy.NewDiff(edited("", test.from), edited(test.guest, test.to))
		if diff.Same() != test.same {
			t.Errorf("%s: same is %t: %+v", test.about, diff.Same(), diff.Rules)
		}
	}
}
