package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// yamlFault is something wrong with a file as YAML.
type yamlFault struct {
	line, column int
	text         string
}

// in tells the fault in the layout of all others.
func (f *yamlFault) in(file string, source []byte) string {
	text := fmt.Sprintf("%s:%d:%d %s", file, f.line, f.column, f.text)
	if line := bytes.Split(source, []byte("\n"))[f.line-1]; len(line) > 0 {
		text += fmt.Sprintf("\n%4d | %s\n%4d | %s^", f.line, bytes.Map(visible, line), f.line, strings.Repeat(".", f.column-1))
	}
	return shortened(text)
}

// visible replaces what a terminal would obey or not show.
func visible(r rune) rune {
	if unicode.IsControl(r) && r != '\t' {
		return utf8.RuneError
	}
	return r
}

// checkYAML refuses what the YAML reader would pass over, unfold or stumble on: a second
// document, aliases, keys that are there twice, an empty file, characters that the
// layers of the reader count differently.
func checkYAML(source []byte) *yamlFault {
	if fault := checkCharacters(source); fault != nil {
		return fault
	}
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return &yamlFault{1, 1, "the file is empty: write at least name, version, holders, roles and administration"}
	case err != nil:
		return findSyntaxFault(source, err)
	}
	if fault := checkNode(&document); fault != nil {
		return fault
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return findSyntaxFault(source, err)
	}
	return &yamlFault{second.Line, second.Column, "there is a second document: write one catalog per file"}
}

// checkCharacters refuses what is not UTF-8, control characters and unusual ends of
// lines: what YAML takes for one is none for the code that shows the line of a fault.
func checkCharacters(source []byte) *yamlFault {
	line, column := 1, 1
	for i := 0; i < len(source); {
		r, size := utf8.DecodeRune(source[i:])
		switch {
		case r == '\n':
			line, column = line+1, 0
		case r == '\t' || r == '\r' && i+1 < len(source) && source[i+1] == '\n':
		case r == utf8.RuneError && size == 1:
			return &yamlFault{line, column, "this is not valid UTF-8: save the file as UTF-8"}
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return &yamlFault{line, column, fmt.Sprintf("the character %U is not allowed: remove it; lines end with \\n or \\r\\n", r)}
		}
		i += size
		column++
	}
	return nil
}

// checkNode looks for aliases and keys that are there twice, of which the reader would
// silently take the last.
func checkNode(n *yaml.Node) *yamlFault {
	if n.Kind == yaml.AliasNode {
		return &yamlFault{n.Line, n.Column, "aliases are not supported: write the value out"}
	}
	seen := map[string]bool{}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Kind == yaml.ScalarNode {
			// The reader knows a field by its name in JSON too: scopeTypes.
			key := strings.ToLower(strings.ReplaceAll(child.Value, "_", ""))
			if seen[key] {
				return &yamlFault{child.Line, child.Column, fmt.Sprintf("%.64q is there twice: remove one of them", child.Value)}
			}
			seen[key] = true
		}
		if fault := checkNode(child); fault != nil {
			return fault
		}
	}
	return nil
}

// maxReread is how many bytes are read again to find the place of a syntax fault.
const maxReread = 4 << 20

// findSyntaxFault says where a file is no YAML. The YAML reader names no column, and
// often the wrong line or none. So the place is found by trying: it is the line after the
// most lines that can be read by themselves, looked for from where the reader gave up.
func findSyntaxFault(source []byte, err error) *yamlFault {
	lines := bytes.SplitAfter(source, []byte("\n")) // the last is empty
	feed := &lineReader{lines: lines}
	isYAML(feed)
	line, before := feed.read, 0
	for _, l := range lines[:line] {
		before += len(l)
	}
	for n, reread := line, 0; n > 0 && reread <= maxReread; n-- {
		before -= len(lines[n-1])
		reread += before
		if isYAML(bytes.NewReader(source[:before])) {
			line = n
			break
		}
	}
	text := lines[line-1]
	column := 1 + len(text) - len(bytes.TrimLeft(text, " \t"))
	reason := yamlPrefix.ReplaceAllString(err.Error(), "")
	return &yamlFault{line, column, "from here on this can't be read as YAML: " + reason}
}

func isYAML(r io.Reader) bool {
	decoder := yaml.NewDecoder(r)
	for {
		if err := decoder.Decode(new(yaml.Node)); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

var yamlPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// lineReader gives one line at a time and counts them.
type lineReader struct {
	lines [][]byte
	read  int
	rest  []byte
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.read == len(r.lines) {
			return 0, io.EOF
		}
		r.rest = r.lines[r.read]
		r.read++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
