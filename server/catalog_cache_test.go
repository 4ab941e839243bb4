package server

import (
	"context"
	"errors"
	"testing"

	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

// TestCatalogOfAWriteThatWasNotMade reads a catalog as the plan of a write would see it
// that shares a commit with the putting of the catalog. The commit fails, and another
// catalog is stored under the same name and version: that one counts.
func TestCatalogOfAWriteThatWasNotMade(t *testing.T) {
	s, err := openServer(t.TempDir() + "/usher.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.store.Close() }()
	ref := store.CatalogRef{Name: "expertconnect", Version: 2}
	err = s.store.View(context.Background(), func(r store.Reader) error {
		lost, err := s.readCatalog(uncommitted{r, catalogs.All()[1].YAML}, ref)
		if err != nil {
			return err
		}
		stored, err := s.readCatalog(r, ref)
		if err != nil {
			return err
		}
		if stored == lost || stored.Ref() != ref {
			return errors.New("the catalog that was never stored is used")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// uncommitted is a reader that sees another catalog under every name.
type uncommitted struct {
	store.Reader
	yaml []byte
}

func (u uncommitted) Catalog(store.CatalogRef) ([]byte, error) { return u.yaml, nil }
