package main

import (
	"testing"
	"time"
)

func TestParseSpan(t *testing.T) {
	const day = 24 * time.Hour
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

func TestParseEndCountsFromTheStart(t *testing.T) {
	start := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2w":                        "2027-01-07T18:00:00Z",
		"2027-01-01T01:00:00+01:00": "2027-01-01T00:00:00Z",
	} {
		got, err := parseEnd("--until", text, start)
		if err != nil || instant(got) != want {
			t.Errorf("%q: %v, %v, want %s", text, instant(got), err, want)
		}
	}
	if got, err := parseEnd("--until", "", start); got != nil || err != nil {
		t.Errorf("no end: %v, %v", got, err)
	}
}
