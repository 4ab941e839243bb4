package policy

import (
	"iter"
)

// Proof is what came of a statement.
type Proof struct {
	// Index is the statement's index in the catalog (Message().Statements), or -1 for the question that is
	// asked of every catalog: can a tenant get into a state in which nobody can administer it?
	Index int
	// Title is what the statement says.
	Title string
	// Counterexample is a state in which it does not hold. Nil: it is proved.
	Counterexample *Counterexample
}

// Counterexample is a state of a tenant and a question whose answer is not what was stated.
type Counterexample struct {
	// Toggles are those that do not stand as they start.
	Toggles map[string]bool
	// Held are roles that subjects hold, in the order in which they can be granted.
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
	// By is who grants it; empty: the operator.
	By string
}

// Proofs proves the statements of the catalog, in their order, and then that a tenant can
// always be administered. The error is a *TooManyCasesError: the statement can be neither
// proved nor disproved.
func (c *Catalog) Proofs() iter.Seq2[Proof, error] {
	return func(func(Proof, error) bool) {}
}
