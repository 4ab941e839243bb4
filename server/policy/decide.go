package policy

import (
	"cmp"
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
func (t *Table) Decide(holders []*Holder, r *Request) (Decision, error) {
	p, err := t.catalog.permission(r.Action, &r.Resource)
	if err != nil {
		return Decision{}, err
	}
	d := decider{table: t, permission: p, request: r}
	best := d.decide(holders)
	return Decision{Allow: best.rank == rankGranted, Reason: d.reason(best), RecheckBy: recheckBy(holders)}, nil
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

// outcome is what came out of one rule for one assignment.
type outcome struct {
	rank   rank
	role   *role
	index  int // of the rule in its role
	rule   *rule
	group  bool // whether it is a group that holds the role
	holder string
	scope  string
}

// before reports whether an outcome goes before another one: by rank, and where that
// ties by role, rule, holder and scope.
func (o outcome) before(p outcome) bool {
	if o.rank != p.rank || o.rank == rankNoRole {
		return o.rank < p.rank
	}
	return cmp.Or(
		cmp.Compare(o.role.index, p.role.index),
		cmp.Compare(o.index, p.index),
		compareBool(o.group, p.group),
		cmp.Compare(o.holder, p.holder),
		cmp.Compare(o.scope, p.scope),
	) < 0
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// decider decides one request.
type decider struct {
	table      *Table
	permission *permission
	request    *Request
}

func (d *decider) decide(holders []*Holder) outcome {
	best := outcome{rank: rankNoRole}
	useDefault := d.table.catalog.defaultRole != nil
	for i, h := range holders {
		for j := range h.active {
			d.test(&best, h.name, i > 0, &h.active[j])
		}
		useDefault = useDefault && !h.endsDefault
	}
	if useDefault {
		d.test(&best, d.request.Subject, false, &d.table.catalog.defaultHolding)
	}
	if best.rank > rankNotActive {
		d.testDormant(&best, holders)
	}
	return best
}

// test tests every rule of a holding about the permission.
func (d *decider) test(best *outcome, holder string, group bool, h *holding) {
	o := outcome{rank: rankRoleLacksPermission, role: h.role, group: group, holder: holder, scope: h.scopes[0]}
	improve(best, o)
	rules := d.permission.rules[h.role.index]
	for i := range rules {
		o.index, o.rule = i, &rules[i]
		var ok bool
		if o.rank, o.scope, ok = d.testRule(o.rule, h); ok {
			improve(best, o)
		}
	}
}

// testRule tests one rule. It reports false if a forbid rule does not match, which
// says nothing.
func (d *decider) testRule(r *rule, h *holding) (rank, string, bool) {
	scope, reached := d.reaches(r, h)
	if !reached {
		return rankReach, h.scopes[0], !r.forbid
	}
	holds := r.condition.holds(&d.request.Resource)
	open := d.table.open(r.gate)
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
func (d *decider) testDormant(best *outcome, holders []*Holder) {
	for i, h := range holders {
		for _, held := range h.dormant {
			if slices.ContainsFunc(d.permission.rules[held.role.index], rule.allows) {
				improve(best, outcome{rank: rankNotActive, role: held.role, group: i > 0, holder: h.name, scope: held.scopes[0]})
			}
		}
	}
}

func (r rule) allows() bool { return !r.forbid }

func improve(best *outcome, o outcome) {
	if o.before(*best) {
		*best = o
	}
}

// reaches reports whether the resource is in reach of a rule through some assignment
// of a holding, and the smallest scope of such an assignment.
func (d *decider) reaches(r *rule, h *holding) (string, bool) {
	scope, ok := d.within(r.reach, h)
	if w := r.widening; w != nil && d.table.open(w.gate) {
		if wider, wide := d.within(w.reach, h); wide && (!ok || wider < scope) {
			return wider, true
		}
	}
	return scope, ok
}

func (d *decider) within(reach reach, h *holding) (string, bool) {
	resource := &d.request.Resource
	switch reach.kind {
	case reachTenant:
	case reachOwn:
		if !d.owns() {
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
	if d.permission.of.administrative && h.scopes[0] != "" {
		return smallestCommon(h.scopes, resource.Scopes)
	}
	return h.scopes[0], true
}

// owns reports whether the subject owns the resource. A group owns nothing.
func (d *decider) owns() bool {
	owner := d.request.Resource.Owner
	return owner == d.request.Subject && typeOf(owner) != groupType
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

// reason tells the outcome in words of the API.
func (d *decider) reason(o outcome) Reason {
	if o.rank == rankNoRole {
		return Reason{Code: NoRole}
	}
	reason := Reason{Role: o.role.name, Holder: o.holder, Scope: o.scope}
	switch o.rank {
	case rankForbidden:
		reason.Code = Forbidden
	case rankGranted:
		reason.Code = Granted
	case rankToggle:
		reason.Code = Toggled
		reason.Toggle = o.rule.gate.toggle.name
		reason.ToggleOn = !o.rule.gate.on
	case rankConditionNotMet:
		reason.Code = ConditionNotMet
	case rankMissingAttribute:
		reason.Code = MissingAttribute
		reason.Attribute = o.rule.condition.firstMissing(&d.request.Resource)
	case rankReach:
		reason.Code = OutOfScope
		if o.rule.reach.kind == reachOwn && !d.owns() {
			reason.Code = NotOwner
		}
	case rankNotActive:
		reason.Code = NotActive
	case rankRoleLacksPermission:
		reason.Code = RoleLacksPermission
	}
	return reason
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
