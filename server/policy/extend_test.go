package policy_test

import (
	"fmt"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// basesOf finds extended catalogs among sources by their names.
func basesOf(sources map[string]string) policy.Bases {
	var find policy.Bases
	find = func(ref store.CatalogRef) (*policy.Catalog, error) {
		source, found := sources[ref.Name]
		if !found {
			return nil, fmt.Errorf("there is no catalog %q", ref.Name)
		}
		return policy.Parse(ref.Name+".yaml", []byte(source), find)
	}
	return find
}
