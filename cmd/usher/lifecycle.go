package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/usher-pdp/usher/server"
)

// serve runs a server until a signal comes to stop. Whatever it returns, all is closed.
func (s *settings) serve(ctx context.Context, known identities, out io.Writer, logger *slog.Logger, hangups <-chan os.Signal) (err error) {
	stops := make(chan os.Signal, 2)
	defer signal.Stop(stops)
	hurry, hurryUp := context.WithCancel(context.Background()) // done when stopping can't wait any more
	defer hurryUp()
	logger.Info("starting", "version", ownVersion())
	defer func() {
		if err == nil {
			logger.Info("stopped")
		}
	}()
	listeners, err := s.listen(known.certificates)
	defer listeners.close()
	if err != nil {
		return err
	}
	listeners.announce(out, logger)
	running := s.startHTTP(listeners, logger)
	defer running.http.Close()
	limitMemory(logger)
	server.KeepHeapFloor()
	cache := server.NewCache(uint64(s.cacheSize)) // #nosec G115 -- a size is not negative
	st, err := s.openStore(cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	observers, err := s.openObservers(ctx, logger)
	defer observers.close(hurry, logger)
	if err != nil {
		return err
	}
	srv, err := server.New(ctx, server.Config{
		Store: st, Cache: cache, Logger: logger, Version: ownVersion(), SpoolDir: s.dataDir,
		Access: known.guard, Credentials: known.credentials(), Limits: s.limits(),
		DecisionLog: observers.decisions, Tracing: observers.traces, TenantMetrics: s.tenantMetrics,
		Collectors: append(known.collectors(), st),
	})
	if err != nil {
		return err
	}
	// Not before: as long as there is no server there is nothing to finish, and a signal ends the process.
	signal.Notify(stops, syscall.SIGTERM, os.Interrupt)
	running.startGRPC(srv, listeners)
	defer running.stop(hurry, srv, logger)
	defer beside(ctx, func(ctx context.Context) { s.maintain(ctx, srv, logger) })()
	defer beside(ctx, srv.WatchClock)()
	defer beside(ctx, func(ctx context.Context) { follow(ctx, known.files(), hangups, observers.reopen, logger) })()

	if s.demo {
		s.logLevel.Set(slog.LevelWarn) // not a line for each of the staff
		err := playDemo(ctx, addressOf(listeners.grpc[0]), out)
		s.setLogLevel()
		if err != nil {
			return fmt.Errorf("the demo's tenants: %w", err)
		}
	}
	fmt.Fprintln(out, "ready")
	logger.Info("ready")
	select {
	case sig := <-stops:
		logger.Info("stopping", "signal", sig.String())
	case err = <-running.failures:
	}
	go func() {
		select {
		case <-stops:
			hurryUp()
		case <-hurry.Done():
		}
	}()
	return err
}

// maintainEvery is the pause between two runs of the maintenance.
const maintainEvery = 5 * time.Minute

// maintain removes now and then what need not be kept any more, until ctx is done.
func (s *settings) maintain(ctx context.Context, srv *server.Server, logger *slog.Logger) {
	for {
		if err := srv.Maintain(ctx, s.keep); err != nil && ctx.Err() == nil {
			logger.Error("maintenance failed; it is tried again", "in", maintainEvery, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(maintainEvery):
		}
	}
}

// beside runs something beside all else, until what it returns is called.
func beside(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx)
	}()
	return func() { cancel(); <-ended }
}

// limitMemory has the garbage collector work harder before the process takes all of the
// memory that its container may, unless GOMEMLIMIT says when.
func limitMemory(logger *slog.Logger) {
	if _, err := memlimit.Set(); err != nil && !errors.Is(err, memlimit.ErrCgroupsNotSupported) && !errors.Is(err, memlimit.ErrNoCgroup) {
		logger.Warn("can't tell how much memory the container may take; set GOMEMLIMIT to nine tenths of it", "error", err)
	}
}

// running is a server that serves.
type running struct {
	front    front
	http     *http.Server
	failures chan error
	drain    time.Duration // how long running calls have to finish after the first signal
}

// startHTTP answers the probes, also while the store is being opened.
func (s *settings) startHTTP(ls *listeners, logger *slog.Logger) *running {
	r := &running{failures: make(chan error, len(ls.grpc)+1), drain: time.Duration(s.drainTime)}
	r.http = server.NewHTTPServer(&r.front, logger)
	if ls.http != nil {
		go func() { r.failures <- r.http.Serve(ls.http) }()
	}
	return r
}

func (r *running) startGRPC(srv *server.Server, ls *listeners) {
	handler := srv.HTTP()
	r.front.server.Store(&handler)
	for _, l := range ls.grpc {
		go func() { r.failures <- srv.GRPC().Serve(srv.ListenGRPC(l)) }()
	}
}

// stop lets running calls finish, unless that takes too long or hurry is done. HTTP goes
// on until it has, so that the probes can see what is going on.
func (r *running) stop(hurry context.Context, srv *server.Server, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(hurry, r.drain)
	defer cancel()
	srv.Stop(ctx)
	if ctx.Err() != nil {
		logger.Warn("calls that had not ended were cut off")
	}
}
