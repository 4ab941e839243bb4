package bolt

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// powerDisk is a file system that keeps no more than a disk does when the power fails: what
// was synced, and of the rest, page by page and name by name, what chance has written.
//
// Only another process may use it: a page fault in this one could wait for a goroutine that
// serves it.
type powerDisk struct {
	random *rand.Rand
	// ignores says which syncs of files are answered without being done, by the pages that they
	// are to write. Nil: none.
	ignores func(pages map[int64]bool) bool
	// ignoresFolders is the same for directories.
	ignoresFolders bool
	// faulty is of how many writes and syncs one fails, about. 0: none does.
	faulty int

	mu   sync.Mutex
	left int           // how many operations are done before the power fails
	off  chan struct{} // closed when it has failed
	root *folder
}

const (
	powerPage   = 4096 // what is kept or lost
	powerSector = 512  // what a write that fails has done or not
)

// file is what one knows by its content, now and on the disk.
type powerFile struct {
	fs.Inode
	disk         *powerDisk
	data, synced []byte
	changed      map[int64]bool // pages that the next sync writes
	// forgotten are pages that a sync which failed has not written, and the next one won't either:
	// so Linux does it.
	forgotten map[int64]bool
}

// folder is what one knows by names, now and on the disk.
type folder struct {
	fs.Inode
	disk         *powerDisk
	names        map[string]fs.InodeEmbedder
	synced       map[string]fs.InodeEmbedder
	changedNames map[string]bool
}

func (d *powerDisk) newFolder() *folder {
	return &folder{disk: d, names: map[string]fs.InodeEmbedder{}, synced: map[string]fs.InodeEmbedder{}, changedNames: map[string]bool{}}
}

func (d *powerDisk) newFile(data []byte) *powerFile {
	return &powerFile{disk: d, data: data, synced: bytes.Clone(data), changed: map[int64]bool{}, forgotten: map[int64]bool{}}
}

// needFUSE skips a test where nothing can be mounted, but not in CI.
func needFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		_ = f.Close()
	}
	if err == nil && os.Geteuid() != 0 {
		err = errors.New("only root may mount")
	}
	if err != nil {
		cannotMount(t, "/dev/fuse", err)
	}
}

// cannotMount skips a test that has to mount something, but not in CI.
func cannotMount(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s can't be used, and has to be in CI: %v", what, err)
	}
	t.Skipf("SKIPPED: %s can't be used: %v; run it as root on Linux", what, err)
}

// mountPower mounts a disk that begins with the files of a directory. The power fails after so many
// operations that change something.
func mountPower(t *testing.T, d *powerDisk, from string, left int) (dir string, unmount func()) {
	t.Helper()
	d.left, d.off, d.root = left, make(chan struct{}), d.newFolder()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		d.root.synced[e.Name()] = d.newFile(data)
	}
	dir = t.TempDir()
	server, err := fs.Mount(dir, d.root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "power", DisableXAttrs: true},
		OnAdd: func(ctx context.Context) {
			for name, node := range d.root.synced {
				d.root.names[name] = node
				d.root.AddChild(name, d.root.NewPersistentInode(ctx, node, fs.StableAttr{Mode: fuse.S_IFREG}), false)
			}
		},
	})
	if err != nil {
		cannotMount(t, "FUSE", err)
	}
	unmount = sync.OnceFunc(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(unmount)
	return dir, unmount
}

// do does an operation, unless the power is off. If it fails now, what was to be done may
// still have begun; a sync has not.
func (d *powerDisk) do(sync bool, operation func()) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return syscall.EIO
	}
	d.left--
	if d.left > 0 || !sync {
		operation()
	}
	if d.left == 0 {
		close(d.off)
		return syscall.EIO
	}
	return 0
}

// fault says how an operation fails; 0: it doesn't.
func (d *powerDisk) fault() syscall.Errno {
	if d.faulty == 0 || d.random.IntN(d.faulty) > 0 {
		return 0
	}
	return []syscall.Errno{syscall.EIO, syscall.ENOSPC}[d.random.IntN(2)]
}

// save writes what is left after the power has failed to a directory, in place of what is there.
func (d *powerDisk) save(to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	kept := d.random.IntN(3) // nothing that was not synced, half of it, nearly all
	return d.saveFolder(d.root, to, func() bool { return d.random.IntN(8) < []int{0, 4, 7}[kept] })
}

func (d *powerDisk) saveFolder(f *folder, to string, chance func() bool) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	left := maps.Clone(f.synced)
	for name := range f.changedNames {
		if !chance() {
			continue
		}
		delete(left, name)
		if node, is := f.names[name]; is {
			left[name] = node
		}
	}
	for name, node := range left {
		path := filepath.Join(to, name)
		var err error
		if sub, is := node.(*folder); is {
			err = d.saveFolder(sub, path, chance)
		} else {
			err = node.(*powerFile).save(path, chance)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *powerFile) save(path string, chance func() bool) error {
	left := bytes.Clone(f.synced)
	if len(left) != len(f.data) && chance() {
		left = resize(left, len(f.data))
	}
	for page := range f.changed {
		if from := int(page * powerPage); from < len(f.data) && chance() {
			to := min(from+powerPage, len(f.data))
			left = resize(left, max(len(left), to))
			copy(left[from:to], f.data[from:to])
		}
	}
	return os.WriteFile(path, left, 0o600)
}

func resize(b []byte, length int) []byte {
	if length <= len(b) {
		return b[:length]
	}
	return append(b, make([]byte, length-len(b))...)
}

func (f *powerFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (f *powerFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	out.Mode, out.Nlink, out.Size = fuse.S_IFREG|0o600, 1, uint64(len(f.data))
	return 0
}

func (f *powerFile) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, is := in.GetSize(); is {
		if errno := f.disk.do(false, func() { f.data = resize(f.data, int(size)) }); errno != 0 {
			return errno
		}
	}
	return f.Getattr(ctx, h, out)
}

func (f *powerFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	from := min(offset, int64(len(f.data)))
	return fuse.ReadResultData(dest[:copy(dest, f.data[from:])]), 0
}

func (f *powerFile) Write(_ context.Context, _ fs.FileHandle, data []byte, offset int64) (uint32, syscall.Errno) {
	var fault syscall.Errno
	errno := f.disk.do(false, func() {
		if fault = f.disk.fault(); fault != 0 {
			data = data[:f.disk.random.IntN(1+len(data)/powerSector)*powerSector]
		}
		end := offset + int64(len(data))
		f.data = resize(f.data, max(len(f.data), int(end)))
		copy(f.data[offset:], data)
		for page := offset / powerPage; page*powerPage < end; page++ {
			f.changed[page] = true
			delete(f.forgotten, page)
		}
	})
	return uint32(len(data)), max(errno, fault)
}

func (f *powerFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	var fault syscall.Errno
	errno := f.disk.do(true, func() {
		if fault = f.disk.fault(); fault != 0 {
			maps.Copy(f.forgotten, f.changed)
			clear(f.changed)
			return
		}
		if f.disk.ignores != nil && f.disk.ignores(f.changed) {
			return
		}
		f.synced = resize(f.synced, len(f.data))
		for page := range f.changed {
			from := int(page * powerPage)
			copy(f.synced[from:], f.data[from:min(from+powerPage, len(f.data))])
		}
		clear(f.changed)
	})
	return max(errno, fault)
}

func (f *folder) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Nlink = fuse.S_IFDIR|0o700, 1
	return 0
}

func (f *folder) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return f.disk.do(true, func() {
		if !f.disk.ignoresFolders {
			f.synced = maps.Clone(f.names)
			clear(f.changedNames)
		}
	})
}

// name gives a name to a file or directory; nil takes it away.
func (f *folder) name(name string, node fs.InodeEmbedder) syscall.Errno {
	return f.disk.do(false, func() {
		f.changedNames[name] = true
		if node == nil {
			delete(f.names, name)
			return
		}
		f.names[name] = node
	})
}

func (f *folder) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	file := f.disk.newFile(nil)
	if errno := f.name(name, file); errno != 0 {
		return nil, nil, 0, errno
	}
	out.Mode = fuse.S_IFREG | 0o600
	return f.NewPersistentInode(ctx, file, fs.StableAttr{Mode: fuse.S_IFREG}), nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (f *folder) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	sub := f.disk.newFolder()
	if errno := f.name(name, sub); errno != 0 {
		return nil, errno
	}
	out.Mode = fuse.S_IFDIR | 0o700
	return f.NewPersistentInode(ctx, sub, fs.StableAttr{Mode: fuse.S_IFDIR}), 0
}

func (f *folder) Link(_ context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	file := target.(*powerFile)
	out.Mode, out.Size = fuse.S_IFREG|0o600, uint64(len(file.data))
	return file.EmbeddedInode(), f.name(name, file)
}

func (f *folder) Unlink(_ context.Context, name string) syscall.Errno { return f.name(name, nil) }

func (f *folder) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.Blocks, out.Bfree, out.Bavail = powerPage, powerPage, 1<<20, 1<<20, 1<<20
	return 0
}
