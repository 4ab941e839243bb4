package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newVersion() *cobra.Command {
	var (
		c         client
		askServer bool
	)
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and that of the server",
		Example: `  usher version
  usher version --server --address 127.0.0.1:7301`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !askServer {
				return c.writeOwnVersion(cmd.OutOrStdout())
			}
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.GetServerInfoResponse, error) {
				return usherv1.NewOperatorServiceClient(conn).GetServerInfo(ctx, &usherv1.GetServerInfoRequest{})
			}, func(w io.Writer, resp *usherv1.GetServerInfoResponse) {
				fmt.Fprintf(w, "usher %s (%s)\nserver %s (%s), started %s, revision %s\n", ownVersion(), runtime.Version(),
					resp.GetVersion(), resp.GetGoVersion(), instant(resp.GetStartedAt()), resp.GetRevision())
			})
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&askServer, "server", false, "ask the server for its version, too")
	return cmd
}

func (c *client) writeOwnVersion(w io.Writer) error {
	format := "usher %s (%s)\n"
	if c.output.word == "json" {
		format = "{\n  \"version\": %q,\n  \"goVersion\": %q\n}\n"
	}
	_, err := fmt.Fprintf(w, format, ownVersion(), runtime.Version())
	return err
}

// ownVersion is the one that the linker was told, else the one that the go command knows
// when it has installed a release.
func ownVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "unknown" && info.Main.Version != "" {
		return info.Main.Version
	}
	return version
}
