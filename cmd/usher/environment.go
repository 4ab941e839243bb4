package main

import (
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// environment is the key of the annotation that keeps the name of a flag's variable.
const environment = "usher_environment"

// fromEnvironment lets every flag of the set be given by a variable, too: --data-dir by
// USHER_DATA_DIR. The help shows it. readEnvironment reads it.
func fromEnvironment(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := "USHER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		f.Usage += " [$" + name + "]"
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[environment] = []string{name}
	})
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
	})
	return fault
}
