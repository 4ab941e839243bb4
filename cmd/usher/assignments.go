package main

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newAssignments() *cobra.Command {
	var (
		c            client
		req          = &usherv1.ListAssignmentsRequest{PageSize: 1000}
		state        = choice{words: []string{"scheduled", "active", "ended"}}
		ending, asOf string
	)
	cmd := &cobra.Command{
		Use:   "assignments --tenant TENANT",
		Short: "List who holds which role, or held it",
		Example: `  usher assignments --tenant demo-dealer --role advisor --scope team:harvest
  usher assignments --tenant demo-dealer --subject user:ann@dealer.example -o json
  usher assignments --tenant demo-dealer --ending 7d
  usher assignments --tenant demo-dealer --as-of 2026-12-24T18:00:00Z`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.State = usherv1.AssignmentState(
				usherv1.AssignmentState_value["ASSIGNMENT_STATE_"+strings.ToUpper(state.word)])
			now := time.Now()
			var err error
			if req.EndsBefore, err = parseMoment("--ending", ending, now); err != nil {
				return err
			}
			req.AsOf = parseAsOf(asOf, now)
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListAssignmentsResponse, error) {
				return listAssignments(ctx, usherv1.NewAdminServiceClient(conn), req)
			}, func(w io.Writer, resp *usherv1.ListAssignmentsResponse) { writeAssignments(w, resp.GetAssignments()) })
		},
	}
	c.addFlags(cmd)
	c.addTenantFlag(cmd, &req.Tenant)
	flags := cmd.Flags()
	flags.StringVar(&req.Subject, "subject", "", "only those of this `SUBJECT`")
	flags.StringVar(&req.Role, "role", "", "only those of this `ROLE`")
	flags.StringVar(&req.Scope, "scope", "", "only those in this `SCOPE`")
	flags.Var(&state, "state", "only those in this state now")
	complete(cmd, "state", state.completion())
	complete(cmd, "role", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return c.offerRoles(cmd, req.Tenant)
	})
	flags.StringVar(&ending, "ending", "", "only those that end before this `TIME`, or within a duration such as 7d: who is about to lose what")
	addAsOfFlag(cmd, &asOf)
	return cmd
}

func addAsOfFlag(cmd *cobra.Command, asOf *string) {
	cmd.Flags().StringVar(asOf, "as-of", "", "the state of this `MOMENT`: a time, a duration ago such as 24h, or a revision (default: now)")
}

// listAssignments returns all pages as one. It names a revision only if all pages show
// the same one.
func listAssignments(ctx context.Context, admin usherv1.AdminServiceClient, req *usherv1.ListAssignmentsRequest) (*usherv1.ListAssignmentsResponse, error) {
	all := &usherv1.ListAssignmentsResponse{}
	err := allPages(func(token string) (string, error) {
		req.PageToken = token
		page, err := admin.ListAssignments(ctx, req)
		if err != nil {
			return "", err
		}
		if token == "" {
			all.Revision = page.GetRevision()
		} else if page.GetRevision() != all.Revision {
			all.Revision = ""
		}
		all.Assignments = append(all.Assignments, page.GetAssignments()...)
		return page.GetNextPageToken(), nil
	})
	return all, err
}

func writeAssignments(w io.Writer, assignments []*usherv1.Assignment) {
	var rows [][]string
	for _, a := range assignments {
		rows = append(rows, []string{
			a.GetSubject(), a.GetRole(), dash(a.GetScope()), word(a.GetState(), "ASSIGNMENT_STATE_"),
			instant(a.GetStartsAt()), instant(a.GetExpiresAt()),
		})
	}
	writeTable(w, "SUBJECT ROLE SCOPE STATE FROM UNTIL", rows)
}
