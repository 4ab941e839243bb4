package main

import (
	"bufio"
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protojson"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// readHeads reads what usher audit head has printed. A file without heads is an error: a
// verification against nothing would look like one that has passed.
func readHeads(name string) ([]*usherv1.Head, error) {
	file, err := os.Open(name) // #nosec G304 -- the file that the user names
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var heads []*usherv1.Head
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		head := &usherv1.Head{}
		if err := protojson.Unmarshal(lines.Bytes(), head); err != nil {
			return nil, fmt.Errorf("%s:%d: it is not a line that 'usher audit head' has printed: %w", name, number, err)
		}
		heads = append(heads, head)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(heads) == 0 {
		return nil, fmt.Errorf("%s has no heads: 'usher audit head' prints some", name)
	}
	return heads, nil
}
