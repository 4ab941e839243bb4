package policy

import (
	"math/bits"
	"slices"
)

// term is states of toggles in which those of the mask stand as the bits say.
type term struct{ mask, on uint }

func (t term) covers(state uint) bool { return state&t.mask == t.on }

// namedStates describes a set of states of the toggles in as few and short alternatives as
// can easily be found; none if it is all of them.
func namedStates(toggles []string, states []uint) []map[string]bool {
	var named []map[string]bool
	for _, t := range cover(primes(len(toggles), states), states) {
		if t.mask == 0 {
			return nil
		}
		alternative := map[string]bool{}
		for i, name := range toggles {
			if t.mask>>i&1 == 1 {
				alternative[name] = t.on>>i&1 == 1
			}
		}
		named = append(named, alternative)
	}
	return named
}

// primes returns the terms of which all states are among the given ones and that no wider
// such term covers: two that differ in one toggle only become one without it.
func primes(toggles int, states []uint) []term {
	all := uint(1)<<toggles - 1
	level := map[term]bool{}
	for _, s := range states {
		level[term{all, s}] = true
	}
	var found []term
	for len(level) > 0 {
		next, merged := map[term]bool{}, map[term]bool{}
		for t := range level {
			for i := range toggles {
				bit := uint(1) << i
				if other := (term{t.mask, t.on ^ bit}); t.mask&bit != 0 && level[other] {
					next[term{t.mask &^ bit, t.on &^ bit}] = true
					merged[t] = true
				}
			}
		}
		for t := range level {
			if !merged[t] {
				found = append(found, t)
			}
		}
		level = next
	}
	// Short ones first, and always in the same order.
	slices.SortFunc(found, func(a, b term) int {
		if n := bits.OnesCount(a.mask) - bits.OnesCount(b.mask); n != 0 {
			return n
		}
		if a.mask != b.mask {
			return int(a.mask) - int(b.mask)
		}
		return int(a.on) - int(b.on)
	})
	return found
}

// cover chooses terms that cover all states: always the one that covers most of what is left.
func cover(terms []term, states []uint) []term {
	left := slices.Clone(states)
	var chosen []term
	for len(left) > 0 {
		best, most := term{}, 0
		for _, t := range terms {
			n := 0
			for _, s := range left {
				if t.covers(s) {
					n++
				}
			}
			if n > most {
				best, most = t, n
			}
		}
		chosen = append(chosen, best)
		left = slices.DeleteFunc(left, best.covers)
	}
	return chosen
}
