package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"time"
)

// share is the value of a flag that is a part of a whole, from 0 to 1.
type share float64

// Type is how the help names the value.
func (s *share) Type() string { return "SHARE" }

func (s *share) String() string { return strconv.FormatFloat(float64(*s), 'g', -1, 64) }

// Set is called by the flag parser.
func (s *share) Set(text string) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return errors.New("write it as a number from 0 (none) to 1 (all), such as 0.01")
	}
	*s = share(f)
	return nil
}

// positive is the value of a flag that is a number of things, at least one.
type positive int32

// Type is how the help names the value.
func (n *positive) Type() string { return "COUNT" }

func (n *positive) String() string { return strconv.Itoa(int(*n)) }

// Set is called by the flag parser.
func (n *positive) Set(text string) error {
	i, err := strconv.ParseInt(text, 10, 32)
	if err != nil || i < 1 {
		return fmt.Errorf("write it as a number from 1 to %d", math.MaxInt32)
	}
	*n = positive(i)
	return nil
}

// lasting is the value of a flag that is a time longer than nothing.
type lasting time.Duration

// Type is how the help names the value.
func (l *lasting) Type() string { return "DURATION" }

func (l *lasting) String() string { return spanText(time.Duration(*l)) }

// Set is called by the flag parser.
func (l *lasting) Set(text string) error {
	d, ok := parseSpan(text)
	if !ok || d <= 0 {
		return errors.New("write it as 10s, 30m, 2h or 1d")
	}
	*l = lasting(d)
	return nil
}

// fileMode is the value of a flag that says who may use a file, in octal digits.
type fileMode fs.FileMode

// Type is how the help names the value.
func (m *fileMode) Type() string { return "MODE" }

func (m *fileMode) String() string { return fmt.Sprintf("%04o", uint32(*m)) }

// Set is called by the flag parser.
func (m *fileMode) Set(text string) error {
	bits, err := strconv.ParseUint(text, 8, 32)
	if err != nil || bits > 0o777 || bits&0o600 != 0o600 {
		return errors.New("write it as 0660, 0600 or 0666: three octal digits, of which the first has to let the owner in")
	}
	*m = fileMode(bits)
	return nil
}
