package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/store"
)

// need is what a caller needs for a method.
type need struct {
	service access.Service
	write   bool
	tenants tenantNeed
	// open is whether everybody may call it.
	open bool
}

// tenantNeed is which tenants a caller has to see for a method.
type tenantNeed int

const (
	noTenant tenantNeed = iota
	// itsTenant is that of the request. One that the caller doesn't see is not there.
	itsTenant
	// itsTenantOrAll is that of the request, or where it names none, all.
	itsTenantOrAll
	// newTenant is the one of the request, which there may not be yet.
	newTenant
	allTenants
)

// needs are those of every method that there is. A method without one is refused to everybody.
var needs = map[string]need{
	"/usher.v1.DecisionService/Check":        {service: access.Decision, tenants: itsTenant},
	"/usher.v1.DecisionService/BatchCheck":   {service: access.Decision, tenants: itsTenant},
	"/usher.v1.DecisionService/Explain":      {service: access.Decision, tenants: itsTenant},
	"/usher.v1.DecisionService/ListActions":  {service: access.Decision, tenants: itsTenant},
	"/usher.v1.DecisionService/ListScopes":   {service: access.Decision, tenants: itsTenant},
	"/usher.v1.DecisionService/ListSubjects": {service: access.Decision, tenants: itsTenant},

	"/usher.v1.AdminService/Grant":                   {service: access.Admin, write: true, tenants: itsTenant},
	"/usher.v1.AdminService/Revoke":                  {service: access.Admin, write: true, tenants: itsTenant},
	"/usher.v1.AdminService/SetToggle":               {service: access.Admin, write: true, tenants: itsTenant},
	"/usher.v1.AdminService/ChangeRole":              {service: access.Admin, write: true, tenants: itsTenant},
	"/usher.v1.AdminService/RemoveSubject":           {service: access.Admin, write: true, tenants: itsTenant},
	"/usher.v1.AdminService/BatchWrite":              {service: access.Admin, write: true, tenants: itsTenant},
	"/usher.v1.AdminService/SetPrimaryAdministrator": {service: access.Admin, write: true, tenants: itsTenant},
	"/usher.v1.AdminService/PreviewChange":           {service: access.Admin, tenants: itsTenant},
	"/usher.v1.AdminService/ListRoles":               {service: access.Admin, tenants: itsTenant},
	"/usher.v1.AdminService/ListAssignments":         {service: access.Admin, tenants: itsTenant},
	"/usher.v1.AdminService/ListToggles":             {service: access.Admin, tenants: itsTenant},
	"/usher.v1.AdminService/ListChanges":             {service: access.Admin, tenants: itsTenant},
	"/usher.v1.AdminService/WatchChanges":            {service: access.Admin, tenants: itsTenant},

	"/usher.v1.OperatorService/CreateTenant":  {service: access.Operator, write: true, tenants: newTenant},
	"/usher.v1.OperatorService/GetTenant":     {service: access.Operator, tenants: itsTenant},
	"/usher.v1.OperatorService/ListTenants":   {service: access.Operator}, // it lists those that the caller sees
	"/usher.v1.OperatorService/UpdateTenant":  {service: access.Operator, write: true, tenants: itsTenant},
	"/usher.v1.OperatorService/DeleteTenant":  {service: access.Operator, write: true, tenants: itsTenant},
	"/usher.v1.OperatorService/EraseSubject":  {service: access.Operator, write: true, tenants: itsTenant},
	"/usher.v1.OperatorService/ListHeads":     {service: access.Operator, tenants: allTenants},
	"/usher.v1.OperatorService/VerifyChanges": {service: access.Operator, tenants: itsTenantOrAll},
	"/usher.v1.OperatorService/PutCatalog":    {service: access.Operator, write: true, tenants: allTenants},
	"/usher.v1.OperatorService/GetCatalog":    {service: access.Operator},
	"/usher.v1.OperatorService/ListCatalogs":  {service: access.Operator},
	"/usher.v1.OperatorService/Export":        {service: access.Operator, tenants: itsTenantOrAll},
	"/usher.v1.OperatorService/Import":        {service: access.Operator, write: true, tenants: allTenants},
	"/usher.v1.OperatorService/Backup":        {service: access.Operator, tenants: allTenants},
	"/usher.v1.OperatorService/GetServerInfo": {service: access.Operator},

	"/grpc.health.v1.Health/Check": {open: true},
	"/grpc.health.v1.Health/List":  {open: true},
	"/grpc.health.v1.Health/Watch": {open: true},

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": {service: access.Reflection},
}

// callerError says what a caller would need.
type callerError struct {
	caller, call string
	line         string // that of the access file which would allow it
	// told is what the caller is told instead. Nil: this.
	told error
}

func (e *callerError) Error() string {
	return fmt.Sprintf("the caller %s may not %s: in the server's access file this needs %s", e.caller, e.call, e.line)
}

// authorize returns the interceptor that lets only those callers in who may call the method, to the interceptor
// inner, and gives their calls the caller. A stream goes on only as long as its caller may.
func (s *Server) authorize(method string, stream bool, inner grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	needed, known := needs[method]
	switch {
	case s.access == nil || needed.open:
		return inner
	case !known:
		return func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
			return nil, toStatus(fmt.Errorf("nothing says who may call %s", method)).Err()
		}
	case stream:
		return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return s.whileAllowed(ctx, method, needed, request, func(ctx context.Context, request any) (any, error) {
				return inner(ctx, request, info, handler)
			})
		}
	}
	// Of a decision, only its log asks for the caller. Without one, a check is spared the allocation.
	asked := needed.service != access.Decision || s.decisionLog != nil
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		caller, err := s.admit(ctx, method, needed, request)
		if err != nil {
			return nil, err
		}
		if asked {
			ctx = access.WithCaller(ctx, caller)
		}
		return inner(ctx, request, info, handler)
	}
}

// whileAllowed handles a stream, and ends it when the caller may not call it any more.
func (s *Server) whileAllowed(ctx context.Context, method string, needed need, request any, handler grpc.UnaryHandler) (any, error) {
	changed := s.access.Changed() // before it is asked who may what
	caller, err := s.admit(ctx, method, needed, request)
	if err != nil {
		return nil, err
	}
	allowed, end := context.WithCancelCause(access.WithCaller(ctx, caller))
	defer end(nil)
	go func() {
		for {
			select {
			case <-allowed.Done():
				return
			case <-changed:
			}
			changed = s.access.Changed()
			now, err := s.admit(ctx, method, needed, request)
			if err == nil && now.Name() != caller.Name() {
				err = toStatus(errAnotherCaller).Err()
			}
			if err != nil {
				end(&cutOffError{err})
				return
			}
		}
	}()
	response, err := handler(allowed, request)
	var cutOff *cutOffError
	if err != nil && errors.As(context.Cause(allowed), &cutOff) {
		return nil, cutOff.status
	}
	return response, err
}

// errAnotherCaller ends a stream whose credentials belong to another caller now: what it does is in another
// name, and sees other tenants.
var errAnotherCaller = &endedError{
	codes.PermissionDenied, reasonCallerNotAllowed, "the credentials of this call belong to another caller now: call again",
}

// cutOffError is why a stream was ended whose caller may not call it any more.
type cutOffError struct{ status error }

func (e *cutOffError) Error() string { return e.status.Error() }

// Reasons of calls that are not let in.
const (
	reasonUnauthenticated  = "UNAUTHENTICATED"
	reasonCallerNotAllowed = "CALLER_NOT_ALLOWED"
)

// admit returns the caller of a call, if they may make it. The error is a status.
func (s *Server) admit(ctx context.Context, method string, needed need, request any) (*access.Caller, error) {
	caller, err := s.access.Caller(ctx)
	if err != nil {
		s.logger.DebugContext(ctx, "caller not known", "method", method, "error", err)
		return nil, detailed(codes.Unauthenticated, err.Error(), reasonUnauthenticated).Err()
	}
	refused := needed.refuses(caller, method, request)
	if refused == nil {
		return caller, nil
	}
	level := slog.LevelWarn
	if needed.service == access.Decision {
		level = slog.LevelDebug // checks are too many
	}
	s.logger.Log(ctx, level, "caller not allowed", "caller", refused.caller, "method", method, "tenant", cut(tenantOf(request)), "needs", refused.line)
	if refused.told != nil {
		return nil, toStatus(refused.told).Err()
	}
	return nil, detailed(codes.PermissionDenied, refused.Error(), reasonCallerNotAllowed).Err()
}

// refuses is why a caller may not make a call; nil: they may. A request that could not be decoded is nil: its
// method is not called, and only what is wrong with it is answered.
func (n need) refuses(caller *access.Caller, method string, request any) *callerError {
	if !caller.May(n.service, n.write) {
		right := "read"
		if n.write {
			right = "write"
		}
		return &callerError{caller: caller.Name(), call: "call " + method, line: fmt.Sprintf("may: {%s: %s}", n.service, right)}
	}
	if refused := n.refusesTenant(caller, method, request); refused != nil {
		return refused
	}
	by, _ := request.(behalfed)
	switch {
	case by == nil:
	case by.GetActor() != nil && !caller.MayNameActors():
		return &callerError{caller: caller.Name(), call: "name an actor", line: "actor: true"}
	case by.GetOperator() != nil && !caller.MayBeOperator():
		return &callerError{caller: caller.Name(), call: "act as the operator", line: "operator: true"}
	}
	return nil
}

// refusesTenant is why a caller doesn't see the tenants that a call is about. What they are told of one that
// they don't see is what is told of one that isn't there: it depends on nothing but the name and the access file.
func (n need) refusesTenant(caller *access.Caller, method string, request any) *callerError {
	if n.tenants == noTenant || request == nil && n.tenants != allTenants {
		return nil
	}
	tenant := tenantOf(request)
	all := n.tenants == allTenants || n.tenants == itsTenantOrAll && tenant == ""
	switch {
	case all && !caller.SeesAll():
		return &callerError{caller: caller.Name(), call: "call " + method + " for the whole installation", line: `tenants: ["*"]`}
	case all || caller.Sees(tenant):
		return nil
	}
	unseen := &callerError{caller: caller.Name(), call: "see this tenant", line: "its name in tenants"}
	switch {
	case n.tenants == newTenant:
		unseen.call = "create this tenant"
	case ofDeleted(request):
		unseen.told = noRecord(tenant)
	default:
		unseen.told = noTenantOf(tenant)
	}
	return unseen
}

// tenantOf is the tenant that a request names, or "", which only those see who see all.
func tenantOf(request any) string {
	switch r := request.(type) {
	case interface{ GetTenant() string }:
		return r.GetTenant()
	case interface{ GetCheck() *usherv1.CheckRequest }:
		return r.GetCheck().GetTenant()
	}
	return ""
}

// ofDeleted is whether a request is answered for a tenant that has been deleted, too.
func ofDeleted(request any) bool {
	switch r := request.(type) {
	case *usherv1.ListChangesRequest, *usherv1.VerifyChangesRequest:
		return true
	case *usherv1.EraseSubjectRequest:
		return r.GetTenantId() != 0
	case *usherv1.WatchChangesRequest:
		return r.GetAfterRevision() != ""
	}
	return false
}

// asOperator is on whose behalf the calls of OperatorService write.
func asOperator(ctx context.Context) store.By {
	return store.By{Operator: true, Caller: access.CallerOf(ctx).Name()}
}

// authorizeMetrics lets only those callers to the metrics who may read them.
func (s *Server) authorizeMetrics(metrics http.Handler) http.Handler {
	if s.access == nil {
		return metrics
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := s.access.HTTPCaller(r)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, err.Error()+"\n")
			return
		}
		if !caller.May(access.Metrics, false) {
			refused := &callerError{caller: caller.Name(), call: "read the metrics", line: "may: {metrics: read}"}
			answer(w, http.StatusForbidden, refused.Error()+"\n")
			return
		}
		metrics.ServeHTTP(w, r)
	})
}
