package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// batch is what a file for usher apply says.
type batch struct {
	file   string
	tenant string
	reason string
	acts   []*usherv1.Act
	lines  []int // where each act begins
	// relative reports whether an interval is counted from now.
	relative bool
}

// openBatch reads a file, or what comes in on stdin for "-". Durations are counted from now.
func openBatch(cmd *cobra.Command, name string, now time.Time) (*batch, error) {
	if name == "-" {
		return readBatch("stdin", cmd.InOrStdin(), now)
	}
	file, err := os.Open(name) // #nosec G304 -- the file that the user names
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return readBatch(name, file, now)
}

func readBatch(name string, in io.Reader, now time.Time) (*batch, error) {
	var document, more yaml.Node
	decoder := yaml.NewDecoder(in)
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is empty: it has to name a tenant and acts", name)
	}
	if err == nil {
		if err = decoder.Decode(&more); err == nil {
			return nil, fmt.Errorf("%s:%d: a second document begins: one file is one batch", name, more.Line)
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &batchReader{batch: &batch{file: name}, now: now}
	r.read(document.Content[0])
	return r.batch, errors.Join(r.faults...)
}

// actPlace is how the server names an act in an error.
var actPlace = regexp.MustCompile(`acts\[(\d+)\]`)

// locate adds to an error the lines of the acts that it names.
func (b *batch) locate(err error) error {
	if err == nil || isUsage(err) || !actPlace.MatchString(err.Error()) {
		return err
	}
	return errors.New(actPlace.ReplaceAllStringFunc(err.Error(), func(place string) string {
		n, _ := strconv.Atoi(actPlace.FindStringSubmatch(place)[1])
		if n >= len(b.lines) {
			return place
		}
		return fmt.Sprintf("%s:%d", b.file, b.lines[n])
	}))
}
