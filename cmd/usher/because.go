package main

import (
	"fmt"
	"strings"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// because puts the reason of a decision into a sentence.
func because(req *usherv1.CheckRequest, reason *usherv1.Reason) string {
	role := fmt.Sprintf("role %s (held by %s in %s)", reason.GetRole(), reason.GetHolder(), place(reason.GetScope()))
	permission := req.GetResource().GetType() + ":" + req.GetAction()
	resource := "this " + strings.ReplaceAll(req.GetResource().GetType(), "_", " ")
	switch reason.GetCode() {
	case usherv1.ReasonCode_REASON_CODE_GRANTED:
		return fmt.Sprintf("%s allows %s", role, permission)
	case usherv1.ReasonCode_REASON_CODE_FORBIDDEN:
		return fmt.Sprintf("%s forbids %s", role, permission)
	case usherv1.ReasonCode_REASON_CODE_TOGGLE:
		state := word(reason.GetToggleState(), "TOGGLE_STATE_")
		return fmt.Sprintf("%s would allow it, but toggle %s is %s", role, reason.GetToggle(), state)
	case usherv1.ReasonCode_REASON_CODE_CONDITION_NOT_MET:
		return fmt.Sprintf("%s reaches %s, but its condition is not met", role, resource)
	case usherv1.ReasonCode_REASON_CODE_MISSING_ATTRIBUTE:
		return fmt.Sprintf("%s needs attribute %s, which is missing or of the wrong type (--attr %[2]s=…)",
			role, reason.GetAttribute())
	case usherv1.ReasonCode_REASON_CODE_OUT_OF_SCOPE:
		return fmt.Sprintf("%s does not reach %s", role, resource)
	case usherv1.ReasonCode_REASON_CODE_NOT_OWNER:
		return fmt.Sprintf("%s reaches own resources only, and %s is not the owner of %s", role, req.GetSubject(), resource)
	case usherv1.ReasonCode_REASON_CODE_NOT_ACTIVE:
		return fmt.Sprintf("%s has not started or has ended", role)
	case usherv1.ReasonCode_REASON_CODE_ROLE_LACKS_PERMISSION:
		return fmt.Sprintf("%s says nothing about %s", role, permission)
	case usherv1.ReasonCode_REASON_CODE_NO_ROLE:
		return fmt.Sprintf("%s holds no role", req.GetSubject())
	}
	return "the server gives a reason that this client does not know"
}
