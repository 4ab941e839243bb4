package main

import (
	"fmt"
	"os"

	"github.com/usher-pdp/usher/store"
	"github.com/usher-pdp/usher/store/bolt"
)

// openStore opens the store in the directory of the data, which it makes for the demo only.
func (s *settings) openStore(observer store.Observer) (store.Store, error) {
	if s.demo {
		if err := os.MkdirAll(s.dataDir, 0o700); err != nil {
			return nil, fmt.Errorf("--data-dir: %w", err)
		}
	}
	return bolt.Open(s.file(), bolt.Options{Observer: observer})
}
