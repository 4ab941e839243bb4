package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

const (
	// backupPiece is how many bytes of a backup a message has.
	backupPiece = 256 << 10
	// backupAlive is the pause between messages while a backup is being made.
	backupAlive = time.Second
)

var errBackupGoesOn = &endedError{codes.Aborted, "BACKUP_GOES_ON", "another backup is being made or sent: try again when it is done"}

// Backup answers a copy of the store. It is written to a file first, so that nothing is held open
// in the store for a client who reads slowly. One at a time is made, because each takes as much
// room on the disk as the store.
func (o operatorService) Backup(_ *usherv1.BackupRequest, stream grpc.ServerStreamingServer[usherv1.BackupResponse]) error {
	if !o.server.backingUp.TryLock() {
		return errBackupGoesOn
	}
	defer o.server.backingUp.Unlock()
	spool, err := o.server.spool("usher-backup-*")
	if err != nil {
		return err
	}
	defer func() { _ = spool.Close() }()
	revision, err := o.server.makeBackup(spool, stream)
	if err != nil {
		return err
	}
	size, err := o.server.sendBackup(spool, revision, stream)
	if err == nil {
		o.server.metrics.lastBackup.Set(timestamp(o.server.now()))
		o.server.metrics.lastBackupBytes.Set(float64(size))
	}
	return err
}

// makeBackup has the store write a copy, and tells the client meanwhile that it goes on.
func (s *Server) makeBackup(spool *os.File, stream grpc.ServerStreamingServer[usherv1.BackupResponse]) (store.Revision, error) {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	type made struct {
		revision store.Revision
		err      error
	}
	done := make(chan made, 1)
	go func() {
		leave, err := s.overload.computing.enter(ctx)
		if err != nil {
			done <- made{err: err}
			return
		}
		defer leave()
		revision, err := s.store.Backup(ctx, spool)
		done <- made{revision, err}
	}()
	alive := time.NewTicker(backupAlive)
	defer alive.Stop()
	for {
		select {
		case m := <-done:
			return m.revision, m.err
		case <-s.stopping:
			cancel()
			<-done // the file is closed after
			return store.Revision{}, errStopping
		case <-alive.C:
			if err := send(s, stream, &usherv1.BackupResponse{}); err != nil {
				cancel()
				<-done
				return store.Revision{}, err
			}
		}
	}
}

// sendBackup sends the copy, and returns how long it is.
func (s *Server) sendBackup(spool *os.File, revision store.Revision, stream grpc.ServerStreamingServer[usherv1.BackupResponse]) (int64, error) {
	size, err := spool.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	sum := sha256.New()
	for at := int64(0); at < size; {
		piece := make([]byte, min(backupPiece, size-at))
		if _, err := spool.ReadAt(piece, at); err != nil {
			return 0, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		sum.Write(piece)
		at += int64(len(piece))
		message := &usherv1.BackupResponse{Data: piece, BytesDone: at, BytesTotal: size, Revision: revision.String()}
		if at == size {
			message.Sha256 = hex.EncodeToString(sum.Sum(nil))
		}
		if err := send(s, stream, message); err != nil {
			return 0, err
		}
	}
	return size, nil
}
