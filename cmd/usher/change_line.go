package main

import (
	"fmt"
	"strings"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// changeLine says a change in one line: when, at which revision, on whose behalf, what, why.
func changeLine(record *usherv1.ChangeRecord) string {
	by := "-"
	switch {
	case record.GetActor() != nil:
		by = record.GetActor().GetSubject()
	case record.GetOperator() != nil:
		by = "operator"
	}
	line := fmt.Sprintf("%s  %s  %s  %s", instant(record.GetTime()), record.GetRevision(), by, changeText(record))
	if record.GetJustification() != "" {
		line += ": " + record.GetJustification()
	}
	return line
}

func changeText(record *usherv1.ChangeRecord) string {
	a := record.GetAssignment()
	who := a.GetSubject()
	if who == "" {
		who = "somebody who was erased"
	}
	what := fmt.Sprintf("%s in %s", a.GetRole(), place(a.GetScope()))
	when := ""
	if limited := limits(a.GetStartsAt(), a.GetExpiresAt()); limited != "" {
		when = ", " + limited
	}
	switch record.GetKind() {
	case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET:
		if record.GetBefore() == nil {
			return fmt.Sprintf("granted %s %s%s", who, what, when)
		}
		return fmt.Sprintf("granted %s %s anew%s (was: %s)", who, what, when, intervalText(record.GetBefore()))
	case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_REMOVED:
		return fmt.Sprintf("revoked %s %s", who, what)
	case usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_CLEARED:
		return fmt.Sprintf("cleared away %s %s%s, which had ended", who, what, when)
	case usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET:
		text := fmt.Sprintf("switched %s %s", record.GetToggle(), word(record.GetState(), "TOGGLE_STATE_"))
		if record.GetStateBefore() != usherv1.ToggleState_TOGGLE_STATE_UNSPECIFIED {
			text += fmt.Sprintf(" (was: %s)", word(record.GetStateBefore(), "TOGGLE_STATE_"))
		}
		return text
	case usherv1.ChangeKind_CHANGE_KIND_TENANT_CREATED:
		return fmt.Sprintf("created the tenant on %s version %d", record.GetCatalog(), record.GetCatalogVersion())
	case usherv1.ChangeKind_CHANGE_KIND_TENANT_UPDATED:
		return fmt.Sprintf("moved the tenant to %s version %d", record.GetCatalog(), record.GetCatalogVersion())
	case usherv1.ChangeKind_CHANGE_KIND_TENANT_IMPORTED:
		return fmt.Sprintf("imported the tenant on %s version %d with %s and %s, from a file with SHA-256 %s", record.GetCatalog(), record.GetCatalogVersion(),
			count(int(record.GetImported().GetAssignments()), "assignment"), count(int(record.GetImported().GetToggles()), "toggle"), record.GetImported().GetSha256())
	case usherv1.ChangeKind_CHANGE_KIND_TENANT_DELETED:
		return "deleted the tenant"
	case usherv1.ChangeKind_CHANGE_KIND_PRIMARY_SET:
		if a == nil {
			return "left the tenant without a primary administrator"
		}
		return fmt.Sprintf("made %s the primary administrator", who)
	case usherv1.ChangeKind_CHANGE_KIND_SUBJECT_ERASED:
		return fmt.Sprintf("erased a person from %s", count(int(record.GetRecordCount()), "record")) // #nosec G115 -- a count of records
	case usherv1.ChangeKind_CHANGE_KIND_RECORD_TRIMMED:
		return fmt.Sprintf("stopped keeping %s", count(int(record.GetRecordCount()), "old record")) // #nosec G115 -- a count of records
	}
	return strings.ReplaceAll(kindWord(record.GetKind()), "_", " ")
}

func intervalText(i *usherv1.Interval) string {
	if text := limits(i.GetStartsAt(), i.GetExpiresAt()); text != "" {
		return text
	}
	return "without limits"
}
