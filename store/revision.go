package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Revision names a state of a store: its epoch, and the number of the last change.
// Numbers grow with every commit; states of different epochs can't be compared,
// because a restored or imported store starts a new epoch.
//
// A number is the time of its commit in nanoseconds since 1970, or the number before plus
// one, if that is more: the time of commits never goes back, also if the clock does. Stores
// have counted from 1 before; those numbers are far below all times. Over the wire a
// revision is opaque, and clients do not rely on any of this.
type Revision struct {
	Epoch  string
	Number uint64
}

// String returns the form that goes over the wire, to be read back by
// ParseRevision only.
func (r Revision) String() string {
	return r.Epoch + "." + strconv.FormatUint(r.Number, 10)
}

// ParseRevision reads what String wrote.
func ParseRevision(s string) (Revision, error) {
	epoch, number, found := strings.Cut(s, ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if !found || epoch == "" || err != nil {
		return Revision{}, fmt.Errorf("revision %q: %w", s, ErrMalformedRevision)
	}
	r := Revision{Epoch: epoch, Number: n}
	if r.String() != s {
		return Revision{}, fmt.Errorf("revision %q: %w", s, ErrMalformedRevision)
	}
	return r, nil
}

// ErrMalformedRevision is returned by ParseRevision for what String never writes.
var ErrMalformedRevision = errors.New("not a revision: use one that an answer carried")
