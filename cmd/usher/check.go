package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newCheck() *cobra.Command {
	var (
		c     client
		req   = &usherv1.CheckRequest{}
		about resourceFlags
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
			var err error
			if req.Resource, err = about.resource(args[2]); err != nil {
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
	addGroupFlag(cmd, &req.Groups)
	about.addFlags(cmd)
	return cmd
}
