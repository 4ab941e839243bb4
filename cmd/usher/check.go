package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newCheck() *cobra.Command {
	var (
		c     client
		req   = &usherv1.CheckRequest{Resource: &usherv1.Resource{}}
		attrs []string
	)
	cmd := &cobra.Command{
		Use:   "check SUBJECT ACTION TYPE/ID --tenant TENANT",
		Short: "Ask whether a subject may do something",
		Long: `Ask whether a subject may do an action on a resource, and why.

It exits with 0 for allow, 1 for deny and 2 when there is no answer. Where there is no
resource yet (ticket create), TYPE alone will do. What the resource lies in, who owns it
and its attributes are facts that the caller states: name every scope.

The value of an attribute is JSON if it reads as JSON (true, 3, ["a"], "x"), else a
string; the string true is written '"true"'.`,
		Example: `  usher check user:ann@dealer.example view ticket/4711 --tenant demo-dealer --scope team:harvest
  usher check user:pat@farm.example attach ticket/4711 --tenant demo-dealer \
      --owner user:pat@farm.example --attr status=open
  usher check user:ann@dealer.example create ticket --tenant demo-dealer -o json`,
		Args:              arguments("SUBJECT", "ACTION", "TYPE/ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Subject, req.Action = args[0], args[1]
			req.Resource.Type, req.Resource.Id, _ = strings.Cut(args[2], "/")
			var err error
			if req.Resource.Attributes, err = parseAttributes(attrs); err != nil {
				return err
			}
			allowed := false
			err = call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.CheckResponse, error) {
				resp, err := usherv1.NewDecisionServiceClient(conn).Check(ctx, req)
				allowed = resp.GetDecision() == usherv1.Decision_DECISION_ALLOW
				return resp, err
			}, func(w io.Writer, resp *usherv1.CheckResponse) {
				reason := resp.GetReason()
				fmt.Fprintf(w, "%s  %s  %s\n", word(resp.GetDecision(), "DECISION_"),
					strings.TrimPrefix(reason.GetCode().String(), "REASON_CODE_"), because(req, reason))
			})
			if err == nil && !allowed {
				return answeredNo{}
			}
			return err
		},
	}
	c.addFlags(cmd)
	c.addTenantFlag(cmd, &req.Tenant)
	flags := cmd.Flags()
	flags.StringArrayVar(&req.Resource.Scopes, "scope", nil, "a `SCOPE` that the resource lies in, such as team:harvest (repeatable)")
	flags.StringArrayVar(&req.Groups, "group", nil, "a `GROUP` that the subject is a member of, such as group:tier2 (repeatable)")
	flags.StringVar(&req.Resource.Owner, "owner", "", "the `SUBJECT` who owns the resource")
	flags.StringArrayVar(&attrs, "attr", nil, "a fact about the resource, `KEY=VALUE` (repeatable)")
	return cmd
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
