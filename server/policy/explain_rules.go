package policy

import "slices"

// Explain answers a request as Decide does, and tells how each rule came out. The holders are
// as for Decide, each of them once. The error is an *UnknownNameError.
func (t *Table) Explain(holders []*Holder, r *Request) (Explanation, error) {
	q := t.Ask(holders, r.Subject, &r.Resource)
	d, err := q.Decide(r.Action)
	if err != nil {
		return Explanation{}, err
	}
	return Explanation{Decision: d, Rules: q.ruleOutcomes()}, nil
}

// ruleOutcomes tells how the rules about the permission came out for all roles that are held.
func (q *Question) ruleOutcomes() []RuleOutcome {
	var all []outcome // of which only the rule and the holding are looked at
	add := func(h *holding) {
		for i := range q.permission.rules[h.role.index] {
			all = append(all, outcome{rule: int32(i), held: h})
		}
	}
	for h := range q.inForce {
		add(h)
	}
	dormant := map[*holding]bool{}
	for _, h := range q.holders {
		for i := int(h.active); i < len(h.holdings); i++ {
			dormant[&h.holdings[i]] = true
			add(&h.holdings[i])
		}
	}
	slices.SortStableFunc(all, func(o, p outcome) int {
		switch {
		case q.winsTie(o, p):
			return -1
		case q.winsTie(p, o):
			return 1
		}
		return 0
	})
	told := make([]RuleOutcome, len(all))
	for i, o := range all {
		told[i] = q.ruleOutcome(o, dormant[o.held])
	}
	return told
}

// inForce visits the holdings that are in force, the one of the default role included if it
// counts.
func (q *Question) inForce(yield func(*holding) bool) {
	useDefault := q.table.catalog.defaultRole != nil
	for _, h := range q.holders {
		for i := range h.active {
			if !yield(&h.holdings[i]) {
				return
			}
		}
		useDefault = useDefault && !h.endsDefault
	}
	if useDefault {
		yield(&q.table.catalog.defaultHolding)
	}
}

func (q *Question) ruleOutcome(o outcome, dormant bool) RuleOutcome {
	r, h := q.ruleOf(o), o.held
	told := RuleOutcome{
		Role: h.role.name, Holder: q.subject, Scopes: h.scopes,
		Forbid: r.forbid, Reach: r.reach.String(),
	}
	if q.ofGroup(h) {
		told.Holder = h.holder.name
	}
	if w := r.widening; w != nil && q.table.open(w.gate) {
		told.Widened = w.reach.String()
	}
	if r.condition != nil {
		told.Condition, told.Unmet = r.condition.text, r.condition.unmet
	}
	if r.gate.toggle != nil {
		told.Toggle, told.ToggleWanted = r.gate.toggle.name, r.gate.on
	}
	if told.Result = RuleNotActive; !dormant {
		told.Result = q.ruleResult(r, h)
	}
	if told.Result == RuleUndecided {
		told.Attribute = r.condition.firstMissing(q.resource)
	}
	return told
}

// ruleResult is how a rule of a holding in force comes out.
func (q *Question) ruleResult(r *rule, h *holding) RuleResult {
	switch rank, _, says := q.testRule(r, h); {
	case rank == rankReach:
		return RuleOutOfReach
	case rank == rankConditionNotMet, !says && r.condition.holds(q.resource) == isFalse:
		return RuleConditionFalse
	case rank == rankMissingAttribute:
		return RuleUndecided
	case rank == rankToggle, !says:
		return RuleToggled
	}
	return RuleMatches
}
