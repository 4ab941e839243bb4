package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newWhoCan() *cobra.Command {
	var (
		c     client
		req   = &usherv1.ListSubjectsRequest{PageSize: 1000}
		about resourceFlags
	)
	cmd := &cobra.Command{
		Use:   "who-can ACTION TYPE/ID --tenant TENANT",
		Short: "List who may do something",
		Long: `List who may do an action on a resource, and by which role: subjects, then groups.

Members of a group that is listed may, too, if nothing else forbids it to them. "(whoever
holds no role)" are all who hold nothing, by the default role of the catalog.

It exits with 0 when somebody may, 1 when nobody may and 2 when there is no answer. What
is said about the resource is as for 'usher check'.`,
		Example: `  usher who-can view ticket/4711 --tenant demo-dealer --scope team:harvest
  usher who-can grant role/advisor --tenant demo-dealer -o json`,
		Args:              arguments("ACTION", "TYPE/ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Action = args[0]
			var err error
			if req.Resource, err = about.resource(args[1]); err != nil {
				return err
			}
			somebody := false
			err = call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListSubjectsResponse, error) {
				resp, err := listSubjects(ctx, usherv1.NewDecisionServiceClient(conn), req)
				somebody = len(resp.GetSubjects())+len(resp.GetGroups()) > 0 ||
					resp.GetEveryoneWithoutARole() == usherv1.Decision_DECISION_ALLOW
				return resp, err
			}, writeSubjects)
			if err == nil && !somebody {
				return answeredNo{}
			}
			return err
		},
	}
	c.addFlags(cmd)
	c.addTenantFlag(cmd, &req.Tenant)
	about.addFlags(cmd)
	return cmd
}

// listSubjects returns all pages as one. It names a revision only if all pages show the same
// one.
func listSubjects(ctx context.Context, decisions usherv1.DecisionServiceClient, req *usherv1.ListSubjectsRequest) (*usherv1.ListSubjectsResponse, error) {
	all := &usherv1.ListSubjectsResponse{}
	err := allPages(func(token string) (string, error) {
		req.PageToken = token
		page, err := decisions.ListSubjects(ctx, req)
		if err != nil {
			return "", err
		}
		if token == "" {
			all.Revision = page.GetRevision()
		} else if page.GetRevision() != all.Revision {
			all.Revision = ""
		}
		all.Subjects = append(all.Subjects, page.GetSubjects()...)
		all.Groups = append(all.Groups, page.GetGroups()...)
		all.EveryoneWithoutARole = page.GetEveryoneWithoutARole()
		if by := page.GetRecheckBy(); by != nil && (all.RecheckBy == nil || by.AsTime().Before(all.RecheckBy.AsTime())) {
			all.RecheckBy = by
		}
		return page.GetNextPageToken(), nil
	})
	return all, err
}

func writeSubjects(w io.Writer, resp *usherv1.ListSubjectsResponse) {
	var rows [][]string
	for _, list := range [][]*usherv1.ListedSubject{resp.GetSubjects(), resp.GetGroups()} {
		for _, s := range list {
			rows = append(rows, []string{s.GetSubject(), s.GetRole(), dash(s.GetScope())})
		}
	}
	if resp.GetEveryoneWithoutARole() == usherv1.Decision_DECISION_ALLOW {
		rows = append(rows, []string{"(whoever holds no role)", "-", "-"})
	}
	writeTable(w, "SUBJECT ROLE SCOPE", rows)
}
