package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store/bolt"
)

func newBackup() *cobra.Command {
	var (
		c     client
		force bool
	)
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of everything, while the server goes on",
		Long: `Write a backup of everything, while the server goes on: tenants, catalogs, and the records of
changes, at one revision. 'usher restore' puts it back.

The server makes a copy of its file beside it, verifies it and sends it; here it is verified
again. FILE is there when it is whole and on disk. All names are in it in clear: keep it where
the data itself may be kept.`,
		Example: `  usher backup /backup/usher-2026-12-24.db
  usher backup --force /backup/usher.db -o json`,
		Args: arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if name == "-" {
				return usagef("a backup is verified on disk: name a file")
			}
			if _, err := os.Stat(name); !force && !errors.Is(err, fs.ErrNotExist) {
				if err != nil {
					return err
				}
				return fmt.Errorf("%s is there already: name another file, or say --force to replace it", name)
			}
			progress := progressOn(cmd.ErrOrStderr())
			defer progress("")
			return call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (last *usherv1.BackupResponse, err error) {
				err = wholeFile(name, func(file *os.File) (err error) {
					last, err = c.backup(ctx, conn, file, progress)
					return err
				})
				if err == nil {
					last.Data = nil // it is in the file
				}
				return last, err
			}, func(w io.Writer, last *usherv1.BackupResponse) {
				progress("")
				fmt.Fprintf(w, "backed up  %s: %s, revision %s, SHA-256 %s\n", name, bytesText(last.GetBytesTotal()), last.GetRevision(), last.GetSha256())
			})
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace a FILE that is there")
	return cmd
}

// backup writes a backup to a file and verifies it there. It returns the last answer.
func (c *client) backup(ctx context.Context, conn *grpc.ClientConn, file *os.File, progress func(string)) (*usherv1.BackupResponse, error) {
	last := &usherv1.BackupResponse{}
	sum := sha256.New()
	progress("the server makes a copy")
	err := receive(ctx, c.timeout, func(ctx context.Context) (grpc.ServerStreamingClient[usherv1.BackupResponse], error) {
		return usherv1.NewOperatorServiceClient(conn).Backup(ctx, &usherv1.BackupRequest{})
	}, func(message *usherv1.BackupResponse) error {
		last = message
		if message.GetBytesTotal() > 0 {
			progress("receiving  " + bar(message.GetBytesDone(), message.GetBytesTotal()))
		}
		sum.Write(message.GetData())
		_, err := file.Write(message.GetData())
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case last.GetSha256() == "":
		return nil, errors.New("the server has stopped before the end: the backup is not whole")
	case last.GetSha256() != hex.EncodeToString(sum.Sum(nil)):
		return nil, errors.New("what has come has another SHA-256 than what the server has sent: try again")
	}
	report, err := bolt.Check(ctx, file.Name(), steps(progress))
	if err != nil {
		return nil, fmt.Errorf("verifying the backup: %w", err)
	}
	if len(report.Findings) > 0 || report.Revision.String() != last.GetRevision() {
		return nil, fmt.Errorf("what was written to disk is not what has come (%d faults, revision %s): check the disk", len(report.Findings), report.Revision)
	}
	return last, nil
}

// steps shows the progress of work on a file.
func steps(progress func(string)) bolt.Progress {
	return func(what string, done, total int64) { progress("verifying " + what + "  " + bar(done, total)) }
}

// bytesText says how many bytes there are, for people.
func bytesText(n int64) string {
	for _, u := range sizeUnits() {
		if n >= u.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.bytes), u.name)
		}
	}
	return fmt.Sprint(n, " bytes")
}
