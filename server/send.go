package server

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
)

// slowAfter is how long a message may wait to be taken by its reader.
const slowAfter = 30 * time.Second

// send sends a message of a stream, which must not be changed after. It gives up on a reader
// that is too slow, and when the server stops; what waits to be sent is thrown away when the
// call has ended.
func send[M any](s *Server, stream grpc.ServerStreamingServer[M], message *M) error {
	sent := make(chan error, 1)
	go func() {
		err := fmt.Errorf("the message could not be sent")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			sent <- err
		}()
		err = stream.Send(message)
	}()
	slow := time.NewTimer(slowAfter)
	defer slow.Stop()
	select {
	case err := <-sent:
		if err != nil {
			return cmp.Or(stream.Context().Err(), err)
		}
		return nil
	case <-stream.Context().Done():
		return stream.Context().Err()
	case <-slow.C:
		return errTooSlow
	case <-s.stopping:
		return errStopping
	}
}
