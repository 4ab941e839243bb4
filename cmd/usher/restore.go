package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/usher-pdp/usher/store/bolt"
)

func newRestore() *cobra.Command {
	var (
		data  dataDirectory
		force bool
	)
	cmd := &cobra.Command{
		Use:   "restore FILE --data-dir DIRECTORY",
		Short: "Put a backup back, while no server runs on the data",
		Long: `Put a backup back, while no server runs on the data. The copy in DIRECTORY is verified before it
takes the place of the file there; until then nothing is changed, and the file that was there
stays beside it under a name that is printed. A backup of an older version is upgraded.

It begins a new epoch: revisions that clients have kept from before are refused, so that they read
again. It refuses to replace a file that has newer changes than the backup, is of another
installation, or can't be read; --force does that, too, but never with a file in use.`,
		Example: `  usher restore /backup/usher-2026-12-24.db --data-dir /var/lib/usher
  usher restore /backup/usher.db --data-dir /var/lib/usher --force`,
		Args: arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := data.file()
			if err != nil {
				return err
			}
			progress := progressOn(cmd.ErrOrStderr())
			restored, err := bolt.Restore(cmd.Context(), args[0], path, force, steps(progress))
			progress("")
			if errors.Is(err, bolt.ErrWouldLose) {
				return fmt.Errorf("%w\n  Say --force to put the backup there all the same; the file that is there is kept under another name", err)
			}
			if err != nil {
				return err
			}
			return data.print(cmd.OutOrStdout(), struct {
				File     string `json:"file"`
				Backup   string `json:"backup_revision"`
				Revision string `json:"revision"`
				Bytes    int64  `json:"bytes"`
				Kept     string `json:"kept"`
			}{path, restored.Backup.String(), restored.Revision.String(), restored.Bytes, restored.Kept}, func() string {
				text := fmt.Sprintf("restored  %s: %s, revision %s, now %s\n", path, bytesText(restored.Bytes), restored.Backup, restored.Revision)
				if restored.Kept != "" {
					text += fmt.Sprintf("kept  the file that was there: %s\n", restored.Kept)
				}
				return text
			})
		},
	}
	data.addFlags(cmd)
	require(cmd, "data-dir")
	cmd.Flags().BoolVar(&force, "force", false, "replace also a file that is newer, of another installation, or damaged")
	return cmd
}
