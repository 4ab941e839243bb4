package main

import (
	"github.com/spf13/cobra"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// question is what a check asks, as arguments and flags of a command.
type question struct {
	req   usherv1.CheckRequest
	about resourceFlags
}

var questionArguments = []string{"SUBJECT", "ACTION", "TYPE/ID"}

// aboutQuestions is the part of the help that explains these arguments and flags.
const aboutQuestions = `Where there is no
resource yet (ticket create), TYPE alone will do. What the resource lies in, who owns it
and its attributes are facts that the caller states: name every scope.

The value of an attribute is JSON if it reads as JSON (true, 3, ["a"], "x"), else a
string; the string true is written '"true"'.`

func (q *question) addFlags(cmd *cobra.Command, c *client) {
	c.addTenantFlag(cmd, &q.req.Tenant)
	addGroupFlag(cmd, &q.req.Groups)
	q.about.addFlags(cmd)
}

// ask reads the arguments.
func (q *question) ask(args []string) (_ *usherv1.CheckRequest, err error) {
	q.req.Subject, q.req.Action = args[0], args[1]
	q.req.Resource, err = q.about.resource(args[2])
	return &q.req, err
}
