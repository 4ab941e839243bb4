package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/access"
)

// Fields of requests and responses that are logged, if they are there and set. All others are not:
// a justification may say anything, and a request id is nobody else's business.
var (
	loggedOfRequest = []protoreflect.Name{
		"tenant", "tenant_id", "subject", "role", "from", "to", "scope", "everywhere", "toggle", "state", "acts",
		"catalog", "catalog_version", "name", "version", "first_administrator", "validate_only", "after_revision",
	}
	loggedOfResponse = []protoreflect.Name{"name", "version", "outcome", "revision"}
)

// copying are the reads that give everything away, of a tenant or of all: who took a copy is logged as writes are.
var copying = map[string]bool{
	usherv1.OperatorService_Export_FullMethodName: true,
	usherv1.OperatorService_Backup_FullMethodName: true,
}

// loggedBytes is how much of a text is logged. What is valid is not longer.
const loggedBytes = 256

// logCalls logs each administrative call when it has ended, in a line, and turns its error into a
// status. What goes well is logged at Info if it is a write or a copy, at Debug if it is another read; a fault of the
// server at Error with its text, which the client doesn't get.
func (s *Server) logCalls(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	begun := time.Now()
	response, err := handler(ctx, request)
	mapped, fault := statusOf(err)
	level := slog.LevelInfo
	switch {
	case fault:
		level = slog.LevelError
	case mapped.Code() == codes.ResourceExhausted:
		level = slog.LevelDebug // there are many at once, and they are counted
	case !needs[info.FullMethod].write && !copying[info.FullMethod] && (err == nil || mapped.Code() == codes.Canceled):
		level = slog.LevelDebug
	}
	if s.logger.Enabled(ctx, level) {
		line := []slog.Attr{
			slog.String("method", info.FullMethod), slog.String("code", mapped.Code().String()), slog.Duration("duration", time.Since(begun)),
		}
		if caller := access.CallerOf(ctx).Name(); caller != "" {
			line = append(line, slog.String("caller", caller))
		}
		if behalf := onBehalfOf(request); behalf != "" {
			line = append(line, slog.String("on_behalf_of", behalf))
		}
		line = appendFields(line, request, loggedOfRequest)
		switch {
		case fault:
			line = append(line, slog.String("reason", reasonOf(mapped)), slog.Any("error", err))
		case err != nil:
			line = append(line, slog.String("reason", reasonOf(mapped)))
		default:
			line = appendFields(line, response, loggedOfResponse)
		}
		s.logger.LogAttrs(ctx, level, "administrative call", line...)
	}
	if err != nil {
		return nil, mapped.Err()
	}
	return response, nil
}

// statusOf returns the status of what a method returned, and whether it is a fault of the server, of which
// the client is not told everything.
func statusOf(err error) (mapped *status.Status, fault bool) {
	if err == nil {
		return nil, false
	}
	mapped = toStatus(err)
	var told *endedError
	code := mapped.Code()
	return mapped, (code == codes.Internal || code == codes.Unavailable) && !errors.As(err, &told)
}

// onBehalfOf returns on whose behalf a request is made, "" if it doesn't say.
func onBehalfOf(request any) string {
	by, _ := request.(behalfed)
	switch {
	case by == nil:
	case by.GetOperator() != nil:
		return "operator"
	case by.GetActor() != nil:
		return cut(by.GetActor().GetSubject())
	}
	return ""
}

// reasonOf returns the reason in the details of a status.
func reasonOf(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is {
			return info.GetReason()
		}
	}
	return ""
}

// appendFields adds fields of a message that are set; of a list, how long it is.
func appendFields(line []slog.Attr, message any, names []protoreflect.Name) []slog.Attr {
	m, is := message.(proto.Message)
	if !is {
		return line // it could not be decoded, or is a stream
	}
	_, erases := message.(*usherv1.EraseSubjectRequest)
	reflected := m.ProtoReflect()
	for _, name := range names {
		field := reflected.Descriptor().Fields().ByName(name)
		if field == nil || !reflected.Has(field) || erases && name == "subject" { // whom the log would remember
			continue
		}
		value := reflected.Get(field)
		switch {
		case field.IsList():
			line = append(line, slog.Int(string(name), value.List().Len()))
		case field.Kind() == protoreflect.StringKind:
			line = append(line, slog.String(string(name), cut(value.String())))
		case field.Kind() == protoreflect.EnumKind:
			if known := field.Enum().Values().ByNumber(value.Enum()); known != nil {
				line = append(line, slog.String(string(name), string(known.Name())))
			}
		case field.Message() == nil:
			line = append(line, slog.Any(string(name), value.Interface()))
		}
	}
	return line
}

// cut returns as much of a text as is logged.
func cut(text string) string {
	if len(text) <= loggedBytes {
		return text
	}
	return strings.ToValidUTF8(text[:loggedBytes], "") + "…"
}
