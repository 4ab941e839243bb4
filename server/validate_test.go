package server

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// FuzzCheckValidation compares the hand-written checks of the fast calls with the rules
// in the proto: both accept, or both refuse and the field that the checks name is one
// that the rules name.
func FuzzCheckValidation(f *testing.F) {
	long := strings.Repeat("x", 300)
	for _, s := range []string{
		"", "a", "user:ann", "group:g", "user:", ":x", "user:a\x00", "user:a\u0085", "user:é", "User:a", "u-x:a",
		"user:a:b", "1a:b", "_a:b", "user:" + long, long, strings.Repeat("a", 64), strings.Repeat("a", 65),
		strings.Repeat("a", 64) + ":" + strings.Repeat("b", 191), strings.Repeat("T", 128), strings.Repeat("T", 129), "-t", "a.b-c_D",
		"user: x ", "user:\u2028", "user:\u200b",
	} {
		f.Add(s, "user:ann", "group:a", "view", "ticket", "7", "team:a", "", uint8(1))
		f.Add("tenant", s, "group:a", "view", "ticket", "7", "team:a", "user:bob", uint8(2))
		f.Add("tenant", "user:ann", s, "view", "ticket", "7", "team:a", "", uint8(1))
		f.Add("tenant", "user:ann", "group:a", s, "ticket", "7", "team:a", "", uint8(1))
		f.Add("tenant", "user:ann", "group:a", "view", s, "7", "team:a", "", uint8(1))
		f.Add("tenant", "user:ann", "group:a", "view", "ticket", s, "team:a", "", uint8(1))
		f.Add("tenant", "user:ann", "group:a", "view", "ticket", "7", s, "", uint8(1))
		f.Add("tenant", "user:ann", "group:a", "view", "ticket", "7", "team:a", s, uint8(1))
	}
	f.Add("tenant", "user:ann", "group:a", "view", "ticket", "7", "team:a", "", uint8(100))
	f.Add("tenant", "user:ann", "group:a", "view", "ticket", "7", "team:a", "", uint8(101))
	f.Add("tenant", "user:ann", "group:a", "view", "ticket", "7", "team:a", "", uint8(255))
	f.Fuzz(func(t *testing.T, tenant, subject, group, action, resourceType, id, scope, owner string, n uint8) {
		for _, s := range []string{tenant, subject, group, action, resourceType, id, scope, owner} {
			if !utf8.ValidString(s) {
				return // no protobuf message carries it
			}
		}
		resource := &usherv1.Resource{Type: resourceType, Id: id, Owner: owner, Attributes: &structpb.Struct{Fields: map[string]*structpb.Value{}}}
		var groups []string
		for i := range int(n % 128) {
			groups = append(groups, group)
			resource.Scopes = append(resource.Scopes, scope)
			resource.Attributes.Fields[strings.Repeat("a", i)] = structpb.NewNullValue()
		}
		if n >= 128 {
			resource = nil
		}
		check := &usherv1.CheckRequest{Tenant: tenant, Subject: subject, Groups: groups, Action: action, Resource: resource}
		compareWithRules(t, checkCheck(check), check)

		batch := &usherv1.BatchCheckRequest{
			Tenant: tenant, Subject: subject, Groups: groups, Detail: usherv1.Detail(n % 4),
			Items: make([]*usherv1.BatchCheckItem, int(n)*8),
		}
		for i := range batch.Items {
			batch.Items[i] = &usherv1.BatchCheckItem{}
		}
		compareWithRules(t, checkBatch(batch), batch)

		if n >= 128 || len(groups) == 0 {
			return
		}
		item := &usherv1.BatchCheckItem{Subject: check.Subject, Groups: groups, Actions: []string{action}, Resource: resource}
		if check.Subject != "" {
			check.Tenant = "tenant"
			compareWithRules(t, checkItem(&usherv1.BatchCheckRequest{}, item), check, "actions[0]")
		}
	})
}

// compareWithRules compares the outcome of a hand-written check with the rules of a
// message. A field in also is taken for the rules' `action`.
func compareWithRules(t *testing.T, got error, message proto.Message, also ...string) {
	t.Helper()
	var rules *protovalidate.ValidationError
	err := protovalidate.Validate(message)
	if err != nil && !errors.As(err, &rules) {
		t.Fatal(err)
	}
	if (got == nil) != (err == nil) {
		t.Fatalf("by hand: %v; by the rules: %v; message: %v", got, err, message)
	}
	if got == nil {
		return
	}
	var fields []string
	for _, v := range rules.Violations {
		field := protovalidate.FieldPathString(v.Proto.GetField())
		if field == "action" {
			fields = append(fields, also...)
		}
		fields = append(fields, field)
	}
	var input *inputError
	if slices.Contains(fields, "") {
		return // a rule about several fields names none
	}
	if !errors.As(got, &input) || !slices.Contains(fields, input.violations[0].GetField()) {
		t.Fatalf("by hand: %v; the rules name %v", got, fields)
	}
}

// TestPatternsHaveHelp looks for a pattern in the rules of a request that the errors could
// not put into words.
func TestPatternsHaveHelp(t *testing.T) {
	found := 0
	for i := range usherv1.File_usher_v1_types_proto.Messages().Len() {
		found += checkPatterns(t, usherv1.File_usher_v1_types_proto.Messages().Get(i))
	}
	for _, m := range validated {
		found += checkPatterns(t, m.ProtoReflect().Descriptor())
	}
	if found < 20 {
		t.Errorf("found %d patterns only", found)
	}
}

func checkPatterns(t *testing.T, message protoreflect.MessageDescriptor) int {
	t.Helper()
	found := 0
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
		for _, pattern := range []string{rules.GetString().GetPattern(), rules.GetRepeated().GetItems().GetString().GetPattern()} {
			if pattern == "" {
				continue
			}
			found++
			if patternHelp[pattern] == "" {
				t.Errorf("%s: no help for the pattern %s", field.FullName(), pattern)
			}
		}
	}
	return found
}
