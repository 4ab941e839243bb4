package server

import (
	"cmp"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
)

// Limits say how much the server takes on at once, so that what it has taken on is answered in
// time. Zero values are the defaults.
type Limits struct {
	// Connections is how many connections ListenGRPC accepts at once; more are closed as they come.
	// Default 10,000.
	Connections int
	// Streams is how many calls of one connection run at once; more wait in the client. Default 1,000.
	Streams uint32
	// Checks is how many calls of DecisionService run or wait at once. More are answered with
	// RESOURCE_EXHAUSTED and when to try again. Default 4,000.
	Checks int
	// Administration is how many other calls run at once, and how many wait. More are answered likewise.
	// Default 64, of which as many compute as half of the processors.
	Administration int
	// ConnectionAge is how long a connection lives at most, so that clients behind a balancer find
	// new servers. Default 30 minutes, give or take a tenth; calls that run then go on for a minute.
	ConnectionAge time.Duration
}

// withDefaults returns the limits with nothing left at zero.
func (l Limits) withDefaults() Limits {
	return Limits{
		Connections:    cmp.Or(l.Connections, 10_000),
		Streams:        cmp.Or(l.Streams, 1_000),
		Checks:         cmp.Or(l.Checks, 4_000),
		Administration: cmp.Or(l.Administration, 64),
		ConnectionAge:  cmp.Or(l.ConnectionAge, 30*time.Minute),
	}
}

const (
	// maxMessage is how many bytes a message of a client may have.
	maxMessage = 4 << 20
	// maxHeaders is how many bytes the headers of a call may have, a token and the context of a
	// trace among them.
	maxHeaders = 32 << 10
	// handshakeTime is how long a client has for TLS and the preface of HTTP/2. By itself the library
	// waits for two minutes, and a server that stops waits with it.
	handshakeTime = 10 * time.Second
	// ageGrace is how long calls go on whose connection has come to its age.
	ageGrace = time.Minute
)

// streamWorkers is how many goroutines wait for calls, so that their stacks have grown
// already: to grow a new one took a sixth of the time of a check. Calls beyond them get a
// goroutine of their own. Each takes about 8 KiB of memory.
const streamWorkers = 64

// TransportOptions are the options of the gRPC server that have to do with transport. An
// echo service with the same ones shows what the rest of a call costs.
func TransportOptions(limits Limits) []grpc.ServerOption {
	limits = limits.withDefaults()
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(encodingproto.Name)}),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxConcurrentStreams(limits.Streams),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time:                  time.Minute,
			Timeout:               20 * time.Second,
			MaxConnectionAge:      limits.ConnectionAge,
			MaxConnectionAgeGrace: ageGrace,
		}),
	}
}
