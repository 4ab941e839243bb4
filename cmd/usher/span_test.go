package main

import (
	"testing"
	"time"
)

func TestParseSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute,
		"7d": 7 * day, "2w": 14 * day, "0d": 0, "-1h": -time.Hour,
	} {
		if got, ok := parseSpan(text); !ok || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-1d", "1.5d", "7 d", "1d12h", "15251w", "99999999999999999999d", "2026-12-24T18:00:00Z"} {
		if got, ok := parseSpan(text); ok {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func TestHowLongSomethingIsKeptIsNeverLessThanNothing(t *testing.T) {
	for text, want := range map[string]struct {
		keep    keep
		written string
	}{
		"0": {0, "0"}, "0d": {0, "0"}, "720h": {keep(30 * day), "30d"}, "2w": {keep(14 * day), "14d"}, "36h": {keep(36 * time.Hour), "36h"},
	} {
		got := keep(time.Hour)
		if err := got.Set(text); err != nil || got != want.keep || got.String() != want.written {
			t.Errorf("%q: %d, %v, written %q", text, got, err, &got)
		}
	}
	for _, text := range []string{"", "-1h", "-1ns", "-1d", "30", "ever"} {
		got := keep(time.Hour)
		if err := got.Set(text); err == nil || got != keep(time.Hour) {
			t.Errorf("%q is read as %v, %v", text, &got, err)
		}
	}
}
