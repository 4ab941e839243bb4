package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// revocation is a role that a subject is no longer to hold.
type revocation struct {
	scope      string
	everywhere bool
}

func (r *revocation) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&r.scope, "scope", "", "the `SCOPE` in which it is held (default: the tenant)")
	flags.BoolVar(&r.everywhere, "everywhere", false, "wherever it is held, in the tenant and in every scope")
	cmd.MarkFlagsMutuallyExclusive("scope", "everywhere")
}

func (r *revocation) act(args []string, _ time.Time) (*usherv1.Act, error) {
	return &usherv1.Act{Act: &usherv1.Act_Revoke{Revoke: &usherv1.RevokeAct{
		Subject: args[0], Role: args[1], Scope: r.scope, Everywhere: r.everywhere,
	}}}, nil
}

func newRevoke() *cobra.Command {
	var (
		w writing
		r revocation
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
		ValidArgsFunction: w.completeRole(&w.tenant, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &usherv1.RevokeRequest{Subject: args[0], Role: args[1], Scope: r.scope, Everywhere: r.everywhere}
			return do(cmd, &w, req, func(ctx context.Context, admin usherv1.AdminServiceClient) (*usherv1.RevokeResponse, error) {
				return admin.Revoke(ctx, req)
			}, func(out io.Writer, resp *usherv1.RevokeResponse) { writeRevoke(out, req, resp) })
		},
	}
	w.addFlags(cmd)
	w.addTenantFlag(cmd, &w.tenant)
	addExpectFlag(cmd, &w.expect)
	r.addFlags(cmd)
	return cmd
}

func writeRevoke(w io.Writer, req *usherv1.RevokeRequest, resp *usherv1.RevokeResponse) {
	where := "in " + place(req.GetScope())
	if req.GetEverywhere() {
		where = "anywhere"
	}
	fmt.Fprintf(w, "%s  %s does not hold %s %s\n",
		outcome(resp.GetOutcome(), req.GetValidateOnly()), req.GetSubject(), req.GetRole(), where)
	if len(resp.GetRemaining()) == 0 {
		fmt.Fprintln(w, "nothing else is held")
		return
	}
	fmt.Fprintln(w, "still held:")
	writeAssignments(w, resp.GetRemaining())
	if more := int(resp.GetRemainingCount()) - len(resp.GetRemaining()); more > 0 {
		fmt.Fprintf(w, "and %d more: 'usher assignments --subject %s' lists all\n", more, req.GetSubject())
	}
}
