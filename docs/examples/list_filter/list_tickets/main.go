// Command list_tickets lists the tickets that somebody may view. It asks a running Usher for the
// filter, and a small database of its own for the tickets. Try it with the demo tenants:
//
//	usher serve --demo --data-dir /tmp/usher-demo &
//	go run ./list_tickets --tenant demo-dealer --subject user:ben@dealer.example
package main

import (
	"context"
	"database/sql"
	_ "embed"
	"flag"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "modernc.org/sqlite" // the driver

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"

	listfilter "github.com/usher-pdp/usher/docs/examples/list_filter"
)

//go:embed tickets.sql
var someTickets string

func main() {
	address := flag.String("address", "127.0.0.1:7301", "where Usher is")
	request := &usherv1.ListScopesRequest{Action: "view", ResourceType: "ticket"}
	flag.StringVar(&request.Tenant, "tenant", "demo-dealer", "the tenant")
	flag.StringVar(&request.Subject, "subject", "user:ben@dealer.example", "who asks")
	flag.Parse()
	if err := list(context.Background(), *address, request); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func list(ctx context.Context, address string, request *usherv1.ListScopesRequest) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	filter, err := listfilter.Fetch(ctx, usherv1.NewDecisionServiceClient(conn), request)
	if err != nil {
		return err
	}
	where, args, err := listfilter.Tickets.Where(filter, request.GetSubject())
	if err != nil {
		return err
	}
	fmt.Printf("SELECT id FROM tickets WHERE\n  %s\nwith %q\n\n", where, args)

	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	if _, err := db.ExecContext(ctx, listfilter.Schema+someTickets); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, "SELECT id FROM tickets WHERE "+where+" ORDER BY id", args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		fmt.Println(id)
	}
	return rows.Err()
}
