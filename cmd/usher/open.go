package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// openStore opens the store in the directory of the data. A directory that is missing is
// not made, except for the demo: an empty store denies everything, and on most days that
// would be a slip of the pen or a disk that isn't mounted.
func (s *settings) openStore(observer store.Observer) (store.Store, error) {
	if s.demo {
		if err := os.MkdirAll(s.dataDir, 0o700); err != nil {
			return nil, fmt.Errorf("--data-dir: %w", err)
		}
	}
	info, err := os.Stat(s.dataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the directory %s is not there\n"+
			"  If it should be, check what --data-dir says and whether the disk is mounted;\n"+
			"  to start without data, make it: mkdir -p %[1]s", s.dataDir)
	case err != nil:
		return nil, fmt.Errorf("--data-dir: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("--data-dir %s is a file: name the directory that it is in", s.dataDir)
	}
	return bolt.Open(s.file(), bolt.Options{Observer: observer})
}
