package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// TestNoPlaceIsLost has clients end checks in every way that there is, at random moments and more of them than are
// allowed. After that all places are free, no more and no fewer than before.
func TestNoPlaceIsLost(t *testing.T) {
	const most, clients, rounds = 8, 12, 40
	random := newRandom(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, stop := limited(t, server.Limits{Checks: most}, listener)
	raceTenant(t, h, "t", "liveagent")
	var working sync.WaitGroup
	for range clients {
		conn := h.connect(t, listener)
		random := rand.New(rand.NewPCG(random.Uint64(), 1))
		working.Go(func() {
			for range rounds {
				raw, err := net.Dial("tcp", listener.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				endCalls(t, random, newRawClient(t, raw))
				_ = raw.Close()
				for range 5 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(1_000))*time.Microsecond)
					if random.IntN(2) == 0 {
						_, err = conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, usherv1.DecisionService_Check_FullMethodName)
					} else {
						_, err = usherv1.NewDecisionServiceClient(conn).Check(ctx, anyCheck())
					}
					cancel()
					switch status.Code(err) {
					case codes.OK, codes.ResourceExhausted, codes.DeadlineExceeded:
					default:
						t.Error(err)
					}
				}
			}
		})
	}
	working.Wait()
	// It is less than the time after which a place is taken from those who don't use it.
	for end := time.Now().Add(8 * time.Second); len(h.metric("usher_checks_in_flight 0")) == 0; {
		if time.Now().After(end) {
			t.Fatalf("all calls have ended, and %q", h.metric("usher_checks_in_flight"))
		}
	}
	for range most {
		hangingCheck(t.Context(), t, h.conn)
	}
	for end := time.Now().Add(8 * time.Second); len(h.metric(fmt.Sprint("usher_checks_in_flight ", most))) == 0; {
		if time.Now().After(end) {
			t.Fatalf("%d checks have begun, and %q", most, h.metric("usher_checks_in_flight"))
		}
	}
	_, err = h.decisions.Check(t.Context(), anyCheck())
	wantOverloaded(t, err)
	stop()
}

// endCalls begins calls and ends them as no library does. The connection may be closed at once after.
func endCalls(t *testing.T, random *rand.Rand, raw *rawClient) {
	question := append([]byte{0, 0, 0, 0, 3}, 10, 1, 't') // which lacks most
	for stream := uint32(1); stream < 40; stream += 2 {
		method, more := usherv1.DecisionService_Check_FullMethodName, []string{}
		switch random.IntN(8) {
		case 0:
			method = "/usher.v1.DecisionService/Unknown"
		case 1:
			method = "/usher.v1.DecisionService/"
		case 2:
			more = []string{"grpc-encoding", "unknown"}
		case 3:
			more = []string{"grpc-timeout", "0n"}
		case 4:
			more = []string{"grpc-timeout", "1u"}
		case 5:
			more = []string{"grpc-timeout", "soon"}
		}
		raw.call(stream, method, more...)
		var err error
		switch random.IntN(5) {
		case 0:
			err = raw.WriteRSTStream(stream, http2.ErrCodeCancel)
		case 1:
			err = raw.WriteData(stream, true, nil)
		case 2:
			err = raw.WriteData(stream, true, question)
		case 3:
			if err = raw.WriteData(stream, false, question[:6]); err == nil {
				err = raw.WriteRSTStream(stream, http2.ErrCodeNo)
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// TestCallsTurnedAwayLeaveNothing turns many checks away whose deadline is far: they take up no memory until then.
func TestCallsTurnedAwayLeaveNothing(t *testing.T) {
	const calls = 20_000
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, _ := limited(t, server.Limits{Checks: 1}, listener)
	raceTenant(t, h, "t", "liveagent")
	turnAway := func(count int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for range count {
			_, err := h.decisions.Check(ctx, anyCheck())
			wantOverloaded(t, err)
		}
	}
	hangingCheck(t.Context(), t, h.conn)
	for end := time.Now().Add(time.Minute); len(h.metric("usher_checks_in_flight 1")) == 0; {
		if time.Now().After(end) {
			t.Fatal("the check does not begin")
		}
	}
	turnAway(1_000)
	before := heapInUse()
	turnAway(calls)
	if grown := int64(heapInUse()) - int64(before); grown > calls*200 {
		t.Errorf("%d calls that were turned away take up %d bytes each", calls, grown/calls)
	}
}
