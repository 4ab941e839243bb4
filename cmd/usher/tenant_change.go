package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newTenantUpdate() *cobra.Command {
	var (
		c   client
		req = &usherv1.UpdateTenantRequest{}
	)
	cmd := &cobra.Command{
		Use:   "update TENANT",
		Short: "Move a tenant to another version of its catalog, or to one that extends it",
		Long: `Move a tenant to another version of its catalog, to a catalog that extends it, or back, at
once and whole. It is refused if something that is stored would not be allowed by it. 'usher
preview catalog' says before who would gain and lose what, and all that stands against it.`,
		Example: `  usher tenant update demo-dealer
  usher tenant update demo-dealer --catalog-version 2 --dry-run
  usher tenant update demo-dealer --catalog harvest_desk`,
		Args:              arguments("TENANT"),
		ValidArgsFunction: c.completeTenant,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Tenant = args[0]
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.UpdateTenantResponse, error) {
				return usherv1.NewOperatorServiceClient(conn).UpdateTenant(ctx, req)
			}, func(w io.Writer, resp *usherv1.UpdateTenantResponse) { writeUpdate(w, req, resp) })
		},
	}
	c.addFlags(cmd)
	addReasonFlag(cmd, &req.Justification)
	flags := cmd.Flags()
	flags.StringVar(&req.Catalog, "catalog", "", "a `CATALOG` that extends the tenant's, or that the tenant's extends (default: the tenant's)")
	flags.Uint32Var(&req.CatalogVersion, "catalog-version", 0, "the `VERSION` of the catalog (default: the newest)")
	flags.BoolVar(&req.ValidateOnly, "dry-run", false, "only find out what would happen")
	return cmd
}

func writeUpdate(w io.Writer, req *usherv1.UpdateTenantRequest, resp *usherv1.UpdateTenantResponse) {
	t := resp.GetTenant()
	first := outcome(resp.GetOutcome(), req.GetValidateOnly())
	if !req.GetValidateOnly() || resp.GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED {
		fmt.Fprintf(w, "%s  %s is on %s version %d\n", first, t.GetName(), t.GetCatalog(), t.GetCatalogVersion())
		return
	}
	version := "the newest version"
	if req.GetCatalogVersion() != 0 {
		version = fmt.Sprint("version ", req.GetCatalogVersion())
	}
	fmt.Fprintf(w, "%s  %s moves to %s of %s\n", first, t.GetName(), version, t.GetCatalog())
}

func newTenantDelete() *cobra.Command {
	var (
		c   client
		req = &usherv1.DeleteTenantRequest{}
	)
	cmd := &cobra.Command{
		Use:   "delete TENANT",
		Short: "Delete a tenant; its record of changes is kept",
		Long: `Delete a tenant. It is gone at once for every caller, and can't be brought back; its
record of changes is kept. The name has to be said a second time: on the terminal, or with
--confirm.`,
		Example: `  usher tenant delete acme --reason 'contract has ended'
  usher tenant delete acme --confirm acme`,
		Args:              arguments("TENANT"),
		ValidArgsFunction: c.completeTenant,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Tenant = args[0]
			if req.Confirm == "" {
				answer, err := ask(cmd, fmt.Sprintf("To delete the tenant %s for good, type its name again: ", req.Tenant),
					"say the name a second time: --confirm "+req.Tenant)
				if err != nil {
					return err
				}
				req.Confirm = answer
			}
			if req.Confirm != req.Tenant {
				return fmt.Errorf("%q is not %q: nothing was deleted", req.Confirm, req.Tenant)
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.DeleteTenantResponse, error) {
				return usherv1.NewOperatorServiceClient(conn).DeleteTenant(ctx, req)
			}, func(w io.Writer, resp *usherv1.DeleteTenantResponse) {
				fmt.Fprintf(w, "deleted  %s (id %d); its record of changes is kept\n", resp.GetTenant().GetName(), resp.GetTenant().GetId())
			})
		},
	}
	c.addFlags(cmd)
	addReasonFlag(cmd, &req.Justification)
	cmd.Flags().StringVar(&req.Confirm, "confirm", "", "the `NAME` of the tenant once more (default: ask on the terminal)")
	return cmd
}

func newTenantPrimary() *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use:   "primary SUBJECT --tenant TENANT {--as ACTOR | --as-operator}",
		Short: "Say which administrator is the contact for the account",
		Long: `Say which administrator is the contact for the account: a user who holds the catalog's
protected role now and without an end. That gives no permission. 'usher tenant show' names
them.`,
		Example: `  usher tenant primary user:walter@dealer.example --tenant demo-dealer \
      --as user:grace@dealer.example`,
		Args:              arguments("SUBJECT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &usherv1.SetPrimaryAdministratorRequest{Subject: args[0]}
			if err := w.sign(req); err != nil {
				return err
			}
			return call(cmd, &w.client, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.SetPrimaryAdministratorResponse, error) {
				return usherv1.NewAdminServiceClient(conn).SetPrimaryAdministrator(ctx, req)
			}, func(out io.Writer, resp *usherv1.SetPrimaryAdministratorResponse) {
				fmt.Fprintf(out, "%s  %s is the primary administrator of %s\n", outcome(resp.GetOutcome(), w.dryRun), req.Subject, req.Tenant)
			})
		},
	}
	w.addFlags(cmd)
	w.addTenantFlag(cmd, &w.tenant)
	return cmd
}
