package server

import (
	"encoding/hex"

	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// kindOf tells what kind of change a record is about. What is no change of a tenant has none.
func kindOf(c store.Change) usherv1.ChangeKind {
	switch c := c.(type) {
	case store.SetAssignment:
		return usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_SET
	case store.RemoveAssignment:
		if c.Cleared {
			return usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_CLEARED
		}
		return usherv1.ChangeKind_CHANGE_KIND_ASSIGNMENT_REMOVED
	case store.SetToggle:
		return usherv1.ChangeKind_CHANGE_KIND_TOGGLE_SET
	case store.CreateTenant:
		return usherv1.ChangeKind_CHANGE_KIND_TENANT_CREATED
	case store.ImportTenant:
		return usherv1.ChangeKind_CHANGE_KIND_TENANT_IMPORTED
	case store.UpdateTenant:
		return usherv1.ChangeKind_CHANGE_KIND_TENANT_UPDATED
	case store.DeleteTenant:
		return usherv1.ChangeKind_CHANGE_KIND_TENANT_DELETED
	case store.SetPrimary:
		return usherv1.ChangeKind_CHANGE_KIND_PRIMARY_SET
	case store.EraseSubject:
		return usherv1.ChangeKind_CHANGE_KIND_SUBJECT_ERASED
	case store.TrimChanges:
		return usherv1.ChangeKind_CHANGE_KIND_RECORD_TRIMMED
	}
	return usherv1.ChangeKind_CHANGE_KIND_UNSPECIFIED
}

func changeMessage(c store.ChangeRecord) *usherv1.ChangeRecord {
	m := &usherv1.ChangeRecord{
		Revision:      c.Revision.String(),
		Position:      c.Index,
		Time:          timestamppb.New(c.Time),
		Kind:          kindOf(c.Change),
		Justification: c.Justification,
		Caller:        c.By.Caller,
	}
	switch {
	case c.By.Operator:
		m.By = &usherv1.ChangeRecord_Operator{Operator: &usherv1.Operator{}}
	case c.By.Subject != "":
		m.By = &usherv1.ChangeRecord_Actor{Actor: &usherv1.Actor{Subject: c.By.Subject, Groups: c.By.Groups}}
	}
	switch change := c.Change.(type) {
	case store.SetAssignment:
		m.Assignment = assignmentMessage(change.Assignment, c.Time)
	case store.RemoveAssignment:
		removed := store.Assignment{AssignmentKey: change.Key}
		if c.Before != nil {
			removed.Interval = *c.Before
		}
		m.Assignment = assignmentMessage(removed, c.Time)
	case store.SetPrimary:
		if change.Subject != "" || c.Erased {
			m.Assignment = &usherv1.Assignment{Subject: change.Subject}
		}
	case store.SetToggle:
		m.Toggle, m.State = change.Toggle, toggleState(change.On)
		if c.ToggleBefore != nil {
			m.StateBefore = toggleState(*c.ToggleBefore)
		}
	case store.CreateTenant:
		m.Catalog, m.CatalogVersion = change.Catalog.Name, change.Catalog.Version
	case store.ImportTenant:
		m.Catalog, m.CatalogVersion = change.Catalog.Name, change.Catalog.Version
		m.Imported = &usherv1.Imported{
			Sha256: hex.EncodeToString(change.FileDigest[:]), Assignments: int64(change.Assignments), Toggles: int64(change.Toggles), // #nosec G115 -- counts of assignments
		}
	case store.UpdateTenant:
		m.Catalog, m.CatalogVersion = change.Catalog.Name, change.Catalog.Version
	case store.EraseSubject:
		m.RecordCount = change.Count
	case store.TrimChanges:
		m.RecordCount = change.UpTo.Length
	}
	if c.Before != nil {
		m.Before = &usherv1.Interval{StartsAt: timestampMessage(c.Before.Start), ExpiresAt: timestampMessage(c.Before.End)}
	}
	return m
}
