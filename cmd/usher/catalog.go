package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newCatalog() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "List, show, write, check and add the models of products",
		Example: `  usher catalog list
  usher catalog show liveagent --yaml > mine.yaml
  usher catalog validate mine.yaml
  usher catalog verify mine.yaml`,
	}
	cmd.AddCommand(
		newCatalogList(), newCatalogShow(), newCatalogNew(), newCatalogValidate(), newCatalogTest(),
		newCatalogVerify(), newCatalogDiff(), newCatalogDocs(), newCatalogPut(),
	)
	return cmd
}

func newCatalogList() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List every version of every catalog",
		Example: `  usher catalog list`,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return call(cmd, &c, listCatalogs, writeCatalogs)
		},
	}
	c.addFlags(cmd)
	return cmd
}

// listCatalogs returns all pages as one.
func listCatalogs(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ListCatalogsResponse, error) {
	operator := usherv1.NewOperatorServiceClient(conn)
	all := &usherv1.ListCatalogsResponse{}
	err := allPages(func(token string) (string, error) {
		page, err := operator.ListCatalogs(ctx, &usherv1.ListCatalogsRequest{PageSize: 100, PageToken: token})
		all.Catalogs = append(all.Catalogs, page.GetCatalogs()...)
		return page.GetNextPageToken(), err
	})
	return all, err
}

func newCatalogShow() *cobra.Command {
	var (
		c      client
		req    = &usherv1.GetCatalogRequest{}
		source bool
	)
	cmd := &cobra.Command{
		Use:   "show CATALOG",
		Short: "Show the roles and toggles of a catalog",
		Example: `  usher catalog show expertconnect
  usher catalog show liveagent --version 1 --yaml > mine.yaml`,
		Args:              arguments("CATALOG"),
		ValidArgsFunction: c.completeCatalog,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name = args[0]
			table := writeCatalog
			if source {
				table = func(w io.Writer, resp *usherv1.GetCatalogResponse) { io.WriteString(w, resp.GetYaml()) }
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.GetCatalogResponse, error) {
				return usherv1.NewOperatorServiceClient(conn).GetCatalog(ctx, req)
			}, table)
		},
	}
	c.addFlags(cmd)
	cmd.Flags().Uint32Var(&req.Version, "version", 0, "the `VERSION` of the catalog (default: the newest)")
	cmd.Flags().BoolVar(&source, "yaml", false, "print it as it was put, with its comments")
	cmd.MarkFlagsMutuallyExclusive("yaml", "output")
	return cmd
}

func newCatalogValidate() *cobra.Command {
	return &cobra.Command{
		Use:     "validate FILE",
		Aliases: []string{"check"},
		Short:   "Check a catalog without a server",
		Long: `Check a catalog without a server. Every fault is printed with file, line, column and
what to do about it. A catalog that it extends is looked for among the built-in ones and in the
files beside it.`,
		Example: `  usher catalog validate mine.yaml`,
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			catalog, err := openCatalog(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ok  %s version %d\n", catalog.Ref().Name, catalog.Ref().Version)
			return nil
		},
	}
}

func newCatalogPut() *cobra.Command {
	var (
		c        client
		unproved bool
	)
	cmd := &cobra.Command{
		Use:   "put FILE",
		Short: "Add a catalog, or a new version of one",
		Long: `Add a catalog, or a new version of one. A version is never edited: tenants rely on it. What it
states has to be true, as 'usher catalog verify' proves it.`,
		Example: `  usher catalog put mine.yaml`,
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			yaml, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.PutCatalogResponse, error) {
				return usherv1.NewOperatorServiceClient(conn).PutCatalog(ctx, &usherv1.PutCatalogRequest{Yaml: string(yaml), Unproved: unproved})
			}, func(w io.Writer, resp *usherv1.PutCatalogResponse) {
				fmt.Fprintf(w, "%s  %s version %d\n", word(resp.GetOutcome(), "OUTCOME_"), resp.GetName(), resp.GetVersion())
			})
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&unproved, "unproved", false, "add it even if what it states is not true, to try a counterexample")
	return cmd
}
