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

var flips = flag.Int("flips", 300, "number of flipped bytes to try; 0 for every byte of the file")

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
		out.Encode(try(j))
		f.WriteAt(b[:], int64(x.Offset))
	}
}

func try(j job) (r result) {
	s, err := Open(j.Path, Options{})
	if err != nil {
		r.Open = err.Error()
		if !rotten(err) {
			r.Wrong = "Open: " + r.Open
		}
		return r
	}
	defer s.Close()
	r.Answered, r.Refused, r.Wrong = compare(s, j.Truth)
	return r
}

// compare reads all from a store whose file is damaged. What is not an error has to
// be true.
func compare(s store.Store, truth []string) (answered, refused int, wrong string) {
	answers, errs := dump(s)
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
// pages, what is read is right, or an error.
func TestFlippedBytes(t *testing.T) {
	r := source(t)
	path := sample(t, r)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{})
	truth, _ := dump(s)
	s.Close()
	var trials []trial
	for i := range len(good) {
		x := trial{i, byte(1 + r.IntN(255))}
		if *flips > 0 {
			x.Offset = somewhere(r, good)
		}
		if i%2 == 0 {
			x.Bits = 1 << r.IntN(8)
		}
		if trials = append(trials, x); len(trials) == *flips {
			break
		}
	}
	var notOpened, unharmed, partly, ended, wrong int
	for next := 0; next < len(trials); {
		replace(t, path, good)
		c := start(t, job{Do: "flip", Path: path, Truth: truth, Trials: trials[next:]})
		watch := time.AfterFunc(time.Minute, func() { c.Process.Kill() })
		for c.lines.Buffer(nil, 1<<20); c.lines.Scan(); next++ {
			watch.Reset(time.Minute)
			var got result
			if err := json.Unmarshal(c.lines.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, c.lines.Text())
			}
			switch {
			case got.Wrong != "":
				wrong++
				t.Errorf("%v: %s", trials[next], got.Wrong)
			case got.Open != "":
				notOpened++
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
			t.Errorf("%v: the process has ended: %v: %s", trials[next], err, first)
			ended++
			next++
		}
	}
	t.Logf("%d bytes of %d: %d times not opened, %d times errors in some answers, %d times unharmed, %d times the process ended, %d times wrong",
		len(trials), len(good), notOpened, partly, unharmed, ended, wrong)
	if notOpened == 0 || partly == 0 {
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
