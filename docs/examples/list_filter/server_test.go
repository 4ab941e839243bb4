package listfilter_test

import (
	"context"
	"database/sql"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "modernc.org/sqlite"

	listfilter "github.com/usher-pdp/usher/docs/examples/list_filter"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store/bolt"
)

// usher is a real server on the real store, with clients on a real connection.
type usher struct {
	decisions usherv1.DecisionServiceClient
	admin     usherv1.AdminServiceClient
	operator  usherv1.OperatorServiceClient
}

// now is where the server's clock stands.
var now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func startUsher(t *testing.T) usher {
	t.Helper()
	clock := func() time.Time { return now }
	cache := server.NewCache(16 << 20)
	store, err := bolt.Open(filepath.Join(t.TempDir(), "usher.db"), bolt.Options{Observer: cache, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := server.New(context.Background(), server.Config{Store: store, Cache: cache, Version: "test", Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.GRPC().Serve(listener) }()
	t.Cleanup(func() {
		s.GRPC().Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return usher{usherv1.NewDecisionServiceClient(conn), usherv1.NewAdminServiceClient(conn), usherv1.NewOperatorServiceClient(conn)}
}

// createTenant makes a tenant on a catalog, which is stored if it is given as YAML.
func (u usher) createTenant(t *testing.T, tenant, catalog, yaml string) {
	t.Helper()
	if yaml != "" {
		if _, err := u.operator.PutCatalog(t.Context(), &usherv1.PutCatalogRequest{Yaml: yaml}); err != nil {
			t.Fatalf("%v\n%s", err, yaml)
		}
	}
	if _, err := u.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{
		Tenant: tenant, Catalog: catalog, FirstAdministrator: "user:admin",
	}); err != nil {
		t.Fatal(err)
	}
}

func (u usher) grant(t *testing.T, r *usherv1.GrantRequest) {
	t.Helper()
	r.By = &usherv1.GrantRequest_Operator{Operator: &usherv1.Operator{}}
	if _, err := u.admin.Grant(t.Context(), r); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
}

// openTickets makes a database with the tables of the tickets.
func openTickets(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	if _, err := db.ExecContext(t.Context(), listfilter.Schema); err != nil {
		t.Fatal(err)
	}
	return db
}

// selectTickets returns the ids of the tickets that a clause selects, in byte order.
func selectTickets(t *testing.T, db *sql.DB, where string, args []any) (ids []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM tickets WHERE "+where+" ORDER BY id", args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, where)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}
