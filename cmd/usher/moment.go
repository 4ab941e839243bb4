package main

import (
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// parseInstant reads a time in the form of RFC 3339. "" is nil.
func parseInstant(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, usagef("%s %q: write a time as 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00", flag, text)
	}
	return timestamppb.New(t), nil
}

// parseEnd reads a time, or a duration that is counted from start.
func parseEnd(flag, text string, start time.Time) (*timestamppb.Timestamp, error) {
	if d, ok := parseSpan(text); ok {
		return timestamppb.New(start.Add(d)), nil
	}
	end, err := parseInstant(flag, text)
	if err != nil {
		return nil, usagef("%w, or a duration as 90m, 12h, 7d or 2w", err)
	}
	return end, nil
}

// parseSpan reads a duration as Go writes it, or whole days (7d) or weeks (2w).
func parseSpan(text string) (time.Duration, bool) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, found := strings.CutSuffix(text, unit); found {
			n, err := strconv.ParseInt(digits, 10, 64)
			return time.Duration(n) * length, err == nil && n >= 0 && n <= math.MaxInt64/int64(length)
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}
