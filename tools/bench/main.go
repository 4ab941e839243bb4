// Command bench measures Usher as a process of its own: against an echo of the same
// messages, against bbolt alone, against itself on other data, and against an older build.
// What is compared is measured in turn, so that whatever else the machine does falls on
// both. For each experiment it prints a table, with the goals that there are. It fails if
// something does not work, and not because of a time.
//
//	bench [-only REGEXP] [-o json] [-usher FILE] [-old FILE] [SUITE]
//
// The suites are quick, on 10,000 assignments mostly and without a name the one that runs;
// scale, on up to 10,000,000; and compare, with the build of Usher in -old. Run it in the
// root of the repository: make bench does, with Usher built. Stores that have been filled
// are kept in .build/bench.
//
//	bench echo …
//
// is the echo, which the tool starts by itself.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"slices"
	"syscall"
	"time"
)

func main() {
	err := func(args []string) error {
		if len(args) > 0 && args[0] == "echo" {
			return serveEcho(args[1:])
		}
		return measure(args)
	}(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// report is all that a run has come to.
type report struct {
	Header  header    `json:"header"`
	Results []*result `json:"results"`
}

func measure(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	usher := flags.String("usher", ".build/usher", "the `FILE` with the build of Usher that is measured")
	old := flags.String("old", "", "the `FILE` with the one that it is compared with")
	only := flags.String("only", "", "only the experiments whose name matches this `REGEXP`")
	format := flags.String("o", "text", "text, or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	filter, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if (flags.Arg(0) == "compare") != (*old != "") {
		return errors.New("-old is for the suite compare, which needs it")
	}
	suites := map[string][]experiment{
		"":        quickExperiments(),
		"quick":   quickExperiments(),
		"scale":   scaleExperiments(),
		"compare": compareExperiments(*old),
	}
	suite, known := suites[flags.Arg(0)]
	if !known {
		return fmt.Errorf("there is no suite %q", flags.Arg(0))
	}
	debug.SetGCPercent(400) // collecting takes time from the servers
	files, err := openFiles(".build/bench")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := io.Writer(os.Stdout)
	if *format == "json" {
		out = io.Discard
	}
	done := report{Header: newHeader()}
	done.Header.write(out)
	for _, e := range suite {
		if !filter.MatchString(e.name) {
			continue
		}
		st := &stage{ctx: ctx, usher: *usher, files: files, say: teller(e.name)}
		r, err := st.play(e)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		done.Results = append(done.Results, r)
		r.write(out)
	}
	writeGoals(out, done.Results)
	if *format == "json" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(done)
	}
	return nil
}

// quickExperiments are those on small stores.
func quickExperiments() []experiment {
	return slices.Concat(echoExperiments(), callerExperiments(), writeExperiments())
}

// teller returns what shows on stderr what is going on, at most once a second.
func teller(experiment string) func(string) {
	var last time.Time
	return func(what string) {
		if time.Since(last) >= time.Second {
			last = time.Now()
			fmt.Fprintf(os.Stderr, "%s  %s: %s\n", last.Format(time.TimeOnly), experiment, what)
		}
	}
}
