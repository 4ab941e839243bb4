package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/policy"
)

// readFile reads the settings file, if there is one, and takes from it what neither the command line nor
// a variable says. It is refused as a whole if anything in it is wrong, also what is overridden.
func (s *settings) readFile() error {
	if s.config == "" {
		return nil
	}
	content, err := access.ReadFile(s.config)
	if err != nil {
		return usagef("%s: %w", s.named("config"), err)
	}
	keys, err := readKeys(s.config, content)
	if err != nil {
		return err
	}
	var alone settings // takes all that the file says
	alone.declare()
	var faults []error
	for _, k := range keys {
		if err := alone.take(s.config, k); err != nil {
			faults = append(faults, err)
			continue
		}
		if f := s.flags.Lookup(k.name); !f.Changed {
			if err := s.take(s.config, k); err != nil {
				return err
			}
		}
	}
	return errors.Join(faults...)
}

// key is a line of the settings file.
type key struct {
	name, value string
	line        int
}

// readKeys reads a flat mapping of names to values, and leaves it to others what they mean.
func readKeys(path string, content []byte) (keys []key, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil // nothing but comments
	case err != nil:
		return nil, usagef("%s: %w", path, err)
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, usagef("%s: %w", path, err)
	default:
		return nil, usagef("%s:%d: there is a second document: settings are one", path, second.Line)
	}
	mapping := document.Content[0]
	if mapping.Kind != yaml.MappingNode {
		return nil, usagef("%s:%d: settings are lines such as data-dir: /var/lib/usher", path, mapping.Line)
	}
	first := map[string]int{}
	var faults []error
	for i := 0; i < len(mapping.Content); i += 2 {
		name, value := mapping.Content[i], mapping.Content[i+1]
		switch at := first[name.Value]; {
		case at != 0:
			faults = append(faults, usagef("%s:%d: %s is there already, in line %d", path, name.Line, name.Value, at))
		case value.Kind != yaml.ScalarNode:
			faults = append(faults, usagef("%s:%d: %s has to have one value", path, name.Line, name.Value))
		case value.Tag == "!!null":
			faults = append(faults, usagef("%s:%d: %s has no value: leave the line out for what holds if nothing is said", path, name.Line, name.Value))
		default:
			keys = append(keys, key{name: name.Value, value: value.Value, line: name.Line})
		}
		first[name.Value] = name.Line
	}
	return keys, errors.Join(faults...)
}

// take sets what a line of the file says.
func (s *settings) take(path string, k key) error {
	f := s.flags.Lookup(k.name)
	if f == nil || f.Name == "config" {
		return usagef("%s:%d: there is no setting %q: %s", path, k.line, k.name, policy.Suggest(k.name, s.names()))
	}
	err := f.Value.Set(k.value)
	if err != nil && f.Value.Type() == "bool" {
		err = errors.New("write it as true or false")
	}
	if err != nil {
		return usagef("%s:%d: %s: %q: %w", path, k.line, k.name, k.value, err)
	}
	setSource(f, fmt.Sprintf("%s:%d", path, k.line))
	return nil
}

// names are those of the settings, in the order in which they are declared.
func (s *settings) names() (names []string) {
	s.each(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// each visits the settings in the order in which they are declared. The settings file is not one of them.
func (s *settings) each(visit func(*pflag.Flag)) {
	s.flags.SortFlags = false
	s.flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" {
			visit(f)
		}
	})
}
