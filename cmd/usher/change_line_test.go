package main

import (
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func TestWhoIsThePrimaryAdministratorNow(t *testing.T) {
	for _, test := range []struct {
		now  *usherv1.Assignment
		want string
	}{
		{&usherv1.Assignment{Subject: "user:ann"}, "made user:ann the primary administrator"},
		{&usherv1.Assignment{}, "made somebody who was erased the primary administrator"},
		{nil, "left the tenant without a primary administrator"},
	} {
		record := &usherv1.ChangeRecord{Kind: usherv1.ChangeKind_CHANGE_KIND_PRIMARY_SET, Assignment: test.now}
		if got := changeText(record); got != test.want {
			t.Errorf("%v: %q, want %q", test.now, got, test.want)
		}
	}
}
