package server_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// echoService answers every check with the same response. What it costs is what gRPC
// costs for these messages.
type echoService struct {
	usherv1.UnimplementedDecisionServiceServer
	check *usherv1.CheckResponse
	batch *usherv1.BatchCheckResponse
}

func (e echoService) Check(context.Context, *usherv1.CheckRequest) (*usherv1.CheckResponse, error) {
	return e.check, nil
}

func (e echoService) BatchCheck(context.Context, *usherv1.BatchCheckRequest) (*usherv1.BatchCheckResponse, error) {
	return e.batch, nil
}

func echoClient(b *testing.B, echo echoService) usherv1.DecisionServiceClient {
	b.Helper()
	s := grpc.NewServer()
	usherv1.RegisterDecisionServiceServer(s, echo)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }()
	b.Cleanup(s.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return usherv1.NewDecisionServiceClient(conn)
}

// BenchmarkCheck measures Check over a connection against an echo of the same messages.
// Client and server share the process, so the ratio is closer to 1 than the server's
// alone would be.
func BenchmarkCheck(b *testing.B) {
	h := newHarness(b)
	ctx := context.Background()
	benchAdvisor(b, h)
	request := &usherv1.CheckRequest{
		Tenant: "bench", Subject: "user:amy@dealer.example", Action: "view",
		Resource: &usherv1.Resource{Type: "ticket", Id: "T-1234567", Scopes: []string{"team:harvest"}, Owner: "user:bob@farm.example"},
	}
	response, err := h.decisions.Check(ctx, request)
	if err != nil || response.GetDecision() != usherv1.Decision_DECISION_ALLOW {
		b.Fatal(response, err)
	}
	echo := echoClient(b, echoService{check: response})
	for name, client := range map[string]usherv1.DecisionServiceClient{"service=echo": echo, "service=usher": h.decisions} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Check(ctx, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBatchCheck measures a list page: so many tickets with five buttons each.
func BenchmarkBatchCheck(b *testing.B) {
	h := newHarness(b)
	ctx := context.Background()
	benchAdvisor(b, h)
	for _, tickets := range []int{20, 200} {
		request := &usherv1.BatchCheckRequest{Tenant: "bench", Subject: "user:amy@dealer.example"}
		for i := range tickets {
			request.Items = append(request.Items, &usherv1.BatchCheckItem{
				Actions:  []string{"view", "answer", "message", "update", "reassign"},
				Resource: &usherv1.Resource{Type: "ticket", Id: fmt.Sprintf("T-%d", i), Scopes: []string{"team:harvest", "team:parts"}},
			})
		}
		response, err := h.decisions.BatchCheck(ctx, request)
		if err != nil {
			b.Fatal(err)
		}
		echo := echoClient(b, echoService{batch: proto.CloneOf(response)})
		for name, client := range map[string]usherv1.DecisionServiceClient{"service=echo": echo, "service=usher": h.decisions} {
			b.Run(fmt.Sprintf("tickets=%d/%s", tickets, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := client.BatchCheck(ctx, request); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkGrant measures a lone write, with its fsync.
func BenchmarkGrant(b *testing.B) {
	h := newHarness(b)
	ctx := context.Background()
	benchAdvisor(b, h)
	i := 0
	for b.Loop() {
		i++
		_, err := h.admin.Grant(ctx, &usherv1.GrantRequest{
			Tenant: "bench", Subject: fmt.Sprintf("user:new-%d", i), Role: "advisor", Scope: "team:harvest",
			By: &usherv1.GrantRequest_Actor{Actor: &usherv1.Actor{Subject: "user:root"}},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchAdvisor(b *testing.B, h *harness) {
	b.Helper()
	ctx := context.Background()
	_, err := h.operator.CreateTenant(ctx, &usherv1.CreateTenantRequest{Tenant: "bench", Catalog: "expertconnect", FirstAdministrator: "user:root"})
	if err != nil {
		b.Fatal(err)
	}
	_, err = h.admin.Grant(ctx, &usherv1.GrantRequest{
		Tenant: "bench", Subject: "user:amy@dealer.example", Role: "advisor", Scope: "team:harvest",
		By: &usherv1.GrantRequest_Actor{Actor: &usherv1.Actor{Subject: "user:root"}},
	})
	if err != nil {
		b.Fatal(err)
	}
}
