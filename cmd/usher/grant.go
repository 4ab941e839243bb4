package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// grant is a role that a subject is to hold.
type grant struct {
	interval
	scope string
}

func (g *grant) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.scope, "scope", "", "the `SCOPE` that limits it, such as team:harvest (default: the tenant)")
	g.interval.addFlags(cmd)
}

func (g *grant) act(args []string, now time.Time) (*usherv1.Act, error) {
	starts, expires, err := g.parse("--", now)
	if err != nil {
		return nil, err
	}
	return &usherv1.Act{Act: &usherv1.Act_Grant{Grant: &usherv1.GrantAct{
		Subject: args[0], Role: args[1], Scope: g.scope, StartsAt: starts, ExpiresAt: expires,
	}}}, nil
}

func newGrant() *cobra.Command {
	var (
		w writing
		g grant
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
      --until 2w --reason 'holiday cover' --as-operator
  usher grant user:ben@dealer.example advisor --tenant demo-dealer --scope team:service \
      --until 2h --dry-run --as user:grace@dealer.example`,
		Args:              arguments("SUBJECT", "ROLE"),
		ValidArgsFunction: w.completeRole(&w.tenant, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			act, err := g.act(args, time.Now())
			if err != nil {
				return err
			}
			if err := w.refuseRelative(&g.interval); err != nil {
				return err
			}
			wanted := act.GetGrant()
			req := &usherv1.GrantRequest{
				Subject: wanted.Subject, Role: wanted.Role, Scope: wanted.Scope,
				StartsAt: wanted.StartsAt, ExpiresAt: wanted.ExpiresAt,
			}
			return do(cmd, &w, req, func(ctx context.Context, admin usherv1.AdminServiceClient) (*usherv1.GrantResponse, error) {
				return admin.Grant(ctx, req)
			}, func(out io.Writer, resp *usherv1.GrantResponse) {
				fmt.Fprintf(out, "%s  %s\n", outcome(resp.GetOutcome(), w.dryRun), holds(resp.GetAssignment()))
			})
		},
	}
	w.addFlags(cmd)
	w.addTenantFlag(cmd, &w.tenant)
	addExpectFlag(cmd, &w.expect)
	g.addFlags(cmd)
	return cmd
}

// holds says an assignment as a sentence.
func holds(a *usherv1.Assignment) string {
	return fmt.Sprintf("%s holds %s in %s (%s)", a.GetSubject(), a.GetRole(), place(a.GetScope()), held(a))
}

// held says the state of an assignment and its limits.
func held(a *usherv1.Assignment) string {
	text := word(a.GetState(), "ASSIGNMENT_STATE_")
	if when := limits(a.GetStartsAt(), a.GetExpiresAt()); when != "" {
		text += ", " + when
	}
	return text
}
