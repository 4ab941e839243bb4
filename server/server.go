package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"buf.build/go/protovalidate"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/stats"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

// Config says what a Server is made of.
type Config struct {
	// Store keeps the data. Its observer has to be Cache.
	Store store.Store
	// Cache keeps what decisions need in memory.
	Cache *Cache
	// Logger gets failures and administrative calls. Nil: they are thrown away.
	Logger *slog.Logger
	// Version is the version of Usher that GetServerInfo answers.
	Version string
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// SpoolDir is the directory where exports are kept while they are sent. Empty: that of the
	// operating system for temporary files.
	SpoolDir string
	// Access says who may call what. Nil: whoever reaches the server may everything.
	Access *access.Guard
	// Credentials are those of the gRPC server, from access.Transport. Nil: there are none.
	Credentials credentials.TransportCredentials
	// Limits say how much is taken on at once.
	Limits Limits
	// DecisionLog gets the decisions. Nil: they are written down nowhere.
	DecisionLog *DecisionLog
	// Tracing gets the calls, from otelgrpc.NewServerHandler. Nil: they are not traced.
	Tracing stats.Handler
	// Collectors are metrics of other parts, such as the store.
	Collectors []prometheus.Collector
	// TenantMetrics counts decisions by tenant, too: a time series for each tenant.
	TenantMetrics bool
}

// Server is the service. It listens nowhere by itself: GRPC and HTTP return what
// listeners serve.
type Server struct {
	store     store.Store
	cache     *Cache
	logger    *slog.Logger
	version   string
	now       func() time.Time
	startedAt time.Time

	access      *access.Guard
	credentials credentials.TransportCredentials
	tracing     stats.Handler // nil: calls are not traced
	decisionLog *DecisionLog  // nil: decisions are written down nowhere
	validator   protovalidate.Validator
	metrics     *metrics
	health      *health.Server
	grpc        *grpc.Server
	draining    atomic.Bool
	stopping    chan struct{} // closed when draining begins
	// purged is the last deleted tenant of which nothing is left to remove; for Maintain.
	purged   store.TenantID
	spoolDir string
	// imports are the ids of those that somebody goes on with.
	imports sync.Map
}

// New makes a Server and stores the built-in catalogs. It refuses if the store has one
// of them in the same version with other content.
func New(ctx context.Context, config Config) (*Server, error) {
	s := &Server{
		store:       config.Store,
		cache:       config.Cache,
		logger:      config.Logger,
		version:     config.Version,
		now:         config.Now,
		access:      config.Access,
		credentials: config.Credentials,
		tracing:     config.Tracing,
		decisionLog: config.DecisionLog,
		health:      health.NewServer(),

		stopping: make(chan struct{}),
		spoolDir: config.SpoolDir,
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.startedAt = s.now()
	validator, err := protovalidate.New(protovalidate.WithMessages(validated...))
	if err != nil {
		return nil, fmt.Errorf("reading the rules of the protos: %w", err)
	}
	s.validator = validator
	for _, builtIn := range catalogs.All() {
		_, err := s.putCatalog(ctx, builtIn.Name, builtIn.YAML, false)
		if immutable := (*immutableError)(nil); errors.As(err, &immutable) {
			return nil, fmt.Errorf("the store has version %d of the catalog %q with other content than the one built in, and its tenants rely on it: "+
				"start the build of Usher that made this data, or use another data directory", immutable.ref.Version, immutable.ref.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("built-in catalog %s: %w", builtIn.Name, err)
		}
	}
	s.metrics = newMetrics(s, &config)
	s.grpc = s.newGRPC()
	return s, nil
}

// streamWorkers is how many goroutines wait for calls, so that their stacks have grown
// already: to grow a new one took a sixth of the time of a check. Calls beyond them get a
// goroutine of their own. Each takes about 8 KiB of memory.
const streamWorkers = 64

// TransportOptions are the options of the gRPC server that have to do with transport. An
// echo service with the same ones shows what the rest of a call costs.
func TransportOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(encodingproto.Name)}),
		grpc.NumStreamWorkers(streamWorkers),
	}
}

// newGRPC makes the gRPC server with everything registered.
func (s *Server) newGRPC() *grpc.Server {
	options := TransportOptions()
	if s.credentials != nil {
		options = append(options, grpc.Creds(s.credentials))
	}
	if s.tracing != nil {
		options = append(options, grpc.StatsHandler(s.tracing))
	}
	g := grpc.NewServer(options...)
	for _, service := range []struct {
		desc           grpc.ServiceDesc
		implementation any
		interceptors   []grpc.UnaryServerInterceptor
	}{
		{usherv1.DecisionService_ServiceDesc, decisionService{server: s}, s.aroundChecks()},
		{usherv1.AdminService_ServiceDesc, adminService{server: s}, s.aroundAdministration()},
		{usherv1.OperatorService_ServiceDesc, operatorService{server: s}, s.aroundAdministration()},
	} {
		s.register(g, service.desc, service.implementation, service.interceptors...)
		s.health.SetServingStatus(service.desc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	}
	s.register(g, healthv1.Health_ServiceDesc, s.health, s.aroundChecks()...)
	s.register(g, reflectionv1.ServerReflection_ServiceDesc, reflection.NewServerV1(reflection.ServerOptions{Services: g}), s.aroundChecks()...)
	return g
}

// GRPC returns the gRPC server, to be served on any number of listeners.
func (s *Server) GRPC() *grpc.Server { return s.grpc }

// Drain makes the server say that it is not ready, so that no new work comes. What is
// under way goes on, but for streams without an end: they are ended.
func (s *Server) Drain() {
	if s.draining.CompareAndSwap(false, true) {
		close(s.stopping)
	}
	s.health.Shutdown()
}
