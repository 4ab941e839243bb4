package policy_test

import (
	"testing"
	"time"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

// TestBuiltInStatementsAreProved proves every statement of the built-in catalogs.
func TestBuiltInStatementsAreProved(t *testing.T) {
	t.Parallel()
	for _, source := range catalogs.All() {
		catalog, err := policy.Parse(source.Name, source.YAML, nil)
		if err != nil {
			t.Fatal(err)
		}
		begin, proved := time.Now(), 0
		for proof, err := range catalog.Proofs() {
			switch {
			case err != nil:
				t.Errorf("%s: %q: %v", source.Name, proof.Title, err)
			case proof.Counterexample != nil:
				t.Errorf("%s: %q is not true: %+v", source.Name, proof.Title, proof.Counterexample)
			default:
				proved++
			}
		}
		t.Log(source.Name, proved, "proved in", time.Since(begin))
		if want := len(catalog.Message().GetStatements()) + 1; proved != want || want < 15 {
			t.Errorf("%s: %d statements are proved, want %d", source.Name, proved, want)
		}
	}
}
