package server

import (
	"context"
	"errors"
	"iter"
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
	defer func() { s.grpc.Stop(); _ = s.store.Close() }()
	ref := store.CatalogRef{Name: "expertconnect", Version: 3}
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

// TestStoredCatalogAfterLost: after a commit that may or may not have been made a catalog is
// read again, also one that was being read meanwhile.
func TestStoredCatalogAfterLost(t *testing.T) {
	s, err := openServer(t.TempDir() + "/usher.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.grpc.Stop(); _ = s.store.Close() }()
	ref := store.CatalogRef{Name: "expertconnect", Version: 3}
	err = s.store.View(context.Background(), func(r store.Reader) error {
		before, lost := s.cache.lost.Load(), uncommitted{r, catalogs.All()[1].YAML}
		other, err := s.readCatalog(lost, ref)
		if err != nil {
			return err
		}
		s.cache.keepStored(ref, other, before)
		if used, err := s.readCatalog(r, ref); err != nil || used != other {
			t.Errorf("a catalog that was read on disk is read again (%v)", err)
		}
		s.cache.Lost()
		if used, err := s.readCatalog(r, ref); err != nil || used == other {
			t.Errorf("a catalog is used that may have been lost (%v)", err)
		}
		s.cache.keepStored(ref, other, before)
		if used, err := s.readCatalog(r, ref); err != nil || used == other {
			t.Errorf("a catalog is kept that was read before something was lost (%v)", err)
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

// TestSameExtensionOfAnotherCatalog reads one text that extends a catalog, in states where the
// extended catalog has other content: what is compiled is never that of the other state.
func TestSameExtensionOfAnotherCatalog(t *testing.T) {
	s, err := openServer(t.TempDir() + "/usher.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.grpc.Stop(); _ = s.store.Close() }()
	extension, product := store.CatalogRef{Name: "mine", Version: 1}, store.CatalogRef{Name: "product", Version: 1}
	state := func(r store.Reader, permission string) several {
		return several{r, map[store.CatalogRef][]byte{
			extension: []byte("name: mine\nversion: 1\nextends: {name: product, version: 1}\n"),
			product: []byte("name: product\nversion: 1\nholders: [user]\nresource_types: [{name: ticket, actions: [view, close]}]\n" +
				"roles: [{name: boss, rules: [{allow: [role:grant, " + permission + "], reach: tenant}]}]\nadministration: {protected_role: boss}\n"),
		}}
	}
	err = s.store.View(context.Background(), func(r store.Reader) error {
		for _, permission := range []string{"ticket:view", "ticket:close", "ticket:view", "ticket:view"} {
			c, err := s.readCatalog(state(r, permission), extension)
			if err != nil {
				return err
			}
			if got := c.Message().GetRoles()[0].GetRules()[0].GetAllow()[1]; got != permission {
				t.Errorf("the boss has %s, want %s", got, permission)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// several is a reader that has these catalogs and no others.
type several struct {
	store.Reader
	catalogs map[store.CatalogRef][]byte
}

func (s several) Catalog(ref store.CatalogRef) ([]byte, error) { return s.catalogs[ref], nil }

func (s several) Catalogs(store.CatalogRef) iter.Seq2[store.CatalogRef, error] {
	return func(yield func(store.CatalogRef, error) bool) {
		for ref := range s.catalogs {
			if ref.Name == "product" && !yield(ref, nil) {
				return
			}
		}
	}
}
