package server

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// Export is being written.
func (o operatorService) Export(*usherv1.ExportRequest, grpc.ServerStreamingServer[usherv1.ExportResponse]) error {
	return status.Error(codes.Unimplemented, "not yet")
}

// Import is being written.
func (o operatorService) Import(grpc.BidiStreamingServer[usherv1.ImportRequest, usherv1.ImportResponse]) error {
	return status.Error(codes.Unimplemented, "not yet")
}
