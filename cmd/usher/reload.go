package main

import (
	"context"
	"log/slog"
	"os"
	"time"
)

// reloadEvery is the pause between two looks at the files that tell callers apart.
const reloadEvery = 5 * time.Second

// followed is something that reads files again.
type followed struct {
	what   string // for the log
	reload func() (changed bool, err error)
	fault  string // what the log knows already
}

// follow looks now and then, and when a signal comes, whether files have changed, until ctx is done. With
// a signal it also reopens what is written to.
func follow(ctx context.Context, files []*followed, hangups <-chan os.Signal, reopen func(context.Context) error, logger *slog.Logger) {
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			logger.Info("looking at the files", "signal", "SIGHUP")
			if err := reopen(ctx); err != nil {
				logger.Error("the decision log goes on in the old file", "error", err)
			}
		case <-ticker.C:
		}
		for _, f := range files {
			f.look(logger)
		}
	}
}

// look reads the files again, and logs what is new about them.
func (f *followed) look(logger *slog.Logger) {
	changed, err := f.reload()
	if changed {
		logger.Info("files have changed: they are used from now on", "files", f.what)
	}
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != f.fault {
		logger.Error("files have changed and are refused: what they said before holds", "files", f.what, "error", fault)
	}
	if fault == "" && f.fault != "" && !changed {
		logger.Info("files are again what is used", "files", f.what)
	}
	f.fault = fault
}
