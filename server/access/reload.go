package access

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// maxFile is how long a file may be: 4 MiB.
const maxFile = 4 << 20

// Reloaded is what some files say, taken together. It follows them: Reload, which is meant to be
// called every few seconds, looks whether they have changed. A new content that can't be used leaves
// what was there before.
type Reloaded[T any] struct {
	name  string // what the files are, for metrics: access, tokens or certificate
	paths []string
	parse func(contents [][]byte) (T, error)

	current atomic.Pointer[T]
	reloads atomic.Uint64 // how often current was replaced
	mu      sync.Mutex    // held by Reload
	seen    [][]byte      // what was read last, right or wrong
	fault   error         // what was wrong with it
}

// Load reads the files. A file that is missing, can't be read or is wrong is an error here. The name says in
// metrics what they are, such as "access".
func Load[T any](name string, parse func(contents [][]byte) (T, error), paths ...string) (*Reloaded[T], error) {
	r := &Reloaded[T]{name: name, paths: paths, parse: parse}
	if _, err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Current is the newest content that was right.
func (r *Reloaded[T]) Current() *T { return r.current.Load() }

// Reload reads the files again, and returns whether there is a new Current. The error is what is wrong
// with the files as they are now; it stays until they change.
func (r *Reloaded[T]) Reload() (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	contents := make([][]byte, len(r.paths))
	same := r.seen != nil
	for i, path := range r.paths {
		if contents[i], err = ReadFile(path); err != nil {
			r.seen, r.fault = nil, err
			return false, err
		}
		same = same && bytes.Equal(contents[i], r.seen[i])
	}
	if same {
		return false, r.fault
	}
	r.seen = contents
	parsed, err := r.parse(contents)
	if r.fault = err; err != nil {
		return false, err
	}
	if r.current.Swap(&parsed) != nil {
		r.reloads.Add(1)
	}
	return true, nil
}

// refused is whether the files were wrong when they were read last.
func (r *Reloaded[T]) refused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fault != nil
}

// ReadFile reads a file that says who may do what, of at most 4 MiB: one that everybody may write to is refused.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o002 != 0:
		return nil, fmt.Errorf("everybody may write to %s: chmod o-w %[1]s", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes, and %d are allowed", path, info.Size(), maxFile)
	}
	return os.ReadFile(path) // #nosec G304 -- the file that the settings name
}
