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

func newScopes() *cobra.Command {
	var (
		c   client
		req = &usherv1.ListScopesRequest{}
	)
	cmd := &cobra.Command{
		Use:   "scopes SUBJECT ACTION TYPE --tenant TENANT",
		Short: "Show on which resources a subject may do something",
		Long: `Show on which resources of a type a subject may do an action: the filter behind a list page.

A resource is allowed if some "allow" line is about it and no "forbid" line is. The condition
after "if" is about the attributes of the resource; where one is missing that it needs, an
allow line does not hold, and a forbid line does.

It exits with 0 whether or not anything is allowed, and with 2 when there is no answer.`,
		Example: `  usher scopes user:ben@dealer.example view ticket --tenant demo-dealer
  usher scopes user:temp@desk.example view ticket --tenant demo-desk --group group:night-shift -o json`,
		Args:              arguments("SUBJECT", "ACTION", "TYPE"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Subject, req.Action, req.ResourceType = args[0], args[1], args[2]
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListScopesResponse, error) {
				return listScopes(ctx, usherv1.NewDecisionServiceClient(conn), req)
			}, func(w io.Writer, resp *usherv1.ListScopesResponse) { writeFilter(w, req, resp) })
		},
	}
	c.addFlags(cmd)
	c.addTenantFlag(cmd, &req.Tenant)
	cmd.Flags().StringArrayVar(&req.Groups, "group", nil, "a `GROUP` that the subject is a member of, such as group:tier2 (repeatable)")
	return cmd
}

// listScopes returns all pages as one.
func listScopes(ctx context.Context, decisions usherv1.DecisionServiceClient, req *usherv1.ListScopesRequest) (*usherv1.ListScopesResponse, error) {
	all := &usherv1.ListScopesResponse{}
	err := allPages(func(token string) (string, error) {
		req.PageToken = token
		page, err := decisions.ListScopes(ctx, req)
		if err != nil {
			return "", err
		}
		all.Allow = append(all.Allow, page.GetAllow()...)
		all.Forbid = append(all.Forbid, page.GetForbid()...)
		all.Revision, all.RecheckBy = page.GetRevision(), page.GetRecheckBy()
		return page.GetNextPageToken(), nil
	})
	return all, err
}

func writeFilter(w io.Writer, req *usherv1.ListScopesRequest, filter *usherv1.ListScopesResponse) {
	resource := "any " + strings.ReplaceAll(req.GetResourceType(), "_", " ")
	for _, a := range filter.GetAllow() {
		fmt.Fprintf(w, "allow:  %s\n", covered(resource, req.GetSubject(), a))
	}
	if len(filter.GetAllow()) == 0 {
		fmt.Fprintf(w, "nothing is allowed: %s may %s no %s\n", req.GetSubject(), req.GetAction(), strings.TrimPrefix(resource, "any "))
	}
	for _, a := range filter.GetForbid() {
		fmt.Fprintf(w, "forbid: %s\n", covered(resource, req.GetSubject(), a))
	}
	if filter.GetRecheckBy() != nil {
		fmt.Fprintf(w, "ask again at %s\n", instant(filter.GetRecheckBy()))
	}
}

// covered says what an alternative is about.
func covered(resource, subject string, a *usherv1.Alternative) string {
	switch reach := a.GetReach().(type) {
	case *usherv1.Alternative_Tenant:
		resource += " of the tenant"
	case *usherv1.Alternative_Scopes:
		resource += " in " + strings.Join(reach.Scopes.GetScopes(), ", ")
	case *usherv1.Alternative_AnyScopeOfType:
		resource += " in some " + reach.AnyScopeOfType
	case *usherv1.Alternative_Own:
		resource += " of which " + subject + " is the owner"
	default:
		return "something that this client does not know"
	}
	if len(a.GetLimitedTo()) > 0 {
		resource += ", within " + strings.Join(a.GetLimitedTo(), ", ")
	}
	if a.GetCondition() != nil {
		resource += ", if " + a.GetCondition().GetText()
	}
	return resource
}
