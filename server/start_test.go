package server_test

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// TestBuiltInCatalogThatDiffers opens a store that another build of Usher has made, with
// a built-in catalog of the same version. A comment makes no difference; a rule does,
// and then the server refuses to start, because tenants rely on what is stored.
func TestBuiltInCatalogThatDiffers(t *testing.T) {
	builtIn := catalogs.All()[0]
	for name, change := range map[string]struct {
		yaml    []byte
		refused bool
	}{
		"comment": {append([]byte("# another comment\n"), builtIn.YAML...), false},
		"rule":    {bytes.Replace(builtIn.YAML, []byte("starts_on: true"), []byte("starts_on: false"), 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			cache := server.NewCache(1 << 20)
			st, err := bolt.Open(filepath.Join(t.TempDir(), "usher.db"), bolt.Options{Observer: cache})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = st.Close() }()
			_, err = st.Commit(context.Background(), store.Write{By: store.By{Operator: true}, Plan: func(store.Reader) ([]store.Change, error) {
				return []store.Change{store.PutCatalog{Ref: store.CatalogRef{Name: "expertconnect", Version: 3}, YAML: change.yaml}}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := server.New(context.Background(), server.Config{Store: st, Cache: cache})
			if err == nil {
				s.GRPC().Stop()
			}
			if (err != nil) != change.refused {
				t.Fatalf("got %v, refused should be %v", err, change.refused)
			}
			if change.refused && !strings.Contains(err.Error(), "another data directory") {
				t.Errorf("%v: no remedy", err)
			}
		})
	}
}
