package policy

import (
	"bytes"
	"errors"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"buf.build/go/protoyaml"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/store"
)

// InvalidCatalogError says what is wrong with a catalog.
type InvalidCatalogError struct {
	// Faults are what was found, each as "file:line:column what is wrong and how to
	// mend it", followed by the line and a mark below the place. If there are very many,
	// they are the first of them, and the last one says that there are more.
	Faults []string
}

func (e *InvalidCatalogError) Error() string {
	return strings.Join(e.Faults, "\n")
}

// Bounds of what is said about a catalog: it travels in the trailer of a call, and each
// fault shows its line, which may be the whole file.
const (
	maxFaults     = 20
	maxFaultBytes = 1000
)

// Bases finds a catalog that another one extends. An error that it returns is the error of
// Parse, as it is.
type Bases func(store.CatalogRef) (*Catalog, error)

// Parse reads a catalog in the YAML form of usher.catalog.v1.Catalog, checks it and
// compiles it. It does not prove its statements; see Proofs. The name of the file is for the
// errors, which are of type *InvalidCatalogError. A catalog that extends another one is refused
// where bases is nil.
func Parse(file string, source []byte, bases Bases) (*Catalog, error) {
	if !bytes.HasSuffix(source, []byte("\n")) {
		// What is missing at the end is reported in the line behind it.
		source = append(bytes.Clone(source), '\n')
	}
	if fault := checkYAML(source); fault != nil {
		return nil, &InvalidCatalogError{Faults: []string{fault.in(file, source)}}
	}
	message := &catalogv1.Catalog{}
	checker := &catalogChecker{bases: bases}
	options := protoyaml.UnmarshalOptions{Path: file, Validator: checker}
	err := options.Unmarshal(source, message)
	if checker.failed != nil {
		return nil, checker.failed
	}
	if err != nil {
		return nil, &InvalidCatalogError{Faults: faultsOf(err)}
	}
	return checker.compiled, nil
}

func faultsOf(err error) []string {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []string{shortened(err.Error())}
	}
	var faults []string
	for _, e := range joined.Unwrap() {
		if len(faults) == maxFaults {
			return append(faults, "there are more faults than these: mend them first")
		}
		faults = append(faults, shortened(e.Error()))
	}
	return faults
}

// shortened cuts a fault that is too long. The place and what is wrong come first.
func shortened(fault string) string {
	fault = strings.TrimSpace(strings.ToValidUTF8(fault, "\uFFFD"))
	if len(fault) > maxFaultBytes {
		fault = strings.ToValidUTF8(fault[:maxFaultBytes], "") + " …"
	}
	return fault
}

// catalogChecker is the validator that the YAML reader runs on the message, because the
// reader knows the lines. It applies the rules in the proto first; if they hold,
// the message is compiled.
type catalogChecker struct {
	bases    Bases
	compiled *Catalog
	failed   error // of bases
}

// Validate implements protoyaml.Validator.
func (c *catalogChecker) Validate(message proto.Message) error {
	if err := protovalidate.Validate(message); err != nil {
		return err
	}
	compiled, faults := c.compile(message.(*catalogv1.Catalog))
	if c.failed != nil {
		return c.failed
	}
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

func (c *catalogChecker) compile(written *catalogv1.Catalog) (*Catalog, []fault) {
	extends := written.GetExtends()
	if extends == nil {
		if len(written.GetNarrow()) > 0 {
			return nil, []fault{{"narrow", faultExtension, "only roles of an extended catalog are narrowed, and there is none: write extends, or change the rules of the role"}}
		}
		return compile(written, nil)
	}
	if c.bases == nil {
		return nil, []fault{{"extends", faultExtension, "a catalog that extends another one can't be read here: write one that extends none"}}
	}
	ref := store.CatalogRef{Name: extends.GetName(), Version: extends.GetVersion()}
	base, err := c.bases(ref)
	if err != nil {
		c.failed = err
		return nil, nil
	}
	return extend(base, written)
}
