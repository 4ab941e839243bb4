package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// newDecisionLog makes a decision log of a test, which closes it.
func newDecisionLog(t *testing.T, config server.DecisionLogConfig) *server.DecisionLog {
	t.Helper()
	log, err := server.NewDecisionLog(config)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// loggingHarness is a server with a tenant and a decision log.
func loggingHarness(t *testing.T, log *server.DecisionLog) *harness {
	t.Helper()
	h := configuredHarness(t, func(c *server.Config) { c.DecisionLog = log })
	h.addDesk(t)
	return h
}

// value returns a sample of the metrics, written as Prometheus does, and fails if there is none.
func (h *harness) value(t *testing.T, series string) float64 {
	t.Helper()
	for line := range strings.Lines(h.scrape()) {
		if rest, is := strings.CutPrefix(line, series+" "); is {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("the metrics do not have %s", series)
	return 0
}

// loggedLines closes a decision log and returns what is in a file.
func loggedLines(t *testing.T, log *server.DecisionLog, file string) (lines []map[string]any) {
	t.Helper()
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(written) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, m)
	}
	return lines
}

// askMuch asks two single questions and, with a batch, three.
func (h *harness) askMuch(t *testing.T) *usherv1.BatchCheckResponse {
	t.Helper()
	if !h.may(t, "desk", "user:ann", "view", "team:a") || h.may(t, "desk", "user:ann", "view", "team:b") {
		t.Fatal("not what ann may")
	}
	resource := &usherv1.Resource{Type: "ticket", Id: "7", Scopes: []string{"team:b"}}
	response, err := h.decisions.BatchCheck(t.Context(), &usherv1.BatchCheckRequest{
		Tenant: "desk", Subject: "user:bob", Groups: []string{"group:x"},
		Items: []*usherv1.BatchCheckItem{
			{Actions: []string{"view", "close"}, Resource: resource},
			{Actions: []string{"view", "fly"}, Resource: resource}, // which there isn't
			{Subject: "user:ann", Actions: []string{"view"}, Resource: resource},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestDecisionLogHasEachDecision(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "decisions")
	log := newDecisionLog(t, server.DecisionLogConfig{File: file, Sample: 1})
	h := loggingHarness(t, log)
	revision := h.askMuch(t).GetRevision()
	line := func(more ...any) map[string]any {
		m := map[string]any{"time": "2026-01-15T12:00:00Z", "tenant": "desk", "resource_type": "ticket", "revision": revision}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	want := []map[string]any{
		line("subject", "user:ann", "action", "view", "decision", "allow", "reason", "GRANTED", "role", "agent", "holder", "user:ann", "scope", "team:a"),
		line("subject", "user:ann", "action", "view", "decision", "deny", "reason", "OUT_OF_SCOPE", "role", "agent", "holder", "user:ann", "scope", "team:a"),
		line("subject", "user:bob", "groups", 1.0, "resource_id", "7", "action", "view", "decision", "allow", "reason", "GRANTED", "role", "agent", "holder", "user:bob", "scope", "team:b"),
		line("subject", "user:bob", "groups", 1.0, "resource_id", "7", "action", "close", "decision", "deny", "reason", "ROLE_LACKS_PERMISSION", "role", "agent", "holder", "user:bob", "scope", "team:b"),
		line("subject", "user:ann", "resource_id", "7", "action", "view", "decision", "deny", "reason", "OUT_OF_SCOPE", "role", "agent", "holder", "user:ann", "scope", "team:a"),
	}
	got, _ := json.MarshalIndent(loggedLines(t, log, file), "", " ")
	if wanted, _ := json.MarshalIndent(want, "", " "); !bytes.Equal(got, wanted) {
		t.Errorf("got %s\nwant %s", got, wanted)
	}
	if n := h.value(t, "usher_decision_log_written_total"); n != 5 {
		t.Errorf("%v are counted as written", n)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("the file has mode %v, %v: others may read it", info.Mode(), err)
	}
}

func TestDecisionLogLeavesOutWhatItShould(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config      server.DecisionLogConfig
		least, most int
	}{
		"denials only": {server.DecisionLogConfig{Sample: 1, DenialsOnly: true}, 600, 600},
		"none":         {server.DecisionLogConfig{}, 0, 0},
		// Of 1,000 single decisions and items, one of them with two actions: 500, give or take
		// nine standard deviations.
		"half": {server.DecisionLogConfig{Sample: 0.5}, 350, 650},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.File = filepath.Join(t.TempDir(), "decisions")
			log := newDecisionLog(t, test.config)
			h := loggingHarness(t, log)
			for range 200 {
				h.askMuch(t)
			}
			lines := loggedLines(t, log, test.config.File)
			if len(lines) < test.least || len(lines) > test.most {
				t.Errorf("%d lines, and there should be %d to %d", len(lines), test.least, test.most)
			}
			for _, line := range lines {
				if test.config.DenialsOnly && line["decision"] != "deny" {
					t.Errorf("%v", line)
				}
			}
		})
	}
	for _, sample := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := server.NewDecisionLog(server.DecisionLogConfig{File: "-", Sample: sample}); err == nil || !strings.Contains(err.Error(), "from 0") {
			t.Errorf("sample %v: %v", sample, err)
		}
	}
	if _, err := server.NewDecisionLog(server.DecisionLogConfig{File: filepath.Join(t.TempDir(), "missing", "file")}); err == nil {
		t.Error("a directory that isn't there is no error")
	}
}

// unreadPipe makes a pipe that is full, so that whoever writes to it waits until somebody reads. It is full of
// line breaks, which JSON does not mind.
func unreadPipe(t *testing.T) (path string, reader *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	fill, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fill)
	for page := bytes.Repeat([]byte("\n"), os.Getpagesize()); err == nil; {
		_, err = syscall.Write(fill, page)
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Fatal(err)
	}
	return path, reader
}

// readDecisions reads that many decisions, beside the test.
func readDecisions(reader io.Reader, count int) <-chan error {
	read := make(chan error, 1)
	go func() {
		decoder := json.NewDecoder(reader)
		for range count {
			var line map[string]any
			if err := decoder.Decode(&line); err != nil {
				read <- err
				return
			}
		}
		read <- nil
	}()
	return read
}

// TestDecisionLogThatIsNotRead: the other end of a pipe reads nothing. Checks go on; what can't wait is
// dropped, and counted; and what was not dropped is written when somebody reads.
func TestDecisionLogThatIsNotRead(t *testing.T) {
	t.Parallel()
	pipe, reader := unreadPipe(t)
	log := newDecisionLog(t, server.DecisionLogConfig{File: pipe, Sample: 1, Queue: 10})
	h := loggingHarness(t, log)
	asked := 0
	for h.value(t, "usher_decision_log_dropped_total") == 0 || h.value(t, "usher_decision_log_waiting") < 10 {
		h.askMuch(t)
		asked += 5
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := log.Reopen(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reopening a log that can't be written: %v", err)
	}
	if err := log.Close(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("closing a log that can't be written: %v", err)
	}
	kept := asked - int(h.value(t, "usher_decision_log_dropped_total"))
	read := readDecisions(reader, kept)
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if written := h.value(t, "usher_decision_log_written_total"); int(written) != kept {
		t.Errorf("%v of %d are counted as written", written, kept)
	}
}

// TestDecisionLogOnFullDisk: a write fault is logged once, what it cost is counted, and checks don't notice.
func TestDecisionLogOnFullDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full here")
	}
	var logged bytes.Buffer
	log := newDecisionLog(t, server.DecisionLogConfig{File: "/dev/full", Sample: 1, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	h := loggingHarness(t, log)
	for range 10 {
		h.askMuch(t)
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if written, dropped := h.value(t, "usher_decision_log_written_total"), h.value(t, "usher_decision_log_dropped_total"); written != 0 || dropped != 50 {
		t.Errorf("%v written and %v dropped of 50", written, dropped)
	}
	if lines := strings.Count(logged.String(), "\n"); lines != 1 || !strings.Contains(logged.String(), "no space left on device") {
		t.Errorf("the fault should be logged once: %s", &logged)
	}
}

// TestDecisionLogIsReopened after another program has renamed its file, as logrotate does.
func TestDecisionLogIsReopened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, rotated := filepath.Join(dir, "decisions"), filepath.Join(dir, "decisions.1")
	log := newDecisionLog(t, server.DecisionLogConfig{File: file, Sample: 1})
	h := loggingHarness(t, log)
	h.askMuch(t)
	if err := os.Rename(file, rotated); err != nil {
		t.Fatal(err)
	}
	h.may(t, "desk", "user:root", "view", "team:a")
	if err := log.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.may(t, "desk", "user:carl", "view", "team:a")
	lines := loggedLines(t, log, file)
	if len(lines) != 1 || lines[0]["subject"] != "user:carl" {
		t.Errorf("the new file has %v", lines)
	}
	before, err := os.ReadFile(rotated)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(before, []byte("\n")) != 6 || !bytes.Contains(before, []byte("user:root")) {
		t.Errorf("the old file has %s", before)
	}
	if err := log.Reopen(t.Context()); err == nil {
		t.Error("a log that is closed can be reopened")
	}
}

// TestDecisionLogIsReopenedAfterWhatWaits: what waits to be written when the log is reopened gets to the old file.
func TestDecisionLogIsReopenedAfterWhatWaits(t *testing.T) {
	t.Parallel()
	pipe, reader := unreadPipe(t)
	log := newDecisionLog(t, server.DecisionLogConfig{File: pipe, Sample: 1})
	h := loggingHarness(t, log)
	const rounds = 100
	for range rounds {
		h.askMuch(t)
	}
	if err := os.Rename(pipe, pipe+".1"); err != nil {
		t.Fatal(err)
	}
	reopened := make(chan error, 1)
	go func() { reopened <- log.Reopen(t.Context()) }()
	read := readDecisions(reader, 5*rounds)
	if err := <-reopened; err != nil {
		t.Fatal(err)
	}
	if lines := loggedLines(t, log, pipe); len(lines) > 0 {
		t.Fatalf("%d decisions that were made before are in the new file", len(lines))
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
}

// TestDecisionLogStaysWhenItCannotBeReopened: its directory is gone, and it goes on in the old file.
func TestDecisionLogStaysWhenItCannotBeReopened(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "decisions")
	log := newDecisionLog(t, server.DecisionLogConfig{File: file, Sample: 1})
	h := loggingHarness(t, log)
	old, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := log.Reopen(t.Context()); err == nil {
		t.Fatal("a file that can't be made was opened")
	}
	h.may(t, "desk", "user:ann", "view", "team:a")
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if written, err := io.ReadAll(old); err != nil || !bytes.Contains(written, []byte("user:ann")) {
		t.Errorf("%q, %v", written, err)
	}
}
