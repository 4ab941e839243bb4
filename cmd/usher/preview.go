package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newPreview() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Show who would gain and lose what by a change, without making it",
		Long: `Show who would gain and lose what by a change, without making it: how many subjects for each
role and permission, then each subject. What somebody may do by another rule anyhow is not
counted. What a member of a group gains by the group is shown at the group.

What holds at this moment is compared; what is to come, such as a role that begins tomorrow,
is not.

It needs what making the change would need, and is refused as that would be.`,
		Example: `  usher preview toggle advisor_report_download off --tenant demo-dealer --as user:marta@dealer.example
  usher preview remove user:elif@dealer.example --tenant demo-dealer --as-operator
  usher preview catalog 2 --tenant demo-dealer --as-operator`,
	}
	cmd.AddCommand(
		newPreviewOf(&grant{}, "what granting a role", "grant", []string{"SUBJECT", "ROLE"},
			`user:ann@dealer.example advisor --scope team:parts --tenant demo-dealer --as-operator`),
		newPreviewOf(&revocation{}, "what taking a role away", "revoke", []string{"SUBJECT", "ROLE"},
			`user:ann@dealer.example advisor --everywhere --tenant demo-dealer --as-operator`),
		newPreviewOf(switching{}, "what setting a toggle", "toggle", []string{"TOGGLE", "on|off"},
			`advisor_report_download off --tenant demo-dealer --as-operator`),
		newPreviewOf(&roleChange{}, "what changing one role into another", "change", []string{"SUBJECT", "FROM", "TO"},
			`user:ann@dealer.example advisor manager --tenant demo-dealer --as-operator`),
		newPreviewOf(removal{}, "what removing a subject", "remove", []string{"SUBJECT"},
			`user:elif@dealer.example --tenant demo-dealer --as-operator`),
		newPreviewApply(), newPreviewCatalog(),
	)
	return cmd
}

// preview is what all previews have in common.
type preview struct {
	client
	behalf
	req    usherv1.PreviewChangeRequest
	counts bool
}

func (p *preview) addFlags(cmd *cobra.Command) {
	p.client.addFlags(cmd)
	p.behalf.addFlags(cmd)
	cmd.Flags().BoolVar(&p.counts, "counts", false, "only how many gain and lose, and not who")
}

func (p *preview) print(cmd *cobra.Command) error {
	if err := p.behalf.sign(&p.req); err != nil {
		return err
	}
	return call(cmd, &p.client, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.PreviewChangeResponse, error) {
		all, err := previewChange(ctx, usherv1.NewAdminServiceClient(conn), &p.req, p.counts)
		printWarnings(cmd.ErrOrStderr(), all.GetWarnings())
		return all, err
	}, writePreview)
}

// newPreviewOf makes the preview of a deed: with the arguments of the command that does it.
func newPreviewOf(d deed, what, name string, args []string, example string) *cobra.Command {
	var (
		p      preview
		expect string
	)
	use := name
	for _, arg := range args {
		use += " " + arg
	}
	cmd := &cobra.Command{
		Use:     use + " --tenant TENANT {--as ACTOR | --as-operator}",
		Short:   "Show " + what + " would mean",
		Example: "  usher preview " + name + " " + example,
		Args:    arguments(args...),
		RunE: func(cmd *cobra.Command, args []string) error {
			act, err := d.act(args, time.Now())
			if err != nil {
				return err
			}
			act.ExpectedRevision = expect
			p.req.Acts = []*usherv1.Act{act}
			return p.print(cmd)
		},
	}
	switch name {
	case "toggle":
		cmd.ValidArgsFunction = p.completeToggle(&p.req.Tenant)
	case "change":
		cmd.ValidArgsFunction = p.completeRole(&p.req.Tenant, 1, 2)
	default:
		cmd.ValidArgsFunction = p.completeRole(&p.req.Tenant, 1)
	}
	p.addFlags(cmd)
	p.addTenantFlag(cmd, &p.req.Tenant)
	addExpectFlag(cmd, &expect)
	d.addFlags(cmd)
	return cmd
}

func newPreviewApply() *cobra.Command {
	var p preview
	cmd := &cobra.Command{
		Use:     "apply FILE {--as ACTOR | --as-operator}",
		Short:   "Show what doing all that a file says would mean",
		Example: `  usher preview apply staff.yaml --as user:marta@dealer.example`,
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := openBatch(cmd, args[0], time.Now())
			if err != nil {
				return err
			}
			p.req.Tenant, p.req.Acts = b.tenant, b.acts
			return b.locate(p.print(cmd))
		},
	}
	p.addFlags(cmd)
	return cmd
}

func newPreviewCatalog() *cobra.Command {
	var p preview
	cmd := &cobra.Command{
		Use:   "catalog VERSION --tenant TENANT --as-operator",
		Short: "Show what moving the tenant to another catalog or version would mean",
		Long: `Show what moving the tenant to another version of its catalog would mean, or to a catalog that
extends it, or that it extends: who would gain and lose what, and every assignment and toggle
that stands against it.`,
		Example: `  usher preview catalog 2 --tenant demo-dealer --as-operator
  usher preview catalog 1 --catalog harvest_desk --tenant demo-dealer --as-operator`,
		Args:              arguments("VERSION"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.ParseUint(args[0], 10, 32)
			if err != nil || version == 0 {
				return usagef("%q: the version of a catalog is a number, such as 2", args[0])
			}
			p.req.CatalogVersion = uint32(version)
			return p.print(cmd)
		},
	}
	p.addFlags(cmd)
	p.addTenantFlag(cmd, &p.req.Tenant)
	cmd.Flags().StringVar(&p.req.Catalog, "catalog", "", "a `CATALOG` that extends the tenant's, or that the tenant's extends (default: the tenant's)")
	return cmd
}

// previewChange returns all pages as one; or the counts, the conflicts and the warnings only,
// and the effect on whoever holds no role, which no count is about.
func previewChange(ctx context.Context, admin usherv1.AdminServiceClient, req *usherv1.PreviewChangeRequest, countsOnly bool) (*usherv1.PreviewChangeResponse, error) {
	req.PageSize = 1000
	if countsOnly && req.GetCatalogVersion() == 0 { // no conflicts, then
		req.PageSize = 1
	}
	var all *usherv1.PreviewChangeResponse
	err := allPages(func(token string) (string, error) {
		req.PageToken = token
		page, err := admin.PreviewChange(ctx, req)
		if err != nil {
			return "", err
		}
		if countsOnly && len(page.GetEffects()) > 0 { // the conflicts come before them
			page.NextPageToken = ""
			page.Effects = slices.DeleteFunc(page.Effects, func(e *usherv1.SubjectEffect) bool { return e.GetSubject() != "" })
		}
		if all == nil {
			all = page
		} else {
			all.Conflicts = append(all.Conflicts, page.GetConflicts()...)
			all.Effects = append(all.Effects, page.GetEffects()...)
		}
		return page.GetNextPageToken(), nil
	})
	if all != nil {
		all.NextPageToken = ""
	}
	return all, err
}

func writePreview(w io.Writer, all *usherv1.PreviewChangeResponse) {
	if conflicts := all.GetConflicts(); len(conflicts) > 0 {
		fmt.Fprintf(w, "it would be refused: %s in the way\n", count(len(conflicts), "thing"))
		writeConflicts(w, conflicts)
		fmt.Fprintln(w)
	}
	counts, effects := all.GetCounts(), all.GetEffects()
	if len(counts) == 0 && len(effects) == 0 {
		fmt.Fprintln(w, "nobody would gain or lose anything now; what is to come is not compared")
	}
	if len(counts) > 0 {
		writeCounts(w, counts)
	}
	if len(counts) > 0 && len(effects) > 0 {
		fmt.Fprintln(w)
	}
	if len(effects) > 0 {
		writeEffects(w, effects)
	}
}

func writeConflicts(w io.Writer, conflicts []*usherv1.Conflict) {
	var rows [][]string
	for _, c := range conflicts {
		about := "the tenant"
		if a := c.GetAssignment(); a != nil {
			about = fmt.Sprintf("%s as %s in %s", a.GetSubject(), a.GetRole(), place(a.GetScope()))
		} else if c.GetToggle() != "" {
			about = "toggle " + c.GetToggle()
		}
		rows = append(rows, []string{about, c.GetText()})
	}
	writeTable(w, "ABOUT PROBLEM", rows)
}

func writeCounts(w io.Writer, counts []*usherv1.EffectCount) {
	var rows [][]string
	for _, c := range counts {
		rows = append(rows, []string{
			c.GetRole(), c.GetPermission(), fmt.Sprint(c.GetGaining()), fmt.Sprint(c.GetLosing()),
		})
	}
	writeTable(w, "ROLE PERMISSION GAINING LOSING", rows)
}

func writeEffects(w io.Writer, effects []*usherv1.SubjectEffect) {
	var rows [][]string
	for _, e := range effects {
		subject := cmp.Or(e.GetSubject(), "(whoever holds no role)")
		for _, reach := range e.GetLost() {
			rows = append(rows, effectRow(subject, "loses", reach))
		}
		for _, reach := range e.GetGained() {
			rows = append(rows, effectRow(subject, "gains", reach))
		}
		if n := e.GetMoreCount(); n > 0 {
			rows = append(rows, []string{subject, fmt.Sprintf("and %d more", n), "", "", "", ""})
		}
	}
	writeTable(w, "SUBJECT EFFECT PERMISSION WHERE IF ROLE", rows)
}

func effectRow(subject, effect string, reach *usherv1.Reach) []string {
	return []string{subject, effect, reach.GetPermission(), where(reach), dash(reach.GetCondition()), reach.GetRole()}
}

// where says on which resources something is allowed.
func where(reach *usherv1.Reach) string {
	switch on := reach.GetWhere().(type) {
	case *usherv1.Reach_Tenant:
		return "the tenant"
	case *usherv1.Reach_Scope:
		return on.Scope
	case *usherv1.Reach_AnyScopeOfType:
		return "any " + on.AnyScopeOfType
	case *usherv1.Reach_Own:
		return "own"
	case *usherv1.Reach_ResourceId:
		return on.ResourceId
	}
	return "-"
}
