package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newToggle() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "toggle",
		Short: "List and set the switches of a tenant",
		Example: `  usher toggle list --tenant demo-dealer
  usher toggle set advisor_broadcast_create on --tenant demo-dealer --as user:grace@dealer.example`,
	}
	cmd.AddCommand(newToggleList(), newToggleSet())
	return cmd
}

func newToggleList() *cobra.Command {
	var (
		c   client
		req = &usherv1.ListTogglesRequest{}
	)
	cmd := &cobra.Command{
		Use:     "list --tenant TENANT",
		Short:   "List the switches of a tenant and how they stand",
		Example: `  usher toggle list --tenant demo-dealer`,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListTogglesResponse, error) {
				return usherv1.NewAdminServiceClient(conn).ListToggles(ctx, req)
			}, func(w io.Writer, resp *usherv1.ListTogglesResponse) { writeToggles(w, resp.GetToggles()) })
		},
	}
	c.addFlags(cmd)
	addTenantFlag(cmd, &req.Tenant)
	return cmd
}

func writeToggles(w io.Writer, toggles []*usherv1.Toggle) {
	var rows [][]string
	for _, t := range toggles {
		state := word(t.GetState(), "TOGGLE_STATE_")
		if t.GetLocked() {
			state += ", locked"
		}
		rows = append(rows, []string{
			t.GetName(), state, word(t.GetInitialState(), "TOGGLE_STATE_"), dash(t.GetBelongsTo()), dash(t.GetTitles()["en"]),
		})
	}
	writeTable(w, "TOGGLE STATE AT_FIRST ROLE TITLE", rows)
}

func newToggleSet() *cobra.Command {
	var (
		c   client
		b   behalf
		req = &usherv1.SetToggleRequest{}
	)
	cmd := &cobra.Command{
		Use:               "set TOGGLE on|off --tenant TENANT {--as ACTOR | --as-operator}",
		Short:             "Switch a toggle of a tenant on or off",
		Example:           `  usher toggle set advisor_broadcast_create on --tenant demo-dealer --as user:grace@dealer.example`,
		Args:              arguments("TOGGLE", "on|off"),
		ValidArgsFunction: c.completeToggle(&req.Tenant),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Toggle = args[0]
			switch args[1] {
			case "on":
				req.State = usherv1.ToggleState_TOGGLE_STATE_ON
			case "off":
				req.State = usherv1.ToggleState_TOGGLE_STATE_OFF
			default:
				return usagef("%q: a toggle is on or off", args[1])
			}
			actor, operator, err := b.by()
			if err != nil {
				return err
			}
			if operator != nil {
				req.By = &usherv1.SetToggleRequest_Operator{Operator: operator}
			} else {
				req.By = &usherv1.SetToggleRequest_Actor{Actor: actor}
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.SetToggleResponse, error) {
				return usherv1.NewAdminServiceClient(conn).SetToggle(ctx, req)
			}, func(w io.Writer, resp *usherv1.SetToggleResponse) {
				fmt.Fprintf(w, "%s  %s is %s\n", word(resp.GetOutcome(), "OUTCOME_"), req.Toggle, args[1])
			})
		},
	}
	c.addFlags(cmd)
	b.addFlags(cmd)
	addTenantFlag(cmd, &req.Tenant)
	cmd.Flags().StringVar(&req.Justification, "reason", "", "why, a `TEXT` for the record")
	return cmd
}
