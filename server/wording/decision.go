package wording

import (
	"slices"
	"strings"
	"time"

	"github.com/usher-pdp/usher/server/policy"
)

// maxPlaces is how many places are named. Of more it is said that there are many.
const maxPlaces = 5

// Decision says whether the subject of the question may do what it asks for, and why. It speaks
// to the subject.
func (w *Writer) Decision(question policy.Request, e policy.Explanation) string {
	return w.opening(question, e.Decision.Allow) + " " + sentence(w.why(question, e))
}

func (w *Writer) opening(question policy.Request, allow bool) string {
	what, fits := w.activity(question)
	switch {
	case allow && fits:
		return w.say(allowed, what)
	case allow:
		return w.say(allowedOther, what)
	case fits:
		return w.say(denied, what)
	}
	return w.say(deniedOther, what)
}

func (w *Writer) why(question policy.Request, e policy.Explanation) string {
	reason := e.Decision.Reason
	at := []string{reason.Scope}
	whose := w.whoseRole(question.Subject, reason.Holder, reason.Role, nil)
	switch reason.Code {
	case policy.Granted:
		return w.say(granted, w.whoseRole(question.Subject, reason.Holder, reason.Role, at))
	case policy.Forbidden:
		return w.say(forbidden, w.whoseRole(question.Subject, reason.Holder, reason.Role, at))
	case policy.Toggled:
		state := toggleOff
		if reason.ToggleOn {
			state = toggleOn
		}
		return w.say(state, w.toggle(reason.Toggle))
	case policy.ConditionNotMet:
		return w.conditionNotMet(question.Resource, whose, ruleOf(e, policy.RuleConditionFalse))
	case policy.MissingAttribute:
		return w.say(missingAttribute, w.attribute(question.Resource.Type, reason.Attribute))
	case policy.OutOfScope:
		return w.outOfScope(question.Resource, whose, ruleOf(e, policy.RuleOutOfReach))
	case policy.NotOwner:
		return w.say(notOwner, whose)
	case policy.NotActive:
		return w.notActive(w.whoseRole(question.Subject, reason.Holder, reason.Role, at), ruleOf(e, policy.RuleNotActive))
	case policy.RoleLacksPermission:
		return w.say(lacksPermission, whose)
	}
	return w.say(noRole)
}

// ruleOf returns the rule that the reason of a deny is about.
func ruleOf(e policy.Explanation, result policy.RuleResult) policy.RuleOutcome {
	reason := e.Decision.Reason
	for _, r := range e.Rules {
		if r.Role == reason.Role && r.Holder == reason.Holder && r.Result == result && !r.Forbid {
			return r
		}
	}
	return policy.RuleOutcome{}
}

func (w *Writer) conditionNotMet(about policy.Resource, whose string, rule policy.RuleOutcome) string {
	if unmet, _, found := nearest(rule.Unmet, w.titles); found {
		return unmet + "."
	}
	switch about.Type {
	case roleType:
		return w.say(otherRolesOnly, whose)
	case toggleType:
		return w.say(otherTogglesOnly, whose)
	}
	if facts := w.factsOf(rule.Condition, about); len(facts) > 0 {
		return w.say(conditionDetails, whose, w.list(facts, and))
	}
	return w.say(conditionNotMet, whose)
}

func (w *Writer) outOfScope(about policy.Resource, whose string, rule policy.RuleOutcome) string {
	if scopeType, any := strings.CutPrefix(rule.Reach, "any "); any {
		return w.say(noScope, whose, w.scopeType(scopeType))
	}
	held := slices.DeleteFunc(slices.Clone(rule.Scopes), func(scope string) bool { return scope == "" })
	types := w.heldIn(rule.Role)
	switch {
	case len(held) == 0:
		return w.say(noPlaceYet, whose, w.list(w.scopeTypes(types), or))
	case len(held) > maxPlaces:
		return w.say(manyPlaces, whose)
	}
	covered := w.list(w.places(held), and)
	here := slices.DeleteFunc(slices.Clone(about.Scopes), func(scope string) bool {
		scopeType, _, _ := strings.Cut(scope, ":")
		return !slices.Contains(types, scopeType)
	})
	if len(here) == 0 || len(here) > maxPlaces {
		return w.say(notThere, whose, covered)
	}
	return w.say(elsewhere, whose, covered, w.list(w.places(here), and))
}

func (w *Writer) notActive(whose string, rule policy.RuleOutcome) string {
	switch {
	case !rule.Starts.IsZero():
		return w.say(startsOn, whose, moment(rule.Starts))
	case !rule.Ended.IsZero():
		return w.say(endedOn, whose, moment(rule.Ended))
	}
	return w.say(notActive, whose)
}

// moment writes a time in a way that is read alike everywhere.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02, 15:04 UTC") }
