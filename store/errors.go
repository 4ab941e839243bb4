package store

import "errors"

// Errors when reading.
var (
	// ErrNotFound is returned when there is nothing of that name.
	ErrNotFound = errors.New("not found")
	// ErrCorrupt is returned when what is stored can't be what was written: a
	// checksum is wrong, a record doesn't parse, the file is cut off. The text
	// says what and where.
	ErrCorrupt = errors.New("stored data is damaged")
)

// Errors when opening and writing.
var (
	// ErrUnavailable is returned when the store can't be written or read now: it
	// is closed, or the disk is full or fails. The text says which.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrRequestReused is returned for a write whose RequestID was used for another one.
	ErrRequestReused = errors.New("the request id was used for another request")
	// ErrInUse is returned on opening a store that another process has open.
	ErrInUse = errors.New("store is in use by another process")
	// ErrForeign is returned on opening something that is not a store of Usher.
	ErrForeign = errors.New("not a store of Usher")
	// ErrNewerFormat is returned on opening a store that a newer version of Usher
	// has written.
	ErrNewerFormat = errors.New("store was written by a newer version of Usher")
)
