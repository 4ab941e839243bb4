package main

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// question is what a check asks, as arguments and flags of a command.
type question struct {
	req   usherv1.CheckRequest
	about usherv1.Resource
	attrs []string
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
	flags := cmd.Flags()
	flags.StringArrayVar(&q.about.Scopes, "scope", nil, "a `SCOPE` that the resource lies in, such as team:harvest (repeatable)")
	flags.StringArrayVar(&q.req.Groups, "group", nil, "a `GROUP` that the subject is a member of, such as group:tier2 (repeatable)")
	flags.StringVar(&q.about.Owner, "owner", "", "the `SUBJECT` who owns the resource")
	flags.StringArrayVar(&q.attrs, "attr", nil, "a fact about the resource, `KEY=VALUE` (repeatable)")
}

// ask reads the arguments.
func (q *question) ask(args []string) (*usherv1.CheckRequest, error) {
	q.req.Subject, q.req.Action, q.req.Resource = args[0], args[1], &q.about
	q.about.Type, q.about.Id, _ = strings.Cut(args[2], "/")
	var err error
	q.about.Attributes, err = parseAttributes(q.attrs)
	return &q.req, err
}

// parseAttributes reads KEY=VALUE pairs. It returns nil if there are none.
func parseAttributes(pairs []string) (*structpb.Struct, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	fields := make(map[string]*structpb.Value, len(pairs))
	for _, pair := range pairs {
		key, text, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, usagef("--attr %q: it is KEY=VALUE, such as status=open", pair)
		}
		if _, twice := fields[key]; twice {
			return nil, usagef("--attr %s is given twice", key)
		}
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			value = text
		}
		v, err := structpb.NewValue(value)
		if err != nil {
			return nil, usagef("--attr %q: %w", pair, err)
		}
		fields[key] = v
	}
	return &structpb.Struct{Fields: fields}, nil
}
