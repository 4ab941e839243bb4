package main

import (
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// parseMoment reads a time in the form of RFC 3339, or a duration that is added to base. ""
// is nil.
func parseMoment(name, text string, base time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	if span, ok := parseSpan(text); ok {
		return timestamppb.New(base.Add(span)), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, usagef("%s %q: write a time as 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00, "+
			"or a duration as 90m, 12h, 7d or 2w", name, text)
	}
	return timestamppb.New(t), nil
}

// parsePast reads a time, or a duration that is counted back from now. "" is nil.
func parsePast(name, text string, now time.Time) (*timestamppb.Timestamp, error) {
	if span, ok := parseSpan(text); ok {
		return timestamppb.New(now.Add(-span)), nil
	}
	return parseMoment(name, text, now)
}

// parseAsOf reads a moment of the past: a time, a duration that is counted back from now, or
// else a revision. "" is nil.
func parseAsOf(text string, now time.Time) *usherv1.AsOf {
	if text == "" {
		return nil
	}
	if past, err := parsePast("", text, now); err == nil {
		return &usherv1.AsOf{Moment: &usherv1.AsOf_Time{Time: past}}
	}
	return &usherv1.AsOf{Moment: &usherv1.AsOf_Revision{Revision: text}}
}

// interval is from when until when a role is to be held, as somebody has written it.
type interval struct{ from, until string }

func (i *interval) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&i.from, "from", "", "from when on, a `TIME` such as 2026-12-24T18:00:00Z or a duration from now such as 2h (default: at once)")
	flags.StringVar(&i.until, "until", "", "until when, a `TIME` or a duration from the start such as 12h, 7d or 2w (default: without an end)")
}

// parse counts from from now, and until from the start.
func (i *interval) parse(prefix string, now time.Time) (starts, expires *timestamppb.Timestamp, err error) {
	if starts, err = parseMoment(prefix+"from", i.from, now); err != nil {
		return nil, nil, err
	}
	start := now
	if starts != nil {
		start = starts.AsTime()
	}
	expires, err = parseMoment(prefix+"until", i.until, start)
	return starts, expires, err
}

// isRelative reports whether the same words mean another interval at another time.
func (i *interval) isRelative() bool {
	_, from := parseSpan(i.from)
	_, until := parseSpan(i.until)
	return from || until && i.from == ""
}
