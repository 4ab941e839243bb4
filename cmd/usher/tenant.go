package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newTenant() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenant",
		Short: "Create, list, change and delete the tenants of the installation",
		Example: `  usher tenant create acme --catalog liveagent --first-administrator user:mia@acme.example
  usher tenant list`,
	}
	cmd.AddCommand(newTenantCreate(), newTenantList(), newTenantShow(), newTenantUpdate(), newTenantDelete(), newTenantPrimary())
	return cmd
}

func newTenantCreate() *cobra.Command {
	var (
		c   client
		req = &usherv1.CreateTenantRequest{}
	)
	cmd := &cobra.Command{
		Use:   "create TENANT --catalog CATALOG --first-administrator SUBJECT",
		Short: "Create a tenant on a catalog, with its first administrator",
		Example: `  usher tenant create acme --catalog liveagent --first-administrator user:mia@acme.example
  usher tenant create acme --catalog liveagent --catalog-version 1 --first-administrator user:mia@acme.example`,
		Args:              arguments("TENANT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Tenant = args[0]
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.CreateTenantResponse, error) {
				return usherv1.NewOperatorServiceClient(conn).CreateTenant(ctx, req)
			}, func(w io.Writer, resp *usherv1.CreateTenantResponse) {
				t := resp.GetTenant()
				fmt.Fprintf(w, "created  %s on %s version %d, administered by %s\n",
					t.GetName(), t.GetCatalog(), t.GetCatalogVersion(), req.FirstAdministrator)
			})
		},
	}
	c.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&req.Catalog, "catalog", "", "the `CATALOG` that its decisions follow")
	flags.Uint32Var(&req.CatalogVersion, "catalog-version", 0, "the `VERSION` of the catalog (default: the newest)")
	flags.StringVar(&req.FirstAdministrator, "first-administrator", "", "the `SUBJECT`, a user, who gets the catalog's protected role")
	require(cmd, "catalog", "first-administrator")
	complete(cmd, "catalog", func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return c.completeCatalog(cmd, nil, word)
	})
	return cmd
}

func newTenantList() *cobra.Command {
	var (
		c   client
		req = &usherv1.ListTenantsRequest{}
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tenants of the installation",
		Example: `  usher tenant list
  usher tenant list --deleted`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			table := writeTenants
			if req.Deleted {
				table = writeDeletedTenants
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListTenantsResponse, error) {
				return listTenants(ctx, conn, req)
			}, func(w io.Writer, all *usherv1.ListTenantsResponse) { table(w, all.GetTenants()) })
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&req.Deleted, "deleted", false, "only those that have been deleted, with their ids")
	return cmd
}

// listTenants returns all pages as one.
func listTenants(ctx context.Context, conn *grpc.ClientConn, req *usherv1.ListTenantsRequest) (*usherv1.ListTenantsResponse, error) {
	operator := usherv1.NewOperatorServiceClient(conn)
	all := &usherv1.ListTenantsResponse{}
	req.PageSize = 1000
	err := allPages(func(token string) (string, error) {
		req.PageToken = token
		page, err := operator.ListTenants(ctx, req)
		all.Tenants = append(all.Tenants, page.GetTenants()...)
		return page.GetNextPageToken(), err
	})
	return all, err
}

func newTenantShow() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:               "show TENANT",
		Short:             "Show a tenant",
		Example:           `  usher tenant show demo-dealer`,
		Args:              arguments("TENANT"),
		ValidArgsFunction: c.completeTenant,
		RunE: func(cmd *cobra.Command, args []string) error {
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.GetTenantResponse, error) {
				return usherv1.NewOperatorServiceClient(conn).GetTenant(ctx, &usherv1.GetTenantRequest{Tenant: args[0]})
			}, func(w io.Writer, resp *usherv1.GetTenantResponse) {
				writeTenants(w, []*usherv1.Tenant{resp.GetTenant()})
			})
		},
	}
	c.addFlags(cmd)
	return cmd
}

func writeTenants(w io.Writer, tenants []*usherv1.Tenant) {
	var rows [][]string
	for _, t := range tenants {
		rows = append(rows, []string{
			t.GetName(), t.GetCatalog(), fmt.Sprint(t.GetCatalogVersion()), instant(t.GetCreatedAt()), dash(t.GetPrimaryAdministrator()),
		})
	}
	writeTable(w, "TENANT CATALOG VERSION CREATED PRIMARY_ADMINISTRATOR", rows)
}

func writeDeletedTenants(w io.Writer, tenants []*usherv1.Tenant) {
	var rows [][]string
	for _, t := range tenants {
		rows = append(rows, []string{
			fmt.Sprint(t.GetId()), t.GetName(), t.GetCatalog(), fmt.Sprint(t.GetCatalogVersion()),
			instant(t.GetCreatedAt()), instant(t.GetDeletedAt()),
		})
	}
	writeTable(w, "ID TENANT CATALOG VERSION CREATED DELETED", rows)
}
