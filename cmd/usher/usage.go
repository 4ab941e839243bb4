package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a command line that can't be understood: nothing has been done.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

func isUsage(err error) bool {
	_, ok := errors.AsType[usageError](err)
	return ok
}

// arguments demands the named arguments and no others, and says which are missing. The last
// ones may be optional: "[ROLE]".
func arguments(names ...string) cobra.PositionalArgs {
	required := len(names)
	for required > 0 && strings.HasPrefix(names[required-1], "[") {
		required--
	}
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < required:
			return usagef("missing %s", strings.Join(names[len(args):required], " "))
		case len(args) > len(names):
			return usagef("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// choice is the value of a flag that takes one of a few words.
type choice struct {
	word  string
	words []string
}

func (c *choice) String() string { return c.word }

func (c *choice) Type() string { return strings.Join(c.words, "|") }

// Set is called by the flag parser.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("it is one of %s", strings.Join(c.words, ", "))
	}
	c.word = word
	return nil
}

// choices is the value of a flag that takes one of a few words, and may be repeated.
type choices struct {
	choice
	chosen []string
}

func (c *choices) String() string { return strings.Join(c.chosen, ",") }

// Set is called by the flag parser, once for each word.
func (c *choices) Set(word string) error {
	if err := c.choice.Set(word); err != nil {
		return err
	}
	c.chosen = append(c.chosen, word)
	return nil
}

// completion offers the words on a Tab.
func (c *choice) completion() cobra.CompletionFunc {
	return cobra.FixedCompletions(c.words, cobra.ShellCompDirectiveNoFileComp)
}
