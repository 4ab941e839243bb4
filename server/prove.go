package server

import (
	"context"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/usher-pdp/usher/server/policy"
)

// prove proves the statements of a catalog that is to be stored. With unproved, only those of
// the catalog that it extends have to hold.
func prove(ctx context.Context, catalog *policy.Catalog, unproved bool) error {
	failed := &inputError{reason: reasonInvalidCatalog}
	for proof, err := range catalog.Proofs() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if proof.Index < 0 || unproved && !proof.Extended {
			break // those of the extended catalog come first, and what is not stated last
		}
		text := ""
		switch {
		case err != nil:
			text = err.Error()
		case proof.Counterexample != nil:
			text = "it is not true: " + proof.Counterexample.String()
		default:
			continue
		}
		failed.violations = append(failed.violations, &errdetails.BadRequest_FieldViolation{
			Field:  "yaml",
			Reason: reasonInvalidCatalog,
			Description: fmt.Sprintf("statements[%d], %q: %s; `usher catalog verify` writes the commands that show it",
				proof.Index, proof.Title, text),
		})
		if len(failed.violations) == maxUnproved {
			break
		}
	}
	if len(failed.violations) > 0 {
		return failed
	}
	return nil
}

// maxUnproved is how many statements that do not hold are told.
const maxUnproved = 20
