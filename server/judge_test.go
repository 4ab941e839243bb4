package server_test

import (
	"cmp"
	"slices"
	"strings"
	"time"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// The judge says what docs/decisions.md means, as naively as it can be said: it tries
// every rule with every assignment, sorts what came of it, and takes the first. It
// shares no code with package policy, and nothing in it is made to be fast.
type judge struct {
	catalog *catalogv1.Catalog
	// Of the conditions by their text, those that need not be parsed. Others are added.
	conditions map[string]condition
	// The rules of the roles, once they have been asked for.
	rules map[string][]judgeRule
}

func newJudge(catalog *catalogv1.Catalog, conditions map[string]condition) *judge {
	j := &judge{catalog: catalog, conditions: map[string]condition{}, rules: map[string][]judgeRule{}}
	for text, c := range conditions {
		j.conditions[text] = c
	}
	return j
}

// judgeFacts are what a tenant has stored, and the present instant.
type judgeFacts struct {
	toggles     map[string]bool
	assignments []judgeAssignment
	now         time.Time
}

type judgeAssignment struct {
	subject, role, scope string
	starts, ends         time.Time // zero: from ever, without an end
}

func (a judgeAssignment) inForce(now time.Time) bool {
	return (a.starts.IsZero() || !a.starts.After(now)) && (a.ends.IsZero() || now.Before(a.ends))
}

// judgeQuestion is what is asked.
type judgeQuestion struct {
	subject  string
	groups   []string
	action   string
	resource *usherv1.Resource
}

// judgeVerdict is what the judge answers.
type judgeVerdict struct {
	decision usherv1.Decision
	reason   *usherv1.Reason
	recheck  time.Time // zero: none
	notes    []string  // what was remarkable, to be counted
}

// judgeRule is a rule of a role with everything that inheritance did to it.
type judgeRule struct {
	forbid      bool
	permissions []string
	reach       string
	widen       *catalogv1.Widening
	condition   string
	on, off     string
	inherited   bool
	// The widening that inheritance took away, to see whether that matters.
	lost *catalogv1.Widening
}

// judgePlace is where an answer stands among others: the smallest one is given.
type judgePlace struct {
	rank   int    // how far the rule got, 0 is best
	role   int    // in the catalog
	rule   int    // in the role
	holder int    // 0 is the subject, then the groups in byte order
	scope  string // "" is the tenant and comes first
}

func (p judgePlace) compare(q judgePlace) int {
	return cmp.Or(
		cmp.Compare(p.rank, q.rank),
		cmp.Compare(p.role, q.role),
		cmp.Compare(p.rule, q.rule),
		cmp.Compare(p.holder, q.holder),
		cmp.Compare(p.scope, q.scope),
	)
}

// judgeAnswer is one that could be given.
type judgeAnswer struct {
	judgePlace
	reason *usherv1.Reason
	notes  []string
}

// The ranks of answers. Each is given only if there is none of the ranks before.
const (
	rankForbidden = iota
	rankGranted
	rankToggle
	rankConditionNotMet
	rankMissingAttribute
	rankReach
	rankNotActive
	rankRoleLacksPermission
	rankNoRole
)

func (j *judge) decide(f judgeFacts, q judgeQuestion) judgeVerdict {
	counting, idle := j.assignmentsOf(f, q)
	answers := []judgeAnswer{{
		judgePlace: judgePlace{rank: rankNoRole},
		reason:     &usherv1.Reason{Code: usherv1.ReasonCode_REASON_CODE_NO_ROLE},
	}}
	for _, a := range counting {
		answers = append(answers, j.answersOf(a, f, q)...)
	}
	for _, a := range idle {
		if j.hasAllowRule(a.role, q) {
			answers = append(answers, judgeAnswer{
				judgePlace: judgePlace{rank: rankNotActive},
				reason:     reasonOf(usherv1.ReasonCode_REASON_CODE_NOT_ACTIVE, a),
			})
		}
	}
	holders := holdersOf(q)
	for i := range answers {
		answers[i].role = slices.IndexFunc(j.catalog.GetRoles(), func(r *catalogv1.Role) bool {
			return r.GetName() == answers[i].reason.GetRole()
		})
		answers[i].holder = slices.Index(holders, answers[i].reason.GetHolder())
		answers[i].scope = answers[i].reason.GetScope()
	}
	slices.SortStableFunc(answers, func(a, b judgeAnswer) int { return a.compare(b.judgePlace) })

	v := judgeVerdict{
		decision: usherv1.Decision_DECISION_DENY,
		reason:   answers[0].reason,
		recheck:  recheckBy(f, q),
	}
	if answers[0].rank == rankGranted {
		v.decision = usherv1.Decision_DECISION_ALLOW
	}
	v.notes = append(v.notes, strings.TrimPrefix(v.reason.GetCode().String(), "REASON_CODE_"))
	v.notes = append(v.notes, answers[0].notes...)
	v.notes = append(v.notes, notesOnTie(answers)...)
	if len(counting) > 1 && counting[len(counting)-1].role == j.catalog.GetDefaultRole() {
		v.notes = append(v.notes, "default role beside forbid-only role")
	}
	return v
}

// assignmentsOf returns the assignments of the subject and its groups that are in force,
// the default role's as the last if it counts, and those that are not in force.
func (j *judge) assignmentsOf(f judgeFacts, q judgeQuestion) (counting, idle []judgeAssignment) {
	holders := holdersOf(q)
	allowed := false
	for _, a := range f.assignments {
		if !slices.Contains(holders, a.subject) {
			continue
		}
		if !a.inForce(f.now) {
			idle = append(idle, a)
			continue
		}
		counting = append(counting, a)
		if j.allowsAnything(a.role) {
			allowed = true
		}
	}
	if !allowed && j.catalog.GetDefaultRole() != "" {
		counting = append(counting, judgeAssignment{subject: q.subject, role: j.catalog.GetDefaultRole()})
	}
	return counting, idle
}

// recheckBy returns the next start or end of an assignment, or zero.
func recheckBy(f judgeFacts, q judgeQuestion) time.Time {
	holders := holdersOf(q)
	var next time.Time
	for _, a := range f.assignments {
		for _, t := range []time.Time{a.starts, a.ends} {
			later := t.After(f.now) && slices.Contains(holders, a.subject)
			if later && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next
}

// answersOf returns what the rules of a role that counts would answer.
func (j *judge) answersOf(a judgeAssignment, f judgeFacts, q judgeQuestion) []judgeAnswer {
	answers := []judgeAnswer{{
		judgePlace: judgePlace{rank: rankRoleLacksPermission},
		reason:     reasonOf(usherv1.ReasonCode_REASON_CODE_ROLE_LACKS_PERMISSION, a),
	}}
	for i, r := range j.rulesOf(a.role) {
		if !r.isAbout(q) {
			continue
		}
		if found, ok := j.test(r, a, f, q); ok {
			found.rule = i
			answers = append(answers, found)
		}
	}
	return answers
}

func (j *judge) hasAllowRule(role string, q judgeQuestion) bool {
	return slices.ContainsFunc(j.rulesOf(role), func(r judgeRule) bool { return !r.forbid && r.isAbout(q) })
}

func (r judgeRule) isAbout(q judgeQuestion) bool {
	return slices.Contains(r.permissions, q.resource.GetType()+":"+q.action)
}

// holdersOf returns the subject and then its groups in byte order.
func holdersOf(q judgeQuestion) []string {
	groups := slices.Clone(q.groups)
	slices.Sort(groups)
	return append([]string{q.subject}, groups...)
}

// notesOnTie says by what the first answer was chosen from those of its rank.
func notesOnTie(answers []judgeAnswer) []string {
	if len(answers) < 2 || answers[0].rank != answers[1].rank {
		return nil
	}
	first, second := answers[0].judgePlace, answers[1].judgePlace
	switch {
	case first.role != second.role:
		return []string{"tie: role"}
	case first.rule != second.rule:
		return []string{"tie: rule"}
	case first.holder != second.holder:
		return []string{"tie: holder"}
	case first.scope != second.scope:
		return []string{"tie: scope"}
	}
	return nil
}

func reasonOf(code usherv1.ReasonCode, a judgeAssignment) *usherv1.Reason {
	return &usherv1.Reason{Code: code, Role: a.role, Holder: a.subject, Scope: a.scope}
}

// test tries one rule with one assignment. It returns no answer if a forbid rule does
// not match.
func (j *judge) test(r judgeRule, a judgeAssignment, f judgeFacts, q judgeQuestion) (judgeAnswer, bool) {
	var notes []string
	if r.inherited {
		notes = append(notes, "inherited rule")
	}

	failed := reachFailure(r.reach, a, q)
	if failed != 0 && plainReachFailure(r.reach, a, q) == 0 {
		notes = append(notes, "scoped administrator beyond the scope")
	}
	if failed != 0 && j.widens(r.widen, a, f, q) {
		notes = append(notes, "widened")
		failed = 0
	}
	if failed != 0 && j.widens(r.lost, a, f, q) {
		notes = append(notes, "lost widening")
	}
	outcome, missing := isTrue, ""
	if r.condition != "" {
		outcome, missing = j.evaluate(r.condition, q.resource)
	}
	stands := j.standsRight(f, r.on, r.off)

	if r.forbid {
		if outcome == isUndecided {
			notes = append(notes, "forbidden though undecided")
		}
		return judgeAnswer{
			judgePlace: judgePlace{rank: rankForbidden},
			reason:     reasonOf(usherv1.ReasonCode_REASON_CODE_FORBIDDEN, a),
			notes:      notes,
		}, failed == 0 && outcome != isFalse && stands
	}

	var rank int
	var reason *usherv1.Reason
	switch {
	case failed != 0:
		rank, reason = rankReach, reasonOf(failed, a)
	case outcome == isFalse:
		rank, reason = rankConditionNotMet, reasonOf(usherv1.ReasonCode_REASON_CODE_CONDITION_NOT_MET, a)
	case outcome == isUndecided:
		rank, reason = rankMissingAttribute, reasonOf(usherv1.ReasonCode_REASON_CODE_MISSING_ATTRIBUTE, a)
		reason.Attribute = missing
	case !stands:
		rank, reason = rankToggle, reasonOf(usherv1.ReasonCode_REASON_CODE_TOGGLE, a)
		reason.Toggle = r.on + r.off // one of them is empty
		reason.ToggleState = toggleState(j.isOn(f, reason.Toggle))
	default:
		rank, reason = rankGranted, reasonOf(usherv1.ReasonCode_REASON_CODE_GRANTED, a)
	}
	return judgeAnswer{judgePlace: judgePlace{rank: rank}, reason: reason, notes: notes}, true
}

// widens reports whether a widening, if there is one, covers the resource.
func (j *judge) widens(w *catalogv1.Widening, a judgeAssignment, f judgeFacts, q judgeQuestion) bool {
	return w != nil && j.standsRight(f, w.GetWhileOn(), w.GetWhileOff()) && reachFailure(w.GetReach(), a, q) == 0
}

// reachFailure returns the code for a resource that a reach does not cover, or 0. Of
// rules about roles and toggles, an assignment in a scope covers only what lies in it.
func reachFailure(reach string, a judgeAssignment, q judgeQuestion) usherv1.ReasonCode {
	if code := plainReachFailure(reach, a, q); code != 0 {
		return code
	}
	administers := q.resource.GetType() == "role" || q.resource.GetType() == "toggle"
	if administers && a.scope != "" && !slices.Contains(q.resource.GetScopes(), a.scope) {
		return usherv1.ReasonCode_REASON_CODE_OUT_OF_SCOPE
	}
	return 0
}

// plainReachFailure is reachFailure without the limit of administrators.
func plainReachFailure(reach string, a judgeAssignment, q judgeQuestion) usherv1.ReasonCode {
	switch reach {
	case "tenant":
		return 0
	case "assigned":
		if a.scope != "" && slices.Contains(q.resource.GetScopes(), a.scope) {
			return 0
		}
		return usherv1.ReasonCode_REASON_CODE_OUT_OF_SCOPE
	case "own":
		isGroup := strings.HasPrefix(q.resource.GetOwner(), "group:")
		if q.resource.GetOwner() == q.subject && !isGroup {
			return 0
		}
		return usherv1.ReasonCode_REASON_CODE_NOT_OWNER
	}
	scopeType, ok := strings.CutPrefix(reach, "any ")
	if !ok {
		panic("no such reach: " + reach)
	}
	for _, scope := range q.resource.GetScopes() {
		if strings.HasPrefix(scope, scopeType+":") {
			return 0
		}
	}
	return usherv1.ReasonCode_REASON_CODE_OUT_OF_SCOPE
}

// standsRight reports whether the toggle that has to be on is on, and the one that has
// to be off is off; "" is none.
func (j *judge) standsRight(f judgeFacts, on, off string) bool {
	if on != "" && !j.isOn(f, on) {
		return false
	}
	if off != "" && j.isOn(f, off) {
		return false
	}
	return true
}

func (j *judge) isOn(f judgeFacts, name string) bool {
	if stored, ok := f.toggles[name]; ok && !j.isLocked(name) {
		return stored
	}
	return j.toggle(name).GetStartsOn()
}

func (j *judge) isLocked(toggle string) bool { return j.toggle(toggle).GetLocked() }

func (j *judge) toggle(name string) *catalogv1.Toggle {
	for _, toggle := range j.catalog.GetToggles() {
		if toggle.GetName() == name {
			return toggle
		}
	}
	panic("no such toggle: " + name)
}

func (j *judge) role(name string) *catalogv1.Role {
	for _, role := range j.catalog.GetRoles() {
		if role.GetName() == name {
			return role
		}
	}
	panic("no such role: " + name)
}

// rulesOf returns the rules of a role: those that it inherits, then its own.
func (j *judge) rulesOf(name string) []judgeRule {
	if rules, ok := j.rules[name]; ok {
		return rules
	}
	var rules []judgeRule
	for _, inheritance := range j.role(name).GetInherits() {
		for _, r := range j.rulesOf(inheritance.GetRole()) {
			r.inherited = true
			before := r.widen
			if inheritance.GetReach() != "" {
				r.reach, r.widen = inheritance.GetReach(), nil
			}
			if !inheritance.GetKeepToggles() {
				r.on, r.off, r.widen = "", "", nil
			}
			if before != r.widen {
				r.lost = before
			}
			rules = append(rules, r)
		}
	}
	for _, own := range j.role(name).GetRules() {
		rules = append(rules, judgeRule{
			forbid:      len(own.GetForbid()) > 0,
			permissions: append(slices.Clone(own.GetAllow()), own.GetForbid()...),
			reach:       own.GetReach(),
			widen:       own.GetWiden(),
			condition:   own.GetCondition(),
			on:          own.GetWhileOn(),
			off:         own.GetWhileOff(),
		})
	}
	j.rules[name] = rules
	return rules
}

func (j *judge) allowsAnything(role string) bool {
	return slices.ContainsFunc(j.rulesOf(role), func(r judgeRule) bool { return !r.forbid })
}

// evaluate returns how a condition comes out on a resource, and the first attribute
// that it mentions and that is missing.
func (j *judge) evaluate(text string, resource *usherv1.Resource) (truth, string) {
	c, ok := j.conditions[text]
	if !ok {
		c = parseCondition(text)
		j.conditions[text] = c
	}
	look := func(name string) (any, bool) { return j.attribute(resource, name) }
	for _, name := range c.mentions() {
		if _, ok := look(name); !ok {
			return c.evaluate(look), name
		}
	}
	return c.evaluate(look), ""
}

// attribute returns an attribute of a resource, converted to its declared type.
func (j *judge) attribute(resource *usherv1.Resource, name string) (any, bool) {
	if name == "id" {
		return resource.GetId(), resource.GetId() != ""
	}
	declared := j.attributeType(resource.GetType(), name)
	return convertAttribute(declared, resource.GetAttributes().GetFields()[name])
}

func (j *judge) attributeType(resourceType, name string) string {
	if name == "id" {
		return "string"
	}
	for _, r := range j.catalog.GetResourceTypes() {
		for _, attribute := range r.GetAttributes() {
			if r.GetName() == resourceType && attribute.GetName() == name {
				return attribute.GetType()
			}
		}
	}
	panic("no such attribute: " + resourceType + "." + name)
}
