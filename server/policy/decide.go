package policy

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
)

// Request is a question: may the subject do the action on the resource?
type Request struct {
	// Subject is who asks; it is the name of the first Holder.
	Subject string
	// Action is an action of the resource's type.
	Action string
	// Resource is what is acted upon.
	Resource Resource
}

// Resource is what is acted upon, with what the caller says about it.
type Resource struct {
	Type       string
	ID         string
	Scopes     []string
	Owner      string
	Attributes map[string]*structpb.Value
}

// Code is the stable code of a reason. The numbers are those of usher.v1.ReasonCode.
type Code uint8

// The codes, as docs/decisions.md defines them.
const (
	Granted             Code = 1
	Forbidden           Code = 2
	Toggled             Code = 3
	ConditionNotMet     Code = 4
	MissingAttribute    Code = 5
	OutOfScope          Code = 6
	NotOwner            Code = 7
	NotActive           Code = 8
	RoleLacksPermission Code = 9
	NoRole              Code = 10
)

// Decision is an answer. The zero Decision is a deny.
type Decision struct {
	// Allow is whether the subject may.
	Allow bool
	// Reason is why.
	Reason Reason
	// RecheckBy is the next start or end among the assignments that were looked at,
	// or zero if there is none.
	RecheckBy time.Time
}

// Reason is why a decision is what it is.
type Reason struct {
	Code      Code
	Role      string
	Holder    string
	Scope     string // "" is the tenant
	Toggle    string // for Toggled
	ToggleOn  bool   // for Toggled: how it stands
	Attribute string // for MissingAttribute
}

// Decide answers a request from what the subject (first) and its groups hold. Every
// Holder has to be current. The error is an *UnknownNameError.
func (t *Table) Decide(holders []*Holder, r *Request) (d Decision, err error) {
	err = t.Ask(holders, r.Subject, &r.Resource).decide(r.Action, &d)
	return d, err
}

// Ask is for several actions on one resource: the Question decides about each of them as
// Decide does, and looks at the names in the resource only once. What Ask is given must
// not change as long as the Question is in use.
func (t *Table) Ask(holders []*Holder, subject string, r *Resource) *Question {
	return &Question{table: t, holders: holders, subject: subject, resource: r}
}

// Question is what the subject may do on a resource. It is not for several goroutines.
type Question struct {
	table    *Table
	holders  []*Holder
	subject  string
	resource *Resource
	// permission is the one that is asked for. It is nil until the names in the resource
	// have been checked.
	permission *permission
	recheckBy  time.Time // the same for all actions
}

// Decide answers for an action of the resource's type. The error is an
// *UnknownNameError.
func (q *Question) Decide(action string) (d Decision, err error) {
	err = q.decide(action, &d)
	return d, err
}

// decide is Decide with the answer in its place: to copy it takes as long as to look up
// a name.
func (q *Question) decide(action string, d *Decision) error {
	if err := q.ask(action); err != nil {
		return err
	}
	best := q.best()
	d.Allow = best.rank == rankGranted
	q.explain(best, &d.Reason)
	d.RecheckBy = q.recheckBy
	return nil
}

// ask finds the permission for an action and checks, the first time, the names in the
// resource.
func (q *Question) ask(action string) error {
	catalog, r := q.table.catalog, q.resource
	first := q.permission == nil
	var of *resourceType
	if !first {
		of = q.permission.of
	} else if of = catalog.resourceTypes[r.Type]; of == nil {
		return unknownName("resource.type", "RESOURCE_TYPE", r.Type, keys(catalog.resourceTypes))
	}
	p := of.actions[action]
	if p == nil {
		return unknownName("action", "ACTION", action, keys(of.actions))
	}
	if first {
		if err := catalog.checkNames(of, r); err != nil {
			return err
		}
		q.recheckBy = recheckBy(q.holders)
	}
	q.permission = p
	return nil
}

// rank orders what may come out of a rule. The lowest one that comes out of any rule
// is the decision.
type rank uint8

const (
	rankForbidden rank = iota
	rankGranted
	rankToggle
	rankConditionNotMet
	rankMissingAttribute
	rankReach
	rankNotActive
	rankRoleLacksPermission
	rankNoRole
)

// outcome is what came out of one rule for one assignment. It has no more than four
// fields and words, so that it is kept in registers: copies of more take their time.
type outcome struct {
	rank  rank
	rule  int32 // the rule's index in its role, which has at most maxRules
	held  *holding
	scope string
}

// before reports whether an outcome goes before another one: by rank, and where that
// ties by role, rule, holder and scope.
func (q *Question) before(o, p outcome) bool {
	return o.rank < p.rank || o.rank == p.rank && q.winsTie(o, p)
}

func (q *Question) winsTie(o, p outcome) bool {
	a, b := o.held, p.held
	switch {
	case a.role != b.role:
		return a.role.index < b.role.index
	case o.rule != p.rule:
		return o.rule < p.rule
	case q.ofGroup(a) != q.ofGroup(b):
		return q.ofGroup(b)
	case q.ofGroup(a) && a.holder != b.holder:
		return a.holder.name < b.holder.name
	}
	return o.scope < p.scope
}

// ofGroup reports whether the role is held by a group of the subject.
func (q *Question) ofGroup(h *holding) bool {
	return h.holder != nil && h.holder != q.holders[0]
}

// best returns the outcome that is the answer.
func (q *Question) best() outcome {
	best := outcome{rank: rankNoRole}
	catalog := q.table.catalog
	useDefault := catalog.defaultRole != nil
	for _, h := range q.holders {
		for i := range h.active {
			best = q.test(best, &h.holdings[i])
		}
		useDefault = useDefault && !h.endsDefault
	}
	if useDefault {
		best = q.test(best, &catalog.defaultHolding)
	}
	if best.rank > rankNotActive {
		best = q.testDormant(best)
	}
	return best
}

// test returns the best outcome so far, after it has tested the rules of a holding about
// the permission.
func (q *Question) test(best outcome, h *holding) outcome {
	rules := q.permission.rules[h.role.index]
	for i := range rules {
		o := outcome{rules[i].matched(), int32(i), h, ""}
		if !q.before(o, best) {
			continue // not even if the rule matches
		}
		var ok bool
		if o.rank, o.scope, ok = q.testRule(&rules[i], h); ok && q.before(o, best) {
			best = o
		}
	}
	if o := (outcome{rankRoleLacksPermission, 0, h, h.scopes[0]}); q.before(o, best) {
		best = o
	}
	return best
}

// matched is what comes out of a rule that matches.
func (r *rule) matched() rank {
	if r.forbid {
		return rankForbidden
	}
	return rankGranted
}

// testRule tests one rule. It reports false if a forbid rule does not match, which
// says nothing.
func (q *Question) testRule(r *rule, h *holding) (rank, string, bool) {
	scope, reached := q.reaches(r, h)
	if !reached {
		return rankReach, h.scopes[0], !r.forbid
	}
	holds := r.condition.holds(q.resource)
	open := q.table.open(r.gate)
	if r.forbid {
		return rankForbidden, scope, holds != isFalse && open
	}
	switch {
	case holds == isFalse:
		return rankConditionNotMet, scope, true
	case holds == undecided:
		return rankMissingAttribute, scope, true
	case !open:
		return rankToggle, scope, true
	}
	return rankGranted, scope, true
}

// testDormant looks for a role that would have an allow rule if it was in force.
func (q *Question) testDormant(best outcome) outcome {
	for _, h := range q.holders {
		for i := h.active; int(i) < len(h.holdings); i++ {
			held := &h.holdings[i]
			o := outcome{rankNotActive, 0, held, held.scopes[0]}
			if q.before(o, best) && slices.ContainsFunc(q.permission.rules[held.role.index], rule.allows) {
				best = o
			}
		}
	}
	return best
}

func (r rule) allows() bool { return !r.forbid }

// reaches reports whether the resource is in reach of a rule through some assignment
// of a holding, and the smallest scope of such an assignment.
func (q *Question) reaches(r *rule, h *holding) (string, bool) {
	scope, ok := q.within(r.reach, h)
	if w := r.widening; w != nil && q.table.open(w.gate) {
		if wider, wide := q.within(w.reach, h); wide && (!ok || wider < scope) {
			return wider, true
		}
	}
	return scope, ok
}

func (q *Question) within(reach reach, h *holding) (string, bool) {
	resource := q.resource
	switch reach.kind {
	case reachTenant:
	case reachOwn:
		if !q.owns() {
			return "", false
		}
	case reachAnyScope:
		if !hasPrefix(resource.Scopes, reach.prefix) {
			return "", false
		}
	case reachAssigned:
		return smallestCommon(h.scopes, resource.Scopes)
	default:
		return "", false
	}
	if q.permission.of.administrative && h.scopes[0] != "" {
		return smallestCommon(h.scopes, resource.Scopes)
	}
	return h.scopes[0], true
}

// owns reports whether the subject owns the resource. A group owns nothing.
func (q *Question) owns() bool {
	owner := q.resource.Owner
	return owner == q.subject && !isOfType(owner, groupType)
}

func hasPrefix(scopes []string, prefix string) bool {
	for _, s := range scopes {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// smallestCommon returns the smallest scope that is in the sorted list and among the
// resource's scopes. The tenant is in no resource's scopes.
func smallestCommon(sorted, scopes []string) (string, bool) {
	smallest, found := "", false
	for _, s := range scopes {
		if found && s >= smallest {
			continue
		}
		if _, held := slices.BinarySearch(sorted, s); held {
			smallest, found = s, true
		}
	}
	return smallest, found
}

// explain tells the outcome in words of the API.
func (q *Question) explain(o outcome, reason *Reason) {
	if o.rank == rankNoRole {
		reason.Code = NoRole
		return
	}
	reason.Role, reason.Holder, reason.Scope = o.held.role.name, q.subject, o.scope
	if q.ofGroup(o.held) {
		reason.Holder = o.held.holder.name
	}
	switch o.rank {
	case rankForbidden:
		reason.Code = Forbidden
	case rankGranted:
		reason.Code = Granted
	case rankToggle:
		rule := q.ruleOf(o)
		reason.Code = Toggled
		reason.Toggle = rule.gate.toggle.name
		reason.ToggleOn = !rule.gate.on
	case rankConditionNotMet:
		reason.Code = ConditionNotMet
	case rankMissingAttribute:
		rule := q.ruleOf(o)
		reason.Code = MissingAttribute
		reason.Attribute = rule.condition.firstMissing(q.resource)
	case rankReach:
		rule := q.ruleOf(o)
		reason.Code = OutOfScope
		if rule.reach.kind == reachOwn && !q.owns() {
			reason.Code = NotOwner
		}
	case rankNotActive:
		reason.Code = NotActive
	case rankRoleLacksPermission:
		reason.Code = RoleLacksPermission
	}
}

// ruleOf returns the rule that an outcome came out of.
func (q *Question) ruleOf(o outcome) *rule {
	return &q.permission.rules[o.held.role.index][o.rule]
}

// recheckBy returns the earliest instant at which a Holder is no longer current.
func recheckBy(holders []*Holder) time.Time {
	until := never
	for _, h := range holders {
		until = min(until, h.until)
	}
	if until == never {
		return time.Time{}
	}
	return time.Unix(0, until)
}
