package bolt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/usher-pdp/usher/store"
)

// Where bbolt keeps what checkLength needs, in a meta page (format version 2, in the
// byte order of the machine).
const (
	pageHeaderSize = 16
	metaSize       = 64
	metaMagic      = 0xED0CDAED
	offsetMagic    = pageHeaderSize
	offsetPageSize = pageHeaderSize + 8
	offsetPages    = pageHeaderSize + 40 // how many pages the file has
)

// checkLength compares the length of a file with what its meta pages claim. bbolt does
// not, and reading behind the end of a mapped file ends the process.
func checkLength(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file; name another data directory", store.ErrForeign)
	}
	if info.Size() == 0 {
		return nil // a new one
	}
	pageSize := int64(os.Getpagesize())
	for _, offset := range []int64{0, pageSize} {
		page := make([]byte, pageHeaderSize+metaSize)
		_, err := f.ReadAt(page, offset)
		if errors.Is(err, io.EOF) {
			return damaged("it is %d bytes long, which is less than its first two pages: it was cut off", info.Size())
		}
		if err != nil {
			return err
		}
		if binary.NativeEndian.Uint32(page[offsetMagic:]) != metaMagic {
			continue // bbolt knows what to say of it
		}
		pageSize = int64(binary.NativeEndian.Uint32(page[offsetPageSize:]))
		pages := binary.NativeEndian.Uint64(page[offsetPages:])
		if size := int64(pages) * pageSize; info.Size() < size {
			return damaged("it is %d bytes long and should have %d: it was cut off", info.Size(), size)
		}
	}
	return nil
}

// inUse is the error of a file that another process has open. It names the process if
// the operating system tells.
func inUse(path string) error {
	if pid := holder(path); pid > 0 {
		return fmt.Errorf("%w: process %d has it; stop that process, or name another data directory", store.ErrInUse, pid)
	}
	return fmt.Errorf("%w: stop that process, or name another data directory", store.ErrInUse)
}

// holder returns the id of the process that has the lock of a file, or 0 if
// /proc/locks does not tell it.
func holder(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer func() { _ = locks.Close() }()
	// 1: FLOCK  ADVISORY  WRITE 4711 fd:01:1234567 0 EOF
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 5 && fields[1] == "FLOCK" && fields[5] == file {
			pid, _ := strconv.Atoi(fields[4])
			return pid
		}
	}
	return 0
}
