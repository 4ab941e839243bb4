package server

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// aroundChecks is what checks go through, outermost first. They are not logged, and validate
// their requests by hand.
func (s *Server) aroundChecks() []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{s.mapErrors, recoverPanics}
}

// aroundAdministration is what all other calls go through, outermost first.
func (s *Server) aroundAdministration() []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{s.logCalls, recoverPanics, s.overload.admit, s.validate}
}

// validated are the requests whose rules in the proto are applied by the validate
// interceptor. They are compiled at the start, not at the first call.
var validated = []proto.Message{
	&usherv1.ExplainRequest{},
	&usherv1.GrantRequest{}, &usherv1.RevokeRequest{}, &usherv1.SetToggleRequest{},
	&usherv1.ChangeRoleRequest{}, &usherv1.RemoveSubjectRequest{}, &usherv1.BatchWriteRequest{},
	&usherv1.PreviewChangeRequest{}, &usherv1.SetPrimaryAdministratorRequest{}, &usherv1.ListRolesRequest{},
	&usherv1.UpdateTenantRequest{}, &usherv1.DeleteTenantRequest{}, &usherv1.EraseSubjectRequest{},
	&usherv1.ListAssignmentsRequest{}, &usherv1.ListTogglesRequest{},
	&usherv1.ListChangesRequest{}, &usherv1.WatchChangesRequest{},
	&usherv1.CreateTenantRequest{}, &usherv1.GetTenantRequest{}, &usherv1.ListTenantsRequest{},
	&usherv1.ListHeadsRequest{}, &usherv1.VerifyChangesRequest{},
	&usherv1.ListActionsRequest{}, &usherv1.ListSubjectsRequest{},
	&usherv1.PutCatalogRequest{}, &usherv1.GetCatalogRequest{}, &usherv1.ListCatalogsRequest{},
	&usherv1.ListScopesRequest{}, &usherv1.ExportRequest{}, &usherv1.ImportRequest{}, &usherv1.BackupRequest{},
}

// validate applies the rules that are in the proto.
func (s *Server) validate(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if message, ok := request.(proto.Message); ok { // else it could not be decoded
		if err := s.validator.Validate(message); err != nil {
			return nil, err
		}
	}
	return handler(ctx, request)
}

// recoverPanics turns a panic into an error, which is logged with the stack.
var recoverPanics = recovery.UnaryServerInterceptor(recovery.WithRecoveryHandlerContext(func(_ context.Context, p any) error {
	return fmt.Errorf("panic: %v\n%s", p, debug.Stack())
}))

// mapErrors turns errors into statuses. What the client must not see is logged here.
func (s *Server) mapErrors(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	response, err := handler(ctx, request)
	if err == nil {
		return response, nil
	}
	mapped, fault := statusOf(err)
	if fault {
		s.logger.ErrorContext(ctx, "call failed", "method", info.FullMethod, "code", mapped.Code().String(), "error", err)
	}
	return nil, mapped.Err()
}
