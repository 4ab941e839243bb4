package main

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/usher-pdp/usher/server"
)

// settings are what can be said about a server. Each is declared once, in declare: as a flag, and by that
// as a key of the settings file and as a variable.
type settings struct {
	config string // the settings file, or ""

	dataDir      string
	grpcAddress  string
	httpAddress  string
	unixSocket   string
	unixMode     fileMode
	cacheSize    byteSize
	logFormat    choice
	logLevelWord choice
	demo         bool
	keep         server.Retention

	certFile     string
	keyFile      string
	clientCAFile string
	accessFile   string
	tokensFile   string

	decisionLog            string
	decisionLogSample      share
	decisionLogDenialsOnly bool
	traceEndpoint          string
	traceSample            share
	tenantMetrics          bool

	connections    positive
	streams        positive
	checks         positive
	administration positive
	connectionAge  lasting
	drainTime      lasting

	flags    *pflag.FlagSet   // what they were declared as
	topics   []*pflag.FlagSet // the same, by headings
	logLevel slog.LevelVar
}

// addFlags declares the settings, and lets the command take them.
func (s *settings) addFlags(cmd *cobra.Command) {
	s.declare()
	cmd.Flags().AddFlagSet(s.flags)
	cmd.SetUsageFunc(s.usage)
	complete(cmd, "log-format", s.logFormat.completion())
	complete(cmd, "log-level", s.logLevelWord.completion())
}

func (s *settings) declare() {
	s.flags = pflag.NewFlagSet("serve", pflag.ContinueOnError)
	for _, topic := range []struct {
		heading string
		declare func(*pflag.FlagSet)
	}{
		{"Data and addresses", s.declarePlaces},
		{"Callers", s.declareCallers},
		{"Log, decisions, traces, metrics", s.declareObservers},
		{"Limits", s.declareLimits},
	} {
		flags := pflag.NewFlagSet(topic.heading, pflag.ContinueOnError)
		flags.SortFlags = false
		topic.declare(flags)
		s.topics = append(s.topics, flags)
		s.flags.AddFlagSet(flags)
	}
	fromEnvironment(s.flags)
}

func (s *settings) declarePlaces(flags *pflag.FlagSet) {
	flags.StringVar(&s.config, "config", "", "a YAML `FILE` with settings: the flags, without the dashes, as keys")
	flags.StringVar(&s.dataDir, "data-dir", "", "the `DIRECTORY` of the data; it has to be there")
	flags.StringVar(&s.grpcAddress, "grpc-address", "127.0.0.1:7301", "where to serve gRPC, `HOST:PORT` (port 0: any; empty: at the unix socket only)")
	flags.StringVar(&s.httpAddress, "http-address", "127.0.0.1:7302", "where to serve metrics and health, `HOST:PORT` (port 0: any; empty: nowhere)")
	flags.StringVar(&s.unixSocket, "unix-socket", "", "a `PATH` at which to serve gRPC")
	s.unixMode = 0o660
	flags.Var(&s.unixMode, "unix-socket-mode", "who may use that socket, as the mode of its file")
	s.cacheSize = 64 << 20
	flags.Var(&s.cacheSize, "cache-size", "how much memory the decision cache may take")
	s.keep.Ended = 30 * day
	flags.Var((*keep)(&s.keep.Ended), "keep-ended", "how long an assignment stays after its end, such as 30d (0: for ever); then it is removed, on record")
	flags.Var((*keep)(&s.keep.Changes), "keep-changes", "how long the record of changes is kept, such as 400d (0: for ever)")
	flags.BoolVar(&s.demo, "demo", false, "add three tenants to play with, and make the directory if it is missing")
}

func (s *settings) declareCallers(flags *pflag.FlagSet) {
	flags.StringVar(&s.certFile, "tls-cert-file", "", "a PEM `FILE` with the server's certificate; with it, TLS is spoken on both addresses")
	flags.StringVar(&s.keyFile, "tls-key-file", "", "a PEM `FILE` with the key of that certificate")
	flags.StringVar(&s.clientCAFile, "tls-client-ca-file", "", "a PEM `FILE` with the authorities of client certificates")
	flags.StringVar(&s.accessFile, "access-file", "", "a YAML `FILE` that says what each caller may")
	flags.StringVar(&s.tokensFile, "tokens-file", "", "a `FILE` with the hashes of the callers' tokens")
}

func (s *settings) declareObservers(flags *pflag.FlagSet) {
	s.logFormat = choice{word: "text", words: []string{"text", "json"}}
	flags.Var(&s.logFormat, "log-format", "how to write the log")
	s.logLevelWord = choice{word: "info", words: []string{"debug", "info", "warn", "error"}}
	flags.Var(&s.logLevelWord, "log-level", "from which level on to write the log")
	flags.StringVar(&s.decisionLog, "decision-log", "", "a `FILE` to which decisions are written, or - for stdout")
	s.decisionLogSample = 1
	flags.Var(&s.decisionLogSample, "decision-log-sample", "the part of the decisions that is written, 0 to 1")
	flags.BoolVar(&s.decisionLogDenialsOnly, "decision-log-denials-only", false, "write only denials to the decision log")
	flags.StringVar(&s.traceEndpoint, "trace-endpoint", "", "where traces are sent by OTLP over gRPC, `HOST:PORT`, or https://HOST:PORT with TLS")
	s.traceSample = 0.01
	flags.Var(&s.traceSample, "trace-sample", "the part of the calls that is traced if their callers don't say, 0 to 1")
	flags.BoolVar(&s.tenantMetrics, "tenant-metrics", false, "count decisions by tenant, too: a time series for each tenant")
}

func (s *settings) declareLimits(flags *pflag.FlagSet) {
	s.connections, s.streams, s.checks, s.administration = 10_000, 1_000, 4_000, 64
	flags.Var(&s.connections, "max-connections", "how many gRPC connections there may be at once")
	flags.Var(&s.streams, "max-streams", "how many calls of one connection run at once; more wait in the client")
	flags.Var(&s.checks, "max-checks", "how many checks run or wait at once; more are refused, to be tried again")
	flags.Var(&s.administration, "max-administration", "how many other calls run at once, and how many wait")
	s.connectionAge, s.drainTime = lasting(30*time.Minute), lasting(10*time.Second)
	flags.Var(&s.connectionAge, "connection-age", "how long a connection lives at most")
	flags.Var(&s.drainTime, "drain-time", "how long running calls may take to finish when the server is stopped")
}

// usage is that of a command which takes the settings: they have headings, because they are many.
func (s *settings) usage(cmd *cobra.Command) error {
	others := pflag.NewFlagSet("Other flags", pflag.ContinueOnError)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if s.flags.Lookup(f.Name) == nil {
			others.AddFlag(f)
		}
	})
	var text strings.Builder
	fmt.Fprintf(&text, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
	for _, flags := range slices.Concat(s.topics, []*pflag.FlagSet{others}) {
		fmt.Fprintf(&text, "\n%s:\n%s", flags.Name(), flags.FlagUsages())
	}
	_, err := io.WriteString(cmd.OutOrStderr(), text.String())
	return err
}

func (s *settings) logger(w io.Writer) *slog.Logger {
	s.setLogLevel()
	options := &slog.HandlerOptions{Level: &s.logLevel}
	if s.logFormat.word == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func (s *settings) setLogLevel() {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevelWord.word)); err != nil {
		panic(err) // the words are slog's
	}
	s.logLevel.Set(level)
}

func (s *settings) file() string { return filepath.Join(s.dataDir, "usher.db") }

// limits are those of the server.
func (s *settings) limits() server.Limits {
	return server.Limits{
		Connections:    int(s.connections),
		Streams:        uint32(s.streams), // #nosec G115 -- at least 1
		Checks:         int(s.checks),
		Administration: int(s.administration),
		ConnectionAge:  time.Duration(s.connectionAge),
	}
}
