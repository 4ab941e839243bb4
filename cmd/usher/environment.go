package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/usher-pdp/usher/server/policy"
)

// The keys of annotations of a flag: the name of its variable, and where its value is from if not from
// the command line.
const (
	environment = "usher_environment"
	source      = "usher_source"
)

// fromEnvironment lets every flag of the set be given by a variable, too: --data-dir by
// USHER_DATA_DIR. The help shows it. readEnvironment reads it.
func fromEnvironment(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := "USHER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		f.Usage += " [$" + name + "]"
		annotate(f, environment, name)
	})
}

func annotate(f *pflag.Flag, key, value string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[key] = []string{value}
}

// setSource says where the value of a flag is from.
func setSource(f *pflag.Flag, from string) { annotate(f, source, from) }

// sourceOf says where the value of a flag is from: a variable, a line of the settings file, the
// command line or nowhere.
func sourceOf(f *pflag.Flag) string {
	switch from := f.Annotations[source]; {
	case len(from) > 0:
		return from[0]
	case f.Changed:
		return "--" + f.Name
	default:
		return "default"
	}
}

// readEnvironment sets the flags that the command line didn't and a variable does. An
// empty variable is as good as none.
func readEnvironment(flags *pflag.FlagSet) error {
	var fault error
	flags.VisitAll(func(f *pflag.Flag) {
		names := f.Annotations[environment]
		if f.Changed || len(names) == 0 || fault != nil {
			return
		}
		value := os.Getenv(names[0])
		if value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			fault = usagef("%s: %w", names[0], err)
		}
		setSource(f, names[0])
	})
	return fault
}

// unknownVariables returns a sentence about each USHER_… variable that no command has.
func unknownVariables(root *cobra.Command, environ []string) (sentences []string) {
	known := variables(root)
	var ends []string // without what all begin with, which would make them all alike
	for _, name := range known {
		ends = append(ends, strings.TrimPrefix(name, "USHER_"))
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "USHER_") || value == "" || slices.Contains(known, name) || kubernetes.MatchString(name) {
			continue
		}
		near := ""
		help := policy.Suggest(strings.TrimPrefix(name, "USHER_"), ends)
		if end, found := strings.CutPrefix(help, `did you mean "`); found {
			near = `: did you mean "USHER_` + end
		}
		sentences = append(sentences, fmt.Sprintf("the variable %s is no setting, and has no effect%s", name, near))
	}
	slices.Sort(sentences)
	return sentences
}

// kubernetes matches the variables that Kubernetes gives the containers of a namespace for a Service that is
// called usher, or usher-something.
var kubernetes = regexp.MustCompile(`^USHER_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// variables are those of all commands.
func variables(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Annotations[environment]...) })
	for _, sub := range cmd.Commands() {
		names = append(names, variables(sub)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
