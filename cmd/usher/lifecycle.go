package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"google.golang.org/grpc"

	"github.com/usher-pdp/usher/server"
)

// drainTime is how long running calls have to finish after the first signal.
const drainTime = 10 * time.Second

// serve runs a server until a signal comes. Whatever it returns, all is closed.
func (s *settings) serve(ctx context.Context, out io.Writer, logger *slog.Logger, signals <-chan os.Signal) (err error) {
	listeners, err := s.listen()
	defer listeners.close()
	if err != nil {
		return err
	}
	limitMemory(logger)
	server.KeepHeapFloor()
	cache := server.NewCache(uint64(s.cacheSize))
	st, err := s.openStore(cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	srv, err := server.New(ctx, server.Config{Store: st, Cache: cache, Logger: logger, Version: ownVersion(), SpoolDir: s.dataDir})
	if err != nil {
		return err
	}
	running := start(srv, listeners)
	defer running.stop(srv, signals)
	defer s.maintain(ctx, srv, logger)()

	listeners.announce(out, logger)
	if s.demo {
		s.logLevel.Set(slog.LevelWarn) // not a line for each of the staff
		err := playDemo(ctx, listeners.grpc[0].Addr().String(), out)
		s.logLevel.Set(slog.LevelInfo)
		if err != nil {
			return fmt.Errorf("the demo's tenants: %w", err)
		}
	}
	fmt.Fprintln(out, "ready")
	select {
	case sig := <-signals:
		logger.Info("stopping", "signal", sig.String())
		return nil
	case err := <-running.failures:
		return err
	}
}

// maintainEvery is the pause between two runs of the maintenance.
const maintainEvery = 5 * time.Minute

// maintain removes now and then what need not be kept any more, until what it returns is
// called.
func (s *settings) maintain(ctx context.Context, srv *server.Server, logger *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
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
	grpc     *grpc.Server
	http     *http.Server
	failures chan error
}

func start(srv *server.Server, ls *listeners) *running {
	r := &running{
		grpc:     srv.GRPC(),
		http:     srv.HTTPServer(),
		failures: make(chan error, len(ls.grpc)+1),
	}
	for _, l := range ls.grpc {
		go func() { r.failures <- r.grpc.Serve(srv.ListenGRPC(l)) }()
	}
	go func() { r.failures <- r.http.Serve(ls.http) }()
	return r
}

// stop lets running calls finish, unless that takes too long or a signal comes. HTTP is
// the last to go, so that the probes can see what is going on.
func (r *running) stop(srv *server.Server, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	srv.Stop(ctx)
	r.http.Close()
}
