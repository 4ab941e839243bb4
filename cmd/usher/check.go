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
		c client
		q question
	)
	cmd := &cobra.Command{
		Use:   "check SUBJECT ACTION TYPE/ID --tenant TENANT",
		Short: "Ask whether a subject may do something",
		Long: `Ask whether a subject may do an action on a resource, and why.

It exits with 0 for allow, 1 for deny and 2 when there is no answer. ` + aboutQuestions,
		Example: `  usher check user:ann@dealer.example view ticket/4711 --tenant demo-dealer --scope team:harvest
  usher check user:pat@farm.example attach ticket/4711 --tenant demo-dealer \
      --owner user:pat@farm.example --attr status=open
  usher check user:ann@dealer.example create ticket --tenant demo-dealer -o json`,
		Args:              arguments(questionArguments...),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := q.ask(args)
			if err != nil {
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
	q.addFlags(cmd, &c)
	return cmd
}
