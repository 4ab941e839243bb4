package tables

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// InvalidTableError says what is wrong with how a table is written.
type InvalidTableError struct {
	// Faults are what was found, each as "file:line: what is wrong and what to write".
	Faults []string
}

func (e *InvalidTableError) Error() string { return strings.Join(e.Faults, "\n") }

// Read reads a table. The name of the file is for messages. The error is an
// *InvalidTableError with every case that can't be understood.
func Read(file string, text []byte) (*Table, error) {
	t := &Table{File: file}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	switch err := decoder.Decode(t); {
	case errors.Is(err, io.EOF):
		return nil, &InvalidTableError{Faults: []string{file + ":1: the table is empty: write catalog, holds and checks"}}
	case err != nil:
		return nil, &InvalidTableError{Faults: yamlFaults(file, err)}
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &InvalidTableError{Faults: []string{file + ": there is a second document: write a file for each"}}
	}
	if err := t.place(text); err != nil {
		return nil, &InvalidTableError{Faults: yamlFaults(file, err)}
	}
	var faults []string
	fault := func(place, problem string) {
		if problem != "" {
			faults = append(faults, place+": "+problem)
		}
	}
	if !isName(t.Catalog) {
		fault(file+":1", "the catalog is missing: write catalog: and its name")
	}
	for _, h := range t.Holds {
		fault(h.Place, h.problem())
	}
	for _, c := range t.Cases() {
		for i := range c.Given {
			c.Given[i].Place = c.Place
			fault(c.Place, c.Given[i].problem())
		}
		fault(c.Place, c.problem())
		attributes, err := structpb.NewStruct(c.Facts)
		if err != nil {
			fault(c.Place, fmt.Sprintf("facts: %v: write texts in quotation marks", err))
		}
		c.attributes = attributes.GetFields()
	}
	if len(faults) > 0 {
		return nil, &InvalidTableError{Faults: faults}
	}
	t.plan()
	return t, nil
}

var (
	yamlLine     = regexp.MustCompile(`line (\d+): (.*)`)
	unknownField = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
)

// yamlFaults writes faults of the decoder as file:line and what is wrong.
func yamlFaults(file string, err error) []string {
	var faults []string
	for _, found := range yamlLine.FindAllStringSubmatch(err.Error(), -1) {
		text := unknownField.ReplaceAllString(found[2], `the word "$1" has no meaning here: correct or remove it`)
		faults = append(faults, fmt.Sprintf("%s:%s: %s", file, found[1], text))
	}
	if len(faults) == 0 {
		faults = []string{fmt.Sprintf("%s: %v", file, err)}
	}
	return faults
}

// place gives every case its file and line, which the decoder does not tell.
func (t *Table) place(text []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return err
	}
	at := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", t.File, n.Line) }
	root := document.Content[0]
	for i := 0; i < len(root.Content); i += 2 {
		for j, n := range root.Content[i+1].Content {
			switch root.Content[i].Value {
			case "holds":
				t.Holds[j].Place = at(n)
			case "checks":
				t.Checks[j].Place = at(n)
			case "administration":
				t.Administration[j].Place = at(n)
			case "sequences":
				for k, step := range n.Content {
					t.Sequences[j][k].Place = at(step)
				}
			}
		}
	}
	return nil
}

// problem says what is wrong with how a holding is written, if anything.
func (h Holding) problem() string {
	switch {
	case !isID(h.Who):
		return idProblem("who", h.Who)
	case !isName(h.Role):
		return nameProblem("role", h.Role)
	case h.In != "" && !isID(h.In):
		return idProblem("in", h.In)
	}
	if !startsBeforeEnd(h.Assignment().Interval) || h.Assignment().Ended(Epoch) {
		return "ends has to lie after starts, and after " + Epoch.Format("2006-01-02")
	}
	return ""
}

func startsBeforeEnd(i store.Interval) bool {
	return i.End.IsZero() || i.Start.IsZero() || i.Start.Before(i.End)
}

// problem says what is wrong with how a case is written, if anything.
func (c *Case) problem() string {
	answer := strings.Fields(c.Answer)
	acts := 0
	for _, list := range []Each{c.Grant, c.Revoke, c.Change, c.Remove, c.Primary, c.TurnOn, c.TurnOff} {
		acts += min(len(list), 1)
	}
	switch {
	case (len(c.Who) > 0) == (len(c.As) > 0):
		return "write who … may …, or as … grant, revoke, change, remove, name_primary, turn_on or turn_off …"
	case len(c.Who) > 0 && (len(c.May) == 0 || acts > 0 || len(c.Given) > 0 || c.Remedy != "" || len(c.Warns) > 0):
		return "a check says who may what, and nothing of an act"
	case len(c.As) > 0 && (len(c.May) > 0 || len(c.In) > 1 && len(c.Change) == 0 || len(c.WithOn)+len(c.WithOff) > 0):
		return "an act but a change is in one scope at most, and it has nothing of a check"
	case len(c.As) > 0 && acts != 1:
		return "an act is one of grant, revoke, change, remove, name_primary, turn_on and turn_off"
	case (len(c.Grant) > 0) != (len(c.To) > 0) || (len(c.Revoke) > 0) != (len(c.From) > 0):
		return "it is grant … to …, and revoke … from …"
	case (len(c.Change) > 0) != (len(c.Of) > 0) || (len(c.Change) > 0) != (len(c.Into) > 0):
		return "it is change … of … into …"
	case c.Everywhere && (len(c.Revoke) == 0 || len(c.In) > 0):
		return "everywhere is for a revoke, without a scope"
	case c.Tenant != "" && c.Tenant != OtherTenant:
		return fmt.Sprintf("tenant %q: it is %s, or left out", c.Tenant, OtherTenant)
	case len(c.Warns) > 0 && c.Answer != ChangedWord:
		return "only what is changed is warned of"
	case len(answer) == 0:
		return "the answer is missing"
	}
	if problem := c.namesProblem(); problem != "" {
		return problem
	}
	isError := code.Code_value[answer[0]] != 0
	switch {
	case isError && len(answer) == 2:
	case len(c.As) > 0:
		if c.Answer != ChangedWord && c.Answer != unchangedWord {
			return fmt.Sprintf("answer %q: it is %s, %s, or an error: its code and reason", c.Answer, ChangedWord, unchangedWord)
		}
	case len(answer) != wordsOf(answer[0]):
		return fmt.Sprintf("answer %q: it is allow with a role, or a code with the role and what goes with it", c.Answer)
	}
	return ""
}

// namesProblem says which id or name is not written as one, if any.
func (c *Case) namesProblem() string {
	for _, list := range []struct {
		word  string
		ids   []string
		names bool
	}{
		{"who", c.Who, false}, {"groups", c.Groups, false}, {"in", c.In, false},
		{"to", c.To, false}, {"from", c.From, false}, {"of", c.Of, false}, {"remove", c.Remove, false}, {"name_primary", c.Primary, false},
		{"grant", c.Grant, true}, {"revoke", c.Revoke, true}, {"change", c.Change, true}, {"into", c.Into, true},
		{"turn_on", c.TurnOn, true}, {"turn_off", c.TurnOff, true},
	} {
		for _, id := range list.ids {
			switch {
			case list.names && !isName(id):
				return nameProblem(list.word, id)
			case !list.names && !isID(id):
				return idProblem(list.word, id)
			case list.word == "groups" && !strings.HasPrefix(id, "group:"):
				return fmt.Sprintf("groups %q: a group is written group:id", id)
			}
		}
	}
	for _, as := range c.As {
		if as != OperatorWord && !isID(as) {
			return idProblem("as", as)
		}
	}
	for _, owner := range c.Owner {
		if owner != selfWord && owner != "" && !isID(owner) {
			return idProblem("owner", owner)
		}
	}
	for _, warning := range c.Warns {
		if !slices.Contains(warnings, policy.WarningCode(warning)) {
			return fmt.Sprintf("warns %q: it is %s or %s", warning, warnings[0], warnings[1])
		}
	}
	for _, may := range c.May {
		resourceType, action, _ := strings.Cut(may, ":")
		if !isName(resourceType) || !isName(action) {
			return fmt.Sprintf("may %q: a permission is written type:action", may)
		}
	}
	return ""
}

func idProblem(word, id string) string {
	return fmt.Sprintf("%s %q: it is written type:id, such as user:ann", word, id)
}

func nameProblem(word, name string) string {
	return fmt.Sprintf("%s %q: a name has lower-case letters, digits and _, and begins with a letter", word, name)
}

// What the API takes for names and ids.
var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	idPattern   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}:[^\p{Cc}]+$`)
)

const maxIDBytes = 256

func isName(s string) bool { return namePattern.MatchString(s) }

func isID(s string) bool { return len(s) <= maxIDBytes && idPattern.MatchString(s) }
