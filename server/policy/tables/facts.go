package tables

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// Facts are all that acts can change in a tenant.
type Facts struct {
	// Held are the assignments, those that have ended included.
	Held map[store.AssignmentKey]store.Interval
	// Toggles are how all toggles of the catalog stand.
	Toggles map[string]bool
	// Primary is the primary administrator, if there is one.
	Primary string
}

// applied returns the facts after the act has done what it says.
func (a Act) applied(to Facts) Facts {
	f := Facts{Held: maps.Clone(to.Held), Toggles: maps.Clone(to.Toggles), Primary: to.Primary}
	lose := func(role string) {
		maps.DeleteFunc(f.Held, func(key store.AssignmentKey, i store.Interval) bool {
			ended := store.Assignment{AssignmentKey: key, Interval: i}.Ended(Now)
			return key.Subject == a.Subject && (role == "" || key.Role == role) && !ended
		})
	}
	key := store.AssignmentKey{Subject: a.Subject, Role: a.What, Scope: a.Scope}
	if slices.Contains(a.Warns, string(policy.NoPrimaryAdministrator)) {
		f.Primary = ""
	}
	switch {
	case len(a.Primary) > 0:
		f.Primary = a.Subject
	case len(a.Change) > 0:
		lose(a.What)
		for _, scope := range a.In.orNone() {
			f.Held[store.AssignmentKey{Subject: a.Subject, Role: a.NewRole, Scope: scope}] = a.Interval()
		}
	case len(a.Remove) > 0:
		lose("")
	case len(a.Grant) > 0:
		f.Held[key] = a.Interval()
	case a.Everywhere:
		lose(a.What)
	case len(a.Revoke) > 0:
		delete(f.Held, key)
	default:
		f.Toggles[a.What] = len(a.TurnOn) > 0
	}
	return f
}

// Difference says what other facts have (+) and lack (-); "" if they are the same.
func (f Facts) Difference(other Facts) string {
	var found []string
	for key, interval := range other.Held {
		if was, there := f.Held[key]; !there || !was.Equal(interval) {
			found = append(found, "+"+describe(key, interval))
		}
	}
	for key, interval := range f.Held {
		if is, there := other.Held[key]; !there || !is.Equal(interval) {
			found = append(found, "-"+describe(key, interval))
		}
	}
	for toggle, on := range other.Toggles {
		if f.Toggles[toggle] != on {
			found = append(found, fmt.Sprintf("+%s is on: %t", toggle, on))
		}
	}
	if f.Primary != other.Primary {
		found = append(found, "+"+cmp.Or(other.Primary, "nobody")+" is the primary administrator")
	}
	slices.Sort(found)
	return strings.Join(found, ", ")
}

func describe(key store.AssignmentKey, i store.Interval) string {
	text := fmt.Sprintf("%s is %s", key.Subject, key.Role)
	if key.Scope != "" {
		text += " in " + key.Scope
	}
	if !i.Start.IsZero() {
		text += " from " + i.Start.UTC().String()
	}
	if !i.End.IsZero() {
		text += " until " + i.End.UTC().String()
	}
	return text
}
