package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newErase() *cobra.Command {
	var (
		c   client
		req = &usherv1.EraseSubjectRequest{}
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "erase SUBJECT --tenant TENANT",
		Short: "Erase a person from the record of changes",
		Long: `Erase what names a person from the record of changes of a tenant: as subject, as actor, and
the justifications beside. It can't be undone; 'usher audit verify' still finds the record
whole. The subject must hold nothing any more: 'usher remove' comes first.`,
		Example: `  usher erase user:elif@dealer.example --tenant demo-dealer --reason 'request of 12 March'
  usher erase user:mia@acme.example --tenant acme --tenant-id 7 --yes`,
		Args:              arguments("SUBJECT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Subject = args[0]
			if !yes {
				question := fmt.Sprintf("Erase %s from the record of changes of %s? It can't be undone.", req.Subject, req.Tenant)
				if err := confirm(cmd, question); err != nil {
					return err
				}
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.EraseSubjectResponse, error) {
				return usherv1.NewOperatorServiceClient(conn).EraseSubject(ctx, req)
			}, func(w io.Writer, resp *usherv1.EraseSubjectResponse) {
				fmt.Fprintf(w, "%s  %s is erased from %s of change\n",
					outcome(resp.GetOutcome(), false), req.Subject, count(int(resp.GetRecordCount()), "record")) // #nosec G115 -- a count of records
			})
		},
	}
	c.addFlags(cmd)
	c.addTenantFlag(cmd, &req.Tenant)
	addReasonFlag(cmd, &req.Justification)
	addTenantIDFlag(cmd, &req.TenantId)
	addYesFlag(cmd, &yes)
	return cmd
}

func addTenantIDFlag(cmd *cobra.Command, id *uint64) {
	cmd.Flags().Uint64Var(id, "tenant-id", 0, "the `ID` of a deleted tenant of that name, from 'usher tenant list --deleted'")
}
