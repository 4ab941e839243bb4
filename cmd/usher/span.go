package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseSpan reads a duration as Go writes it, or whole days (7d) or weeks (2w).
func parseSpan(text string) (time.Duration, bool) {
	for unit, length := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if digits, found := strings.CutSuffix(text, unit); found {
			n, err := strconv.ParseInt(digits, 10, 64)
			return time.Duration(n) * length, err == nil && n >= 0 && n <= math.MaxInt64/int64(length)
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// spanText writes a span as parseSpan reads it, and as short as that.
func spanText(d time.Duration) string {
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, nothing) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// keep is the value of a flag that says how long something is kept; 0 is for ever.
type keep time.Duration

// Type is how the help names the value.
func (k *keep) Type() string { return "DURATION" }

func (k *keep) String() string {
	if *k == 0 {
		return "0"
	}
	return spanText(time.Duration(*k))
}

// Set is called by the flag parser.
func (k *keep) Set(text string) error {
	d, ok := parseSpan(text)
	if !ok || d < 0 {
		return errors.New("write it as 30d, 2w or 720h, or 0 for ever")
	}
	*k = keep(d)
	return nil
}
