package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

const (
	// followSilence is three of the server's signs of life.
	followSilence = 30 * time.Second
	// followPause is between two attempts to go on.
	followPause = time.Second
)

// followChanges prints what is changed after c.after, since c.since or from now on, until the
// context ends or something can't be mended by connecting again.
func (c *changes) followChanges(ctx context.Context, admin usherv1.AdminServiceClient, out, stderr io.Writer) error {
	after, err := c.begin(ctx, admin, out)
	if err != nil {
		return err
	}
	answered := false
	for {
		// A server that is only starting is waited for, once there has been one.
		open := func(ctx context.Context) (grpc.ServerStreamingClient[usherv1.WatchChangesResponse], error) {
			return admin.WatchChanges(ctx, &usherv1.WatchChangesRequest{Tenant: c.req.Tenant, AfterRevision: after}, grpc.WaitForReady(answered))
		}
		err := receive(ctx, followSilence, open, func(message *usherv1.WatchChangesResponse) error {
			answered, after = true, message.GetRevision()
			var wanted []*usherv1.ChangeRecord
			for _, record := range message.GetChanges() {
				if c.wants(record) {
					wanted = append(wanted, record)
				}
			}
			return c.print(out, wanted)
		})
		if !isCut(err) || !answered {
			return err
		}
		fmt.Fprintln(stderr, "usher: the connection was cut: connecting again")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followPause):
		}
	}
}

// begin prints what is asked for of the past, and returns the revision to go on after.
func (c *changes) begin(ctx context.Context, admin usherv1.AdminServiceClient, out io.Writer) (string, error) {
	if c.after != "" {
		return c.after, nil
	}
	if c.req.Since != nil {
		c.req.OldestFirst = true
		return c.list(ctx, admin, out)
	}
	// To begin without a revision would leave a gap if the first connection is cut.
	now, err := admin.ListChanges(ctx, &usherv1.ListChangesRequest{Tenant: c.req.Tenant, PageSize: 1})
	return now.GetRevision(), err
}

// isCut reports whether a stream has ended in a way after which it goes on elsewhere: the
// server stops, the connection breaks, or this end was too slow.
func isCut(err error) bool {
	st := status.Convert(err)
	switch st.Code() {
	case codes.OK, codes.Unavailable, codes.DeadlineExceeded:
		return true
	}
	return reasonOf(st.Details()) == "TOO_SLOW"
}
