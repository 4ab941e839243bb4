package server

import (
	"fmt"
	"os"

	"github.com/usher-pdp/usher/store"
)

// spool makes a file for what is sent to clients in pieces, so that nothing is held open for one
// who reads slowly. It has no name, and is gone when it is closed.
func (s *Server) spool(pattern string) (*os.File, error) {
	file, err := os.CreateTemp(s.spoolDir, pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return file, nil
}
