package server_test

import (
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
)

// TestRemedyKindsHaveTheNumbersOfTheAPI compares the kinds of package policy, which does not
// import the API, with those on the wire.
func TestRemedyKindsHaveTheNumbersOfTheAPI(t *testing.T) {
	kinds := map[usherv1.RemedyKind]policy.RemedyKind{
		usherv1.RemedyKind_REMEDY_KIND_ASK_SOMEBODY:        policy.AskSomebody,
		usherv1.RemedyKind_REMEDY_KIND_CORRECT_REQUEST:     policy.CorrectRequest,
		usherv1.RemedyKind_REMEDY_KIND_REVOKE_FIRST:        policy.RevokeFirst,
		usherv1.RemedyKind_REMEDY_KIND_GRANT_ANOTHER_FIRST: policy.GrantAnotherFirst,
		usherv1.RemedyKind_REMEDY_KIND_SUPPORT_REQUEST:     policy.FileRequest,
		usherv1.RemedyKind_REMEDY_KIND_INVITE_AGAIN:        policy.InviteAgain,
		usherv1.RemedyKind_REMEDY_KIND_NONE:                policy.NoRemedy,
	}
	for number, name := range usherv1.RemedyKind_name {
		if kind := kinds[usherv1.RemedyKind(number)]; int32(kind) != number {
			t.Errorf("%s is %d, and %d in package policy", name, number, kind)
		}
	}
}
