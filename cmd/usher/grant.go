package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newGrant() *cobra.Command {
	var (
		c           client
		b           behalf
		req         = &usherv1.GrantRequest{}
		from, until string
	)
	cmd := &cobra.Command{
		Use:   "grant SUBJECT ROLE --tenant TENANT {--as ACTOR | --as-operator}",
		Short: "Let a subject hold a role, for ever or for a while",
		Long: `Let a subject hold a role, in the tenant or in one scope, for ever or for a while.

If the subject holds the role there already, this sets from when until when: what is not
given is then without a limit.`,
		Example: `  usher grant user:ann@dealer.example advisor --tenant demo-dealer --scope team:parts \
      --as user:grace@dealer.example
  usher grant user:ben@dealer.example advisor --tenant demo-dealer --scope team:parts \
      --until 2w --reason 'holiday cover' --as-operator`,
		Args:              arguments("SUBJECT", "ROLE"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Subject, req.Role = args[0], args[1]
			if err := setInterval(req, from, until, time.Now()); err != nil {
				return err
			}
			actor, operator, err := b.by()
			if err != nil {
				return err
			}
			if operator != nil {
				req.By = &usherv1.GrantRequest_Operator{Operator: operator}
			} else {
				req.By = &usherv1.GrantRequest_Actor{Actor: actor}
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.GrantResponse, error) {
				return usherv1.NewAdminServiceClient(conn).Grant(ctx, req)
			}, writeGrant)
		},
	}
	c.addFlags(cmd)
	b.addFlags(cmd)
	addTenantFlag(cmd, &req.Tenant)
	flags := cmd.Flags()
	flags.StringVar(&req.Scope, "scope", "", "the `SCOPE` that limits it, such as team:harvest (default: the tenant)")
	flags.StringVar(&from, "from", "", "from when on, a `TIME` such as 2026-12-24T18:00:00Z (default: at once)")
	flags.StringVar(&until, "until", "", "until when, a `TIME` or a duration such as 12h, 7d or 2w (default: without an end)")
	flags.StringVar(&req.Justification, "reason", "", "why, a `TEXT` for the record")
	return cmd
}

func setInterval(req *usherv1.GrantRequest, from, until string, now time.Time) (err error) {
	if req.StartsAt, err = parseInstant("--from", from); err != nil {
		return err
	}
	start := now
	if req.StartsAt != nil {
		start = req.StartsAt.AsTime()
	}
	req.ExpiresAt, err = parseEnd("--until", until, start)
	return err
}

func writeGrant(w io.Writer, resp *usherv1.GrantResponse) {
	a := resp.GetAssignment()
	interval := ""
	if a.GetStartsAt() != nil {
		interval += ", from " + instant(a.GetStartsAt())
	}
	if a.GetExpiresAt() != nil {
		interval += ", until " + instant(a.GetExpiresAt())
	}
	fmt.Fprintf(w, "%s  %s holds %s in %s (%s%s)\n", word(resp.GetOutcome(), "OUTCOME_"),
		a.GetSubject(), a.GetRole(), place(a.GetScope()), word(a.GetState(), "ASSIGNMENT_STATE_"), interval)
}
