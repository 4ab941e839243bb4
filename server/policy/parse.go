package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"buf.build/go/protoyaml"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
)

// InvalidCatalogError says what is wrong with a catalog.
type InvalidCatalogError struct {
	// Faults are all that were found, each as "file:line:column what is wrong and how
	// to mend it", followed by the line and a mark below the place.
	Faults []string
}

func (e *InvalidCatalogError) Error() string {
	return strings.Join(e.Faults, "\n")
}

// Parse reads a catalog in the YAML form of usher.catalog.v1.Catalog, checks it and
// compiles it. The name of the file is for the errors, which are of type
// *InvalidCatalogError.
func Parse(file string, source []byte) (*Catalog, error) {
	if err := checkYAML(file, source); err != nil {
		return nil, &InvalidCatalogError{Faults: []string{err.Error()}}
	}
	message := &catalogv1.Catalog{}
	checker := &catalogChecker{}
	options := protoyaml.UnmarshalOptions{Path: file, Validator: checker}
	if err := options.Unmarshal(source, message); err != nil {
		return nil, &InvalidCatalogError{Faults: faultsOf(err)}
	}
	return checker.compiled, nil
}

// checkYAML refuses what the YAML reader would pass over or unfold: a second document,
// aliases, and an empty file.
func checkYAML(file string, source []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s:1:1 the file is empty: write at least name, version, holders, roles and administration", file)
	case err != nil:
		return fmt.Errorf("%s: %w", file, err)
	}
	if alias := findAlias(&document); alias != nil {
		return fmt.Errorf("%s:%d:%d aliases are not supported: write the value out", file, alias.Line, alias.Column)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: there is a second document: write one catalog per file", file)
	}
	return nil
}

func findAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n
	}
	for _, child := range n.Content {
		if alias := findAlias(child); alias != nil {
			return alias
		}
	}
	return nil
}

func faultsOf(err error) []string {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []string{strings.TrimSpace(err.Error())}
	}
	var faults []string
	for _, e := range joined.Unwrap() {
		faults = append(faults, strings.TrimSpace(e.Error()))
	}
	return faults
}

// catalogChecker is the validator that the YAML reader runs on the message, because the
// reader knows the lines. It applies the rules in the proto first; if they hold,
// the message is compiled.
type catalogChecker struct {
	compiled *Catalog
}

// Validate implements protoyaml.Validator.
func (c *catalogChecker) Validate(message proto.Message) error {
	if err := protovalidate.Validate(message); err != nil {
		return err
	}
	compiled, faults := compile(message.(*catalogv1.Catalog))
	if len(faults) == 0 {
		c.compiled = compiled
		return nil
	}
	err := &protovalidate.ValidationError{}
	for _, f := range faults {
		err.Violations = append(err.Violations, &protovalidate.Violation{Proto: validate.Violation_builder{
			Field: validate.FieldPath_builder{Elements: []*validate.FieldPathElement{
				validate.FieldPathElement_builder{FieldName: &f.path}.Build(),
			}}.Build(),
			RuleId:  proto.String(string(f.rule)),
			Message: &f.text,
		}.Build()})
	}
	return err
}
