package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "usher",
		Short: "Decide who may do what in helpdesk software",
		Long: `Usher answers, for every click in a helpdesk, whether this person may do this.

'usher serve' runs the server; the other commands call one, at --address or
USHER_ADDRESS. They exit with 0; with 1 when the answer is no (deny, nobody may, a case
fails, a statement is not true, two catalogs differ, a record or a file is not whole); or with 2 when
something went wrong. The help of each command says what its 1 means.`,
		Example: `  usher serve --demo --data-dir /tmp/usher-demo
  usher tenant list
  usher check user:ann@dealer.example view ticket/4711 --tenant demo-dealer --scope team:harvest`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Here and not in cobra's own later check, so that these count as faults of usage.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := readEnvironment(cmd.Flags()); err != nil {
				return err
			}
			if err := cmd.ValidateRequiredFlags(); err != nil {
				return usageError{err}
			}
			return asUsage(cmd.ValidateFlagGroups())
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Ask", []*cobra.Command{newCheck(), newExplain(), newWhoCan(), newWhatCan(), newScopes()}},
		{"Change who holds what", []*cobra.Command{
			newGrant(), newRevoke(), newRole(), newRemove(), newToggle(), newApply(), newPreview(), newAssignments(),
		}},
		{"Look back", []*cobra.Command{newChanges(), newDiff(), newAudit(), newErase()}},
		{"Tenants and catalogs", []*cobra.Command{newTenant(), newCatalog(), newExport(), newImport()}},
		{"Run a server", []*cobra.Command{newServe(), newConfig(), newToken(), newBackup(), newRestore(), newStore()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title + ":"})
		for _, cmd := range group.commands {
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(newVersion())
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	refuseUnknownCommands(root)
	return root
}

// refuseUnknownCommands gives every command that only groups others a body: cobra would
// answer "usher toggle sett" with help and exit status 0. The body sees the flags, too,
// so that the unknown command is reported and not the flags that it would have had.
func refuseUnknownCommands(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		refuseUnknownCommands(sub)
	}
	if cmd.Runnable() {
		return
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.DisableFlagParsing, cmd.DisableFlagsInUseLine = true, true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 || slices.Contains(args, "--help") || slices.Contains(args, "-h") {
			return cmd.Help()
		}
		near := ""
		if names := cmd.SuggestionsFor(strings.TrimLeft(args[0], "-")); len(names) > 0 {
			near = fmt.Sprintf(": did you mean %q?", names[0])
		}
		return usagef("%s has no command %q%s", cmd.CommandPath(), args[0], near)
	}
}
