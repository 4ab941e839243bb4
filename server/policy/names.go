package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// UnknownNameError is returned for a name that the catalog does not have.
type UnknownNameError struct {
	// Field is the field of the request, such as "resource.type".
	Field string
	// Kind is what it should have been the name of: ROLE, ACTION, RESOURCE_TYPE,
	// TOGGLE or SCOPE_TYPE.
	Kind string
	// Name is the unknown name.
	Name string
	// Help is what to write instead: a name that is alike, or all there are.
	Help string
}

func (e *UnknownNameError) Error() string {
	return fmt.Sprintf("unknown %s %q: %s", strings.ToLower(strings.ReplaceAll(e.Kind, "_", " ")), e.Name, e.Help)
}

func unknownName(field, kind, name string, known []string) error {
	return &UnknownNameError{Field: field, Kind: kind, Name: name, Help: Suggest(name, known)}
}

// maxNamed is how many names a suggestion lists.
const maxNamed = 20

// Suggest returns what to write instead of a name that is not known: "did you mean …?" with the one that
// is most alike, or else the known names, which it sorts.
func Suggest(name string, known []string) string {
	if len(known) == 0 {
		return "the catalog has none"
	}
	slices.Sort(known)
	best, distance := "", len(name)/3+2
	for _, k := range known {
		if max(len(k)-len(name), len(name)-len(k)) >= distance {
			continue // at least so many bytes differ; names in catalogs may be very long
		}
		if d := levenshtein.ComputeDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	more := ""
	if len(known) > maxNamed {
		more = fmt.Sprintf(" and %d more", len(known)-maxNamed)
		known = known[:maxNamed]
	}
	return "there are " + strings.Join(known, ", ") + more
}
