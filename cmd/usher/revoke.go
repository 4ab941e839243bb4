package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newRevoke() *cobra.Command {
	var (
		c   client
		b   behalf
		req = &usherv1.RevokeRequest{}
	)
	cmd := &cobra.Command{
		Use:   "revoke SUBJECT ROLE --tenant TENANT {--as ACTOR | --as-operator}",
		Short: "Take a role away",
		Long: `Take a role away: the assignment in the tenant, with --scope the one in that scope,
with --everywhere all of them. It is effective on the next check.`,
		Example: `  usher revoke user:ann@dealer.example advisor --tenant demo-dealer --scope team:parts \
      --as user:grace@dealer.example
  usher revoke user:ann@dealer.example advisor --tenant demo-dealer --everywhere --as-operator`,
		Args:              arguments("SUBJECT", "ROLE"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Subject, req.Role = args[0], args[1]
			actor, operator, err := b.by()
			if err != nil {
				return err
			}
			if operator != nil {
				req.By = &usherv1.RevokeRequest_Operator{Operator: operator}
			} else {
				req.By = &usherv1.RevokeRequest_Actor{Actor: actor}
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.RevokeResponse, error) {
				return usherv1.NewAdminServiceClient(conn).Revoke(ctx, req)
			}, func(w io.Writer, resp *usherv1.RevokeResponse) { writeRevoke(w, req, resp) })
		},
	}
	c.addFlags(cmd)
	b.addFlags(cmd)
	addTenantFlag(cmd, &req.Tenant)
	flags := cmd.Flags()
	flags.StringVar(&req.Scope, "scope", "", "the `SCOPE` in which it is held (default: the tenant)")
	flags.BoolVar(&req.Everywhere, "everywhere", false, "wherever it is held, in the tenant and in every scope")
	flags.StringVar(&req.Justification, "reason", "", "why, a `TEXT` for the record")
	cmd.MarkFlagsMutuallyExclusive("scope", "everywhere")
	return cmd
}

func writeRevoke(w io.Writer, req *usherv1.RevokeRequest, resp *usherv1.RevokeResponse) {
	where := "in " + place(req.GetScope())
	if req.GetEverywhere() {
		where = "anywhere"
	}
	fmt.Fprintf(w, "%s  %s does not hold %s %s\n",
		word(resp.GetOutcome(), "OUTCOME_"), req.GetSubject(), req.GetRole(), where)
	if len(resp.GetRemaining()) == 0 {
		fmt.Fprintln(w, "nothing else is held")
		return
	}
	fmt.Fprintln(w, "still held:")
	writeAssignments(w, resp.GetRemaining())
}
