package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// roleChange is one role that a subject is to hold instead of another one.
type roleChange struct {
	interval
	scopes []string
}

func (r *roleChange) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&r.scopes, "scope", nil, "a `SCOPE` in which the new role is to be held (repeatable; default: the tenant)")
	r.interval.addFlags(cmd)
}

func (r *roleChange) act(args []string, now time.Time) (*usherv1.Act, error) {
	starts, expires, err := r.parse("--", now)
	if err != nil {
		return nil, err
	}
	return &usherv1.Act{Act: &usherv1.Act_ChangeRole{ChangeRole: &usherv1.ChangeRoleAct{
		Subject: args[0], From: args[1], To: args[2], Scopes: r.scopes, StartsAt: starts, ExpiresAt: expires,
	}}}, nil
}

func newRoleChange() *cobra.Command {
	var (
		w writing
		r roleChange
	)
	cmd := &cobra.Command{
		Use:   "change SUBJECT FROM TO --tenant TENANT {--as ACTOR | --as-operator}",
		Short: "Take one role from a subject and give it another one, both or neither",
		Long: `Take the role FROM from a subject, wherever it holds it, and give it the role TO: both or
neither. With FROM and TO alike, it moves the role to other scopes.

--from and --until are about the new role; the old one ends at once in any case.`,
		Example: `  usher role change user:ann@dealer.example advisor manager --tenant demo-dealer \
      --as user:marta@dealer.example
  usher role change user:ben@dealer.example advisor advisor --tenant demo-dealer \
      --scope team:precision --scope team:service --as user:marta@dealer.example`,
		Args:              arguments("SUBJECT", "FROM", "TO"),
		ValidArgsFunction: w.completeRole(&w.tenant, 1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			act, err := r.act(args, time.Now())
			if err != nil {
				return err
			}
			if err := w.refuseRelative(&r.interval); err != nil {
				return err
			}
			wanted := act.GetChangeRole()
			req := &usherv1.ChangeRoleRequest{
				Subject: wanted.Subject, From: wanted.From, To: wanted.To, Scopes: wanted.Scopes,
				StartsAt: wanted.StartsAt, ExpiresAt: wanted.ExpiresAt,
			}
			return do(cmd, &w, req, func(ctx context.Context, admin usherv1.AdminServiceClient) (*usherv1.ChangeRoleResponse, error) {
				return admin.ChangeRole(ctx, req)
			}, func(out io.Writer, resp *usherv1.ChangeRoleResponse) {
				now := "instead of " + req.From
				if req.From == req.To {
					now = "in " + places(req.Scopes)
				}
				fmt.Fprintf(out, "%s  %s holds %s %s:\n", outcome(resp.GetOutcome(), w.dryRun), req.Subject, req.To, now)
				writeAssignments(out, resp.GetAssignments())
			})
		},
	}
	w.addFlags(cmd)
	w.addTenantFlag(cmd, &w.tenant)
	addExpectFlag(cmd, &w.expect)
	r.addFlags(cmd)
	return cmd
}
