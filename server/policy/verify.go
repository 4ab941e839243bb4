package policy

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Proof is what came of a statement.
type Proof struct {
	// Index is the statement's index in the catalog (Message().Statements), or -1 for the question that is
	// asked of every catalog: can a tenant get into a state in which nobody can administer it?
	Index int
	// Title is what the statement says.
	Title string
	// Extended is whether it is a statement of the catalog that this one extends.
	Extended bool
	// Counterexample is a state in which it does not hold. Nil: it is proved.
	Counterexample *Counterexample
}

// Counterexample is a state of a tenant and a question whose answer is not what was stated.
type Counterexample struct {
	// Toggles are those that do not stand as they start.
	Toggles map[string]bool
	// Held are roles that subjects hold, in the order in which they can be granted, beside
	// the protected role, which FirstAdministrator holds.
	Held []CounterexampleRole
	// Request is the question, and Allow its answer. Of a statement that two permissions are
	// answered alike, Other is the second question, whose answer is the opposite.
	Request Request
	Groups  []string
	Allow   bool
	Other   *Request
}

// CounterexampleRole is a role that is held in a counterexample.
type CounterexampleRole struct {
	Subject, Role, Scope string
	// By is who grants it, and ByGroups the groups of that person; empty: the operator.
	By       string
	ByGroups []string
	// Toggles are those that do not stand as they start when it is granted.
	Toggles map[string]bool
}

// FirstAdministrator is the subject of counterexamples who keeps the protected role.
const FirstAdministrator = "user:first"

// administrable is the statement that is made about every catalog.
const administrable = "a tenant can always be administered"

// Proofs proves the statements of the catalog, in their order, and then that a tenant can
// always be administered. The error is a *TooManyCasesError: the statement can be neither
// proved nor disproved.
func (c *Catalog) Proofs() iter.Seq2[Proof, error] {
	return func(yield func(Proof, error) bool) {
		p := &prover{catalog: c, left: maxDecisions}
		for i := range c.statements {
			s := &c.statements[i]
			found, err := p.disprove(s)
			if !yield(Proof{Index: i, Title: s.source.GetTitle(), Extended: i < c.extendedStatements, Counterexample: found}, err) {
				return
			}
		}
		p.next(administrable)
		found, err := p.lockOut()
		yield(Proof{Index: -1, Title: administrable, Counterexample: found}, err)
	}
}

// Bounds of the decisions that are made to prove one statement, and all of a catalog: some
// seconds and some ten seconds.
const (
	maxDecisionsEach = 1 << 22
	maxDecisions     = 1 << 25
)

// prover looks for counterexamples. What is true of every counterexample, and why those
// that it looks at are enough, is written in docs/verify.md.
type prover struct {
	catalog *Catalog
	left    int // decisions that may still be made for the catalog
	// For the statement that is looked at: how many may still be made, and what it is about,
	// for the error.
	each  int
	about string
}

// next begins with another permission or statement.
func (p *prover) next(about string) { p.each, p.about = maxDecisionsEach, about }

// spend counts decisions that are to be made.
func (p *prover) spend(n int) error {
	p.each -= n
	p.left -= n
	if p.each < 0 || p.left < 0 {
		return &TooManyCasesError{Permission: p.about}
	}
	return nil
}

// disprove returns a counterexample of a statement, or nil if there is none.
func (p *prover) disprove(s *statement) (*Counterexample, error) {
	if s.granted != nil {
		return p.disproveGranted(s.granted)
	}
	permissions := append(s.never[:len(s.never):len(s.never)], s.always...)
	if s.alike != nil {
		permissions = []*permission{s.alike.permission}
	}
	p.next("")
	for _, permission := range permissions {
		p.about = permission.name
		for positions := range p.holdings(s, permission) {
			if found, err := p.refute(s, positions, permission); found != nil || err != nil {
				return found, err
			}
		}
	}
	return nil, nil
}

// String says the counterexample in one line.
func (x *Counterexample) String() string {
	var text strings.Builder
	for _, given := range x.Held {
		fmt.Fprintf(&text, "%s holds %s", given.Subject, given.Role)
		if given.Scope != "" {
			text.WriteString(" in " + given.Scope)
		}
		text.WriteString(", ")
	}
	for _, name := range slices.Sorted(maps.Keys(x.Toggles)) {
		state := "off"
		if x.Toggles[name] {
			state = "on"
		}
		fmt.Fprintf(&text, "%s is %s, ", name, state)
	}
	may := map[bool]string{true: "may", false: "may not"}
	text.WriteString(x.Request.sentence(may[x.Allow]))
	if x.Other != nil {
		fmt.Fprintf(&text, ", and %s", x.Other.sentence(may[!x.Allow]))
	}
	return text.String()
}

// sentence says a request as one, such as "user:ann may view ticket/1 in team:one".
func (r *Request) sentence(may string) string {
	text := fmt.Sprintf("%s %s %s %s", r.Subject, may, r.Action, r.Resource.Type)
	if r.Resource.ID != "" {
		text += "/" + r.Resource.ID
	}
	for _, scope := range r.Resource.Scopes {
		text += " in " + scope
	}
	if r.Resource.Owner != "" {
		text += " of " + r.Resource.Owner
	}
	for _, name := range slices.Sorted(maps.Keys(r.Resource.Attributes)) {
		text += fmt.Sprintf(" with %s %v", name, r.Resource.Attributes[name].AsInterface())
	}
	return text
}
