package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// importing is a file and how it is to be imported.
type importing struct {
	client
	start       *usherv1.ImportStart
	yes, dryRun bool

	file     *os.File
	size     int64
	operator usherv1.OperatorServiceClient
	progress func(string)
}

func newImport() *cobra.Command {
	i := importing{start: &usherv1.ImportStart{}}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Import tenants that were exported, all or nothing",
		Long: `Import tenants that were exported, all or nothing. FILE is what 'usher export' has written; -
is stdin.

It is tried first: what would be there is printed, or the line that can't be imported. Then it
asks, unless --yes says so, and imports. What is imported shows at once in the end; until then
nothing of it does. When the connection is cut it connects again and goes on. When this command
itself is interrupted, the same one with --import-id ID goes on, with the id that it has
printed, and does not ask again; that is possible for 24 hours.

--replace lets an imported tenant take the place of the one of its name, which is deleted as by
'usher tenant delete'.`,
		Example: `  usher import all.jsonl --dry-run
  usher import demo-dealer.jsonl --rename demo-copy --yes
  usher export acme --address old:7301 | usher import - --replace --yes`,
		Args: arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := i.open(cmd.InOrStdin(), args[0]); err != nil {
				return err
			}
			defer func() { _ = i.file.Close() }()
			i.progress = progressOn(cmd.ErrOrStderr())
			return call(cmd, &i.client, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ImportResult, error) {
				i.operator = usherv1.NewOperatorServiceClient(conn)
				return i.run(ctx, cmd)
			}, func(w io.Writer, result *usherv1.ImportResult) {
				first := "imported"
				switch {
				case i.dryRun:
					first = "would import"
				case result.GetOutcome() == usherv1.Outcome_OUTCOME_UNCHANGED:
					first = "imported before"
				}
				fmt.Fprintf(w, "%s  %s\n", first, importText(result))
			})
		},
	}
	i.addFlags(cmd)
	addReasonFlag(cmd, &i.start.Justification)
	addYesFlag(cmd, &i.yes)
	flags := cmd.Flags()
	flags.BoolVar(&i.dryRun, "dry-run", false, "only find out what would happen")
	flags.BoolVar(&i.start.Replace, "replace", false, "let it replace tenants that there are")
	flags.StringVar(&i.start.Rename, "rename", "", "the `NAME` that the tenant gets, of a file with one")
	flags.StringVar(&i.start.ImportId, "import-id", "", "go on with the import of that `ID`")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "yes")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "import-id")
	return cmd
}

// open opens the file and hashes it. What comes from stdin is kept in a temporary one, because it
// is sent more than once.
func (i *importing) open(stdin io.Reader, name string) (err error) {
	if name == "-" {
		i.file, err = keepInput(stdin)
	} else {
		i.file, err = os.Open(name) // #nosec G304 -- the file that the user names
	}
	if err != nil {
		return err
	}
	hash := sha256.New()
	if i.size, err = io.Copy(hash, io.NewSectionReader(i.file, 0, 1<<62)); err != nil {
		_ = i.file.Close()
		return err
	}
	i.start.Sha256 = hex.EncodeToString(hash.Sum(nil))
	return nil
}

func keepInput(stdin io.Reader) (*os.File, error) {
	file, err := os.CreateTemp("", "usher-import-*")
	if err != nil {
		return nil, err
	}
	if err = os.Remove(file.Name()); err == nil { // it is gone when it is closed
		_, err = io.Copy(file, stdin)
	}
	if err != nil {
		_ = file.Close()
	}
	return file, err
}

// run tries the import, asks, and imports.
func (i *importing) run(ctx context.Context, cmd *cobra.Command) (*usherv1.ImportResult, error) {
	stderr := cmd.ErrOrStderr()
	if i.start.GetImportId() == "" {
		i.start.ImportId = strings.ToLower(rand.Text())
		dry := proto.CloneOf(i.start)
		dry.ValidateOnly = true
		tried, err := i.once(ctx, dry, new(bool))
		if err != nil || i.dryRun {
			return tried, err
		}
		fmt.Fprintf(stderr, "would import  %s\n", importText(tried))
		if !i.yes {
			if err := confirm(cmd, "Import it?"); err != nil {
				return nil, err
			}
		}
	}
	fmt.Fprintf(stderr, "import id %s: if this is interrupted, go on with --import-id %[1]s\n", i.start.GetImportId())
	answered := false
	for {
		result, err := i.once(ctx, i.start, &answered)
		if result != nil && err == nil || !answered || !isCut(err) && reasonOf(status.Convert(err).Details()) != "IMPORT_GOES_ON" {
			return result, err
		}
		fmt.Fprintln(stderr, "usher: the connection was cut: connecting again")
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(followPause):
		}
	}
}

// once imports through one connection. Answered becomes true when the server has answered.
func (i *importing) once(ctx context.Context, start *usherv1.ImportStart, answered *bool) (result *usherv1.ImportResult, err error) {
	defer i.progress("")
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	var unread error // why the file could not be read
	defer sending.Wait()
	defer cancel()
	var stream grpc.BidiStreamingClient[usherv1.ImportRequest, usherv1.ImportResponse]
	begun := false
	err = receive(ctx, i.timeout, func(ctx context.Context) (_ grpc.ServerStreamingClient[usherv1.ImportResponse], err error) {
		if stream, err = i.operator.Import(ctx, grpc.WaitForReady(*answered)); err != nil {
			return nil, err
		}
		_ = stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: start}}) // Recv says why not
		return stream, nil
	}, func(message *usherv1.ImportResponse) error {
		*answered, result = true, message.GetResult()
		switch {
		case !begun && result == nil:
			begun = true
			sending.Go(func() {
				if unread = i.send(stream, message.GetBytesTaken()); unread != nil {
					cancel()
				}
			})
		case message.GetLinesFilled() > 0:
			i.progress("filling  " + bar(message.GetLinesFilled(), message.GetLinesTaken()))
		case start.GetValidateOnly():
			i.progress("trying  " + bar(message.GetBytesTaken(), i.size))
		default:
			i.progress("sending  " + bar(message.GetBytesTaken(), i.size))
		}
		return nil
	})
	cancel()
	sending.Wait()
	if unread != nil {
		return nil, unread
	}
	return result, err
}

// send sends the file from an offset on. The error is that of reading it.
func (i *importing) send(stream grpc.BidiStreamingClient[usherv1.ImportRequest, usherv1.ImportResponse], offset int64) error {
	lines := io.NewSectionReader(i.file, offset, i.size-offset)
	for piece := make([]byte, 256<<10); ; {
		n, err := lines.Read(piece)
		if n > 0 && stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Lines{Lines: piece[:n]}}) != nil {
			return nil // Recv says why
		}
		if err == io.EOF {
			_ = stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_End{End: &usherv1.ImportEnd{}}})
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func importText(r *usherv1.ImportResult) string {
	text := fmt.Sprintf("%s, %s, %s", count(int(r.GetTenants()), "tenant"), count(int(r.GetAssignments()), "assignment"), count(int(r.GetToggles()), "toggle"))
	if r.GetReplaced() > 0 {
		text += fmt.Sprintf("; tenants replaced: %d", r.GetReplaced())
	}
	if r.GetCatalogs() > 0 {
		text += fmt.Sprintf("; new catalogs: %d", r.GetCatalogs())
	}
	return text
}
