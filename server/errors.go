package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// domain is the domain of every ErrorInfo.
const domain = "usher"

// Reasons that are not those of a policy.Refusal or an unknown name.
const (
	reasonMalformed      = "MALFORMED_REQUEST"
	reasonActorRequired  = "ACTOR_REQUIRED"
	reasonInvalidCatalog = "INVALID_CATALOG"
)

// inputError says what has to be corrected in a request.
type inputError struct {
	reason     string
	violations []*errdetails.BadRequest_FieldViolation
}

func (e *inputError) Error() string {
	texts := make([]string, len(e.violations))
	for i, v := range e.violations {
		texts[i] = strings.TrimPrefix(v.GetField()+": "+v.GetDescription(), ": ")
	}
	return strings.Join(texts, "; ")
}

// invalid makes an inputError about one field.
func invalid(field, reason, format string, args ...any) *inputError {
	return &inputError{reason: reason, violations: []*errdetails.BadRequest_FieldViolation{{
		Field: field, Description: fmt.Sprintf(format, args...), Reason: reason,
	}}}
}

// notFoundError says that there is nothing of a name.
type notFoundError struct {
	kind   string // TENANT or CATALOG
	name   string
	remedy string
}

func (e *notFoundError) Error() string {
	return fmt.Sprintf("there is no %s %q: %s", strings.ToLower(e.kind), e.name, e.remedy)
}

// existsError says that there is something of a name already.
type existsError struct{ kind, name, remedy string }

func (e *existsError) Error() string {
	return fmt.Sprintf("there is a %s %q already: %s", strings.ToLower(e.kind), e.name, e.remedy)
}

// immutableError says that a version of a catalog is there with other content.
type immutableError struct{ ref store.CatalogRef }

func (e *immutableError) Error() string {
	return fmt.Sprintf("version %d of the catalog %q is stored with other content, and a version never changes: raise the version",
		e.ref.Version, e.ref.Name)
}

// unrelatedError says that a tenant can't be moved from a catalog to another one.
type unrelatedError struct{ is, will store.CatalogRef }

const unrelatedRemedy = "move it to a catalog that extends its own, or that its own extends"

func (e *unrelatedError) Error() string {
	return fmt.Sprintf("neither of the catalogs %q and %q version %d extends the other: %s", e.is.Name, e.will.Name, e.will.Version, unrelatedRemedy)
}

// conflictsError says what stands against a move to another version of a catalog.
type conflictsError struct {
	ref   store.CatalogRef
	first []*usherv1.Conflict // as many as fit into the details
	count int
}

func (e *conflictsError) Error() string {
	return fmt.Sprintf("%d assignments or toggles would not be allowed by version %d of the catalog %q, such as: %s; PreviewChange lists all: mend them first",
		e.count, e.ref.Version, e.ref.Name, e.first[0].GetText())
}

// stillHeldError says that a subject can't be erased yet.
type stillHeldError struct {
	subject          string
	primary, deleted bool // it is the primary administrator; the tenant is deleted
}

func (e *stillHeldError) Error() string {
	switch {
	case e.deleted:
		return "what " + e.subject + " held in the deleted tenant has not been purged yet: try again in some minutes"
	case e.primary:
		return e.subject + " is the primary administrator: name another one first"
	}
	return e.subject + " still holds something: remove the subject first"
}

// toStatus is the one place where errors become statuses. One that gRPC's own services have
// made stays as it is, and so does that of an overload, which the transport answers, too. An
// error that it does not know becomes INTERNAL without its text.
func toStatus(err error) *status.Status {
	var (
		input     *inputError
		rules     *protovalidate.ValidationError
		unknown   *policy.UnknownNameError
		catalog   *policy.InvalidCatalogError
		refusal   *policy.Refusal
		notFound  *notFoundError
		exists    *existsError
		immutable *immutableError
		changed   *changedError
		unrelated *unrelatedError
		conflicts *conflictsError
		held      *stillHeldError
		cases     *policy.TooManyCasesError
		notKept   *notKeptError
		ended     *endedError
		epoch     *otherEpochError
	)
	switch {
	case errors.As(err, &input):
		return inputStatus(err, input)
	case errors.As(err, &rules):
		return inputStatus(err, ruleViolations(rules))
	case errors.As(err, &unknown):
		return inputStatus(err, unknownNameInput(unknown))
	case errors.As(err, &catalog):
		return inputStatus(err, catalogFaults(catalog))
	case errors.As(err, &refusal):
		return refusalStatus(err, refusal)
	case errors.As(err, &changed):
		return detailed(codes.Aborted, err.Error(), "CHANGED_MEANWHILE")
	case errors.As(err, &epoch):
		return detailed(codes.FailedPrecondition, err.Error(), "OTHER_EPOCH", precondition("OTHER_EPOCH", epoch.field, otherEpochRemedy))
	case errors.As(err, &unrelated):
		return detailed(codes.FailedPrecondition, err.Error(), "CATALOG_UNRELATED", precondition("CATALOG_UNRELATED", "catalog/"+unrelated.will.Name, unrelatedRemedy))
	case errors.As(err, &conflicts):
		return conflictsStatus(conflicts)
	case errors.As(err, &held):
		return detailed(codes.FailedPrecondition, err.Error(), "STILL_HELD", precondition("STILL_HELD", "subject/"+held.subject, held.Error()))
	case errors.As(err, &cases):
		return detailed(codes.FailedPrecondition, err.Error(), "TOO_MANY_CASES", precondition("TOO_MANY_CASES", "permission/"+cases.Permission, "use fewer attributes in the conditions of the catalog"))
	case errors.Is(err, errMovedOn):
		return detailed(codes.Aborted, "the tenant has changed meanwhile: try again", "CHANGED_MEANWHILE")
	case errors.Is(err, errAnswerChanged):
		return detailed(codes.Aborted, err.Error(), "CHANGED_MEANWHILE")
	case errors.Is(err, store.ErrRequestReused):
		return detailed(codes.AlreadyExists, "the request_id was used for another request in the last 24 hours: take a new one for a new request", "REQUEST_ID_REUSED")
	case errors.As(err, &notFound):
		return detailed(codes.NotFound, err.Error(), notFound.kind+"_NOT_FOUND")
	case errors.As(err, &exists):
		return detailed(codes.AlreadyExists, err.Error(), exists.kind+"_EXISTS")
	case errors.As(err, &immutable):
		return detailed(codes.FailedPrecondition, err.Error(), "CATALOG_IMMUTABLE", precondition("CATALOG_IMMUTABLE", "catalog/"+immutable.ref.Name, "raise the version"))
	case errors.As(err, &notKept):
		return notKept.status()
	case errors.As(err, &ended):
		return detailed(ended.code, ended.text, ended.reason)
	case errors.Is(err, context.DeadlineExceeded):
		return detailed(codes.DeadlineExceeded, "the deadline of the call has passed: a write may or may not have been made; with a request_id the same call again is safe", "DEADLINE_EXCEEDED")
	case errors.Is(err, context.Canceled):
		return detailed(codes.Canceled, "the call was cancelled", "CANCELLED")
	case errors.Is(err, store.ErrUnavailable):
		return detailed(codes.Unavailable, "the store is unavailable; try again, and see the server's log for the cause", "STORE_UNAVAILABLE",
			&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	case errors.Is(err, store.ErrCorrupt):
		return detailed(codes.Internal, "stored data is damaged; see the server's log for what and where", "STORE_DAMAGED")
	}
	if made, ok := status.FromError(err); ok {
		return made
	}
	return detailed(codes.Internal, "internal error; see the server's log", "INTERNAL")
}

func detailed(code codes.Code, text, reason string, more ...protoadapt.MessageV1) *status.Status {
	s := status.New(code, text)
	details := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: domain}}, more...)
	with, err := s.WithDetails(details...)
	if err != nil {
		return s
	}
	return with
}

func precondition(reason, about, remedy string) *errdetails.PreconditionFailure {
	return &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{
		Type: reason, Subject: about, Description: remedy,
	}}}
}

// inputStatus is the status of an error that is, or wraps, an inputError.
func inputStatus(err error, e *inputError) *status.Status {
	var act *actError
	if errors.As(err, &act) {
		for _, v := range e.violations {
			v.Field = act.path(v.GetField())
		}
	}
	return detailed(codes.InvalidArgument, e.Error(), e.reason, &errdetails.BadRequest{FieldViolations: e.violations})
}

func ruleViolations(e *protovalidate.ValidationError) *inputError {
	input := &inputError{reason: reasonMalformed}
	for _, v := range e.Violations {
		description := v.Proto.GetMessage()
		if v.Proto.GetRuleId() == "string.pattern" {
			description = patternHelp[v.RuleValue.String()]
		}
		input.violations = append(input.violations, &errdetails.BadRequest_FieldViolation{
			Field:       protovalidate.FieldPathString(v.Proto.GetField()),
			Description: description,
			Reason:      reasonMalformed,
		})
	}
	return input
}

func unknownNameInput(e *policy.UnknownNameError) *inputError {
	return invalid(e.Field, "UNKNOWN_"+e.Kind, "%v", e)
}

func catalogFaults(e *policy.InvalidCatalogError) *inputError {
	input := &inputError{reason: reasonInvalidCatalog}
	for _, fault := range e.Faults {
		input.violations = append(input.violations, &errdetails.BadRequest_FieldViolation{
			Field: "yaml", Description: fault, Reason: reasonInvalidCatalog,
		})
	}
	return input
}

func refusalStatus(err error, r *policy.Refusal) *status.Status {
	code := codes.FailedPrecondition
	if r.Code == policy.ActorNotAllowed {
		code = codes.PermissionDenied
	}
	return detailed(code, err.Error(), string(r.Code), precondition(string(r.Code), r.About, r.Remedy), remedyMessage(r))
}

func remedyMessage(r *policy.Refusal) *usherv1.Remedy {
	return &usherv1.Remedy{Kind: usherv1.RemedyKind(r.Kind), Texts: r.Remedies, Fields: r.Fields, FiledBy: r.FiledBy}
}

func conflictsStatus(e *conflictsError) *status.Status {
	failure := &errdetails.PreconditionFailure{}
	for _, c := range e.first {
		about := "tenant"
		switch {
		case c.GetAssignment() != nil:
			about = "subject/" + c.GetAssignment().GetSubject()
		case c.GetToggle() != "":
			about = "toggle/" + c.GetToggle()
		}
		failure.Violations = append(failure.Violations, &errdetails.PreconditionFailure_Violation{
			Type: "CATALOG_CONFLICTS", Subject: about, Description: c.GetText(),
		})
	}
	return detailed(codes.FailedPrecondition, e.Error(), "CATALOG_CONFLICTS", failure)
}

// notKeptError says that a moment lies outside of what is kept.
type notKeptError struct {
	what           string // that is not kept
	oldest, newest time.Time
}

func (e *notKeptError) Error() string {
	return fmt.Sprintf("%s: what is kept goes from %s to %s", e.what, e.oldest.UTC().Format(time.RFC3339Nano), e.newest.UTC().Format(time.RFC3339Nano))
}

// status carries the limits in the metadata of the ErrorInfo.
func (e *notKeptError) status() *status.Status {
	s := status.New(codes.OutOfRange, e.Error())
	with, err := s.WithDetails(&errdetails.ErrorInfo{Reason: "NOT_KEPT", Domain: domain, Metadata: map[string]string{
		"oldest": e.oldest.UTC().Format(time.RFC3339Nano), "newest": e.newest.UTC().Format(time.RFC3339Nano),
	}})
	if err != nil {
		return s
	}
	return with
}

// otherEpochError says that a revision is not of the epoch of the store.
type otherEpochError struct {
	field string
	epoch string // of the store
}

const otherEpochRemedy = "the data were restored or imported meanwhile, and revisions from before mean nothing now: read again, and use a revision of the new answers"

func (e *otherEpochError) Error() string {
	return fmt.Sprintf("%s: it is not a revision of the epoch %s: %s", e.field, e.epoch, otherEpochRemedy)
}

// endedError says why a stream was ended or not begun. It is no fault of the server.
type endedError struct {
	code         codes.Code
	reason, text string
}

func (e *endedError) Error() string { return e.text }

var (
	errStopping = &endedError{codes.Unavailable, "STOPPING", "the server is stopping: go on with another one, or try again"}
	errTooSlow  = &endedError{
		codes.ResourceExhausted, "TOO_SLOW",
		fmt.Sprintf("no message was taken for %s: go on after the last revision that was received, and read faster", slowAfter),
	}
	errTooManyWatchers = &endedError{
		codes.ResourceExhausted, "TOO_MANY_WATCHERS",
		fmt.Sprintf("there are %d watchers already: try again later, or watch through one connection for all who want to know", maxWatchers),
	}
)
