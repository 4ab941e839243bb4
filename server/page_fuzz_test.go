package server_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// strangers is in every name that only the tenant "theirs" knows.
const strangers = "zzstranger"

// FuzzPageToken asks for pages of the lists of a tenant with tokens that were made of the tokens of
// one tenant or another: the beginning of one, which says what list it belongs to, and any place.
// There is nothing on such a page that the whole list does not have, so nothing of another tenant.
func FuzzPageToken(f *testing.F) {
	h := newHarness(f)
	for tenant, name := range map[string]string{"ours": "ann", "theirs": strangers} {
		if _, err := h.operator.CreateTenant(f.Context(), &usherv1.CreateTenantRequest{
			Tenant: tenant, Catalog: "goto_contact_center", FirstAdministrator: "user:root",
		}); err != nil {
			f.Fatal(err)
		}
		for i := range 4 {
			if _, err := h.admin.Grant(f.Context(), &usherv1.GrantRequest{
				Tenant: tenant, Subject: fmt.Sprintf("user:%s%d", name, i), Role: "agent", Scope: fmt.Sprintf("queue:%s%d", name, i%2),
				By: asOperator, Justification: name,
			}); err != nil {
				f.Fatal(err)
			}
		}
	}
	h.clock.Set(testTime.Add(time.Hour))
	ours, theirs := tokenLists("ours"), tokenLists("theirs")
	var beginnings []string // of tokens, by list; those of theirs behind ours
	var whole []map[string]bool
	for _, lists := range [][]proto.Message{ours, theirs} {
		for i, request := range lists {
			rows, token := h.pageOf(f, request, "", 1)
			if token == "" || len(rows) == 0 {
				f.Fatalf("%v has no second page", request)
			}
			raw, err := base64.RawURLEncoding.DecodeString(token)
			if err != nil {
				f.Fatal(err)
			}
			beginnings = append(beginnings, string(raw[:8]))
			for from := range 2 * len(lists) {
				f.Add(uint8(i), uint8(from), raw[8:])
			}
			all := map[string]bool{}
			for token := ""; ; {
				if rows, token = h.pageOf(f, request, token, 0); token == "" && len(rows) == 0 {
					f.Fatalf("%v has an empty page", request)
				}
				for _, row := range rows {
					all[row] = true
				}
				if token == "" {
					break
				}
			}
			whole = append(whole, all)
		}
	}
	for _, place := range []string{"", "\x00", "\x00\x00", "user:" + strangers + "1\x00agent\x00queue:" + strangers, "true\x001\x000", "18446744073709551615\x00", "2\x00"} {
		for i := range ours {
			f.Add(uint8(i), uint8(i), []byte(place))
		}
	}
	f.Fuzz(func(t *testing.T, list, from uint8, place []byte) {
		i, j := int(list)%len(ours), int(from)%len(beginnings)
		token := base64.RawURLEncoding.EncodeToString(append([]byte(beginnings[j]), place...))
		response, err := callWithToken(t, h, ours[i], token, 0)
		switch status.Code(err) {
		case codes.OK:
		case codes.InvalidArgument, codes.Aborted:
			return
		default:
			t.Fatalf("%v with the place %q is answered with %v", ours[i], place, err)
		}
		if beginnings[i] != beginnings[j] {
			t.Errorf("%v is answered with the token of another list", ours[i])
		}
		if operators := usherv1.File_usher_v1_operator_service_proto; ours[i].ProtoReflect().Descriptor().ParentFile() != operators &&
			bytes.Contains(marshalled(t, response), []byte(strangers)) {
			t.Errorf("%v with the place %q shows another tenant: %v", ours[i], place, response)
		}
		for _, row := range rowsOf(t, response) {
			if !whole[i][row] {
				t.Errorf("%v with the place %q has a row that the list does not have: %q", ours[i], place, row)
			}
		}
	})
}

// tokenLists are requests for all kinds of lists.
func tokenLists(tenant string) []proto.Message {
	actor := &usherv1.PreviewChangeRequest_Operator{Operator: &usherv1.Operator{}}
	return []proto.Message{
		&usherv1.ListAssignmentsRequest{Tenant: tenant},
		&usherv1.ListAssignmentsRequest{Tenant: tenant, Role: "agent"},
		&usherv1.ListAssignmentsRequest{Tenant: tenant, AsOf: &usherv1.AsOf{Moment: &usherv1.AsOf_Time{Time: timestamp(testTime.Add(time.Minute))}}},
		&usherv1.ListChangesRequest{Tenant: tenant},
		&usherv1.ListSubjectsRequest{Tenant: tenant, Action: "login", Resource: &usherv1.Resource{Type: "queue", Scopes: []string{"queue:ann1", "queue:" + strangers + "1"}}},
		&usherv1.PreviewChangeRequest{Tenant: tenant, Acts: []*usherv1.Act{actGrant("user:eve", "agent", "queue:a"), actGrant("user:eva", "agent", "queue:a")}, By: actor},
		&usherv1.ListTenantsRequest{},
		&usherv1.ListHeadsRequest{},
		&usherv1.ListCatalogsRequest{},
	}
}

// callWithToken asks for the page of a list after a token.
func callWithToken(t testing.TB, h *harness, request proto.Message, token string, size int32) (proto.Message, error) {
	t.Helper()
	request = proto.Clone(request)
	m := request.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName("page_token"), protoreflect.ValueOfString(token))
	m.Set(m.Descriptor().Fields().ByName("page_size"), protoreflect.ValueOfInt32(size))
	return badRPCs(t)[m.Descriptor().FullName()].call(t.Context(), h.conn, request)
}

// pageOf is the page of a list after a token: its rows, and the token of the next.
func (h *harness) pageOf(t testing.TB, request proto.Message, token string, size int32) (rows []string, next string) {
	t.Helper()
	response, err := callWithToken(t, h, request, token, size)
	if err != nil {
		t.Fatal(err)
	}
	m := response.ProtoReflect()
	return rowsOf(t, response), m.Get(m.Descriptor().Fields().ByName("next_page_token")).String()
}

// rowsOf is what lists of a response have in them.
func rowsOf(t testing.TB, response proto.Message) (rows []string) {
	t.Helper()
	for field, value := range response.ProtoReflect().Range {
		for i := 0; field.IsList() && i < value.List().Len(); i++ {
			if row := value.List().Get(i); field.Message() != nil {
				rows = append(rows, string(marshalled(t, row.Message().Interface())))
			} else {
				rows = append(rows, row.String())
			}
		}
	}
	return rows
}
