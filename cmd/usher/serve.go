package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func newServe() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "serve --data-dir DIRECTORY",
		Short: "Run the server",
		Long: `Run the server on the data in DIRECTORY/usher.db.

Settings are taken from the flags, then from USHER_… variables, then from the file that
--config names. Without an access file callers are not told apart: then it listens on
loopback addresses and on a unix socket only. Anywhere else it needs a certificate, an
access file, and tokens or client certificates.

The addresses are printed, a line each, and 'ready' when it serves. Certificates, access
file and tokens are read again when they change. SIGTERM or SIGINT lets running calls
finish and stops it; a second one, or one before it is ready, stops it at once. SIGHUP reads the files at once, and
goes on with a new decision log file. The log goes to stderr.`,
		Example: `  usher serve --demo --data-dir /tmp/usher-demo
  usher serve --config /etc/usher/usher.yaml
  usher serve --data-dir /var/lib/usher --unix-socket /run/usher/usher.sock --log-format json
  USHER_DATA_DIR=/var/lib/usher usher serve`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			signal.Ignore(syscall.SIGPIPE) // who reads the logs may go: the server stays
			known, err := s.prepare()
			if err != nil {
				return err
			}
			logger := s.logger(cmd.ErrOrStderr())
			for _, sentence := range append(s.warnings(), known.remarks()...) {
				logger.Warn(sentence)
			}
			return s.serve(cmd.Context(), known, cmd.OutOrStdout(), logger, hangups)
		},
	}
	s.addFlags(cmd)
	return cmd
}
