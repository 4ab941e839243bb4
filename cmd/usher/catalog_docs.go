package main

import (
	"cmp"
	"io"

	"github.com/spf13/cobra"
	"golang.org/x/text/language"

	"github.com/usher-pdp/usher/server/handbook"
)

func newCatalogDocs() *cobra.Command {
	var locale string
	cmd := &cobra.Command{
		Use:   "docs CATALOG",
		Short: "Write who may do what as a page for a handbook",
		Long: `Write who may do what as a page for a handbook, in Markdown: the roles, a table of roles and
permissions with notes, the switches, who administers, and what is proved. CATALOG is a file or
the name of a built-in catalog. The same catalog always gives the same page.`,
		Example: `  usher catalog docs mine.yaml > handbook.md
  usher catalog docs liveagent --locale de`,
		Args: arguments("CATALOG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := language.Parse(locale); locale != "" && err != nil {
				return usagef("--locale %q is no BCP 47 language tag: write one such as en, de or fr-CA", locale)
			}
			catalog, err := openCatalog(args[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), handbook.Page(catalog, cmp.Or(locale, readersLanguage(), "en")))
			return err
		},
	}
	cmd.Flags().StringVar(&locale, "locale", "", "the `LANGUAGE` of the page, such as de (default: what LANG says)")
	return cmd
}
