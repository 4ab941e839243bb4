package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// echo decodes every question as Usher does, and answers without having thought. What it
// costs is what gRPC and the messages cost.
type echo struct {
	usherv1.UnimplementedDecisionServiceServer
	check   *usherv1.CheckResponse
	batches sync.Map // of *usherv1.BatchCheckResponse by batchShape
}

// granting is the AdminService of an echo: a Grant makes a bare Update of bbolt with the
// records of one. What it costs is what gRPC and bbolt cost.
type granting struct {
	usherv1.UnimplementedAdminServiceServer
	updates *updates
	db      *bbolt.DB
	next    atomic.Int64
}

func (g *granting) Grant(context.Context, *usherv1.GrantRequest) (*usherv1.GrantResponse, error) {
	if err := g.updates.put(g.db, int(g.next.Add(1)-1)); err != nil {
		return nil, err
	}
	return &usherv1.GrantResponse{Outcome: usherv1.Outcome_OUTCOME_CHANGED}, nil
}

type batchShape struct{ items, actions int }

func (e *echo) Check(context.Context, *usherv1.CheckRequest) (*usherv1.CheckResponse, error) {
	return e.check, nil
}

// BatchCheck answers with as many decisions as are asked for. It makes the answer once
// for each shape of a question, and takes it that all items have equally many actions.
func (e *echo) BatchCheck(_ context.Context, r *usherv1.BatchCheckRequest) (*usherv1.BatchCheckResponse, error) {
	if len(r.GetItems()) == 0 {
		return nil, errors.New("no items")
	}
	shape := batchShape{len(r.GetItems()), len(r.GetItems()[0].GetActions())}
	made, found := e.batches.Load(shape)
	if !found {
		made, _ = e.batches.LoadOrStore(shape, e.batch(shape))
	}
	return made.(*usherv1.BatchCheckResponse), nil
}

func (e *echo) batch(shape batchShape) *usherv1.BatchCheckResponse {
	response := &usherv1.BatchCheckResponse{Revision: e.check.GetRevision()}
	for range shape.items {
		result := &usherv1.BatchCheckResult{Decisions: make([]usherv1.Decision, shape.actions)}
		for a := range result.Decisions {
			result.Decisions[a] = e.check.GetDecision()
		}
		response.Results = append(response.Results, result)
	}
	return response
}

// serveEcho is the subcommand echo.
func serveEcho(args []string) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	kind := flags.String("options", "default", "the options of the gRPC server: none (default), or those of Usher (tuned)")
	check := flags.String("check", "", "a `FILE` with the CheckResponse that is the answer to every check")
	socket := flags.String("unix-socket", "", "a `PATH` at which to serve, beside a port of 127.0.0.1")
	before := flags.String("before", "", "a bbolt `FILE` to which every Grant makes a bare Update; none: there is no Grant")
	after := flags.String("after", "", "the `FILE` that grants have made of it, as many as -grants says")
	grants := flags.Int("grants", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	e := &echo{check: new(usherv1.CheckResponse)}
	answer, err := os.ReadFile(*check)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(answer, e.check); err != nil {
		return err
	}
	var options []grpc.ServerOption
	switch *kind {
	case "default":
	case "tuned":
		server.KeepHeapFloor()
		options = server.TransportOptions(server.Limits{})
	default:
		return fmt.Errorf("-options is default or tuned, not %q", *kind)
	}
	s := grpc.NewServer(options...)
	usherv1.RegisterDecisionServiceServer(s, e)
	if *before != "" {
		g := new(granting)
		if g.updates, err = newUpdates(*before, *after, *grants); err != nil {
			return err
		}
		if g.db, err = openBare(*before); err != nil {
			return err
		}
		usherv1.RegisterAdminServiceServer(s, g)
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	unix, err := net.Listen("unix", *socket)
	if err != nil {
		return err
	}
	metrics, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failures := make(chan error, 3)
	go func() { failures <- s.Serve(tcp) }()
	go func() { failures <- s.Serve(unix) }()
	go func() { failures <- http.Serve(metrics, mux) }()
	fmt.Printf("grpc listening on %s\ngrpc listening on unix://%s\nhttp listening on %s\nready\n", tcp.Addr(), unix.Addr(), metrics.Addr())
	return <-failures // or a signal ends it
}
