package main

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/stats"

	"github.com/usher-pdp/usher/server"
)

// observers get what the server does: nil for what is not configured.
type observers struct {
	decisions *server.DecisionLog
	traces    stats.Handler
	flush     func(context.Context) error // sends the traces that wait
}

// openObservers returns what has to be closed after the server has stopped, also with an error.
func (s *settings) openObservers(ctx context.Context, logger *slog.Logger) (o observers, err error) {
	if s.traceEndpoint != "" {
		o.traces, o.flush, err = server.NewTracing(ctx, server.TracingConfig{
			Endpoint: s.traceEndpoint, Sample: float64(s.traceSample), Version: ownVersion(), Logger: logger,
		})
		if err != nil {
			return o, err
		}
	}
	if s.decisionLog != "" {
		o.decisions, err = server.NewDecisionLog(server.DecisionLogConfig{
			File: s.decisionLog, Sample: float64(s.decisionLogSample), DenialsOnly: s.decisionLogDenialsOnly, Logger: logger,
		})
	}
	return o, err
}

// reopenTime is how long a log may take to be written to its end before it is reopened.
const reopenTime = 5 * time.Second

// reopen goes on in new files, for programs that rotate logs.
func (o *observers) reopen(ctx context.Context) error {
	if o.decisions == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reopenTime)
	defer cancel()
	return o.decisions.Reopen(ctx)
}

// closeTime is how long what waits to be written or sent may take when the server stops.
const closeTime = 5 * time.Second

func (o *observers) close(hurry context.Context, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(hurry, closeTime)
	defer cancel()
	if o.decisions != nil {
		if err := o.decisions.Close(ctx); err != nil {
			logger.Error("the decision log is not whole", "error", err)
		}
	}
	if o.flush != nil {
		if err := o.flush(ctx); err != nil {
			logger.Warn("the last traces are lost", "error", err)
		}
	}
}
