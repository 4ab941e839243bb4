package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

// openCatalog reads a catalog: a file, or the name of one that is built in. What the one in a
// file extends is looked for beside it, too.
func openCatalog(nameOrFile string) (*policy.Catalog, error) {
	var names []string
	for _, source := range catalogs.All() {
		name := strings.TrimSuffix(source.Name, ".yaml")
		if name == nameOrFile {
			return policy.Parse(source.Name, source.YAML, nil)
		}
		names = append(names, name)
	}
	yaml, err := os.ReadFile(nameOrFile) // #nosec G304 -- the file that the user names
	switch {
	case errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(nameOrFile, "./"):
		return nil, fmt.Errorf("there is no catalog %q: name a file, or a built-in one: %s", nameOrFile, strings.Join(names, ", "))
	case err != nil:
		return nil, err
	}
	catalog, err := policy.Parse(nameOrFile, yaml, catalogBases(nameOrFile))
	if err != nil {
		return nil, fmt.Errorf("the catalog has faults:\n%w", err)
	}
	return catalog, nil
}
