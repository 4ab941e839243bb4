package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// importPiece is how many bytes of a file are kept in one write, at least, but for the last.
const importPiece = 256 << 10

// importStream is the connection of a client that imports.
type importStream = grpc.BidiStreamingServer[usherv1.ImportRequest, usherv1.ImportResponse]

// Import takes what Export answered. What comes is checked and kept; when the whole file is
// there, it is filled into tenants that nobody finds, and those get their names in one write.
func (o operatorService) Import(stream importStream) error {
	if o.server.draining.Load() {
		return errStopping
	}
	first, err := o.server.receive(stream)
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return malformed("start", "it comes first, and says how to import")
	}
	i := &importing{server: o.server, ctx: stream.Context(), start: start, stream: stream}
	if !start.GetValidateOnly() {
		if _, goesOn := o.server.imports.LoadOrStore(start.GetImportId(), true); goesOn {
			return errImportGoesOn
		}
		defer o.server.imports.Delete(start.GetImportId())
	}
	err = i.run()
	if refusedForGood(err) && !start.GetValidateOnly() {
		err = errors.Join(err, o.server.purgeImport(i.ctx, start.GetImportId(), true))
	}
	return err
}

var (
	errImportGoesOn = &endedError{
		codes.Aborted, "IMPORT_GOES_ON",
		"another call goes on with this import_id: wait for its end, then go on where it has come to",
	}
	errImportSilent = &endedError{
		codes.DeadlineExceeded, "IMPORT_SILENT",
		fmt.Sprintf("nothing was sent for %s: go on with the same import_id", slowAfter),
	}
)

// refusedForGood reports whether a file can't be imported, however often it is sent.
func refusedForGood(err error) bool {
	var input *inputError
	var exists *existsError
	var immutable *immutableError
	return errors.As(err, &input) && input.reason == reasonInvalidImport && strings.HasPrefix(input.violations[0].GetField(), lineField) ||
		errors.As(err, &exists) || errors.As(err, &immutable)
}

// receive reads the next message of a client. It gives up on one that is silent, and when the
// server stops.
func (s *Server) receive(stream importStream) (*usherv1.ImportRequest, error) {
	type received struct {
		message *usherv1.ImportRequest
		err     error
	}
	came := make(chan received, 1)
	go func() {
		r := received{err: errors.New("the message could not be read")}
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			came <- r
		}()
		r.message, r.err = stream.Recv()
	}()
	silent := time.NewTimer(slowAfter)
	defer silent.Stop()
	select {
	case r := <-came:
		if errors.Is(r.err, io.EOF) {
			return nil, malformed("end", "the stream has ended without it: send it after the last bytes, or go on later with the same import_id")
		}
		return r.message, r.err
	case <-silent.C:
		return nil, errImportSilent
	case <-stream.Context().Done():
		return nil, stream.Context().Err()
	case <-s.stopping:
		return nil, errStopping
	}
}

// importing is an import that a client goes on with.
type importing struct {
	server *Server
	ctx    context.Context
	start  *usherv1.ImportStart
	stream importStream

	kept  store.Import
	check *importCheck
	piece []byte // that has been checked and not kept yet
}

func (i *importing) run() error {
	if err := i.begin(); err != nil {
		return err
	}
	if i.kept.Done != nil {
		return i.answer(doneMessage(i.kept.Done, usherv1.Outcome_OUTCOME_UNCHANGED))
	}
	if err := i.progress(); err != nil {
		return err
	}
	if err := i.reread(i.check, i.progress); err != nil {
		return err
	}
	for {
		message, err := i.server.receive(i.stream)
		if err != nil {
			return err
		}
		switch {
		case message.GetStart() != nil:
			return malformed("start", "it comes once")
		case message.GetEnd() != nil:
			return i.end()
		}
		if err := i.take(message.GetLines()); err != nil {
			return err
		}
	}
}

// begin finds how much has been taken already.
func (i *importing) begin() error {
	i.check = i.server.newImportCheck(i.ctx, i.start, nil)
	if i.start.GetValidateOnly() {
		return nil
	}
	digest, err := startDigest(i.start)
	if err != nil {
		return err
	}
	if err := i.find(); err != nil {
		return err
	}
	if i.kept.Abandoned {
		if err := i.server.purgeImport(i.ctx, i.kept.ID, true); err != nil {
			return err
		}
		i.kept = store.Import{}
	}
	if i.kept.ID != "" && i.kept.Digest != digest {
		return invalid("start.import_id", reasonInvalidImport, "it was begun with another file, or otherwise: take a new id, or go on as it was begun")
	}
	i.kept.ID, i.kept.Digest = i.start.GetImportId(), digest
	return nil
}

// find reads how far the import is.
func (i *importing) find() error {
	return i.server.store.View(i.ctx, func(r store.Reader) (err error) {
		i.kept, err = r.Import(i.start.GetImportId())
		if errors.Is(err, store.ErrNotFound) {
			i.kept, err = store.Import{}, nil
		}
		return err
	})
}

// startDigest is of how an import is begun.
func startDigest(start *usherv1.ImportStart) ([sha256.Size]byte, error) {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(start)
	return sha256.Sum256(encoded), err
}

// reread gives a check all that is kept of the file. It calls progress after each piece, so that the
// client does not take a long file for silence.
func (i *importing) reread(check *importCheck, progress func() error) error {
	for piece := range i.kept.Pieces {
		var text []byte
		err := i.server.store.View(i.ctx, func(r store.Reader) (err error) {
			text, err = r.ImportPiece(i.kept.ID, piece)
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("%w: a piece of the import %q is missing", store.ErrCorrupt, i.kept.ID)
		}
		if err == nil {
			err = check.write(text)
		}
		if err == nil {
			err = progress()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take checks bytes of the file, and keeps them when they are enough for a write.
func (i *importing) take(lines []byte) error {
	if err := i.check.write(lines); err != nil {
		return err
	}
	if !i.start.GetValidateOnly() {
		i.piece = append(i.piece, lines...)
	}
	if uint64(i.check.bytes) < i.kept.Bytes+importPiece { // #nosec G115 -- counts of what one file has
		return nil
	}
	if err := i.keep(); err != nil {
		return err
	}
	return i.progress()
}

// keep writes the bytes that have been checked, unless this is a trial.
func (i *importing) keep() error {
	if len(i.piece) > 0 {
		err := i.server.goOn(i.ctx, store.TakeImport{ID: i.kept.ID, Digest: i.kept.Digest, After: i.kept.Bytes, Piece: i.piece})
		if err != nil {
			return err
		}
		i.kept.Pieces++
		i.piece = i.piece[:0]
	}
	i.kept.Bytes = uint64(i.check.bytes) // #nosec G115 -- counts of what one file has
	return nil
}

// goOn makes changes of imports that are not recorded.
func (s *Server) goOn(ctx context.Context, changes ...store.Change) error {
	_, err := s.store.Commit(ctx, store.Write{By: asOperator(ctx), Plan: func(store.Reader) ([]store.Change, error) {
		return changes, nil
	}})
	return err
}

// progress tells the client how far the import is.
func (i *importing) progress() error {
	return i.answer(nil)
}

func (i *importing) answer(result *usherv1.ImportResult) error {
	message := &usherv1.ImportResponse{BytesTaken: int64(i.kept.Bytes), LinesTaken: i.check.lines, Result: result} // #nosec G115 -- counts of what one file has
	return send[usherv1.ImportResponse](i.server, i.stream, message)
}

// end does what the whole file asks for.
func (i *importing) end() error {
	if err := i.check.end(); err != nil {
		return err
	}
	result := &i.check.result
	if i.start.GetValidateOnly() {
		result.Outcome, result.Revision = usherv1.Outcome_OUTCOME_UNCHANGED, i.server.store.Revision().String()
		return i.answer(result)
	}
	if err := i.keep(); err != nil {
		return err
	}
	if err := i.progress(); err != nil {
		return err
	}
	if err := i.fill(); err != nil {
		return err
	}
	done, err := i.finish()
	if err != nil {
		return err
	}
	// What can't be removed now is removed by the maintenance.
	if err := i.server.purgeImport(i.ctx, i.kept.ID, false); err != nil {
		i.server.logger.WarnContext(i.ctx, "the file of a finished import is still kept", "import", i.kept.ID, "error", err)
	}
	return i.answer(doneMessage(done, usherv1.Outcome_OUTCOME_CHANGED))
}

// finish shows the tenants, in one write.
func (i *importing) finish() (*store.ImportDone, error) {
	r := &i.check.result
	finish := store.FinishImport{ID: i.kept.ID, FileDigest: i.check.digest, Replace: i.start.GetReplace(), Done: store.ImportDone{
		Tenants: uint64(r.GetTenants()), Assignments: uint64(r.GetAssignments()), Toggles: uint64(r.GetToggles()), // #nosec G115 -- counts of what one file has
	}}
	_, err := i.server.store.Commit(i.ctx, store.Write{
		By: asOperator(i.ctx), Justification: i.start.GetJustification(),
		Plan: func(reader store.Reader) (changes []store.Change, err error) {
			finish.Done.Replaced, finish.Done.Catalogs = 0, 0
			for _, name := range i.check.names {
				replaced, err := i.server.replaces(reader, name, i.start.GetReplace())
				if err != nil {
					return nil, err
				}
				if replaced {
					finish.Done.Replaced++
				}
			}
			for _, in := range i.check.catalogs {
				switch stored, err := i.server.readCatalog(reader, in.ref); {
				case errors.Is(err, store.ErrNotFound):
					changes = append(changes, store.PutCatalog{Ref: in.ref, YAML: []byte(in.yaml)})
					finish.Done.Catalogs++
				case err != nil:
					return nil, err
				case !proto.Equal(stored.Message(), in.catalog.Message()):
					return nil, &immutableError{in.ref}
				}
			}
			return append(changes, finish), nil
		},
	})
	if err != nil {
		return nil, err
	}
	if err := i.find(); err != nil {
		return nil, err
	}
	return i.kept.Done, nil
}

func doneMessage(done *store.ImportDone, outcome usherv1.Outcome) *usherv1.ImportResult {
	return &usherv1.ImportResult{
		Outcome: outcome, Tenants: int32(done.Tenants), Replaced: int32(done.Replaced), Catalogs: int32(done.Catalogs), // #nosec G115 -- counts of what one file has
		Assignments: int64(done.Assignments), Toggles: int64(done.Toggles), Revision: done.Revision.String(), // #nosec G115 -- counts of what one file has
	}
}
