package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// ticket is what the ticketing service knows of a ticket.
type ticket struct{ organization, number, team, openedBy string }

// mayView asks whether the user may see the ticket. Only an allow is an allow: an error
// is none, and no answer is none.
func mayView(ctx context.Context, usher usherv1.DecisionServiceClient, user string, t ticket) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answer, err := usher.Check(ctx, &usherv1.CheckRequest{
		Tenant:  t.organization,
		Subject: user,
		Action:  "view",
		Resource: &usherv1.Resource{
			Type:   "ticket",
			Id:     t.number,
			Scopes: []string{"team:" + t.team},
			Owner:  t.openedBy,
		},
	})
	if err != nil {
		return false, err
	}
	return answer.GetDecision() == usherv1.Decision_DECISION_ALLOW, nil
}

// A ticketing service asks before it shows a ticket. The server is the demo's.
func Example_ticketingService() {
	address, stop := serveDemo()
	defer stop()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Panic(err)
	}
	defer conn.Close()
	usher := usherv1.NewDecisionServiceClient(conn)
	for _, team := range []string{"harvest", "parts"} {
		may, err := mayView(context.Background(), usher, "user:ann@dealer.example",
			ticket{organization: "demo-dealer", number: "4711", team: team, openedBy: "user:pat@farm.example"})
		fmt.Println(team, may, err)
	}
	// Output:
	// harvest true <nil>
	// parts false <nil>
}

func serveDemo() (address string, stop func()) {
	dir, err := os.MkdirTemp("", "usher-example-")
	if err != nil {
		log.Panic(err)
	}
	p, err := startProcess("usher", "--demo", "--data-dir", dir)
	if err != nil {
		log.Panic(err)
	}
	return p.grpc, func() {
		p.stop(syscall.SIGTERM)
		os.RemoveAll(dir)
	}
}
