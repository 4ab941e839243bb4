package bolt

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/usher-pdp/usher/store"
)

var (
	flips    = flag.Int("flips", 200, "number of flipped bytes to try")
	flipSeed = flag.Uint64("flip-seed", 1, "seed of the flipped bytes")
)

// trial is one changed byte of a file.
type trial struct {
	Offset int
	Bits   byte
}

func (x trial) String() string {
	return fmt.Sprintf("byte %d (page %d + %d) changed by %08b", x.Offset, x.Offset/samplePage, x.Offset%samplePage, x.Bits)
}

// result is what came of a trial.
type result struct {
	Open     string // error of Open
	Answered int
	Refused  int    // answers that were errors
	Wrong    string // a wrong answer, or an error of a wrong kind
}

// rotten is what a damaged file may be called.
func rotten(err error) bool {
	return errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrForeign) || errors.Is(err, store.ErrNewerFormat)
}

// readFlipped makes the trials one after the other, and says what came of each.
func readFlipped(j job) {
	eachTrial(j, func() (r result) {
		s, err := Open(j.Path, Options{})
		if err != nil {
			return notOpened(err)
		}
		defer s.Close()
		r.Answered, r.Refused, r.Wrong = compare(s, j.Truth)
		return r
	})
}

// readFlippedOpen makes the trials under a store that stays open.
func readFlippedOpen(j job) {
	s, err := Open(j.Path, Options{})
	if err != nil {
		panic(err)
	}
	eachTrial(j, func() (r result) {
		r.Answered, r.Refused, r.Wrong = compare(s, j.Truth)
		return r
	})
}

// writeFlipped makes writes to a damaged file, and reads it, and reads it again when it
// has been reopened. If no write failed, all of them have to be there.
func writeFlipped(j job) {
	good, err := os.ReadFile(j.Path)
	if err != nil {
		panic(err)
	}
	eachTrial(j, func() (r result) {
		bad, err := os.ReadFile(j.Path)
		if err != nil {
			panic(err)
		}
		defer os.WriteFile(j.Path, good, 0o600)
		os.WriteFile(j.Path, bad, 0o600)
		truth := j.Truth
		for reopened := range 2 {
			s, err := Open(j.Path, Options{Now: noon})
			if err != nil {
				return notOpened(err)
			}
			if reopened == 0 {
				for _, err := range rewrite(s) {
					if err != nil && !rotten(err) && !errors.Is(err, store.ErrUnavailable) {
						r.Wrong = fmt.Sprintf("Commit: %v", err)
					}
					if err != nil {
						truth = nil
					}
				}
			}
			if r.Wrong == "" {
				r.Answered, r.Refused, r.Wrong = compare(s, truth)
			}
			s.Close()
		}
		return r
	})
}

// rewrite makes writes that join and split pages.
func rewrite(s *Store) (errs []error) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 6 {
		var changes []store.Change
		for range 60 {
			subject, scope := fmt.Sprintf("user:%03d", r.IntN(100)), fmt.Sprintf("queue:%d", r.IntN(3))
			if i < 4 {
				changes = append(changes, remove(1, subject, "agent", scope))
			} else {
				changes = append(changes, set(1, subject, "agent", scope))
			}
		}
		_, err := s.Commit(ctx, store.Write{Tenant: "a", Plan: plan(changes...)})
		errs = append(errs, err)
	}
	return errs
}

// eachTrial damages the file, tries, and mends it.
func eachTrial(j job, try func() result) {
	f, err := os.OpenFile(j.Path, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	out := json.NewEncoder(os.Stdout)
	for _, x := range j.Trials {
		var b [1]byte
		if _, err := f.ReadAt(b[:], int64(x.Offset)); err != nil {
			panic(err)
		}
		f.WriteAt([]byte{b[0] ^ x.Bits}, int64(x.Offset))
		out.Encode(try())
		f.WriteAt(b[:], int64(x.Offset))
	}
}

func notOpened(err error) (r result) {
	r.Open = err.Error()
	if !rotten(err) {
		r.Wrong = "Open: " + r.Open
	}
	return r
}

// compare reads all from a store whose file is damaged. What is not an error has to be
// true; without a truth nothing is known but what errors there may be.
func compare(s store.Store, truth []string) (answered, refused int, wrong string) {
	answers, errs := dump(s)
	if truth == nil {
		truth = answers
	}
	if len(answers) != len(truth) && (len(errs) != 1 || !rotten(errs[0])) {
		return 0, 0, fmt.Sprintf("%d answers instead of %d: %v", len(answers), len(truth), errs)
	}
	for i, answer := range answers {
		switch {
		case errs[i] != nil && !rotten(errs[i]):
			return answered, refused, fmt.Sprintf("answer %d is the error %v", i, errs[i])
		case errs[i] != nil:
			refused++
		case answer != truth[i]:
			return answered, refused, fmt.Sprintf("answer %d is wrong %s", i, difference(answer, truth[i]))
		default:
			answered++
		}
	}
	return answered, refused, ""
}

// difference shows where two texts part.
func difference(got, want string) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	i = max(0, i-40)
	return fmt.Sprintf("at %d\n got …%.200s\nwant …%.200s", i, got[i:], want[i:])
}

// somewhere returns an offset: half the time it is in what holds a page together.
func somewhere(r *rand.Rand, file []byte) int {
	if r.IntN(2) == 0 {
		return r.IntN(len(file)/samplePage)*samplePage + r.IntN(112)
	}
	return r.IntN(len(file))
}

// TestFlippedBytes changes one byte of the file at a time. Whatever that does to the
// pages, what is read is right, or an error. It happens in another process, to see when
// that ends.
//
// The store does not find everything, because bbolt's interface shows no page. About one
// in 3,000 of these bytes, and one in 300 under writes, gives a wrong answer (mostly the
// header of a page that says that it has fewer records than it has), and fewer end the
// process (a page that leads back to itself). So one such byte is let pass; the seed does
// not settle which, as bbolt gives out pages in the order of a Go map.
func TestFlippedBytes(t *testing.T) {
	flip(t, "flip", *flips, func(s *Store) {})
}

// TestFlippedBytesWhileOpen changes bytes under an open store.
func TestFlippedBytesWhileOpen(t *testing.T) {
	flip(t, "flip open", *flips/4, func(s *Store) {})
}

// TestFlippedBytesAndWrites writes to damaged files.
func TestFlippedBytesAndWrites(t *testing.T) {
	flip(t, "flip and write", *flips/20, func(s *Store) {
		for _, err := range rewrite(s) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// flip has a child make n trials. The truth is what is there after the change.
func flip(t *testing.T, do string, n int, change func(*Store)) {
	t.Logf("seed: -flip-seed=%d", *flipSeed)
	r := rand.New(rand.NewPCG(*flipSeed, 0))
	path := sample(t, r)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{Now: noon})
	change(s)
	truth, _ := dump(s)
	s.Close()
	var trials []trial
	for i := range n {
		x := trial{somewhere(r, good), byte(1 + r.IntN(255))}
		if i%2 == 0 {
			x.Bits = 1 << r.IntN(8)
		}
		trials = append(trials, x)
	}
	var unopened, unharmed, partly, ended, wrong int
	for next := 0; next < len(trials); {
		replace(t, path, good)
		c := fork(t, job{Do: do, Path: path, Truth: truth, Trials: trials[next:]})
		watch := time.AfterFunc(time.Minute, func() { c.Process.Kill() }) // it hangs
		for c.lines.Buffer(nil, 1<<20); c.lines.Scan(); next++ {
			watch.Reset(time.Minute)
			var got result
			if err := json.Unmarshal(c.lines.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, c.lines.Text())
			}
			switch {
			case got.Wrong != "":
				wrong++
				t.Logf("%v: %s", trials[next], got.Wrong)
			case got.Open != "":
				unopened++
			case got.Refused > 0:
				partly++
			default:
				unharmed++
			}
		}
		err := c.Wait()
		watch.Stop()
		if next < len(trials) {
			first, _, _ := strings.Cut(c.stderr.String(), "\n")
			t.Logf("%v: the process has ended: %v: %s", trials[next], err, first)
			ended++
			next++
		}
	}
	t.Logf("%d bytes of %d: %d times not opened, %d times errors in some answers, %d times unharmed, %d times wrong, %d times the process ended",
		len(trials), len(good), unopened, partly, unharmed, wrong, ended)
	if wrong+ended > 1 {
		t.Error("more damage was not found than the one byte that may be")
	}
	if partly == 0 {
		t.Error("no damage was found: the test doesn't test")
	}
}

// replace puts another file in the place of one.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	next := filepath.Join(filepath.Dir(path), "next")
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}
