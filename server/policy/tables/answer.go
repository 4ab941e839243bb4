package tables

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/usher-pdp/usher/server/policy"
)

// Answer is what came of a question or of an act.
type Answer struct {
	// Words are the answer as tables write it: "allow advisor", "changed" …
	Words string
	// Holder and Scope are those of a check's reason, and ToggleOn how its toggle stands.
	Holder, Scope string
	ToggleOn      bool
	// Recheck is when to ask again; zero: never.
	Recheck time.Time
	// Warnings are the codes of what an act is warned of, with commas.
	Warnings string
	// Remedy is what a refusal says to do instead.
	Remedy string
	// Why is what an error says, for people.
	Why string
}

// codes are the codes of reasons as tables write them.
var codes = map[policy.Code]string{
	policy.Granted:             AllowWord,
	policy.Forbidden:           "FORBIDDEN",
	policy.Toggled:             "TOGGLE",
	policy.ConditionNotMet:     "CONDITION_NOT_MET",
	policy.MissingAttribute:    "MISSING_ATTRIBUTE",
	policy.OutOfScope:          "OUT_OF_SCOPE",
	policy.NotOwner:            "NOT_OWNER",
	policy.NotActive:           "NOT_ACTIVE",
	policy.RoleLacksPermission: "ROLE_LACKS_PERMISSION",
	policy.NoRole:              "NO_ROLE",
}

// warnings are the codes of warnings.
var warnings = []policy.WarningCode{policy.ManyHolders, policy.NoPrimaryAdministrator}

// wordsOf is how many words an answer has that begins with that word; 0: no answer does.
func wordsOf(first string) int {
	for code, word := range codes {
		if word != first {
			continue
		}
		switch code {
		case policy.NoRole:
			return 1
		case policy.Toggled, policy.MissingAttribute:
			return 3
		}
		return 2
	}
	return 0
}

// AnswerOf is the answer that a decision is.
func AnswerOf(r policy.Reason, recheckBy time.Time) Answer {
	words := codes[r.Code]
	for _, word := range []string{r.Role, r.Toggle, r.Attribute} {
		if word != "" {
			words += " " + word
		}
	}
	return Answer{Words: words, Holder: r.Holder, Scope: r.Scope, ToggleOn: r.ToggleOn, Recheck: recheckBy.UTC()}
}

// String is what failures show.
func (a Answer) String() string {
	text := a.Words
	switch {
	case a.Why != "":
		text += " (" + a.Why + ")"
	case a.Holder != "":
		where := a.Scope
		if where == "" {
			where = "the tenant"
		}
		text += fmt.Sprintf(" (held by %s in %s)", a.Holder, where)
	case a.Warnings != "":
		text += " with the warning " + a.Warnings
	}
	return text
}

// Judge says what the case wants instead of an answer, or "" if it is right.
func (q Question) Judge(a Answer) string {
	if a.Words != q.Answer {
		return q.Answer
	}
	if a.Holder != "" {
		holder := q.Asker
		if q.Through != "" {
			holder = q.Through
		}
		if a.Holder != holder {
			return fmt.Sprintf("%s held by %s", q.Answer, holder)
		}
	} else if q.Through != "" {
		return fmt.Sprintf("%s held by %s", q.Answer, q.Through)
	}
	if q.At != "" && a.Scope != strings.TrimPrefix(q.At, tenantWord) {
		return fmt.Sprintf("%s held in %s", q.Answer, q.At)
	}
	if !q.Recheck.IsZero() && !a.Recheck.Equal(q.Recheck.Time) {
		return fmt.Sprintf("%s, to be asked again at %s", q.Answer, q.Recheck.Format(time.RFC3339))
	}
	return ""
}

// Judge says what the case wants instead of an answer, or "" if it is right. It is given
// what there was before the act, and what there is after it.
func (a Act) Judge(got Answer, before, after Facts) string {
	if got.Words != a.Answer {
		return a.Answer
	}
	if !strings.Contains(got.Remedy, a.Remedy) {
		return fmt.Sprintf("%s with %q in the remedy, which is %q", a.Answer, a.Remedy, got.Remedy)
	}
	switch wanted := joined(a.Warns); {
	case wanted == got.Warnings:
	case wanted == "":
		return a.Answer + " without a warning"
	default:
		return fmt.Sprintf("%s with the warning %s", a.Answer, wanted)
	}
	want := before
	if a.Answer == ChangedWord {
		want = a.applied(before)
	}
	if wrong := want.Difference(after); wrong != "" {
		return fmt.Sprintf("%s and no other change than it says; there is %s", a.Answer, wrong)
	}
	return ""
}

// joined writes codes of warnings, in whatever order they are, as an Answer has them.
func joined(codes []string) string {
	return strings.Join(slices.Sorted(slices.Values(codes)), ", ")
}
