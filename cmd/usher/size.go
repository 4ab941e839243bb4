package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is the value of a flag that is an amount of memory.
type byteSize int64

// Type is how the help names the value.
func (s *byteSize) Type() string { return "SIZE" }

func (s *byteSize) String() string {
	for _, u := range sizeUnits() {
		if n := int64(*s); n > 0 && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Set is called by the flag parser.
func (s *byteSize) Set(text string) error {
	for _, u := range sizeUnits() {
		digits, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/u.bytes {
			break
		}
		*s = byteSize(n * u.bytes)
		return nil
	}
	return errors.New("write it as 64MiB; the units are KiB, MiB and GiB")
}

type sizeUnit struct {
	name  string
	bytes int64
}

func sizeUnits() []sizeUnit { return []sizeUnit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} }
