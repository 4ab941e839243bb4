package store

import "time"

// Contains reports whether the interval is in force at t.
func (i Interval) Contains(t time.Time) bool {
	return !i.startsAfter(t) && !i.Ended(t)
}

// Ended reports whether the interval is over at t.
func (i Interval) Ended(t time.Time) bool {
	return !i.End.IsZero() && !t.Before(i.End)
}

func (i Interval) startsAfter(t time.Time) bool {
	return !i.Start.IsZero() && t.Before(i.Start)
}

// Overlaps reports whether some instant lies in both intervals.
func (i Interval) Overlaps(j Interval) bool {
	return (i.End.IsZero() || j.Start.IsZero() || j.Start.Before(i.End)) &&
		(j.End.IsZero() || i.Start.IsZero() || i.Start.Before(j.End))
}

// CoversFrom reports whether every instant of j that is not before t lies in i.
func (i Interval) CoversFrom(t time.Time, j Interval) bool {
	if j.Ended(t) {
		return true
	}
	start := t
	if j.startsAfter(t) {
		start = j.Start
	}
	if i.startsAfter(start) {
		return false
	}
	return i.End.IsZero() || !j.End.IsZero() && !j.End.After(i.End)
}

// Equal reports whether both intervals have the same bounds.
func (i Interval) Equal(j Interval) bool {
	return i.Start.Equal(j.Start) && i.End.Equal(j.End)
}
