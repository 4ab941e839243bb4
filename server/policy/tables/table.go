package tables

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/usher-pdp/usher/store"
)

// Table is a file of cases about one catalog.
type Table struct {
	// File is the name of the file, for messages.
	File string `yaml:"-"`
	// Catalog is the name of the catalog.
	Catalog        string    `yaml:"catalog"`
	Holds          []Holding `yaml:"holds"`
	Checks         []Case    `yaml:"checks"`
	Administration []Case    `yaml:"administration"`
	// Sequences are checks and acts, one after the other in the same tenant.
	Sequences [][]Case `yaml:"sequences"`

	tenants []Tenant
	steps   []Step
}

// Holding says that somebody holds a role.
type Holding struct {
	// Place is where it is written, as file:line.
	Place  string  `yaml:"-"`
	Who    string  `yaml:"who"`
	Role   string  `yaml:"role"`
	In     string  `yaml:"in"`
	Starts Instant `yaml:"starts"`
	Ends   Instant `yaml:"ends"`
}

// Assignment is what is held, as a store keeps it.
func (h Holding) Assignment() store.Assignment {
	return store.Assignment{
		AssignmentKey: store.AssignmentKey{Subject: h.Who, Role: h.Role, Scope: h.In},
		Interval:      store.Interval{Start: h.Starts.Time, End: h.Ends.Time},
	}
}

// Case is a check, if it has `who`, or an act, if it has `as`. Where a value may
// be a list, the case stands for one case with each of them. Only `in` of a check or of a
// change of role, the groups and the toggles belong together.
type Case struct {
	// Place is where it is written, as file:line.
	Place string `yaml:"-"`

	Groups Each   `yaml:"groups"`
	Tenant string `yaml:"tenant"`
	In     Each   `yaml:"in"`
	Answer string `yaml:"answer"`

	Who     Each           `yaml:"who"`
	May     Each           `yaml:"may"`
	ID      Each           `yaml:"id"`
	Owner   Each           `yaml:"owner"`
	Facts   map[string]any `yaml:"facts"`
	WithOn  Each           `yaml:"with_on"`
	WithOff Each           `yaml:"with_off"`
	Through string         `yaml:"through"`
	At      string         `yaml:"at"`
	Recheck Instant        `yaml:"recheck"`

	As         Each      `yaml:"as"`
	Grant      Each      `yaml:"grant"`
	To         Each      `yaml:"to"`
	Revoke     Each      `yaml:"revoke"`
	From       Each      `yaml:"from"`
	Change     Each      `yaml:"change"`
	Into       Each      `yaml:"into"`
	Of         Each      `yaml:"of"`
	Remove     Each      `yaml:"remove"`
	Primary    Each      `yaml:"name_primary"`
	TurnOn     Each      `yaml:"turn_on"`
	TurnOff    Each      `yaml:"turn_off"`
	Everywhere bool      `yaml:"everywhere"`
	Starts     Instant   `yaml:"starts"`
	Ends       Instant   `yaml:"ends"`
	Given      []Holding `yaml:"given"`
	Remedy     string    `yaml:"remedy"`
	Warns      Each      `yaml:"warns"`

	// attributes are the facts as a request carries them.
	attributes map[string]*structpb.Value
}

// Interval is that of what is granted.
func (c *Case) Interval() store.Interval {
	return store.Interval{Start: c.Starts.Time, End: c.Ends.Time}
}

// Instant is a time as tables write it, such as 2026-02-01T00:00:00Z.
type Instant struct{ time.Time }

// UnmarshalYAML implements yaml.Unmarshaler.
func (i *Instant) UnmarshalYAML(n *yaml.Node) error {
	if err := n.Decode(&i.Time); err != nil {
		return fmt.Errorf("line %d: %q is no time: write one such as 2026-02-01T00:00:00Z", n.Line, n.Value)
	}
	return nil
}

// Each is one value or a list of them.
type Each []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (e *Each) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*e = Each{n.Value}
		return nil
	}
	return n.Decode((*[]string)(e))
}

// orNone is the values, or one empty value if there are none.
func (e Each) orNone() Each {
	if len(e) == 0 {
		return Each{""}
	}
	return e
}

// Words of the tables.
const (
	// OperatorWord is who acts if it is the staff of the installation.
	OperatorWord = "operator"
	// OtherTenant is the other tenant with the same catalog.
	OtherTenant = "other"
	// AllowWord begins the answer of a check that is allowed.
	AllowWord = "allow"
	// ChangedWord is the answer of an act that changes something.
	ChangedWord = "changed"

	unchangedWord = "unchanged"
	selfWord      = "self"
	tenantWord    = "tenant"
)

// Now is where the clock stands while the cases are asked, and Epoch where it stands when
// somebody comes to hold what a table says: before everything in the tables, so that grants
// which end before Now can be made.
var (
	Now   = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	Epoch = time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC)
)

// First and OtherFirst are the first administrators of the tenant and of the other one.
const (
	First      = "user:root"
	OtherFirst = "user:founder"
)

// Cases are all cases of all sections.
func (t *Table) Cases() []*Case {
	var all []*Case
	for _, section := range append([][]Case{t.Checks, t.Administration}, t.Sequences...) {
		for i := range section {
			all = append(all, &section[i])
		}
	}
	return all
}

// Toggles is the state of toggles that a check needs, as one text: a word for each, + for on.
func (c *Case) Toggles() string {
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
