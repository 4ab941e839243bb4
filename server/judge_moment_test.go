package server_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// judgeMoment is an instant with what is written and then asked at it.
type judgeMoment struct {
	at     time.Time
	writes []judgeWrite
	// Who asks, where an item does not say otherwise. No subject: every item says it.
	subject string
	groups  []string
	items   []*usherv1.BatchCheckItem
	// Which of the items are also asked one by one.
	single []bool
}

// judgeWrite is a grant, a revoke or the setting of a toggle.
type judgeWrite struct {
	grant, revoke *judgeAssignment
	toggle        string
	on            bool
}

// drawMoments draws what happens: at first writes only, then writes and questions in
// the order of time, at last questions at any instant, so that the clock may jump back.
func (m *worldMaker) drawMoments() {
	first := judgeMoment{at: judgeEpoch}
	for range oneFrom(m, []int{0, 5, 10, 15, 15, 20, 20, 25}) {
		first.writes = append(first.writes, m.drawWrite(judgeEpoch))
	}
	m.world.moments = []judgeMoment{first}
	hour := 0
	for range 1 + m.upTo(2) {
		hour += m.upTo(2)
		moment := judgeMoment{at: m.drawInstant(hour)}
		if last := m.world.moments[len(m.world.moments)-1].at; moment.at.Before(last) {
			moment.at = last
		}
		for range m.upTo(3) {
			moment.writes = append(moment.writes, m.drawWrite(moment.at))
		}
		m.drawQuestions(&moment)
		m.world.moments = append(m.world.moments, moment)
	}
	if m.chance(40) {
		moment := judgeMoment{at: m.drawInstant(m.upTo(5) - 1)}
		m.drawQuestions(&moment)
		m.world.moments = append(m.world.moments, moment)
	}
}

// drawInstant draws an instant at that hour of the world, or just beside it.
func (m *worldMaker) drawInstant(hour int) time.Time {
	beside := oneFrom(m, []time.Duration{0, 0, time.Nanosecond, -time.Nanosecond, time.Minute})
	return judgeEpoch.Add(time.Duration(hour)*time.Hour + beside)
}

func (m *worldMaker) drawWrite(now time.Time) judgeWrite {
	if len(m.catalog.Toggles) > 0 && m.chance(25) {
		return judgeWrite{toggle: oneFrom(m, m.catalog.Toggles).Name, on: m.chance(50)}
	}
	roles := slices.DeleteFunc(slices.Clone(m.catalog.Roles), func(r *catalogv1.Role) bool {
		return r.Name == m.catalog.DefaultRole
	})
	role := oneFrom(m, roles)
	for _, r := range roles {
		// More of those that only forbid: they leave the default role in place.
		if !newJudge(m.catalog, nil).allowsAnything(r.Name) && m.chance(20) {
			role = r
		}
	}
	holders := role.Holders
	if len(holders) == 0 {
		holders = m.catalog.Holders
	}
	subjects := slices.Concat(judgeUsers, judgeGroups, []string{judgeBot})
	subjects = slices.DeleteFunc(subjects, func(subject string) bool {
		subjectType, _, _ := strings.Cut(subject, ":")
		return !slices.Contains(holders, subjectType)
	})
	a := &judgeAssignment{subject: oneFrom(m, subjects), role: role.Name}
	if len(role.HeldIn) > 0 && m.chance(80) {
		a.scope = oneFrom(m, slices.DeleteFunc(slices.Clone(m.scopes), func(scope string) bool {
			scopeType, _, _ := strings.Cut(scope, ":")
			return !slices.Contains(role.HeldIn, scopeType)
		}))
	}
	if m.chance(10) {
		return judgeWrite{revoke: a}
	}
	if m.chance(35) {
		a.starts = m.drawInstant(m.upTo(5) - 1)
	}
	if m.chance(40) {
		a.ends = m.drawInstant(1 + m.upTo(4))
		if !a.ends.After(now) || !a.ends.After(a.starts) {
			a.ends = time.Time{}
		}
	}
	m.holders = append(m.holders, a.subject)
	return judgeWrite{grant: a}
}

func (m *worldMaker) drawQuestions(moment *judgeMoment) {
	moment.subject, moment.groups = m.drawAsker()
	count := oneFrom(m, []int{1, 3, 10, 50, 200, 300, 300, 300})
	common := false
	for range count {
		item := m.drawItem()
		asker := moment.subject
		if m.chance(60) {
			item.Subject, item.Groups = m.drawAsker()
			asker = item.Subject
		} else {
			common = true
		}
		if m.chance(30) {
			item.Resource.Owner = asker
		}
		moment.items = append(moment.items, item)
		moment.single = append(moment.single, m.chance(10))
	}
	if !common {
		moment.subject, moment.groups = "", nil
	}
}

// drawAsker draws who asks: mostly somebody who has been granted something.
func (m *worldMaker) drawAsker() (subject string, groups []string) {
	subject = oneFrom(m, slices.Concat(judgeUsers, []string{"user:nobody", judgeAdmin, judgeBot, "group:a"}))
	if len(m.holders) > 0 && m.chance(60) {
		subject = oneFrom(m, m.holders)
	}
	groups = someFrom(m, append([]string{"group:nobody"}, judgeGroups...), 3)
	if len(groups) > 0 && m.chance(10) {
		groups = append(groups, groups[0])
	}
	return subject, groups
}

// drawItem draws what is asked: mostly something that a rule is about.
func (m *worldMaker) drawItem() *usherv1.BatchCheckItem {
	all := append([]string{"role:grant", "role:revoke"}, m.permissions...)
	if len(m.catalog.Toggles) > 0 {
		all = append(all, "toggle:set")
	}
	permission := oneFrom(m, all)
	if m.chance(60) {
		role := oneFrom(m, m.catalog.Roles)
		permission = oneFrom(m, oneFrom(m, newJudge(m.catalog, nil).rulesOf(role.Name)).permissions)
	}
	resourceType, action := cutPermission(permission)
	if resourceType == "toggle" && len(m.catalog.Toggles) == 0 {
		resourceType, action = "role", "grant" // there is no toggle that could be named
	}

	item := &usherv1.BatchCheckItem{
		Resource: &usherv1.Resource{Type: resourceType, Scopes: someFrom(m, m.scopes, 3)},
		Actions:  []string{action},
	}
	if m.chance(40) {
		item.Resource.Scopes = []string{oneFrom(m, m.scopes)}
	}
	switch resourceType {
	case "role":
		item.Resource.Id = oneFrom(m, m.catalog.Roles).Name
	case "toggle":
		item.Resource.Id = oneFrom(m, m.catalog.Toggles).Name
	default:
		item.Resource.Id = oneFrom(m, append([]string{"1"}, judgeTexts...))
		item.Resource.Attributes = m.drawAttributes(resourceType)
	}
	for _, other := range someFrom(m, all, 2) {
		if otherType, action := cutPermission(other); otherType == resourceType {
			item.Actions = append(item.Actions, action)
		}
	}
	if m.chance(50) {
		item.Resource.Owner = oneFrom(m, slices.Concat(judgeUsers, []string{"user:nobody", judgeBot, "group:a", "user:ANN"}))
	}
	return item
}

func (m *worldMaker) drawAttributes(resourceType string) *structpb.Struct {
	fields := map[string]*structpb.Value{}
	for _, attribute := range m.attributesOfType(resourceType) {
		switch {
		case m.chance(75):
			fields[attribute.Name] = m.drawRight(attribute.Type)
		case m.chance(60):
			fields[attribute.Name] = m.drawOdd(attribute.Type)
		}
	}
	for _, name := range []string{"id", "undeclared"} {
		if m.chance(10) {
			fields[name] = m.drawOdd("")
		}
	}
	if len(fields) == 0 && m.chance(50) {
		return nil
	}
	return &structpb.Struct{Fields: fields}
}

// drawRight draws a value of the type.
func (m *worldMaker) drawRight(attributeType string) *structpb.Value {
	switch attributeType {
	case "bool":
		return structpb.NewBoolValue(m.chance(50))
	case "string":
		return structpb.NewStringValue(oneFrom(m, judgeTexts))
	case "int":
		return structpb.NewNumberValue(float64(oneFrom(m, judgeWhole)))
	case "double":
		return structpb.NewNumberValue(oneFrom(m, judgeReal))
	}
	list := &structpb.ListValue{}
	for _, text := range someFrom(m, judgeTexts, 3) {
		list.Values = append(list.Values, structpb.NewStringValue(text))
	}
	return structpb.NewListValue(list)
}

// drawOdd draws a value that is not of the type: one that comes near to it, or any.
func (m *worldMaker) drawOdd(attributeType string) *structpb.Value {
	number, text := structpb.NewNumberValue, structpb.NewStringValue
	list := func(values ...*structpb.Value) *structpb.Value {
		return structpb.NewListValue(&structpb.ListValue{Values: values})
	}
	near := map[string][]*structpb.Value{
		"bool":        {text("true"), number(1), number(0)},
		"string":      {number(1), list(text("a"))},
		"int":         {number(0.5), number(1<<53 + 2), number(-(1<<53 + 2)), number(math.NaN()), text("1")},
		"double":      {number(math.NaN()), number(math.Inf(-1)), number(math.Inf(1)), text("0.5")},
		"string_list": {text("a"), list(text("a"), number(1)), list(structpb.NewNullValue(), text("a"))},
	}
	if len(near[attributeType]) > 0 && m.chance(60) {
		return oneFrom(m, near[attributeType])
	}
	return oneFrom(m, []*structpb.Value{
		structpb.NewNullValue(),
		text("1"),
		number(1),
		number(math.Copysign(0, -1)),
		structpb.NewBoolValue(true),
		list(),
		structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"a": text("a")}}),
		{}, // a value that says nothing
	})
}

// String writes it for a report.
func (w judgeWrite) String() string {
	instant := func(t time.Time) string {
		if t.IsZero() {
			return "unset"
		}
		return t.Format(time.RFC3339Nano)
	}
	switch {
	case w.grant != nil:
		return fmt.Sprintf("grant %s %s in %q from %s to %s",
			w.grant.subject, w.grant.role, w.grant.scope, instant(w.grant.starts), instant(w.grant.ends))
	case w.revoke != nil:
		return fmt.Sprintf("revoke %s %s in %q", w.revoke.subject, w.revoke.role, w.revoke.scope)
	}
	return "set toggle " + w.toggle + " on=" + strconv.FormatBool(w.on)
}
