package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// What a new catalog begins with, and its table of cases.
var (
	//go:embed start.yaml
	startCatalog []byte
	//go:embed start_test.yaml
	startTable []byte
)

func newCatalogNew() *cobra.Command {
	return &cobra.Command{
		Use:   "new [FILE]",
		Short: "Write a small catalog to begin with",
		Long: `Write a small catalog to begin with, and a table of cases beside it: mine.yaml and
mine_test.yaml. Their comments say how to go on. Without a FILE the catalog is printed, and no
table is written. Nothing that is there is overwritten.`,
		Example: `  usher catalog new mine.yaml
  usher catalog new | less`,
		Args: arguments("[FILE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				_, err := cmd.OutOrStdout().Write(startCatalog)
				return err
			}
			name, isYAML := strings.CutSuffix(args[0], ".yaml")
			if !isYAML || strings.HasSuffix(name, "_test") {
				return usagef("%q: name the file of a catalog, such as mine.yaml; its table of cases is then mine_test.yaml", args[0])
			}
			table := name + "_test.yaml"
			if _, err := os.Lstat(table); !errors.Is(err, fs.ErrNotExist) {
				return errors.Join(err, thereAlready(table))
			}
			if err := writeNewFile(args[0], startCatalog); err != nil {
				return err
			}
			if err := writeNewFile(table, startTable); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote  %s\nwrote  %s\n", args[0], table)
			return nil
		},
	}
}

func writeNewFile(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // #nosec G302 G304 -- the file that the user names, and no secret
	if errors.Is(err, fs.ErrExist) {
		return thereAlready(path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

func thereAlready(path string) error {
	return fmt.Errorf("%s is there already, and nothing is overwritten: choose another name", path)
}
