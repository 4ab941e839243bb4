package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/usher-pdp/usher/store/bolt"
	"github.com/usher-pdp/usher/store/storetest/installation"
)

// seed makes every run about the same installations and questions.
const seed = 1

// files keeps stores that are filled with made-up installations, from run to run.
type files struct {
	dir  string
	lock *os.File // kept open
	made map[int]*installation.Installation
}

// openFiles waits until no other run uses the directory, and removes what one that was
// killed has left there. The lock ends with the process.
func openFiles(dir string) (*files, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		fmt.Fprintln(os.Stderr, "waiting for another run to end")
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			return nil, err
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "run-*"))
	if err != nil {
		return nil, err
	}
	for _, run := range left {
		if err := os.RemoveAll(run); err != nil {
			return nil, err
		}
	}
	return &files{dir: dir, lock: lock, made: make(map[int]*installation.Installation)}, nil
}

// installation returns the one with about so many assignments.
func (f *files) installation(assignments int) *installation.Installation {
	in := f.made[assignments]
	if in == nil {
		in = installation.New(seed, assignments)
		f.made[assignments] = in
	}
	return in
}

// directory returns the directory of a store with that installation, which is in the page
// cache. It is for reading: to write, take a copy.
func (f *files) directory(ctx context.Context, assignments int, say func(string)) (string, error) {
	file, err := f.filled(ctx, assignments, say)
	if err != nil {
		return "", err
	}
	say("reading " + file)
	return filepath.Dir(file), readThrough(file)
}

// copyTo puts a store with that installation into the directory, on disk and in the page
// cache.
func (f *files) copyTo(ctx context.Context, dir string, assignments int, say func(string)) error {
	source, err := f.filled(ctx, assignments, say)
	if err != nil {
		return err
	}
	say("copying " + source)
	copied := filepath.Join(dir, filepath.Base(source))
	if out, err := exec.CommandContext(ctx, "cp", "--reflink=auto", source, copied).CombinedOutput(); err != nil {
		return fmt.Errorf("copying %s: %w\n%s", source, err, out)
	}
	file, err := os.Open(copied)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	return readThrough(copied)
}

// readThrough gets a file into the page cache.
func readThrough(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	for buffer := make([]byte, 1<<20); err == nil; {
		_, err = file.Read(buffer)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// filled returns the file of a store with that installation. It gets its name when it is
// whole.
func (f *files) filled(ctx context.Context, assignments int, say func(string)) (string, error) {
	dir := filepath.Join(f.dir, fmt.Sprintf("installation-%d-seed-%d", assignments, seed))
	file := filepath.Join(dir, "usher.db")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	unfinished := dir + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	st, err := bolt.Open(filepath.Join(unfinished, "usher.db"), bolt.Options{})
	if err != nil {
		return "", err
	}
	err = f.installation(assignments).Fill(ctx, st, func(done, total int) {
		say(fmt.Sprintf("filling a store: %d of %d assignments", done, total))
	})
	if err := errors.Join(err, st.Close()); err != nil {
		return "", err
	}
	return file, os.Rename(unfinished, dir)
}
