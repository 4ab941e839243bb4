package main

import (
	"testing"
	"time"
)

func TestAnIntervalEndsCountedFromItsStart(t *testing.T) {
	now := time.Date(2026, 12, 20, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		interval
		starts, expires string
		relative        bool
	}{
		{interval{"", ""}, "-", "-", false},
		{interval{"", "2w"}, "-", "2027-01-03T12:00:00Z", true},
		{interval{"2h", "90m"}, "2026-12-20T14:00:00Z", "2026-12-20T15:30:00Z", true},
		{interval{"2h", "2027-01-01T01:00:00+01:00"}, "2026-12-20T14:00:00Z", "2027-01-01T00:00:00Z", true},
		{interval{"2026-12-24T18:00:00Z", "2w"}, "2026-12-24T18:00:00Z", "2027-01-07T18:00:00Z", false},
	} {
		starts, expires, err := test.parse("--", now)
		if err != nil || instant(starts) != test.starts || instant(expires) != test.expires || test.isRelative() != test.relative {
			t.Errorf("%+v: %s to %s, relative: %v, %v", test, instant(starts), instant(expires), test.isRelative(), err)
		}
	}
}

func TestAPastMomentIsCountedBack(t *testing.T) {
	now := time.Date(2026, 12, 20, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"24h": "2026-12-19T12:00:00Z", "1w": "2026-12-13T12:00:00Z", "2026-01-01T00:00:00Z": "2026-01-01T00:00:00Z",
	} {
		if got, err := parsePast("--since", text, now); err != nil || instant(got) != want {
			t.Errorf("%q: %s, %v, want %s", text, instant(got), err, want)
		}
		if got := parseAsOf(text, now); instant(got.GetTime()) != want {
			t.Errorf("as of %q: %v, want %s", text, got, want)
		}
	}
	if got := parseAsOf("c0ffee.42", now); got.GetRevision() != "c0ffee.42" {
		t.Errorf("a revision is read as %v", got)
	}
	if got := parseAsOf("", now); got != nil {
		t.Errorf("nothing is read as %v", got)
	}
}
