package server

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// ListSubjects is being written.
func (d decisionService) ListSubjects(context.Context, *usherv1.ListSubjectsRequest) (*usherv1.ListSubjectsResponse, error) {
	return nil, status.Error(codes.Unimplemented, "not yet")
}
