package main

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/usher-pdp/usher/server"
)

// settings are what can be said about a server, all of it by flags and by environment.
type settings struct {
	dataDir     string
	grpcAddress string
	httpAddress string
	unixSocket  string
	cacheSize   byteSize
	logFormat   choice
	demo        bool
	keep        server.Retention

	logLevel slog.LevelVar
}

func (s *settings) addFlags(cmd *cobra.Command) {
	s.cacheSize = 64 << 20
	s.keep.Ended = 30 * day
	s.logFormat = choice{word: "text", words: []string{"text", "json"}}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.StringVar(&s.dataDir, "data-dir", "", "the `DIRECTORY` of the data; it has to be there")
	flags.StringVar(&s.grpcAddress, "grpc-address", "127.0.0.1:7301", "where to serve gRPC, a loopback `HOST:PORT` (port 0: any)")
	flags.StringVar(&s.httpAddress, "http-address", "127.0.0.1:7302", "where to serve metrics and health, a loopback `HOST:PORT` (port 0: any)")
	flags.StringVar(&s.unixSocket, "unix-socket", "", "a `PATH` at which to serve gRPC, too")
	flags.Var(&s.cacheSize, "cache-size", "how much memory the decision cache may take")
	flags.Var(&s.logFormat, "log-format", "how to write the log")
	flags.Var((*keep)(&s.keep.Ended), "keep-ended", "how long an assignment stays after its end, such as 30d (0: for ever); then it is removed, on record")
	flags.Var((*keep)(&s.keep.Changes), "keep-changes", "how long the record of changes is kept, such as 400d (0: for ever)")
	flags.BoolVar(&s.demo, "demo", false, "add three tenants to play with, and make the directory if it is missing")
	fromEnvironment(flags)
	cmd.Flags().AddFlagSet(flags)
	require(cmd, "data-dir")
	complete(cmd, "log-format", s.logFormat.completion())
}

func (s *settings) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: &s.logLevel}
	if s.logFormat.word == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func (s *settings) file() string { return filepath.Join(s.dataDir, "usher.db") }

func newServe() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "serve --data-dir DIRECTORY",
		Short: "Run the server",
		Long: `Run the server on the data in DIRECTORY/usher.db.

Callers can't be authenticated yet: it listens on loopback addresses and on a unix socket
only. The addresses are printed, a line each, and 'ready' when it serves. SIGTERM or
SIGINT lets running calls finish and stops it; a second one stops it at once. The log
goes to stderr.`,
		Example: `  usher serve --demo --data-dir /tmp/usher-demo
  usher serve --data-dir /var/lib/usher --unix-socket /run/usher/usher.sock --log-format json
  USHER_DATA_DIR=/var/lib/usher usher serve`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			signals := make(chan os.Signal, 2)
			signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
			defer signal.Stop(signals)
			return s.serve(cmd.Context(), cmd.OutOrStdout(), s.logger(cmd.ErrOrStderr()), signals)
		},
	}
	s.addFlags(cmd)
	return cmd
}
