package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newApply() *cobra.Command {
	var (
		w   writing
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "apply FILE {--as ACTOR | --as-operator}",
		Short: "Do all that a file says, or nothing",
		Long: `Do all that a file says, up to 1,000 acts, at once: or nothing, if one of them is refused.
It first shows what each act would change, and how many would gain and lose what, and then
asks; with --yes it does not ask. It does not do it if something has changed in between, unless
--request-id makes it safe to repeat: then it is done as it stands. The file - is stdin.

The file names the tenant and the acts, which are judged one after the other:

  tenant: demo-dealer
  reason: spring rota              # unless --reason says it
  acts:
    - grant: user:ann@dealer.example
      role: advisor
      scope: team:parts            # default: the tenant
      until: 2w                    # from and until as in 'usher grant'
    - revoke: user:ben@dealer.example
      role: advisor
      everywhere: true             # or scope: team:parts
    - change: user:carla@dealer.example
      role: advisor
      to: manager                  # with scopes: [team:parts, …], from and until
    - remove: user:elif@dealer.example
    - toggle: advisor_broadcast_create
      state: on

Each may have expect: REVISION, as --expect.`,
		Example: `  usher apply staff.yaml --as user:marta@dealer.example
  usher apply staff.yaml --dry-run --as user:marta@dealer.example
  generate-staff | usher apply - --yes --as-operator`,
		Args: arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := openBatch(cmd, args[0], time.Now())
			if err != nil {
				return err
			}
			if w.requestID != "" && b.relative {
				return usagef("--request-id: write times and no durations in %s, which mean another time with each repetition", b.file)
			}
			w.tenant = b.tenant
			if w.reason == "" {
				w.reason = b.reason
			}
			return b.locate(b.apply(cmd, &w, yes))
		},
	}
	w.addFlags(cmd)
	addYesFlag(cmd, &yes)
	cmd.MarkFlagsMutuallyExclusive("yes", "dry-run")
	return cmd
}

// apply shows, asks and does it.
func (b *batch) apply(cmd *cobra.Command, w *writing, yes bool) error {
	req := &usherv1.BatchWriteRequest{Acts: b.acts}
	if err := w.sign(req); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if w.output.word == "json" {
		out = cmd.ErrOrStderr() // stdout is for the answer
	}
	return call(cmd, &w.client, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.BatchWriteResponse, error) {
		admin := usherv1.NewAdminServiceClient(conn)
		tried, err := b.try(ctx, admin, w, req, out, cmd.ErrOrStderr())
		switch {
		case w.dryRun, w.requestID == "" && (err != nil || tried.GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED):
			return tried, err
		case err != nil: // perhaps only because it has been done
			fmt.Fprintln(out, "what it would mean can't be shown; a repetition is answered as before")
		}
		if !yes {
			if err := confirm(cmd, "Do it?"); err != nil {
				return nil, err
			}
		}
		return admin.BatchWrite(ctx, req)
	}, func(out io.Writer, resp *usherv1.BatchWriteResponse) { b.writeDone(out, resp, w.dryRun) })
}

// try makes a dry run of the request and writes what it would mean. It then lets the acts of
// the request rest on what was shown, unless an id makes the request one that may be repeated
// as it is.
func (b *batch) try(ctx context.Context, admin usherv1.AdminServiceClient, w *writing,
	req *usherv1.BatchWriteRequest, out, stderr io.Writer,
) (*usherv1.BatchWriteResponse, error) {
	dry := proto.CloneOf(req)
	dry.ValidateOnly = true
	tried, err := admin.BatchWrite(ctx, dry)
	if err != nil {
		return nil, err
	}
	printWarnings(stderr, tried.GetWarnings())
	b.writeTried(out, tried)
	effects := &usherv1.PreviewChangeRequest{Tenant: req.GetTenant(), Acts: dry.GetActs()}
	if err := w.behalf.sign(effects); err != nil {
		return nil, err
	}
	shown, err := previewChange(ctx, admin, effects, true)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(out)
	writePreview(out, shown)
	for _, act := range req.GetActs() {
		if act.GetExpectedRevision() == "" && req.GetRequestId() == "" {
			act.ExpectedRevision = tried.GetRevision()
		}
	}
	return tried, nil
}

func (b *batch) writeTried(w io.Writer, tried *usherv1.BatchWriteResponse) {
	var rows [][]string
	for i, act := range b.acts {
		result := "-"
		if i < len(tried.GetOutcomes()) {
			result = outcome(tried.GetOutcomes()[i], true)
		}
		rows = append(rows, []string{fmt.Sprint(b.lines[i]), result, actText(act)})
	}
	writeTable(w, "LINE OUTCOME ACT", rows)
}

func (b *batch) writeDone(w io.Writer, resp *usherv1.BatchWriteResponse, dryRun bool) {
	if len(resp.GetOutcomes()) == 0 {
		fmt.Fprintf(w, "\n%s, as answered before\n", outcome(resp.GetOutcome(), dryRun))
		return
	}
	changed := len(slices.DeleteFunc(slices.Clone(resp.GetOutcomes()), func(o usherv1.Outcome) bool {
		return o != usherv1.Outcome_OUTCOME_CHANGED
	}))
	fmt.Fprintf(w, "\n%s  %d of %s\n", outcome(resp.GetOutcome(), dryRun), changed, count(len(b.acts), "act"))
}

// actText says an act as a phrase.
func actText(act *usherv1.Act) string {
	text := ""
	switch a := act.GetAct().(type) {
	case *usherv1.Act_Grant:
		g := a.Grant
		text = fmt.Sprintf("grant %s %s in %s", g.GetSubject(), g.GetRole(), place(g.GetScope()))
		if when := limits(g.GetStartsAt(), g.GetExpiresAt()); when != "" {
			text += ", " + when
		}
	case *usherv1.Act_Revoke:
		where := "in " + place(a.Revoke.GetScope())
		if a.Revoke.GetEverywhere() {
			where = "everywhere"
		}
		text = fmt.Sprintf("revoke %s %s %s", a.Revoke.GetSubject(), a.Revoke.GetRole(), where)
	case *usherv1.Act_ChangeRole:
		c := a.ChangeRole
		text = fmt.Sprintf("change %s from %s to %s in %s", c.GetSubject(), c.GetFrom(), c.GetTo(), places(c.GetScopes()))
		if when := limits(c.GetStartsAt(), c.GetExpiresAt()); when != "" {
			text += ", " + when
		}
	case *usherv1.Act_RemoveSubject:
		text = "remove " + a.RemoveSubject.GetSubject()
	case *usherv1.Act_SetToggle:
		text = fmt.Sprintf("switch %s %s", a.SetToggle.GetToggle(), word(a.SetToggle.GetState(), "TOGGLE_STATE_"))
	}
	return text
}
