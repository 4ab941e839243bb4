package server_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
)

var proveFor = flag.Duration("prove-for", 4*time.Second, "how long TestProofsAgreeWithBruteForce draws catalogs")

// TestProofsAgreeWithBruteForce proves random statements about random small catalogs. What
// is proved is broken in no state, what is not is broken in some, and the judge answers a
// counterexample as it says.
func TestProofsAgreeWithBruteForce(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &proveWorld{Rand: rand.New(rand.NewPCG(seed, 0))}
	kinds := []string{"never", "only", "always", "alike", "granted"}
	held, broken := map[string]int{}, map[string]int{}
	for start := time.Now(); time.Since(start) < *proveFor; {
		source := w.catalog() + "statements:\n"
		for _, kind := range kinds {
			for range 4 {
				source += "  - " + w.statement(kind) + "\n"
			}
		}
		catalog, err := policy.Parse("random.yaml", []byte(source), nil)
		if err != nil {
			t.Fatalf("seed %d\n%v\n%s", seed, err, source)
		}
		b := &brute{judge: newJudge(catalog.Message(), nil), ids: []string{""}, values: map[string][]any{}}
		for _, name := range w.mentioned {
			switch name {
			case "id":
				b.ids = []string{"", "7", "8"}
			case "x":
				b.values["x"] = []any{"a", "b", "c"}
			case "flag":
				b.values["flag"] = []any{true, false}
			}
		}
		if !slices.Contains(w.mentioned, "id") {
			b.ids = []string{"7"} // likenesses say what the other's id is
		}
		statements := catalog.Message().GetStatements()
		judged := b.judgeAll(statements, 3)
		for proof, err := range catalog.Proofs() {
			kind, isBroken := "administrable", false
			if proof.Index >= 0 {
				kind, isBroken = statements[proof.Index].GetTitle(), judged[proof.Index]
			} else {
				isBroken = b.lockedOut(3)
			}
			if err != nil {
				t.Fatalf("seed %d: %s %d can't be decided: %v\n%s", seed, kind, proof.Index, err, source)
			}
			if isBroken != (proof.Counterexample != nil) {
				t.Fatalf("seed %d: statement %d (%s) is broken: %t; the proof says: %+v\n%s",
					seed, proof.Index, kind, isBroken, proof.Counterexample, source)
			}
			if !isBroken {
				held[kind]++
				continue
			}
			broken[kind]++
			if err := b.redecide(proof); err != nil {
				t.Fatalf("seed %d: statement %d (%s): %v: %+v\n%s", seed, proof.Index, kind, err, proof.Counterexample, source)
			}
		}
	}
	t.Log("held", held, "broken", broken)
	for _, kind := range append(kinds, "administrable") {
		if total := held[kind] + broken[kind]; total >= 50 && (held[kind]*50 < total || broken[kind]*50 < total) {
			t.Errorf("%s: %d hold and %d are broken: draw other statements", kind, held[kind], broken[kind])
		}
	}
}

// redecide has the judge decide a counterexample.
func (b *brute) redecide(proof policy.Proof) error {
	x := proof.Counterexample
	state := bruteState{toggles: x.Toggles, groups: x.Groups}
	for _, given := range x.Held {
		a := judgeAssignment{subject: given.Subject, role: given.Role, scope: given.Scope}
		if !b.possible(append(slices.Clone(state.held), a)) {
			return fmt.Errorf("%s can't hold %s", a.subject, a.role)
		}
		if given.By != "" {
			r := resourceMessage(policy.Resource{Type: "role", ID: a.role})
			if a.scope != "" {
				r.Scopes = []string{a.scope}
			}
			if verdict := b.decide(judgeFacts{toggles: given.Toggles, assignments: state.held}, judgeQuestion{given.By, given.ByGroups, "grant", r}); verdict.decision != usherv1.Decision_DECISION_ALLOW {
				return fmt.Errorf("%s may not grant %s", given.By, a.role)
			}
		}
		state.held = append(state.held, a)
	}
	if proof.Index < 0 {
		state.held = append(state.held, judgeAssignment{subject: policy.FirstAdministrator, role: b.catalog.GetAdministration().GetProtectedRole()})
	}
	answer := func(r policy.Request) bool {
		state.resource = resourceMessage(r.Resource)
		verdict := b.decide(judgeFacts{toggles: state.toggles, assignments: state.held}, judgeQuestion{r.Subject, state.groups, r.Action, state.resource})
		return verdict.decision == usherv1.Decision_DECISION_ALLOW
	}
	if x.Other != nil && answer(*x.Other) == x.Allow {
		return fmt.Errorf("both are answered alike")
	}
	if answer(x.Request) != x.Allow {
		return fmt.Errorf("the answer is not %t", x.Allow)
	}
	if proof.Index < 0 || b.catalog.GetStatements()[proof.Index].GetGranted() != nil {
		return nil
	}
	if !b.aboutState(b.catalog.GetStatements()[proof.Index], state) || !b.broken(b.catalog.GetStatements()[proof.Index], state) {
		return fmt.Errorf("the statement is not broken there")
	}
	return nil
}

func resourceMessage(r policy.Resource) *usherv1.Resource {
	return &usherv1.Resource{
		Type: r.Type, Id: r.ID, Scopes: r.Scopes, Owner: r.Owner, Attributes: &structpb.Struct{Fields: r.Attributes},
	}
}
