package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newExport() *cobra.Command {
	var (
		c   client
		req = &usherv1.ExportRequest{}
		out string
	)
	cmd := &cobra.Command{
		Use:   "export [TENANT]",
		Short: "Write a tenant, or all, as lines of JSON",
		Long: `Write a tenant, or all, as lines of JSON: catalogs, tenants, toggles and assignments, of one
moment, in an order that makes two exports easy to compare. 'usher import' takes them. Records
of changes and deleted tenants are not in it: it is no backup of these.`,
		Example: `  usher export demo-dealer > demo-dealer.jsonl
  usher export --out all.jsonl`,
		Args:              arguments("[TENANT]"),
		ValidArgsFunction: c.completeTenant,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				req.Tenant = args[0]
			}
			return c.connect(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				progress := progressOn(cmd.ErrOrStderr())
				if out == "" {
					progress = func(string) {} // the lines may go to the same terminal
				}
				defer progress("")
				return writeWhole(cmd.OutOrStdout(), out, func(w io.Writer) error {
					return c.export(ctx, conn, req, w, progress)
				})
			})
		},
	}
	c.addConnectionFlags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "the `FILE` to write, which is there when it is whole (default: stdout)")
	return cmd
}

// export writes all lines, or returns an error.
func (c *client) export(ctx context.Context, conn *grpc.ClientConn, req *usherv1.ExportRequest, w io.Writer, progress func(string)) error {
	last := &usherv1.ExportResponse{}
	err := receive(ctx, c.timeout, func(ctx context.Context) (grpc.ServerStreamingClient[usherv1.ExportResponse], error) {
		return usherv1.NewOperatorServiceClient(conn).Export(ctx, req)
	}, func(message *usherv1.ExportResponse) error {
		last = message
		progress(bar(message.GetLinesDone(), message.GetLinesTotal()))
		_, err := w.Write(message.GetLines())
		return err
	})
	if err == nil && (last.GetLinesTotal() == 0 || last.GetLinesDone() != last.GetLinesTotal()) {
		err = errors.New("the server has stopped before the end: the export is not whole")
	}
	return err
}

// writeWhole lets write fill a file, which gets its name when it is whole; or stdout, if there is
// no name.
func writeWhole(stdout io.Writer, name string, write func(io.Writer) error) error {
	if name == "" {
		return write(stdout)
	}
	return wholeFile(name, func(file *os.File) error {
		buffered := bufio.NewWriter(file)
		if err := write(buffered); err != nil {
			return err
		}
		return buffered.Flush()
	})
}

// wholeFile lets write fill a file, which gets its name when it is whole and on disk. What has the
// name and is no file, such as a device, is not replaced.
func wholeFile(name string, write func(*os.File) error) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is there and is not a file: name another one", name)
	}
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // if it has not been renamed
	if err = write(file); err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil { // not joined: an answer of the server is explained only as it is
		err = closed
	}
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return fmt.Errorf("the file is whole, but can't get its name: %w", err)
	}
	directory, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
