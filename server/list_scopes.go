package server

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// ListScopes is being written.
func (d decisionService) ListScopes(context.Context, *usherv1.ListScopesRequest) (*usherv1.ListScopesResponse, error) {
	return nil, status.Error(codes.Unimplemented, "not yet")
}
