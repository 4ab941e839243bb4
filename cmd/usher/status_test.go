package main

import (
	"errors"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func TestExplain(t *testing.T) {
	t.Setenv("LC_ALL", "de_AT.UTF-8")
	info := func(reason string) *errdetails.ErrorInfo {
		return &errdetails.ErrorInfo{Domain: "usher", Reason: reason}
	}
	violation := func(field, description string) *errdetails.BadRequest_FieldViolation {
		return &errdetails.BadRequest_FieldViolation{Field: field, Description: description}
	}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"one field", withDetails(codes.InvalidArgument, "role: is empty", info("MALFORMED_REQUEST"),
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation("role", "is empty")}}),
			"role: is empty\n  code: INVALID_ARGUMENT MALFORMED_REQUEST"},
		{"several fields", withDetails(codes.InvalidArgument, "role: is empty; tenant: is empty", info("MALFORMED_REQUEST"),
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
				violation("role", "is empty"), violation("tenant", "is empty")}}),
			"the server does not accept this:\nrole: is empty\ntenant: is empty\n  code: INVALID_ARGUMENT MALFORMED_REQUEST"},
		{"a fault with a place", withDetails(codes.InvalidArgument, "yaml: …", info("INVALID_CATALOG"),
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation("yaml", "a.yaml:1:2 bad\n  1 | x\n  1 | ^")}}),
			"a.yaml:1:2 bad\n  1 | x\n  1 | ^\n  code: INVALID_ARGUMENT INVALID_CATALOG"},
		{"a rule", withDetails(codes.FailedPrecondition, "she is the last: grant it first", info("LAST_HOLDER"),
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Description: "grant it first"}}}),
			"she is the last\n  remedy: grant it first\n  code: FAILED_PRECONDITION LAST_HOLDER"},
		{"a remedy in the language of the reader", withDetails(codes.FailedPrecondition, "she is the last: grant it first", info("LAST_HOLDER"),
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Description: "grant it first"}}},
			protoadapt.MessageV1Of(&usherv1.Remedy{Texts: map[string]string{"en": "grant it first", "de": "erst vergeben"}})),
			"she is the last\n  remedy: erst vergeben\n  code: FAILED_PRECONDITION LAST_HOLDER"},
		{"conflicts with another catalog", withDetails(codes.FailedPrecondition, "it would not allow this", info("CATALOG_CONFLICTS"),
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
				{Type: "CATALOG_CONFLICTS", Subject: "subject/user:a/b", Description: "there is no role"},
				{Type: "CATALOG_CONFLICTS", Subject: "toggle/x", Description: "it is locked"}}}),
			"it would not allow this\n  in the way: subject user:a/b: there is no role\n  in the way: toggle x: it is locked\n" +
				"  code: FAILED_PRECONDITION CATALOG_CONFLICTS"},
		{"the store fails", withDetails(codes.Unavailable, "the store is unavailable", info("STORE_UNAVAILABLE")),
			"the store is unavailable\n  code: UNAVAILABLE STORE_UNAVAILABLE"},
		{"no details", status.Error(codes.Internal, "boom"), "boom\n  code: INTERNAL"},
		{"another program", status.Error(codes.Unimplemented, "unknown service usher.v1.X"),
			"what answers at here:1 is not an Usher of this version: unknown service usher.v1.X"},
		{"no status", errors.New("plain"), "plain"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := client{address: "here:1"}
			if got := c.explain(test.err).Error(); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func withDetails(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}
