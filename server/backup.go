package server

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// Backup answers a copy of the store.
func (o operatorService) Backup(*usherv1.BackupRequest, grpc.ServerStreamingServer[usherv1.BackupResponse]) error {
	return status.Error(codes.Unimplemented, "not there yet")
}
