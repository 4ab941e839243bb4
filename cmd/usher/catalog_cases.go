package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/tables"
)

// tableSuffix ends the names of files with tables of cases.
const tableSuffix = "_test.yaml"

func newCatalogTest() *cobra.Command {
	var (
		output  choice
		instead string
	)
	cmd := &cobra.Command{
		Use:   "test DIR|FILE...",
		Short: "Ask the cases of tables without a server",
		Long: `Ask the cases of tables without a server: what has to be answered, and who may change what. The
table of the catalog mine.yaml is mine_test.yaml beside it; of a directory it is every such
file. Name either of the two. The page docs/catalog-tests.md explains how tables are written.

Each case that is answered otherwise is a line, and the exit status is 1.`,
		Example: `  usher catalog test mine.yaml
  usher catalog test catalogs/ -o json
  usher catalog test mine_test.yaml --catalog other.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("missing DIR or FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			runs := []tableRun{}
			for _, arg := range args {
				files, err := tablesAt(arg)
				if err != nil {
					return err
				}
				for _, file := range files {
					run, err := runTable(file, instead)
					if err != nil {
						return err
					}
					runs = append(runs, run)
				}
			}
			return writeTableRuns(cmd.OutOrStdout(), runs, output.word)
		},
	}
	addOutputFlag(cmd, &output)
	cmd.Flags().StringVar(&instead, "catalog", "", "ask another `CATALOG` than the one beside the table: a file or a built-in one")
	return cmd
}

// tablesAt returns the tables of a directory, or the one of a file.
func tablesAt(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		files, err := filepath.Glob(filepath.Join(path, "*"+tableSuffix))
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("%s has no table of cases: the name of one ends in %s", path, tableSuffix)
		}
		return files, err
	case strings.HasSuffix(path, tableSuffix):
		return []string{path}, nil
	}
	table := strings.TrimSuffix(path, ".yaml") + tableSuffix
	if _, err := os.Stat(table); err != nil {
		return nil, fmt.Errorf("%s has no table of cases beside it: %w", path, err)
	}
	return []string{table}, nil
}

// tableRun is what came of a table.
type tableRun struct {
	table   *tables.Table
	catalog *policy.Catalog
	tables.Result
}

// runTable asks the cases of a table, of the catalog beside it unless there is another one
// instead.
func runTable(file, instead string) (tableRun, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the file that the user names
	if err != nil {
		return tableRun{}, err
	}
	table, err := tables.Read(file, text)
	if err != nil {
		return tableRun{}, fmt.Errorf("the table has faults:\n%w", err)
	}
	if instead == "" {
		instead = strings.TrimSuffix(file, tableSuffix) + ".yaml"
	}
	catalog, err := openCatalog(instead)
	if err != nil {
		return tableRun{}, err
	}
	if name := catalog.Ref().Name; name != table.Catalog {
		return tableRun{}, fmt.Errorf("%s is about the catalog %q, and %s is %q: correct catalog: in the table", file, table.Catalog, instead, name)
	}
	return tableRun{table, catalog, table.Run(catalog)}, nil
}

// writeTableRuns writes what came of tables, and returns answeredNo if something failed.
func writeTableRuns(w io.Writer, runs []tableRun, output string) error {
	failed := false
	for _, run := range runs {
		failed = failed || len(run.Failures) > 0
	}
	if output == "json" {
		if err := writeTableRunsJSON(w, runs); err != nil {
			return err
		}
	} else {
		for _, run := range runs {
			for _, f := range run.Failures {
				fmt.Fprintln(w, f)
			}
		}
		for _, run := range runs {
			word := "ok"
			if len(run.Failures) > 0 {
				word = "FAILED"
			}
			ref := run.catalog.Ref()
			fmt.Fprintf(w, "%s  %s version %d: %s and %s", word, ref.Name, ref.Version, count(run.Checks, "check"), count(run.Acts, "act"))
			if n := len(run.Failures); n > 0 {
				fmt.Fprintf(w, ", %s", count(n, "failure"))
			}
			fmt.Fprintln(w)
		}
	}
	if failed {
		return answeredNo{}
	}
	return nil
}

func writeTableRunsJSON(w io.Writer, runs []tableRun) error {
	all := make([]map[string]any, len(runs))
	for i, run := range runs {
		failures := make([]map[string]any, len(run.Failures))
		for k, f := range run.Failures {
			failures[k] = map[string]any{"place": f.Place, "asked": f.Asked, "want": f.Want, "got": f.Got}
		}
		all[i] = map[string]any{
			"table": run.table.File, "catalog": run.catalog.Ref().Name, "version": run.catalog.Ref().Version,
			"checks": run.Checks, "acts": run.Acts, "failures": failures,
		}
	}
	return writeValue(w, map[string]any{"tables": all})
}
