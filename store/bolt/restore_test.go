package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/usher-pdp/usher/store"
)

// TestRestoreIsTheBackupInANewEpoch restores where nothing is, and over what is older.
func TestRestoreIsTheBackupInANewEpoch(t *testing.T) {
	path := everything(t)
	s := open(t, path, Options{})
	backup, revision := backedUp(t, s)
	s.Close()
	want := stateOf(t, path)
	to := filepath.Join(t.TempDir(), "usher.db")
	var epochs []string
	for n := range 3 {
		restored, err := Restore(ctx, backup, to, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if (n == 0) != (restored.Kept == "") || restored.Backup != revision || restored.Revision.Number != revision.Number ||
			slices.Contains(append(epochs, revision.Epoch), restored.Revision.Epoch) || restored.Bytes != fileSize(t, to) {
			t.Errorf("restored %+v of %s, epochs before are %s", restored, revision, epochs)
		}
		epochs = append(epochs, restored.Revision.Epoch)
		if report := checked(t, to); len(report.Findings) > 0 || report.Revision != restored.Revision {
			t.Errorf("restored, it is %+v", report)
		}
		if got := stateOf(t, to); !reflect.DeepEqual(got, want) {
			t.Error("restored, it has other records")
		}
		if restored.Kept != "" {
			if got := checked(t, restored.Kept); got.Revision.Epoch != epochs[n-1] {
				t.Errorf("kept is %+v", got)
			}
		}
	}
	s = open(t, to, Options{})
	commit(t, s, "a", set(1, "user:new", "agent", ""))
	// Changes from before are those of the new epoch, so that one can go on behind them.
	for _, c := range historyOf(t, s, 1, store.Range{}) {
		if c.Revision.Epoch != s.Revision().Epoch {
			t.Fatalf("the change %s is of another epoch", c.Revision)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(to)); err != nil || len(entries) != 3 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

func TestRestoreRefusesToLose(t *testing.T) {
	path := small(t)
	s := open(t, path, Options{})
	backup, _ := backedUp(t, s)
	if _, err := Restore(ctx, backup, path, true, nil); !errors.Is(err, store.ErrInUse) {
		t.Errorf("over a file in use: %v", err)
	}
	if _, err := Restore(ctx, path, filepath.Join(t.TempDir(), "usher.db"), true, nil); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), "it is no backup") {
		t.Errorf("from a file in use: %v", err)
	}
	commit(t, s, "a", set(1, "user:later", "agent", ""))
	s.Close()
	other := filepath.Join(t.TempDir(), "usher.db")
	open(t, other, Options{}).Close()
	text := filepath.Join(t.TempDir(), "usher.db")
	if err := os.WriteFile(text, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{path: "has changes up to", other: "of another installation", text: "can't be read"} {
		before, _ := os.ReadFile(to)
		if _, err := Restore(ctx, backup, to, false, nil); !errors.Is(err, ErrWouldLose) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", want, err)
		}
		if after, _ := os.ReadFile(to); !bytes.Equal(before, after) {
			t.Errorf("%s: refused, and changed", want)
		}
		restored, err := Restore(ctx, backup, to, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(restored.Kept); err != nil || !bytes.Equal(before, kept) {
			t.Errorf("%s: what was there is not kept: %v", want, err)
		}
		open(t, to, Options{}).Close()
	}
}

// TestRestoreRefusesDamage: nothing is put in place of a file but what is whole.
func TestRestoreRefusesDamage(t *testing.T) {
	backup, to := small(t), filepath.Join(t.TempDir(), "usher.db")
	edit(t, backup, func(tx *bbolt.Tx) error { return tx.Bucket(bucketRequests.name()).Delete(lastKey) })
	edit(t, backup, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketByRole.name()).Delete(byRoleKey(1, store.AssignmentKey{Subject: "user:000", Role: "agent", Scope: "queue:1"}))
	})
	if _, err := Restore(ctx, backup, to, true, nil); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "restore another backup") {
		t.Errorf("error is %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(to)); err != nil || len(entries) != 0 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// TestRestoreUpgrades restores files of older formats, which stay as they are.
func TestRestoreUpgrades(t *testing.T) {
	for format, backup := range map[int]string{1: format1(t), 2: unpacked(t, "format2.db.gz")} {
		before, _ := os.ReadFile(backup)
		to := filepath.Join(t.TempDir(), "usher.db")
		if _, err := Restore(ctx, backup, to, false, nil); err != nil {
			t.Fatal(err)
		}
		if report := checked(t, to); report.Format != formatVersion || len(report.Findings) > 0 {
			t.Errorf("format %d, restored: %+v", format, report)
		}
		if after, _ := os.ReadFile(backup); !bytes.Equal(before, after) {
			t.Errorf("format %d: the backup was changed", format)
		}
		if entries, err := os.ReadDir(filepath.Dir(to)); err != nil || len(entries) != 1 {
			t.Errorf("the directory has %v, %v", entries, err)
		}
	}
}

// TestCompact: a file gets smaller and keeps what it says; what was erased is gone from it.
func TestCompact(t *testing.T) {
	const name = "user:someone.in.particular@example.com"
	path := everything(t)
	s := open(t, path, Options{})
	commit(t, s, "", store.TakeImport{ID: "x", Piece: bytes.Repeat([]byte(name), 10_000)})
	if _, err := Compact(ctx, path, nil); !errors.Is(err, store.ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	commit(t, s, "", store.PurgeImport{ID: "x", Most: 1000, Whole: true})
	commit(t, s, "a", set(1, "user:other", "agent", ""))
	s.Close()
	raw, _ := os.ReadFile(path)
	if !bytes.Contains(raw, []byte(name)) {
		t.Fatal("the file does not have it before: the test doesn't test")
	}
	want, before := stateOf(t, path), checked(t, path)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := Compact(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	after := checked(t, path)
	if done.BytesBefore != before.Bytes || done.BytesAfter != fileSize(t, path) || done.BytesAfter*2 > done.BytesBefore ||
		done.Revision != before.Revision || after.Revision != before.Revision || len(after.Findings) > 0 {
		t.Errorf("it says %+v, before %+v, after %+v", done, before, after)
	}
	if got := stateOf(t, path); !reflect.DeepEqual(got, want) {
		t.Error("compacted, it has other records")
	}
	if raw, _ = os.ReadFile(path); bytes.Contains(raw, []byte(name)) {
		t.Error("what was removed is still in the file")
	}
	s = open(t, path, Options{})
	commit(t, s, "a", set(1, "user:new", "agent", ""))
	s.Close()
	edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(bucketToggles.name()).Delete(lastKey) })
	raw, _ = os.ReadFile(path)
	if _, err := Compact(ctx, path, nil); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("damaged: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(raw, after) {
		t.Error("refused, and changed")
	}
}

// TestReplacedWhileOpened: a file that another one replaces between its opening and its locking
// is not written to.
func TestReplacedWhileOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher.db")
	open(t, path, Options{}).Close()
	first := true
	_, err := Open(path, Options{openFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		if err == nil && first {
			first = false
			_, err = Compact(ctx, path, nil)
		}
		return f, err
	}})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "another file was put in its place") {
		t.Errorf("error is %v", err)
	}
	open(t, path, Options{})
}

// again does something until the process is killed, and says each time that it begins.
func again(do func() error) {
	for {
		fmt.Println("begin")
		if err := do(); err != nil {
			fmt.Println(err)
			return
		}
	}
}

func restoreUntilKilled(j job) {
	again(func() error {
		restored, err := Restore(ctx, j.Backup, j.Path, true, nil)
		return errors.Join(err, os.Remove(restored.Kept))
	})
}

func compactUntilKilled(j job) {
	again(func() error { _, err := Compact(ctx, j.Path, nil); return err })
}

// upgradeUntilKilled upgrades a file that it makes old again before.
func upgradeUntilKilled(j job) {
	old, err := os.ReadFile(j.Backup)
	if err != nil {
		fmt.Println(err)
		return
	}
	again(func() error {
		if err := os.WriteFile(j.Path+".old", old, 0o600); err != nil {
			return err
		}
		if err := os.Rename(j.Path+".old", j.Path); err != nil {
			return err
		}
		s, err := Open(j.Path, Options{upgradeStep: 1})
		if err != nil {
			return err
		}
		return s.Close()
	})
}

// TestKilledWhileReplaced kills processes that restore, compact and upgrade. There is always a
// file, and it is the one or the other.
func TestKilledWhileReplaced(t *testing.T) {
	original := everything(t)
	s := open(t, original, Options{})
	backup, _ := backedUp(t, s)
	commit(t, s, "a", set(1, "user:later", "agent", ""))
	s.Close()
	later, whole, old := stateOf(t, original), stateOf(t, backup), format1(t)
	good, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	r := source(t)
	for do, from := range map[string]string{"restore": backup, "compact": "", "upgrade": old} {
		path := filepath.Join(t.TempDir(), "usher.db")
		for range 8 {
			replace(t, path, good)
			killLater(t, r, fork(t, job{Do: do, Path: path, Backup: from}))
			if do == "upgrade" {
				checkUpgraded(t, open(t, path, Options{}))
				kept := path + ".format1-backup"
				if report := checked(t, kept); report.Format != 1 || len(report.Findings) > 0 {
					t.Errorf("kept is %+v", report)
				}
				continue
			}
			if report := checked(t, path); len(report.Findings) > 0 {
				t.Errorf("%s: it finds %+v", do, report.Findings)
			}
			if got := stateOf(t, path); !reflect.DeepEqual(got, later) && !(do == "restore" && reflect.DeepEqual(got, whole)) {
				t.Errorf("%s: it is neither the old nor the new file", do)
			}
		}
	}
}

// killLater kills a child at some moment after it has begun.
func killLater(t *testing.T, r *rand.Rand, c *child) {
	t.Helper()
	for n := r.IntN(3) + 1; n > 0; n-- {
		if !c.lines.Scan() || c.lines.Text() != "begin" {
			t.Fatalf("the child says %q %s", c.lines.Text(), c.stderr)
		}
	}
	timer := time.NewTimer(time.Duration(r.IntN(20_000)) * time.Microsecond) // any moment will do
	<-timer.C
	c.Process.Kill()
	for c.lines.Scan() {
		if c.lines.Text() != "begin" {
			t.Errorf("the child says %q", c.lines.Text())
		}
	}
	c.Wait()
}

// TestUpgradeKeepsTheOldFile: the file of an older format is there afterwards under another name;
// what has that name already stays as well.
func TestUpgradeKeepsTheOldFile(t *testing.T) {
	for name, path := range map[string]string{".format1-backup": format1(t), ".format2-backup": unpacked(t, "format2.db.gz")} {
		old, _ := os.ReadFile(path)
		open(t, path, Options{}).Close()
		if kept, err := os.ReadFile(path + name); err != nil || !bytes.Equal(kept, old) {
			t.Errorf("%s is not the old file: %v", name, err)
		}
		replace(t, path, old) // the same once more
		open(t, path, Options{}).Close()
		if _, err := os.Stat(path + name + "-2"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the same file is kept twice: %v", name, err)
		}
		replace(t, path, old)
		edit(t, path, func(tx *bbolt.Tx) error {
			return put(tx.Bucket(bucketMeta.name()), bucketMeta, metaEpoch, []byte("another"))
		})
		other, _ := os.ReadFile(path)
		open(t, path, Options{}).Close()
		first, _ := os.ReadFile(path + name)
		if kept, err := os.ReadFile(path + name + "-2"); err != nil || !bytes.Equal(kept, other) || !bytes.Equal(first, old) {
			t.Errorf("%s: another old file is not kept beside: %v", name, err)
		}
	}
}

// upgradeInLittleRoom opens a file where no file can get as large as it is.
func upgradeInLittleRoom(j job) {
	signal.Ignore(syscall.SIGXFSZ)
	limit := &syscall.Rlimit{Cur: 5000, Max: 5000}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, limit); err != nil {
		fmt.Println(err)
		return
	}
	_, err := Open(j.Path, Options{})
	fmt.Println(err)
}

func TestUpgradeNeedsRoomForTheOldFile(t *testing.T) {
	path := unpacked(t, "format2.db.gz")
	old, _ := os.ReadFile(path)
	c := fork(t, job{Do: "little room", Path: path})
	if !c.lines.Scan() || !strings.Contains(c.lines.Text(), "nothing has been changed; make room for it") {
		t.Errorf("it says %q %s", c.lines.Text(), c.stderr)
	}
	c.Wait()
	if after, _ := os.ReadFile(path); !bytes.Equal(old, after) {
		t.Error("refused, and changed")
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}
