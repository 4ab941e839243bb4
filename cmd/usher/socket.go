package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// listenUnix listens on a socket file with that mode. It replaces the file that a killed
// server has left behind, and nothing else.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	// By the mask and not by a chmod after: in between, anybody could connect.
	mask := syscall.Umask(0o777 &^ int(mode))
	l, err := net.Listen("unix", path)
	syscall.Umask(mask)
	switch {
	case errors.Is(err, syscall.EINVAL):
		return nil, usagef("--unix-socket %s: the path is too long for a socket (about 100 bytes)", path)
	case err != nil:
		return nil, fmt.Errorf("--unix-socket %s: %w", path, err)
	}
	return l, nil
}

func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--unix-socket: %w", err)
	}
	if err := takesSocket(info); err != nil {
		return fmt.Errorf("--unix-socket %s: %w", path, err)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("--unix-socket %s is in use: another server answers there\n"+
			"  Stop that one, or choose another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("--unix-socket %s: %w", path, err)
	}
	return os.Remove(path)
}

// takesSocket refuses to put a socket in the place of something else.
func takesSocket(there fs.FileInfo) error {
	if there.Mode().Type() != fs.ModeSocket {
		return errors.New("there is something else of that name, which is not a socket\n" +
			"  Choose another path, or move it away")
	}
	return nil
}
