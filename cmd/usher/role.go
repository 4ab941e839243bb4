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

func newRole() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "role",
		Short: "List the roles that can be granted, and change one into another",
		Example: `  usher role list --tenant demo-dealer --as user:marta@dealer.example
  usher role change user:ann@dealer.example advisor manager --tenant demo-dealer --as user:marta@dealer.example`,
	}
	cmd.AddCommand(newRoleList(), newRoleChange())
	return cmd
}

func newRoleList() *cobra.Command {
	var (
		c   client
		b   behalf
		req = &usherv1.ListRolesRequest{}
	)
	cmd := &cobra.Command{
		Use:   "list --tenant TENANT {--as ACTOR | --as-operator}",
		Short: "List the roles of a tenant, and which of them somebody may grant",
		Long: `List the roles of a tenant, and whether the actor may grant them: everywhere, in some
scopes, or not, and then why not. Titles are in the language that LANG names.`,
		Example: `  usher role list --tenant demo-dealer --as user:marta@dealer.example
  LANG=de_DE.UTF-8 usher role list --tenant demo-dealer --as-operator`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.sign(req); err != nil {
				return err
			}
			req.Locale = readersLanguage()
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListRolesResponse, error) {
				return usherv1.NewAdminServiceClient(conn).ListRoles(ctx, req)
			}, writeRoles)
		},
	}
	c.addFlags(cmd)
	b.addFlags(cmd)
	c.addTenantFlag(cmd, &req.Tenant)
	return cmd
}

func writeRoles(w io.Writer, resp *usherv1.ListRolesResponse) {
	var rows [][]string
	for _, r := range resp.GetRoles() {
		heldIn := "tenant"
		if len(r.GetHeldIn()) > 0 {
			heldIn = strings.Join(r.GetHeldIn(), ", ")
		}
		rows = append(rows, []string{
			r.GetName(), dash(r.GetTitle()), heldIn, strings.Join(r.GetHolders(), ", "), mayGrant(r),
		})
	}
	writeTable(w, "ROLE TITLE HELD_IN HELD_BY MAY_GRANT", rows)
}

func mayGrant(r *usherv1.RoleInfo) string {
	switch {
	case r.GetMayGrant():
		return "yes"
	case len(r.GetMayGrantIn()) > 0:
		scopes := strings.Join(r.GetMayGrantIn(), ", ")
		if n := int(r.GetMayGrantInCount()) - len(r.GetMayGrantIn()); n > 0 {
			scopes += fmt.Sprintf(" and %d more", n)
		}
		return "in " + scopes
	}
	return fmt.Sprintf("no (%s): %s", r.GetRefusal(), r.GetRefusalText())
}
