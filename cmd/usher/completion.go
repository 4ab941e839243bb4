package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// completionTime is how long a Tab may hang when there is no answer.
const completionTime = time.Second

// completeCatalog offers the names of the catalogs that the server has.
func (c *client) completeCatalog(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.offer(cmd, func(ctx context.Context, conn *grpc.ClientConn) (names []string) {
		all, _ := listCatalogs(ctx, conn)
		for _, catalog := range all.GetCatalogs() {
			names = append(names, catalog.GetName())
		}
		return names
	})
}

// completeTenant offers the names of the tenants that the server has.
func (c *client) completeTenant(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.offer(cmd, func(ctx context.Context, conn *grpc.ClientConn) (names []string) {
		all, _ := listTenants(ctx, conn, &usherv1.ListTenantsRequest{})
		for _, tenant := range all.GetTenants() {
			names = append(names, tenant.GetName())
		}
		return names
	})
}

// completeRole offers the roles of the tenant for the arguments at these places.
func (c *client) completeRole(tenant *string, places ...int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if !slices.Contains(places, len(args)) || *tenant == "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.offerRoles(cmd, *tenant)
	}
}

func (c *client) offerRoles(cmd *cobra.Command, tenant string) ([]string, cobra.ShellCompDirective) {
	return c.offer(cmd, func(ctx context.Context, conn *grpc.ClientConn) (names []string) {
		all, _ := usherv1.NewAdminServiceClient(conn).ListRoles(ctx, &usherv1.ListRolesRequest{
			Tenant: tenant, By: &usherv1.ListRolesRequest_Operator{Operator: &usherv1.Operator{}},
		})
		for _, role := range all.GetRoles() {
			if !role.GetIsDefault() {
				names = append(names, role.GetName())
			}
		}
		return names
	})
}

// completeToggle offers the toggles of the tenant, then on and off.
func (c *client) completeToggle(tenant *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return []string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
		}
		if len(args) > 1 || *tenant == "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.offer(cmd, func(ctx context.Context, conn *grpc.ClientConn) (names []string) {
			all, _ := usherv1.NewAdminServiceClient(conn).ListToggles(ctx, &usherv1.ListTogglesRequest{Tenant: *tenant})
			for _, toggle := range all.GetToggles() {
				names = append(names, toggle.GetName())
			}
			return names
		})
	}
}

// offer asks the server for names. Whatever goes wrong, it offers none: a Tab must not
// print errors into the command line.
func (c *client) offer(cmd *cobra.Command, ask func(context.Context, *grpc.ClientConn) []string) ([]string, cobra.ShellCompDirective) {
	if readEnvironment(cmd.Flags()) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.timeout = min(c.timeout, completionTime)
	conn, err := c.dial()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer conn.Close()
	return ask(cmd.Context(), conn), cobra.ShellCompDirectiveNoFileComp
}
