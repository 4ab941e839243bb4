package server

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// healthEvery is how long a watcher of health learns nothing of a change at most.
const healthEvery = time.Second

// healthOf says whether a service takes calls. The empty name is the server: it is there for checks, so
// it serves as long as DecisionService does. The error is why it does not serve; an unknown
// service has none.
func (s *Server) healthOf(ctx context.Context, service string) (healthv1.HealthCheckResponse_ServingStatus, error) {
	writes := false
	switch service {
	case "", usherv1.DecisionService_ServiceDesc.ServiceName:
	case usherv1.AdminService_ServiceDesc.ServiceName, usherv1.OperatorService_ServiceDesc.ServiceName:
		writes = true
	default:
		return healthv1.HealthCheckResponse_SERVICE_UNKNOWN, nil
	}
	err := s.store.View(ctx, func(store.Reader) error { return nil })
	switch {
	case s.draining.Load():
		err = errStopping
	case err == nil && writes:
		err = s.store.WriteFailure()
	}
	if err != nil {
		return healthv1.HealthCheckResponse_NOT_SERVING, err
	}
	return healthv1.HealthCheckResponse_SERVING, nil
}

// healthService implements grpc.health.v1.
type healthService struct {
	healthv1.UnimplementedHealthServer
	server *Server
}

func unknownService() error {
	return status.Error(codes.NotFound, "unknown service: health is told of the services of usher.v1, and of the server by the empty name")
}

// Check answers the health of one service.
func (h healthService) Check(ctx context.Context, r *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	now, _ := h.server.healthOf(ctx, r.GetService())
	if now == healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, unknownService()
	}
	return &healthv1.HealthCheckResponse{Status: now}, nil
}

// List answers the health of all services.
func (h healthService) List(ctx context.Context, _ *healthv1.HealthListRequest) (*healthv1.HealthListResponse, error) {
	all := map[string]*healthv1.HealthCheckResponse{}
	for _, service := range []string{
		"", usherv1.DecisionService_ServiceDesc.ServiceName, usherv1.AdminService_ServiceDesc.ServiceName, usherv1.OperatorService_ServiceDesc.ServiceName,
	} {
		now, _ := h.server.healthOf(ctx, service)
		all[service] = &healthv1.HealthCheckResponse{Status: now}
	}
	return &healthv1.HealthListResponse{Statuses: all}, nil
}

// Watch sends the health of a service, and again when it has changed. It ends when the server stops:
// else the server would wait for those who watch.
func (h healthService) Watch(r *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	look := time.NewTicker(healthEvery)
	defer look.Stop()
	told := healthv1.HealthCheckResponse_ServingStatus(-1)
	for {
		now, _ := h.server.healthOf(stream.Context(), r.GetService())
		if now != told {
			// It is a few bytes, which wait for no reader.
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			told = now
		}
		if h.server.draining.Load() {
			return errStopping
		}
		select {
		case <-look.C:
		case <-h.server.stopping:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// ready is the page /readyz: whether the server, or the service that is asked for, takes calls.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	service := r.URL.Query().Get("service")
	now, err := s.healthOf(r.Context(), service)
	switch {
	case now == healthv1.HealthCheckResponse_SERVICE_UNKNOWN:
		answer(w, http.StatusNotFound, "there is no such service\n")
		return
	case s.draining.Load():
		answer(w, http.StatusServiceUnavailable, "draining: the server is stopping\n")
		return
	case err == nil && s.store.WriteFailure() != nil:
		answer(w, http.StatusOK, "ready, but writes fail: see the server's log\n")
		return
	case err == nil:
		answer(w, http.StatusOK, "ready\n")
		return
	case s.store.WriteFailure() != nil && service != "" && service != usherv1.DecisionService_ServiceDesc.ServiceName:
		answer(w, http.StatusServiceUnavailable, "writes fail: see the server's log\n")
	default:
		answer(w, http.StatusServiceUnavailable, "the store can't be read: see the server's log\n")
	}
	s.logger.ErrorContext(r.Context(), "not ready", "service", service, "error", err)
}
