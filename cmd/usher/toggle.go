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
		c    client
		req  = &usherv1.ListTogglesRequest{}
		asOf string
	)
	cmd := &cobra.Command{
		Use:   "list --tenant TENANT",
		Short: "List the switches of a tenant and how they stand, or stood",
		Example: `  usher toggle list --tenant demo-dealer
  usher toggle list --tenant demo-dealer --as-of 7d`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.AsOf = parseAsOf(asOf, time.Now())
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListTogglesResponse, error) {
				return usherv1.NewAdminServiceClient(conn).ListToggles(ctx, req)
			}, func(w io.Writer, resp *usherv1.ListTogglesResponse) { writeToggles(w, resp.GetToggles()) })
		},
	}
	c.addFlags(cmd)
	c.addTenantFlag(cmd, &req.Tenant)
	addAsOfFlag(cmd, &asOf)
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
			t.GetName(), state, word(t.GetInitialState(), "TOGGLE_STATE_"), dash(t.GetBelongsTo()), dash(inReadersLanguage(t.GetTitles())),
		})
	}
	writeTable(w, "TOGGLE STATE AT_FIRST ROLE TITLE", rows)
}

// switching is a toggle that is to stand in one way.
type switching struct{}

func (switching) addFlags(*cobra.Command) {}

func (switching) act(args []string, _ time.Time) (*usherv1.Act, error) {
	state, err := parseSwitch(args[1])
	if err != nil {
		return nil, usageError{err}
	}
	return &usherv1.Act{Act: &usherv1.Act_SetToggle{SetToggle: &usherv1.SetToggleAct{Toggle: args[0], State: state}}}, nil
}

func parseSwitch(text string) (usherv1.ToggleState, error) {
	switch text {
	case "on":
		return usherv1.ToggleState_TOGGLE_STATE_ON, nil
	case "off":
		return usherv1.ToggleState_TOGGLE_STATE_OFF, nil
	}
	return 0, fmt.Errorf("%q: a toggle is on or off", text)
}

func newToggleSet() *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use:               "set TOGGLE on|off --tenant TENANT {--as ACTOR | --as-operator}",
		Short:             "Switch a toggle of a tenant on or off",
		Example:           `  usher toggle set advisor_broadcast_create on --tenant demo-dealer --as user:grace@dealer.example`,
		Args:              arguments("TOGGLE", "on|off"),
		ValidArgsFunction: w.completeToggle(&w.tenant),
		RunE: func(cmd *cobra.Command, args []string) error {
			act, err := switching{}.act(args, time.Now())
			if err != nil {
				return err
			}
			req := &usherv1.SetToggleRequest{Toggle: args[0], State: act.GetSetToggle().State}
			return do(cmd, &w, req, func(ctx context.Context, admin usherv1.AdminServiceClient) (*usherv1.SetToggleResponse, error) {
				return admin.SetToggle(ctx, req)
			}, func(out io.Writer, resp *usherv1.SetToggleResponse) {
				fmt.Fprintf(out, "%s  %s is %s\n", outcome(resp.GetOutcome(), w.dryRun), req.Toggle, args[1])
			})
		},
	}
	w.addFlags(cmd)
	w.addTenantFlag(cmd, &w.tenant)
	addExpectFlag(cmd, &w.expect)
	return cmd
}
