package server

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// ListActions is being written.
func (d decisionService) ListActions(context.Context, *usherv1.ListActionsRequest) (*usherv1.ListActionsResponse, error) {
	return nil, status.Error(codes.Unimplemented, "not yet")
}
