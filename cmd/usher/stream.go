package main

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var errSilence = errors.New("nothing has come for too long")

// receive opens a stream and hands each message to handle, up to the end. Silence is how
// long it waits for a message; the time that handle takes is not counted.
func receive[M any](ctx context.Context, silence time.Duration,
	open func(context.Context) (grpc.ServerStreamingClient[M], error), handle func(*M) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(silence, func() { cancel(errSilence) })
	defer alarm.Stop()
	stream, err := open(ctx)
	for err == nil {
		var message *M
		message, err = stream.Recv()
		alarm.Stop()
		if err == nil {
			err = handle(message)
		}
		alarm.Reset(silence)
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(context.Cause(ctx), errSilence):
		return status.Error(codes.DeadlineExceeded, errSilence.Error())
	}
	return err
}
