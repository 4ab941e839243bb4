package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// changes is what somebody wants to know of the record of changes.
type changes struct {
	client
	req          *usherv1.ListChangesRequest
	kinds        choices
	since, until string
	follow       bool
	after        string
}

func newChanges() *cobra.Command {
	c := changes{
		req:   &usherv1.ListChangesRequest{PageSize: 1000},
		kinds: choices{choice: choice{words: changeKinds()}},
	}
	cmd := &cobra.Command{
		Use:   "changes --tenant TENANT",
		Short: "List who changed what, and follow it",
		Long: `List who changed what in a tenant, newest first: a line for each change, with its time, its
revision and on whose behalf it was made.

With --follow it goes on with what is changed from now on, or after --after, or since --since,
until it is interrupted. When the connection is cut it connects again, and neither leaves out a
change nor shows one twice.

With -o json each line is a change as the API has it. The revision of the last line that was
read is what --after takes.`,
		Example: `  usher changes --tenant demo-dealer --since 24h
  usher changes --tenant demo-dealer --subject user:ann@dealer.example --oldest-first
  usher changes --tenant demo-dealer --kind toggle_set --kind tenant_updated --follow`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.parse(time.Now()); err != nil {
				return err
			}
			return c.connect(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				admin := usherv1.NewAdminServiceClient(conn)
				if c.follow {
					return c.followChanges(ctx, admin, cmd.OutOrStdout(), cmd.ErrOrStderr())
				}
				_, err := c.list(ctx, admin, cmd.OutOrStdout())
				return err
			})
		},
	}
	c.addFlags(cmd)
	return cmd
}

func (c *changes) addFlags(cmd *cobra.Command) {
	c.client.addFlags(cmd)
	c.addTenantFlag(cmd, &c.req.Tenant)
	flags := cmd.Flags()
	flags.StringVar(&c.req.Subject, "subject", "", "only of what this `SUBJECT` holds")
	flags.StringVar(&c.req.Actor, "actor", "", "only on behalf of this `ACTOR`")
	flags.Var(&c.kinds, "kind", "only of this kind (repeatable)")
	complete(cmd, "kind", c.kinds.completion())
	flags.StringVar(&c.since, "since", "", "only since this `TIME`, or a duration ago such as 24h")
	flags.StringVar(&c.until, "until", "", "only before this `TIME`, or a duration ago")
	flags.BoolVar(&c.req.OldestFirst, "oldest-first", false, "begin with the oldest")
	addTenantIDFlag(cmd, &c.req.TenantId)
	flags.BoolVar(&c.follow, "follow", false, "go on with what is changed from now on, oldest first")
	flags.StringVar(&c.after, "after", "", "with --follow: begin after this `REVISION`")
	cmd.MarkFlagsMutuallyExclusive("follow", "until")
	cmd.MarkFlagsMutuallyExclusive("follow", "tenant-id")
	cmd.MarkFlagsMutuallyExclusive("after", "since")
}

// changeKinds returns the words for the kinds of changes, in the order of the API.
func changeKinds() (words []string) {
	for number := range int32(len(usherv1.ChangeKind_name)) { // #nosec G115 -- an enum has few values
		if number > 0 {
			words = append(words, kindWord(usherv1.ChangeKind(number)))
		}
	}
	return words
}

func kindWord(kind usherv1.ChangeKind) string { return word(kind, "CHANGE_KIND_") }

func (c *changes) parse(now time.Time) (err error) {
	if c.after != "" && !c.follow {
		return usagef("--after says where --follow begins: say --follow, too, or --since")
	}
	for _, kind := range c.kinds.chosen {
		c.req.Kinds = append(c.req.Kinds, usherv1.ChangeKind(usherv1.ChangeKind_value["CHANGE_KIND_"+strings.ToUpper(kind)]))
	}
	if c.req.Since, err = parsePast("--since", c.since, now); err != nil {
		return err
	}
	c.req.Until, err = parsePast("--until", c.until, now)
	return err
}

// list prints the changes page by page, and returns the revision of the last page.
func (c *changes) list(ctx context.Context, admin usherv1.AdminServiceClient, out io.Writer) (revision string, err error) {
	err = allPages(func(token string) (string, error) {
		c.req.PageToken = token
		page, err := admin.ListChanges(ctx, c.req)
		if err != nil {
			return "", err
		}
		revision = page.GetRevision()
		return page.GetNextPageToken(), c.print(out, page.GetChanges())
	})
	return revision, err
}

func (c *changes) print(out io.Writer, records []*usherv1.ChangeRecord) error {
	for _, record := range records {
		if c.output.word == "json" {
			if err := writeJSONLine(out, record); err != nil {
				return err
			}
			continue
		}
		if _, err := io.WriteString(out, changeLine(record)+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// wants reports whether a change is one of those that are asked for, as ListChanges does.
func (c *changes) wants(record *usherv1.ChangeRecord) bool {
	return (c.req.Subject == "" || record.GetAssignment().GetSubject() == c.req.Subject) &&
		(c.req.Actor == "" || record.GetActor().GetSubject() == c.req.Actor) &&
		(len(c.req.Kinds) == 0 || slices.Contains(c.req.Kinds, record.GetKind()))
}
