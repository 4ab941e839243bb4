// Command usher is a policy decision service for helpdesk software (usher serve) and
// the client with which people and scripts drive one.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "unknown"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// answeredNo is returned by a command that asks and was answered with no: a check with deny, a
// verification with findings. It is no failure, but an exit status.
type answeredNo struct{}

func (answeredNo) Error() string { return "no" }

// run returns the exit status: 0, or 2 for every kind of failure. 1 is left to answers, so
// that a script can't take a failure for one.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, answeredNo{}):
		return 1
	}
	fmt.Fprintln(stderr, "usher:", err)
	if isUsage(err) {
		fmt.Fprintf(stderr, "Try '%s --help'.\n", cmd.CommandPath())
	}
	return 2
}
