package server

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// Explain is being written.
func (d decisionService) Explain(context.Context, *usherv1.ExplainRequest) (*usherv1.ExplainResponse, error) {
	return nil, status.Error(codes.Unimplemented, "not yet")
}
