package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Find out whether the record of changes is whole",
		Long: `Find out whether the record of changes is whole. Each tenant's record is a chain, in which
every link vouches for the one before. An edit, a gap or another order is found by following
it; that its end was cut off, or that an older file was put back, only by comparing it with
the newest link of an earlier day: 'usher audit head' prints these, to be kept elsewhere.`,
		Example: `  usher audit head > heads-2026-12-24.jsonl
  usher audit verify --head heads-2026-12-24.jsonl`,
	}
	cmd.AddCommand(newAuditHead(), newAuditVerify())
	return cmd
}

func newAuditHead() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "head",
		Short: "Print the newest link of each record of changes, to keep elsewhere",
		Long: `Print the newest link of each tenant's record of changes, deleted tenants included, and of
the installation's own: one JSON object a line. Keep them where whoever can write the file of
the data can't write, and give them to 'usher audit verify --head' later.`,
		Example: `  usher audit head > heads-2026-12-24.jsonl`,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.connect(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				operator := usherv1.NewOperatorServiceClient(conn)
				return allPages(func(token string) (string, error) {
					page, err := operator.ListHeads(ctx, &usherv1.ListHeadsRequest{PageSize: 1000, PageToken: token})
					for _, head := range page.GetHeads() {
						if err := writeJSONLine(cmd.OutOrStdout(), head); err != nil {
							return "", err
						}
					}
					return page.GetNextPageToken(), err
				})
			})
		},
	}
	c.addConnectionFlags(cmd)
	return cmd
}

func newAuditVerify() *cobra.Command {
	var (
		c     client
		req   = &usherv1.VerifyChangesRequest{}
		heads string
	)
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Follow the records of changes, and compare every link",
		Long: `Follow the records of changes, and compare every link; with --head also with links that were
kept elsewhere. What is wrong is printed, a line for each finding; the exit status is then 1.`,
		Example: `  usher audit verify
  usher audit verify --tenant demo-dealer --head heads-2026-12-24.jsonl`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if heads != "" {
				var err error
				if req.Heads, err = readHeads(heads); err != nil {
					return err
				}
			}
			whole := false
			err := call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.VerifyChangesResponse, error) {
				all, err := verifyChanges(ctx, conn, req, c.timeout, progressOn(cmd.ErrOrStderr()))
				whole = err == nil && len(all.GetFindings()) == 0
				return all, err
			}, writeVerified)
			if err == nil && !whole {
				return answeredNo{}
			}
			return err
		},
	}
	c.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&req.Tenant, "tenant", "", "only the record of this `TENANT`")
	complete(cmd, "tenant", func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return c.completeTenant(cmd, nil, word)
	})
	flags.StringVar(&heads, "head", "", "a `FILE` that 'usher audit head' has printed")
	return cmd
}

// verifyChanges returns all messages as one.
func verifyChanges(ctx context.Context, conn *grpc.ClientConn, req *usherv1.VerifyChangesRequest,
	timeout time.Duration, progress func(string),
) (*usherv1.VerifyChangesResponse, error) {
	all := &usherv1.VerifyChangesResponse{}
	err := receive(ctx, timeout, func(ctx context.Context) (grpc.ServerStreamingClient[usherv1.VerifyChangesResponse], error) {
		return usherv1.NewOperatorServiceClient(conn).VerifyChanges(ctx, req)
	}, func(message *usherv1.VerifyChangesResponse) error {
		all.Chains, all.Records, all.Done = message.GetChains(), message.GetRecords(), message.GetDone()
		all.Findings = append(all.Findings, message.GetFindings()...)
		progress(fmt.Sprintf("%s in %s", count(int(message.GetRecords()), "change"), count(int(message.GetChains()), "record"))) // #nosec G115 -- a count of records
		return nil
	})
	progress("")
	if err == nil && !all.GetDone() {
		err = fmt.Errorf("the server has stopped before the end: nothing is known of what it had not verified yet")
	}
	return all, err
}

func writeVerified(w io.Writer, all *usherv1.VerifyChangesResponse) {
	for _, f := range all.GetFindings() {
		name := f.GetTenant()
		switch {
		case f.GetTenantId() == 0:
			name = "the installation"
		case name == "":
			name = "a tenant"
		}
		after := "from the first change on"
		if f.GetAfterRevision() != "" {
			after = "after " + f.GetAfterRevision()
		}
		fmt.Fprintf(w, "%s (id %d), %s: %s\n", name, f.GetTenantId(), after, f.GetText())
	}
	extent := fmt.Sprintf("%s of %s", count(int(all.GetRecords()), "change"), count(int(all.GetChains()), "chain")) // #nosec G115 -- a count of records
	if len(all.GetFindings()) == 0 {
		fmt.Fprintf(w, "whole  %s\n", extent)
		return
	}
	fmt.Fprintf(w, "not whole  %s in %s\n", count(len(all.GetFindings()), "finding"), extent)
}
