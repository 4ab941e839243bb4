package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/genproto/googleapis/rpc/code"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// tablesDir has the test tables, beside the catalogs. Its README.md explains them.
const tablesDir = "policy/catalogs"

// table is a file of cases about one catalog.
type table struct {
	file           string
	Catalog        string        `yaml:"catalog"`
	Holds          []holds       `yaml:"holds"`
	Checks         []tableCase   `yaml:"checks"`
	Administration []tableCase   `yaml:"administration"`
	Sequences      [][]tableCase `yaml:"sequences"`
}

// holds says that somebody holds a role.
type holds struct {
	Who    string    `yaml:"who"`
	Role   string    `yaml:"role"`
	In     string    `yaml:"in"`
	Starts time.Time `yaml:"starts"`
	Ends   time.Time `yaml:"ends"`
}

// tableCase is a check, if it has `who`, or an act, if it has `as`. Where a value may
// be a list, the case stands for one case with each of them. Only `in` of a check or of a
// change of role, the groups and the toggles belong together.
type tableCase struct {
	place string

	Groups each   `yaml:"groups"`
	Tenant string `yaml:"tenant"`
	In     each   `yaml:"in"`
	Answer string `yaml:"answer"`

	Who     each           `yaml:"who"`
	May     each           `yaml:"may"`
	ID      each           `yaml:"id"`
	Owner   each           `yaml:"owner"`
	Facts   map[string]any `yaml:"facts"`
	WithOn  each           `yaml:"with_on"`
	WithOff each           `yaml:"with_off"`
	Through string         `yaml:"through"`
	At      string         `yaml:"at"`
	Recheck time.Time      `yaml:"recheck"`

	As         each      `yaml:"as"`
	Grant      each      `yaml:"grant"`
	To         each      `yaml:"to"`
	Revoke     each      `yaml:"revoke"`
	From       each      `yaml:"from"`
	Change     each      `yaml:"change"`
	Into       each      `yaml:"into"`
	Of         each      `yaml:"of"`
	Remove     each      `yaml:"remove"`
	TurnOn     each      `yaml:"turn_on"`
	TurnOff    each      `yaml:"turn_off"`
	Everywhere bool      `yaml:"everywhere"`
	Starts     time.Time `yaml:"starts"`
	Ends       time.Time `yaml:"ends"`
	Given      []holds   `yaml:"given"`
	Remedy     string    `yaml:"remedy"`
}

// each is one value or a list of them.
type each []string

func (e *each) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*e = each{n.Value}
		return nil
	}
	return n.Decode((*[]string)(e))
}

// orNone is the values, or one empty value if there are none.
func (e each) orNone() each {
	if len(e) == 0 {
		return each{""}
	}
	return e
}

// Words of the tables.
const (
	operatorWord = "operator"
	selfWord     = "self"
	tenantWord   = "tenant"
	allowWord    = "allow"
	changedWord  = "changed"
	otherTenant  = "other"
)

func tableFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(tablesDir, "*_test.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables in %s: %v", tablesDir, err)
	}
	return files
}

// readTable reads a table and reports every case that can't be understood.
func readTable(t *testing.T, file string) *table {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in := &table{file: file}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(in); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		t.Fatalf("%s: there is a second document", file)
	}
	in.place(t, text)
	for _, c := range in.cases() {
		if problem := c.problem(); problem != "" {
			t.Fatalf("%s: %s", c.place, problem)
		}
	}
	return in
}

// place gives every case its file and line, which the decoder does not tell.
func (in *table) place(t *testing.T, text []byte) {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	at := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", in.file, n.Line) }
	root := document.Content[0]
	for i := 0; i < len(root.Content); i += 2 {
		for j, n := range root.Content[i+1].Content {
			switch root.Content[i].Value {
			case "checks":
				in.Checks[j].place = at(n)
			case "administration":
				in.Administration[j].place = at(n)
			case "sequences":
				for k, step := range n.Content {
					in.Sequences[j][k].place = at(step)
				}
			}
		}
	}
}

// cases are all cases of all sections.
func (in *table) cases() []*tableCase {
	var all []*tableCase
	for _, section := range append([][]tableCase{in.Checks, in.Administration}, in.Sequences...) {
		for i := range section {
			all = append(all, &section[i])
		}
	}
	return all
}

// problem says what is wrong with how a case is written, if anything.
func (c *tableCase) problem() string {
	answer := strings.Fields(c.Answer)
	acts := 0
	for _, list := range []each{c.Grant, c.Revoke, c.Change, c.Remove, c.TurnOn, c.TurnOff} {
		acts += min(len(list), 1)
	}
	switch {
	case (len(c.Who) > 0) == (len(c.As) > 0):
		return "write who … may …, or as … grant, revoke, change, remove, turn_on or turn_off …"
	case len(c.Who) > 0 && (len(c.May) == 0 || acts > 0 || len(c.Given) > 0 || c.Remedy != ""):
		return "a check says who may what, and nothing of an act"
	case len(c.As) > 0 && (len(c.May) > 0 || len(c.In) > 1 && len(c.Change) == 0 || len(c.WithOn)+len(c.WithOff) > 0):
		return "an act but a change is in one scope at most, and it has nothing of a check"
	case len(c.As) > 0 && acts != 1:
		return "an act is one of grant, revoke, change, remove, turn_on and turn_off"
	case (len(c.Grant) > 0) != (len(c.To) > 0) || (len(c.Revoke) > 0) != (len(c.From) > 0):
		return "it is grant … to …, and revoke … from …"
	case (len(c.Change) > 0) != (len(c.Of) > 0) || (len(c.Change) > 0) != (len(c.Into) > 0):
		return "it is change … of … into …"
	case len(answer) == 0:
		return "the answer is missing"
	case len(c.As) > 0 || isErrorCode(answer[0]) || answer[0] == allowWord && len(answer) == 2:
		return ""
	case usherv1.ReasonCode_value[reasonPrefix+answer[0]] == 0 || len(answer) != wordsOf(answer[0]):
		return fmt.Sprintf("answer %q: it is allow with a role, or a code with the role and what goes with it", c.Answer)
	}
	return ""
}

const reasonPrefix = "REASON_CODE_"

// wordsOf is how many words an answer with that code has.
func wordsOf(reason string) int {
	switch reason {
	case "NO_ROLE":
		return 1
	case "TOGGLE", "MISSING_ATTRIBUTE":
		return 3
	}
	return 2
}

func isErrorCode(word string) bool {
	_, found := code.Code_value[word]
	return found
}

// toggles is the state of toggles that a check needs, as one word.
func (c *tableCase) toggles() string {
	words := make([]string, 0, len(c.WithOn)+len(c.WithOff))
	for _, t := range c.WithOn {
		words = append(words, "+"+t)
	}
	for _, t := range c.WithOff {
		words = append(words, "-"+t)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}
