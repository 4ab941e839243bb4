package bolt

import (
	"context"
	"fmt"
	"io"

	"github.com/usher-pdp/usher/store"
)

// Backup writes a copy of the file.
func (s *Store) Backup(ctx context.Context, to io.Writer) (store.Revision, error) {
	return store.Revision{}, fmt.Errorf("%w: backups are not there yet", store.ErrUnavailable)
}
