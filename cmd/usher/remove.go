package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// removal is a subject that is to hold nothing any more.
type removal struct{}

func (removal) addFlags(*cobra.Command) {}

func (removal) act(args []string, _ time.Time) (*usherv1.Act, error) {
	return &usherv1.Act{Act: &usherv1.Act_RemoveSubject{RemoveSubject: &usherv1.RemoveSubjectAct{Subject: args[0]}}}, nil
}

func newRemove() *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use:   "remove SUBJECT --tenant TENANT {--as ACTOR | --as-operator}",
		Short: "Take everything away that a subject holds, all or nothing",
		Long: `Take everything away that a subject holds in the tenant, in every scope and what is to
come included: all or nothing. The actor has to be allowed to revoke each of the roles.`,
		Example: `  usher remove user:elif@dealer.example --tenant demo-dealer --reason 'has left' \
      --as user:marta@dealer.example
  usher remove user:elif@dealer.example --tenant demo-dealer --dry-run --as-operator`,
		Args:              arguments("SUBJECT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &usherv1.RemoveSubjectRequest{Subject: args[0]}
			return do(cmd, &w, req, func(ctx context.Context, admin usherv1.AdminServiceClient) (*usherv1.RemoveSubjectResponse, error) {
				return admin.RemoveSubject(ctx, req)
			}, func(out io.Writer, resp *usherv1.RemoveSubjectResponse) {
				fmt.Fprintf(out, "%s  %s holds nothing (%s taken away)\n",
					outcome(resp.GetOutcome(), w.dryRun), req.Subject, count(int(resp.GetRemovedCount()), "assignment"))
			})
		},
	}
	w.addFlags(cmd)
	w.addTenantFlag(cmd, &w.tenant)
	addExpectFlag(cmd, &w.expect)
	return cmd
}
