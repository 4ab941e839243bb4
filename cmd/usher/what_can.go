package main

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newWhatCan() *cobra.Command {
	var (
		c     client
		req   = &usherv1.ListActionsRequest{}
		about resourceFlags
	)
	cmd := &cobra.Command{
		Use:   "what-can SUBJECT TYPE/ID --tenant TENANT",
		Short: "List what a subject may do",
		Long: `List what a subject may do on a resource, and why.

With --denied it also lists what the subject may not do: what could become possible without
another role ("not now": a toggle, the resource or a role that starts later would have to
change), and what could not ("never").

It exits with 0 when the subject may do something, 1 when nothing and 2 when there is no
answer. What is said about the resource is as for 'usher check'.`,
		Example: `  usher what-can user:ann@dealer.example ticket/4711 --tenant demo-dealer --scope team:harvest
  usher what-can user:pat@farm.example ticket/4711 --tenant demo-dealer --owner user:pat@farm.example --denied`,
		Args:              arguments("SUBJECT", "TYPE/ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Subject = args[0]
			var err error
			if req.Resource, err = about.resource(args[1]); err != nil {
				return err
			}
			something := false
			err = call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListActionsResponse, error) {
				resp, err := usherv1.NewDecisionServiceClient(conn).ListActions(ctx, req)
				something = slices.ContainsFunc(resp.GetActions(), func(a *usherv1.ListedAction) bool {
					return a.GetDecision() == usherv1.Decision_DECISION_ALLOW
				})
				return resp, err
			}, func(w io.Writer, resp *usherv1.ListActionsResponse) { writeActions(w, req, resp.GetActions()) })
			if err == nil && !something {
				return answeredNo{}
			}
			return err
		},
	}
	c.addFlags(cmd)
	c.addTenantFlag(cmd, &req.Tenant)
	addGroupFlag(cmd, &req.Groups)
	about.addFlags(cmd)
	cmd.Flags().BoolVar(&req.IncludeDenied, "denied", false, "list what the subject may not do, too")
	return cmd
}

func writeActions(w io.Writer, req *usherv1.ListActionsRequest, actions []*usherv1.ListedAction) {
	may := map[usherv1.Possibility]string{
		usherv1.Possibility_POSSIBILITY_NOW:         "yes",
		usherv1.Possibility_POSSIBILITY_WITH_CHANGE: "not now",
		usherv1.Possibility_POSSIBILITY_NEVER:       "never",
	}
	var rows [][]string
	for _, a := range actions {
		check := &usherv1.CheckRequest{Subject: req.GetSubject(), Action: a.GetAction(), Resource: req.GetResource()}
		rows = append(rows, []string{a.GetAction(), dash(may[a.GetPossibility()]), because(check, a.GetReason())})
	}
	writeTable(w, "ACTION MAY WHY", rows)
}
