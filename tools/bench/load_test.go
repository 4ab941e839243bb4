package main

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store/storetest/installation"
)

// serve serves an echo in this process, and returns where.
func serve(t *testing.T, e *echo) (address string) {
	t.Helper()
	s := grpc.NewServer()
	usherv1.RegisterDecisionServiceServer(s, e)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	return listener.Addr().String()
}

func newClient(t *testing.T, address string, l *load) *client {
	t.Helper()
	c, err := dial(address, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	return c
}

var allowed = &usherv1.CheckResponse{
	Decision: usherv1.Decision_DECISION_ALLOW,
	Reason:   &usherv1.Reason{Code: usherv1.ReasonCode_REASON_CODE_GRANTED, Role: "advisor"},
	Revision: "r1",
}

// TestRawCodec sends bytes to a server with the ordinary codec, and gets its bytes back.
func TestRawCodec(t *testing.T) {
	in := installation.New(seed, 1000)
	address := serve(t, &echo{check: allowed})

	c := newClient(t, address, checks(in, 3))
	a := answer{wanted: true}
	if err := c.conns[0].Invoke(context.Background(), c.load.method, c.load.requests[0], &a); err != nil {
		t.Fatal(err)
	}
	var got usherv1.CheckResponse
	if err := proto.Unmarshal(a.bytes, &got); err != nil || !proto.Equal(&got, allowed) {
		t.Errorf("%v, %v, want %v", &got, err, allowed)
	}

	batches := newClient(t, address, pages(in, 3, 20, 5))
	a = answer{wanted: true}
	if err := batches.conns[0].Invoke(context.Background(), batches.load.method, batches.load.requests[0], &a); err != nil {
		t.Fatal(err)
	}
	var batch usherv1.BatchCheckResponse
	if err := proto.Unmarshal(a.bytes, &batch); err != nil || len(batch.GetResults()) != 20 || len(batch.GetResults()[19].GetDecisions()) != 5 {
		t.Errorf("%v, %v", &batch, err)
	}
	if err := verifyBatch(a.bytes); err != nil {
		t.Error(err)
	}
}

// TestAnswersAreVerified has a server that says nothing, and one that fails.
func TestAnswersAreVerified(t *testing.T) {
	in := installation.New(seed, 1000)
	silent := newClient(t, serve(t, &echo{check: &usherv1.CheckResponse{}}), checks(in, 3))
	if _, err := silent.keepBusy(2)(context.Background(), 50*time.Millisecond); !errors.Is(err, errUndecided) {
		t.Errorf("no decision: %v", err)
	}
	failing := newClient(t, serve(t, &echo{check: allowed}), grants(in, 10))
	if _, err := failing.keepBusy(2)(context.Background(), 50*time.Millisecond); err == nil {
		t.Error("no error of a method that there is not")
	}
}

// TestOnce sends what may be sent only once.
func TestOnce(t *testing.T) {
	l := coldChecks(installation.New(seed, 1000), 100)
	c := newClient(t, serve(t, &echo{check: allowed}), l)
	if err := c.sendAll(context.Background(), 4); err != nil {
		t.Fatal(err)
	}
	if err := c.call(context.Background(), 0); !errors.Is(err, errExhausted) {
		t.Errorf("one more: %v", err)
	}
}

// TestColdSubjectsAreAskedAboutOnce looks at the requests themselves.
func TestColdSubjectsAreAskedAboutOnce(t *testing.T) {
	in := installation.New(seed, 1000)
	staff := 0
	for _, tenant := range in.Tenants() {
		staff += tenant.Staff
	}
	l := coldChecks(in, 1_000_000)
	seen := make(map[string]bool)
	for _, encoded := range l.requests {
		var request usherv1.CheckRequest
		if err := proto.Unmarshal(encoded, &request); err != nil {
			t.Fatal(err)
		}
		seen[request.GetTenant()+" "+request.GetSubject()] = true
	}
	if len(seen) != staff || len(l.requests) != staff {
		t.Errorf("%d requests about %d subjects, want %d", len(l.requests), len(seen), staff)
	}
}
