package bolt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/usher-pdp/usher/store"
)

// Sizes and marks in a bbolt file (format version 2, in the byte order of the machine).
const (
	pageHeaderSize = 16
	metaSize       = 64 // without the page header
	metaMagic      = 0xED0CDAED
	metaVersion    = 2
	flagBranch     = 0x01
	flagLeaf       = 0x02
	flagFreelist   = 0x10
	flagBucket     = 0x01 // of an element of a leaf
	elementSize    = 16
	bucketSize     = 16         // in the value of such an element, before a page inside of it
	noFreelist     = ^uint64(0) // the free pages are not listed; ours are
)

var native = binary.NativeEndian

// meta is what a meta page says. Of the two that a file has, the one with the higher
// transaction id is the root of the newest state.
type meta struct {
	pageSize int64
	freelist uint64 // page of the list of free pages
	high     uint64 // how many pages the file has
	txid     uint64
	root     uint64 // page of the root bucket
}

var (
	errNoMagic     = errors.New("not a meta page of bbolt")
	errMetaVersion = errors.New("another version of bbolt's format")
	errMetaSum     = errors.New("the checksum of a meta page is wrong")
)

// parseMeta reads a meta page, given from its start.
func parseMeta(page []byte) (m meta, err error) {
	if len(page) < pageHeaderSize+metaSize {
		return m, errNoMagic
	}
	b := page[pageHeaderSize:]
	h := fnv.New64a()
	h.Write(b[:56])
	switch {
	case native.Uint32(b) != metaMagic:
		return m, errNoMagic
	case native.Uint64(b[56:]) != h.Sum64():
		return m, errMetaSum
	case native.Uint32(b[4:]) != metaVersion:
		return m, errMetaVersion
	}
	m = meta{int64(native.Uint32(b[8:])), native.Uint64(b[32:]), native.Uint64(b[40:]), native.Uint64(b[48:]), native.Uint64(b[16:])}
	if m.pageSize < 1024 || m.pageSize > 1<<24 || m.high > 1<<40 {
		return m, errMetaVersion
	}
	return m, nil
}

// inspect locks a file (LOCK_EX or LOCK_SH) and looks at it before bbolt does. bbolt would wait for the
// lock, write to an empty file, read behind the end of a file that was cut off, go back
// to the state before if a meta page is damaged, and allocate whatever a damaged list
// of free pages asks for.
func inspect(f *os.File, lockType int) (m meta, free []uint64, err error) {
	info, err := f.Stat()
	if err != nil {
		return m, nil, err
	}
	if !info.Mode().IsRegular() {
		return m, nil, fmt.Errorf("%w: it is not a regular file; name another data directory", store.ErrForeign)
	}
	if err := lock(f, info, lockType); err != nil {
		return m, nil, err
	}
	return readState(f) // nobody else writes to it now
}

// readState reads which state a file has, and its list of free pages.
func readState(f *os.File) (m meta, free []uint64, err error) {
	info, err := f.Stat()
	if err != nil {
		return m, nil, err
	}
	if m, err = newestMeta(f, info.Size()); err != nil {
		return m, nil, err
	}
	if size := int64(m.high) * m.pageSize; info.Size() < size { // #nosec G115 -- parseMeta bounds it
		return m, nil, damaged("it is %d bytes long and should have %d: it was cut off", info.Size(), size)
	}
	free, err = readFreelist(f, m)
	return m, free, err
}

// newestMeta reads both meta pages. If one of them is damaged, it may be that of the
// newest state, so the other one will not do.
func newestMeta(f io.ReaderAt, size int64) (meta, error) {
	first, err0 := readMeta(f, 0)
	pageSize := int64(os.Getpagesize())
	if err0 == nil {
		pageSize = first.pageSize
	}
	second, err1 := readMeta(f, pageSize)
	switch {
	case err0 == nil && err1 == nil && second.txid > first.txid:
		return second, nil
	case err0 == nil && err1 == nil:
		return first, nil
	case size < pageSize+pageHeaderSize+metaSize && (err0 == nil || beginsLikeMeta(f)):
		return first, damaged("it is %d bytes long, which is less than its first two pages: it was cut off", size)
	case err0 == errNoMagic && err1 == errNoMagic:
		return first, fmt.Errorf("%w: it is not a bbolt file; name another data directory", store.ErrForeign)
	case err0 == errMetaVersion && err1 == errMetaVersion:
		return first, fmt.Errorf("%w: %w", store.ErrNewerFormat, errMetaVersion)
	}
	return first, damaged("a meta page, and with it maybe the newest changes: %v", errors.Join(err0, err1))
}

func readMeta(f io.ReaderAt, offset int64) (meta, error) {
	page := make([]byte, pageHeaderSize+metaSize)
	n, err := f.ReadAt(page, offset)
	if err != nil && err != io.EOF {
		return meta{}, err
	}
	return parseMeta(page[:n])
}

// beginsLikeMeta reports whether a file is a meta page as far as it goes. An empty one
// is: new stores get their name when they are whole.
func beginsLikeMeta(f io.ReaderAt) bool {
	want := make([]byte, pageHeaderSize+4)
	native.PutUint16(want[8:], 0x04)
	native.PutUint32(want[pageHeaderSize:], metaMagic)
	got := make([]byte, len(want))
	n, _ := f.ReadAt(got, 0)
	return string(got[:n]) == string(want[:n])
}

// readFreelist reads the list of free pages, which has to ascend.
func readFreelist(f io.ReaderAt, m meta) ([]uint64, error) {
	if m.freelist == noFreelist {
		return nil, fmt.Errorf("%w: it is a bbolt file of another program; name another data directory", store.ErrForeign)
	}
	if m.freelist < 2 || m.freelist >= m.high {
		return nil, damaged("the place of its list of free pages")
	}
	header := make([]byte, pageHeaderSize+8)
	at := int64(m.freelist) * m.pageSize // #nosec G115 -- below the number of pages, or the read fails
	if _, err := f.ReadAt(header, at); err != nil {
		return nil, err
	}
	count, start := freelistLength(header)
	pages := uint64(native.Uint32(header[12:])) + 1
	if native.Uint64(header) != m.freelist || native.Uint16(header[8:]) != flagFreelist || count > m.high ||
		m.freelist+pages > m.high || uint64(start)+8*count > pages*uint64(m.pageSize) { // #nosec G115 -- sizes are not negative
		return nil, damaged("its list of free pages")
	}
	ids := make([]byte, 8*count)
	if _, err := f.ReadAt(ids, at+start); err != nil {
		return nil, err
	}
	free := make([]uint64, 0, count)
	last := uint64(1)
	for ; len(ids) > 0; ids = ids[8:] {
		id := native.Uint64(ids)
		if id <= last || id >= m.high {
			return nil, damaged("the order of its list of free pages")
		}
		free = append(free, id)
		last = id
	}
	return free, nil
}

// freelistLength returns how many ids a list of free pages has, and where in its page they start.
func freelistLength(header []byte) (count uint64, start int64) {
	if count = uint64(native.Uint16(header[10:])); count < 0xFFFF {
		return count, pageHeaderSize
	}
	return native.Uint64(header[pageHeaderSize:]), pageHeaderSize + 8
}

// lock takes the lock that bbolt takes, but does not wait for it.
func lock(f *os.File, info os.FileInfo, lockType int) error {
	err := syscall.Flock(int(f.Fd()), lockType|syscall.LOCK_NB)
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	if pid := holder(info); pid > 0 {
		return fmt.Errorf("%w: process %d has it; stop that process, or name another data directory", store.ErrInUse, pid)
	}
	return fmt.Errorf("%w: stop that process, or name another data directory", store.ErrInUse)
}

// holder returns the id of the process that has the lock of a file, or 0 if
// /proc/locks does not tell it.
func holder(info os.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(stat.Dev)), unix.Minor(uint64(stat.Dev)), stat.Ino)
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
