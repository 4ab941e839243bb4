package server

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

const (
	// maxCatalogBytes is how large a catalog may be, as in PutCatalog.
	maxCatalogBytes = 1 << 20
	// maxImportCatalogs is how many catalogs a file may have: they are in memory until its end.
	maxImportCatalogs = 256
)

// importedCatalog is a catalog of the file.
type importedCatalog struct {
	ref     store.CatalogRef
	yaml    string
	catalog *policy.Catalog
	stored  bool // already
}

func (c *importCheck) catalogLine(line *catalogLine) error {
	ref := store.CatalogRef{Name: line.Name, Version: line.Version}
	switch {
	case c.tenant.Name != "":
		return c.refuse("catalogs come before all tenants")
	case c.find(ref) != nil:
		return c.refuse("the catalog %q version %d is there twice", ref.Name, ref.Version)
	case len(c.catalogs) == maxImportCatalogs:
		return c.refuse("there are more than %d catalogs: import the others with PutCatalog first", maxImportCatalogs)
	case len(line.YAML) > maxCatalogBytes:
		return c.refuse("the catalog has more than %d bytes", maxCatalogBytes)
	}
	catalog, err := policy.Parse(fileName(ref), []byte(line.YAML), c.base)
	if faults := (*policy.InvalidCatalogError)(nil); errors.As(err, &faults) {
		return c.refuse("the catalog is not valid: %v", faults)
	}
	if err != nil {
		return err
	}
	if catalog.Ref() != ref {
		return c.refuse("the catalog is %q version %d", catalog.Ref().Name, catalog.Ref().Version)
	}
	stored, err := c.stored(ref)
	if err != nil {
		return err
	}
	if stored != nil && !proto.Equal(stored.Message(), catalog.Message()) {
		return &immutableError{ref}
	}
	if stored == nil {
		if err := c.proveInherited(catalog); err != nil {
			return err
		}
		c.result.Catalogs++
	}
	c.catalogs = append(c.catalogs, importedCatalog{ref: ref, yaml: line.YAML, catalog: catalog, stored: stored != nil})
	return nil
}

// proveInherited refuses a catalog that no write could have stored, not even unproved.
func (c *importCheck) proveInherited(catalog *policy.Catalog) error {
	err := prove(c.ctx, catalog, true)
	if failed := (*inputError)(nil); errors.As(err, &failed) {
		return c.refuse("the catalog breaks what the one that it extends states: %v", failed)
	}
	return err
}

// find returns a catalog of the file, or nil.
func (c *importCheck) find(ref store.CatalogRef) *policy.Catalog {
	for _, in := range c.catalogs {
		if in.ref == ref {
			return in.catalog
		}
	}
	return nil
}

// base finds a catalog that another one extends.
func (c *importCheck) base(ref store.CatalogRef) (*policy.Catalog, error) {
	catalog := c.find(ref)
	var err error
	if catalog == nil {
		catalog, err = c.stored(ref)
	}
	if err == nil && catalog == nil {
		err = c.refuse("the catalog %q version %d is neither stored nor in the file before this line: put it first", ref.Name, ref.Version)
	}
	return catalog, err
}

// stored returns a catalog that is stored, or nil.
func (c *importCheck) stored(ref store.CatalogRef) (catalog *policy.Catalog, err error) {
	err = c.server.store.View(c.ctx, func(r store.Reader) error {
		catalog, err = c.server.readCatalog(r, ref)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return catalog, err
}
