package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newDiff() *cobra.Command {
	var (
		c      client
		tenant string
	)
	cmd := &cobra.Command{
		Use:   "diff THEN [LATER] --tenant TENANT",
		Short: "Compare who held what, and the toggles, at two moments",
		Long: `Compare the assignments and toggles of a tenant at two moments: what is there only later
(+), what was there only then (-), and what is different (~). A moment is a revision, a time or
a duration ago. Without LATER, it is now.

An assignment is different, too, when it has started or ended in between.`,
		Example: `  usher diff 24h --tenant demo-dealer
  usher diff 2026-12-01T00:00:00Z 2027-01-01T00:00:00Z --tenant demo-dealer -o json`,
		Args:              arguments("THEN", "[LATER]"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			moments := make([]*usherv1.AsOf, 2)
			for i, arg := range args {
				if arg == "" {
					return usagef(`"" is no moment: write a revision, a time, or a duration as 24h`)
				}
				moments[i] = parseAsOf(arg, time.Now())
			}
			return c.connect(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				found, err := compareMoments(ctx, usherv1.NewAdminServiceClient(conn), tenant, moments[0], moments[1])
				if err != nil {
					return err
				}
				if c.output.word == "json" {
					return found.writeJSON(cmd.OutOrStdout())
				}
				found.write(cmd.OutOrStdout())
				return nil
			})
		},
	}
	c.addFlags(cmd)
	c.addTenantFlag(cmd, &tenant)
	return cmd
}

// differences are those between two moments. Before or after is nil for what was not there.
type differences struct {
	assignments []difference[*usherv1.Assignment]
	toggles     []difference[*usherv1.Toggle]
}

type difference[M any] struct{ before, after M }

func compareMoments(ctx context.Context, admin usherv1.AdminServiceClient, tenant string, then, later *usherv1.AsOf) (*differences, error) {
	togglesAfter, err := admin.ListToggles(ctx, &usherv1.ListTogglesRequest{Tenant: tenant, AsOf: later})
	if err != nil {
		return nil, err
	}
	if later == nil {
		// From here on, now is one revision.
		later = &usherv1.AsOf{Moment: &usherv1.AsOf_Revision{Revision: togglesAfter.GetRevision()}}
	}
	togglesBefore, err := admin.ListToggles(ctx, &usherv1.ListTogglesRequest{Tenant: tenant, AsOf: then})
	if err != nil {
		return nil, err
	}
	before, err := listAssignments(ctx, admin, &usherv1.ListAssignmentsRequest{Tenant: tenant, AsOf: then, PageSize: 1000})
	if err != nil {
		return nil, err
	}
	after, err := listAssignments(ctx, admin, &usherv1.ListAssignmentsRequest{Tenant: tenant, AsOf: later, PageSize: 1000})
	if err != nil {
		return nil, err
	}
	return &differences{
		assignments: pairUp(before.GetAssignments(), after.GetAssignments(), compareAssignments, equalMessages),
		toggles: pairUp(togglesBefore.GetToggles(), togglesAfter.GetToggles(), compareToggles, func(a, b *usherv1.Toggle) bool {
			return a.GetState() == b.GetState()
		}),
	}, nil
}

func compareAssignments(a, b *usherv1.Assignment) int {
	return cmp.Or(cmp.Compare(a.GetSubject(), b.GetSubject()), cmp.Compare(a.GetRole(), b.GetRole()), cmp.Compare(a.GetScope(), b.GetScope()))
}

func compareToggles(a, b *usherv1.Toggle) int { return cmp.Compare(a.GetName(), b.GetName()) }

func equalMessages(a, b *usherv1.Assignment) bool { return proto.Equal(a, b) }

// pairUp sorts both lists and returns what is in one of them only, or not equal.
func pairUp[M any](before, after []M, compare func(a, b M) int, equal func(a, b M) bool) (found []difference[M]) {
	slices.SortFunc(before, compare)
	slices.SortFunc(after, compare)
	for len(before) > 0 || len(after) > 0 {
		var pair difference[M]
		order := 0
		switch {
		case len(before) == 0:
			order = 1
		case len(after) == 0:
			order = -1
		default:
			order = compare(before[0], after[0])
		}
		if order <= 0 {
			pair.before, before = before[0], before[1:]
		}
		if order >= 0 {
			pair.after, after = after[0], after[1:]
		}
		if order != 0 || !equal(pair.before, pair.after) {
			found = append(found, pair)
		}
	}
	return found
}

func (d *differences) write(w io.Writer) {
	if len(d.assignments)+len(d.toggles) == 0 {
		fmt.Fprintln(w, "nothing is different")
		return
	}
	for _, a := range d.assignments {
		switch {
		case a.before == nil:
			fmt.Fprintf(w, "+ %s\n", holds(a.after))
		case a.after == nil:
			fmt.Fprintf(w, "- %s\n", holds(a.before))
		default:
			fmt.Fprintf(w, "~ %s, was (%s)\n", holds(a.after), held(a.before))
		}
	}
	for _, t := range d.toggles {
		switch {
		case t.before == nil:
			fmt.Fprintf(w, "+ toggle %s is %s\n", t.after.GetName(), word(t.after.GetState(), "TOGGLE_STATE_"))
		case t.after == nil:
			fmt.Fprintf(w, "- toggle %s is %s\n", t.before.GetName(), word(t.before.GetState(), "TOGGLE_STATE_"))
		default:
			fmt.Fprintf(w, "~ toggle %s is %s, was %s\n", t.after.GetName(),
				word(t.after.GetState(), "TOGGLE_STATE_"), word(t.before.GetState(), "TOGGLE_STATE_"))
		}
	}
}

// writeJSON writes pairs of messages of the API; null stands for what was not there.
func (d *differences) writeJSON(w io.Writer) error {
	return writeValue(w, map[string]any{
		"assignments": jsonPairs(d.assignments),
		"toggles":     jsonPairs(d.toggles),
	})
}

func jsonPairs[M proto.Message](found []difference[M]) []map[string]any {
	pairs := make([]map[string]any, len(found))
	for i, d := range found {
		pairs[i] = map[string]any{"before": jsonMessage{d.before}, "after": jsonMessage{d.after}}
	}
	return pairs
}

// jsonMessage is a message inside of other JSON. A nil message is null.
type jsonMessage struct{ proto.Message }

func (m jsonMessage) MarshalJSON() ([]byte, error) {
	if !m.ProtoReflect().IsValid() {
		return []byte("null"), nil
	}
	return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m.Message)
}
