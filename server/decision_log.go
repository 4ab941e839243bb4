package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
)

// DecisionLogConfig says what a DecisionLog writes, and where.
type DecisionLogConfig struct {
	// File is the path of the file that is appended to; it is made, with mode 0640, if it is
	// missing. "-" is standard output.
	File string
	// Sample is the share of the decisions that are written, from 0 (none) to 1 (all). Which
	// ones, chance decides: for each Check, and for each item of a BatchCheck as a whole.
	Sample float64
	// DenialsOnly leaves out what was allowed.
	DenialsOnly bool
	// Queue is how many decisions can wait to be written. Zero: 16,384, which takes 5 MB.
	Queue int
	// Logger is told when writing begins to fail, and when it goes on. Nil: nobody is.
	Logger *slog.Logger
}

// DecisionLog writes decisions down, off the path of the checks: what its queue can't take is dropped,
// and counted. It has the metrics usher_decision_log_*, which a Server registers.
type DecisionLog struct {
	file        string
	sample      float64
	denialsOnly bool
	logger      *slog.Logger

	queue   chan loggedDecision
	reopen  chan chan<- error
	closing chan struct{}
	close   sync.Once
	ended   chan error // of one error: that of closing the file

	written, dropped atomic.Uint64
}

// loggedDecision is a decision as it is written, a JSON object in a line.
type loggedDecision struct {
	Time         time.Time `json:"time"`
	Caller       string    `json:"caller,omitempty"`
	Tenant       string    `json:"tenant"`
	Subject      string    `json:"subject"`
	Groups       int       `json:"groups,omitempty"` // how many there are
	Action       string    `json:"action"`
	ResourceType string    `json:"resource_type"`
	ResourceID   string    `json:"resource_id,omitempty"`
	Decision     string    `json:"decision"`
	Reason       string    `json:"reason"`
	Role         string    `json:"role,omitempty"`
	Holder       string    `json:"holder,omitempty"`
	Scope        string    `json:"scope,omitempty"`
	Revision     string    `json:"revision"`
}

const (
	// standardOutputName is what standard output is called in DecisionLogConfig.
	standardOutputName = "-"
	// waitingDecisions is how many decisions can wait if nothing else is said.
	waitingDecisions = 16 << 10
	// decisionLogBytes is about how much is given to the operating system at once.
	decisionLogBytes = 64 << 10
)

// NewDecisionLog opens the file and begins to write to it. It has to be closed, after the server that
// uses it has stopped.
func NewDecisionLog(config DecisionLogConfig) (*DecisionLog, error) {
	if !(config.Sample >= 0 && config.Sample <= 1) {
		return nil, fmt.Errorf("the sample of the decision log is %v: name the share of the decisions to write, from 0 (none) to 1 (all)", config.Sample)
	}
	if config.Queue == 0 {
		config.Queue = waitingDecisions
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	l := &DecisionLog{
		file:        config.File,
		sample:      config.Sample,
		denialsOnly: config.DenialsOnly,
		logger:      config.Logger,
		queue:       make(chan loggedDecision, config.Queue),
		reopen:      make(chan chan<- error),
		closing:     make(chan struct{}),
		ended:       make(chan error, 1),
	}
	to, err := l.open()
	if err != nil {
		return nil, err
	}
	go l.run(&decisionWriter{log: l, to: to})
	return l, nil
}

// open opens the file.
func (l *DecisionLog) open() (io.WriteCloser, error) {
	if l.file == standardOutputName {
		return standardOutput{os.Stdout}, nil
	}
	f, err := os.OpenFile(l.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) // #nosec G302 -- the group reads the log
	if err != nil {
		return nil, fmt.Errorf("can't open the decision log: %w; name a file in a directory that Usher may write to", err)
	}
	return f, nil
}

// standardOutput stays open for others.
type standardOutput struct{ io.Writer }

func (standardOutput) Close() error { return nil }

// Reopen goes on in the file that has the name now, for programs that rotate logs: what was decided
// before is in the old one. With an error, it goes on with the old one; when ctx is done first, because
// nobody takes what is written, that of ctx. Standard output has no other file.
func (l *DecisionLog) Reopen(ctx context.Context) error {
	if l.file == standardOutputName {
		return nil
	}
	answer := make(chan error, 1)
	select {
	case l.reopen <- answer:
	case <-l.closing:
		return errors.New("the decision log is closed")
	case <-ctx.Done():
		return fmt.Errorf("reopening the decision log: it can't be written: %w", ctx.Err())
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("reopening the decision log: %w", ctx.Err())
	}
}

// Close writes what waits, and closes the file. If that takes longer than ctx allows, what still
// waits is lost.
func (l *DecisionLog) Close(ctx context.Context) error {
	l.close.Do(func() { close(l.closing) })
	select {
	case err := <-l.ended:
		l.ended <- err // for whoever closes it again
		return err
	case <-ctx.Done():
		return fmt.Errorf("closing the decision log: %d decisions still wait: %w", len(l.queue), ctx.Err())
	}
}

// chooses is whether a decision, or an item, is in the sample.
func (l *DecisionLog) chooses() bool { return l.sample == 1 || rand.Float64() < l.sample } // #nosec G404 -- a sample is no secret

// leavesOut is whether no decision with that effect is written.
func (l *DecisionLog) leavesOut(allow bool) bool { return l.denialsOnly && allow }

// add puts a decision to the queue, unless it is full.
func (l *DecisionLog) add(d loggedDecision) {
	select {
	case l.queue <- d:
	default:
		l.dropped.Add(1)
	}
}

// newLoggedDecision returns what is written of a decision, but for caller, time and revision.
func newLoggedDecision(tenant, subject string, groups int, action string, resource *policy.Resource, d *policy.Decision) loggedDecision {
	effect := "deny"
	if d.Allow {
		effect = "allow"
	}
	return loggedDecision{
		Tenant: tenant, Subject: subject, Groups: groups, Action: action, ResourceType: resource.Type, ResourceID: resource.ID,
		Decision: effect, Reason: reasonName(d.Reason.Code), Role: d.Reason.Role, Holder: d.Reason.Holder, Scope: d.Reason.Scope,
	}
}

// reasonName is how reason codes are called in metrics and logs.
func reasonName(code policy.Code) string {
	return usherv1.ReasonCode_name[int32(code)][len("REASON_CODE_"):]
}

// run writes until the log is closed.
func (l *DecisionLog) run(w *decisionWriter) {
	for {
		if len(l.queue) == 0 || w.buffered.Len() >= decisionLogBytes {
			w.flush()
		}
		select {
		case d := <-l.queue:
			w.add(&d)
		case answer := <-l.reopen:
			l.writeWaiting(w)
			answer <- w.reopen()
		case <-l.closing:
			l.writeWaiting(w)
			l.ended <- w.to.Close()
			return
		}
	}
}

// writeWaiting writes what waits now.
func (l *DecisionLog) writeWaiting(w *decisionWriter) {
	for range len(l.queue) {
		d := <-l.queue
		if w.add(&d); w.buffered.Len() >= decisionLogBytes {
			w.flush()
		}
	}
	w.flush()
}

// decisionWriter is the end of a DecisionLog that writes.
type decisionWriter struct {
	log      *DecisionLog
	to       io.WriteCloser
	buffered bytes.Buffer // whole lines
	failing  bool         // the last write has failed
	torn     bool         // and has left a piece of a line
}

// add puts a decision to what is written next.
func (w *decisionWriter) add(d *loggedDecision) {
	// Strings, numbers and a time of this century can be encoded, and a buffer takes all.
	_ = json.NewEncoder(&w.buffered).Encode(d)
}

// flush writes what is buffered. What can't be written is dropped; the next try may go well.
func (w *decisionWriter) flush() {
	if w.buffered.Len() == 0 {
		return
	}
	defer w.buffered.Reset()
	lines := w.buffered.Bytes()
	if w.torn {
		if _, err := w.to.Write([]byte("\n")); err != nil {
			w.log.dropped.Add(uint64(bytes.Count(lines, []byte("\n")))) // #nosec G115 -- a count
			return
		}
		w.torn = false
	}
	n, err := w.to.Write(lines)
	w.log.written.Add(uint64(bytes.Count(lines[:n], []byte("\n")))) // #nosec G115 -- a count
	if lost := bytes.Count(lines[n:], []byte("\n")); lost > 0 {
		w.log.dropped.Add(uint64(lost))
	}
	w.torn = n > 0 && n < len(lines) && lines[n-1] != '\n'
	switch {
	case err != nil && !w.failing:
		w.log.logger.Error("the decision log can't be written: decisions are missing in it until it can", "file", w.log.file, "error", err)
	case err == nil && w.failing:
		w.log.logger.Info("the decision log can be written again", "file", w.log.file, "dropped", w.log.dropped.Load())
	}
	w.failing = err != nil
}

// reopen goes on with the file that has the name now.
func (w *decisionWriter) reopen() error {
	to, err := w.log.open()
	if err != nil {
		return err
	}
	err = w.to.Close()
	w.to, w.torn = to, false
	return err
}

var (
	decisionsWritten = prometheus.NewDesc("usher_decision_log_written_total", "Decisions that have been written to the decision log.", nil, nil)
	decisionsDropped = prometheus.NewDesc("usher_decision_log_dropped_total", "Decisions that are missing in the decision log, because its queue was full or its file could not be written.", nil, nil)
	decisionsWaiting = prometheus.NewDesc("usher_decision_log_waiting", "Decisions that wait to be written to the decision log.", nil, nil)
)

// Describe implements prometheus.Collector.
func (l *DecisionLog) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(l, out) }

// Collect implements prometheus.Collector.
func (l *DecisionLog) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(decisionsWritten, prometheus.CounterValue, float64(l.written.Load()))
	out <- prometheus.MustNewConstMetric(decisionsDropped, prometheus.CounterValue, float64(l.dropped.Load()))
	out <- prometheus.MustNewConstMetric(decisionsWaiting, prometheus.GaugeValue, float64(len(l.queue)))
}
