package wording

import (
	"maps"
	"slices"

	"github.com/usher-pdp/usher/server/policy"
)

// Step says who can do a step, and what it is. It speaks to the subject of the question. The
// roles are those whose holders may do it; none, or operator, is that it takes the vendor's support.
func (w *Writer) Step(question policy.Request, s policy.Step, by []string, operator bool) string {
	who, subject := w.performers(by, operator), question.Subject
	var text string
	switch s.Kind {
	case policy.StepSetToggle:
		state := switchOff
		if s.On {
			state = switchOn
		}
		text = w.say(state, who, w.toggle(s.Toggle))
	case policy.StepGrant:
		if s.Early {
			text = w.say(startNow, who, w.whoseRole(subject, s.Subject, s.Role, s.Scopes))
			break
		}
		text = w.say(grant, who, w.give(subject, s.Subject), w.role(s.Role, s.Scopes))
	case policy.StepChangeRole:
		text = w.say(changeRole, who, w.give(subject, s.Subject), w.role(s.Role, s.Scopes), w.role(s.From, nil))
	case policy.StepRevoke:
		text = w.say(revoke, who, w.whoseRole(subject, s.Subject, s.Role, s.Scopes))
	case policy.StepResource:
		facts := make([]string, 0, len(s.Attributes))
		for _, name := range slices.Sorted(maps.Keys(s.Attributes)) {
			facts = append(facts, w.fact(question.Resource.Type, name, s.Attributes[name]))
		}
		text = w.say(resource, w.list(facts, and))
	}
	if !s.Interval.End.IsZero() {
		text += " " + w.say(endsOn, moment(s.Interval.End))
	}
	return sentence(text)
}

func (w *Writer) performers(roles []string, operator bool) string {
	if operator || len(roles) == 0 {
		return w.say(support)
	}
	titles := make([]string, len(roles))
	for i, name := range roles {
		titles[i] = w.role(name, nil)
	}
	return w.say(holderOf, w.list(titles, or))
}

func (w *Writer) give(subject, holder string) string {
	if holder == subject {
		return w.say(giveYou)
	}
	return w.say(giveGroup, idOf(holder))
}
