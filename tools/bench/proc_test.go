package main

import (
	"maps"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestParseSchedstat(t *testing.T) {
	got, err := parseSchedstat("1234567890 42 7\n")
	if want := 1234567890 * time.Nanosecond; got != want || err != nil {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, text := range []string{"", "1 2", "x 2 3"} {
		if _, err := parseSchedstat(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const status = "Name:\tusher\nVmHWM:\t  99999 kB\nVmRSS:\t   24576 kB\nRssAnon:\t    8192 kB\nRssFile:\t   16384 kB\nThreads:\t9\n"
	got, err := parseStatus(strings.NewReader(status))
	if want := (memory{RSS: 24 << 20, Anon: 8 << 20, File: 16 << 20}); got != want || err != nil {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, text := range []string{
		"Name:\tusher\n",
		strings.Replace(status, "RssAnon", "RssShmem", 1),
		strings.Replace(status, "24576 kB", "24576 MB", 1),
	} {
		if _, err := parseStatus(strings.NewReader(text)); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 …\n")
	if want := 630 * time.Millisecond; got != want || err != nil { // neither idle nor iowait, and guests are in user
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, text := range []string{"", "intr 1 2 3 4 5 6 7 8 9", "cpu 1 2 3 4 5 6 7 x"} {
		if _, err := parseStat(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	got, err := parseMetrics(strings.NewReader("# HELP a …\n# TYPE a counter\na 1.5e+06\nb{c=\"d e\"} 2\n\n"))
	if want := (map[string]float64{"a": 1.5e6, `b{c="d e"}`: 2}); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := parseMetrics(strings.NewReader("a b\n")); err == nil {
		t.Error("no error for what is no number")
	}
}

// TestClocksOfThisProcess burns CPU time and sees whether it is found.
func TestClocksOfThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const burnt = 100 * time.Millisecond // of the clock, and of the CPU at most
	for begin := time.Now(); time.Since(begin) < burnt; {
	}
	time.Sleep(10 * time.Millisecond) // the kernel books it when the thread sleeps
	after, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// On a machine with other work it is less than what the clock says.
	if used := after - before; used < burnt/20 || used > 50*burnt {
		t.Errorf("%v were booked", used)
	}
	if m, err := memoryOf(os.Getpid()); err != nil || m.RSS < 1<<20 || m.RSS < m.Anon {
		t.Errorf("%v, %v", m, err)
	}
	if machine, err := machineTime(); err != nil || machine < time.Second/100 {
		t.Errorf("%v, %v", machine, err)
	}
	if _, err := cpuTime(1 << 30); err == nil {
		t.Error("no error for a process that there is not")
	}
}
