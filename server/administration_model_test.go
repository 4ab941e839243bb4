package server_test

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// walkState is what a tenant has stored, in the simplest form.
type walkState struct {
	held    map[walkKey]walkInterval
	toggles map[string]bool // those that were set
	primary string
}

// walkKey tells assignments apart.
type walkKey struct{ subject, role, scope string }

func (a walkKey) compare(b walkKey) int {
	return slices.Compare([]string{a.subject, a.role, a.scope}, []string{b.subject, b.role, b.scope})
}

// walkInterval is from its first instant until just before its last one, in nanoseconds
// since 1970. The smallest and the largest number stand for "from ever" and "without an end".
type walkInterval struct{ from, until int64 }

const (
	fromEver   int64 = math.MinInt64
	withoutEnd int64 = math.MaxInt64
)

func intervalOf(starts, ends *timestamppb.Timestamp) walkInterval {
	i := walkInterval{fromEver, withoutEnd}
	if starts != nil {
		i.from = starts.AsTime().UnixNano()
	}
	if ends != nil {
		i.until = ends.AsTime().UnixNano()
	}
	return i
}

func (i walkInterval) timestamps() (starts, ends *timestamppb.Timestamp) {
	if i.from != fromEver {
		starts = timestamppb.New(time.Unix(0, i.from))
	}
	if i.until != withoutEnd {
		ends = timestamppb.New(time.Unix(0, i.until))
	}
	return starts, ends
}

func (i walkInterval) ended(now int64) bool   { return i.until <= now }
func (i walkInterval) running(now int64) bool { return i.from <= now && now < i.until }

func (i walkInterval) state(now int64) usherv1.AssignmentState {
	switch {
	case i.ended(now):
		return usherv1.AssignmentState_ASSIGNMENT_STATE_ENDED
	case i.running(now):
		return usherv1.AssignmentState_ASSIGNMENT_STATE_ACTIVE
	}
	return usherv1.AssignmentState_ASSIGNMENT_STATE_SCHEDULED
}

func (s *walkState) clone() *walkState {
	return &walkState{held: maps.Clone(s.held), toggles: maps.Clone(s.toggles), primary: s.primary}
}

// live returns the keys of what the subject holds and what has not ended, in order.
func (s *walkState) live(subject string, now int64) []walkKey {
	var keys []walkKey
	for key, i := range s.held {
		if key.subject == subject && !i.ended(now) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, walkKey.compare)
	return keys
}

// keepers returns the users who hold the protected role in the tenant now and without an end.
func (p *walkProduct) keepers(s *walkState, now int64) []string {
	var users []string
	for key, i := range s.held {
		if key.role == p.protected && key.scope == "" && typeOfID(key.subject) == "user" &&
			i.running(now) && i.until == withoutEnd {
			users = append(users, key.subject)
		}
	}
	slices.Sort(users)
	return users
}

// holders counts who holds the role, now or later.
func (s *walkState) holders(role string, now int64) int {
	subjects := map[string]bool{}
	for key, i := range s.held {
		if key.role == role && !i.ended(now) {
			subjects[key.subject] = true
		}
	}
	return len(subjects)
}

// stands reports whether a toggle is on.
func (p *walkProduct) stands(s *walkState, toggle *walkToggle) bool {
	on, set := s.toggles[toggle.name]
	if !set || toggle.locked {
		return toggle.startsOn
	}
	return on
}

// administers reports whether some role that the actor or one of the actor's groups holds
// now, in the tenant or in that very scope, lets them do what `may` looks for.
func (p *walkProduct) administers(s *walkState, actor *usherv1.Actor, scope string, now int64, may func(*walkRole) bool) bool {
	return p.holds(s, actor, now, func(key walkKey) bool {
		return (key.scope == "" || key.scope == scope) && may(p.role(key.role))
	})
}

// holds reports whether the actor or one of the actor's groups holds something now that is
// looked for. The operator may do everything.
func (p *walkProduct) holds(s *walkState, actor *usherv1.Actor, now int64, what func(walkKey) bool) bool {
	for key, i := range s.held {
		theirs := key.subject == actor.GetSubject() || slices.Contains(actor.GetGroups(), key.subject)
		if theirs && i.running(now) && what(key) {
			return true
		}
	}
	return actor == nil
}

// mayRevokeSome reports whether the actor may revoke some role somewhere.
func (p *walkProduct) mayRevokeSome(s *walkState, actor *usherv1.Actor, now int64) bool {
	return p.holds(s, actor, now, func(key walkKey) bool { return p.role(key.role).revokes != "" })
}

func (p *walkProduct) mayGrant(s *walkState, actor *usherv1.Actor, role, scope string, now int64) bool {
	return p.administers(s, actor, scope, now, func(r *walkRole) bool {
		return hasWord(r.grants, role) || hasWord(r.grantsWhile, role) && p.stands(s, p.toggle(r.toggle))
	})
}

func (p *walkProduct) mayRevoke(s *walkState, actor *usherv1.Actor, role, scope string, now int64) bool {
	return p.administers(s, actor, scope, now, func(r *walkRole) bool { return hasWord(r.revokes, role) })
}

func (p *walkProduct) maySwitch(s *walkState, actor *usherv1.Actor, now int64) bool {
	return p.administers(s, actor, "", now, func(r *walkRole) bool { return r.switches })
}

// refusedChange returns the transition that stands against a change of role, or nil. With
// `to` empty it is about the loss of the role.
func (p *walkProduct) refusedChange(actor *usherv1.Actor, from, to string) *walkTransition {
	for _, t := range p.refused {
		if t.from == from && (t.to == "" || t.to == to) && (actor != nil || !t.operatorMay) {
			return &t
		}
	}
	return nil
}

// Refusals, as errorWords writes them. Without a reason, any reason will do.
const (
	walkMalformed     = "INVALID_ARGUMENT"
	walkNotAllowed    = "PERMISSION_DENIED ACTOR_NOT_ALLOWED"
	walkOwnRoles      = "FAILED_PRECONDITION OWN_ROLES"
	walkNotHeld       = "FAILED_PRECONDITION NOT_HELD"
	walkNotAssignable = "FAILED_PRECONDITION NOT_ASSIGNABLE"
	walkNotToHolder   = "FAILED_PRECONDITION NOT_ASSIGNABLE_TO_HOLDER"
	walkNotInScope    = "FAILED_PRECONDITION NOT_ASSIGNABLE_IN_SCOPE"
	walkHeldInScopes  = "FAILED_PRECONDITION HELD_IN_SCOPES"
	walkRefusedChange = "FAILED_PRECONDITION TRANSITION_REFUSED"
	walkOneRoleOnly   = "FAILED_PRECONDITION ONE_ROLE_ONLY"
	walkLastHolder    = "FAILED_PRECONDITION LAST_HOLDER"
	walkToggleLocked  = "FAILED_PRECONDITION TOGGLE_LOCKED"
	walkNoPrimary     = "FAILED_PRECONDITION NO_PRIMARY"
	walkNotAHolder    = "FAILED_PRECONDITION NOT_A_HOLDER"
	walkOtherEpoch    = "FAILED_PRECONDITION OTHER_EPOCH"
	walkChanged       = "ABORTED CHANGED_MEANWHILE"
	walkRequestReused = "ALREADY_EXISTS REQUEST_ID_REUSED"
	walkNotKept       = "OUT_OF_RANGE NOT_KEPT"
	walkRequestsKept  = 24 * time.Hour
)

// walkEffect is what an act does.
type walkEffect struct {
	after *walkState
	// set and gone are the assignments that were set and taken away, toggles those that were set.
	set, gone []walkKey
	toggles   []string
}

func (e *walkEffect) changed() bool { return len(e.set)+len(e.gone)+len(e.toggles) > 0 }

// walkPlan is an act that is judged: on what is stored, for an actor (nil is the operator).
type walkPlan struct {
	*walkProduct
	before *walkState
	actor  *usherv1.Actor
	now    int64
}

// judge answers what the act would do, or how it may be refused: with the refusal that comes
// first, or with one of several where the description leaves open which.
func (p walkPlan) judge(act *usherv1.Act) (*walkEffect, []string) {
	switch {
	case act.GetGrant() != nil:
		return p.grant(act.GetGrant())
	case act.GetRevoke() != nil:
		return p.revoke(act.GetRevoke())
	case act.GetChangeRole() != nil:
		return p.changeRole(act.GetChangeRole())
	case act.GetRemoveSubject() != nil:
		return p.removeSubject(act.GetRemoveSubject().GetSubject())
	}
	return p.setToggle(act.GetSetToggle())
}

// malformed reports whether the request can't be meant: names that the catalog does not have,
// an interval that could never be in force.
func (p walkPlan) malformed(act *usherv1.Act) bool {
	unknownRole := func(name string) bool { return p.role(name) == nil }
	never := func(i walkInterval) bool { return i.ended(p.now) || i.from >= i.until }
	switch {
	case act.GetGrant() != nil:
		g := act.GetGrant()
		return unknownRole(g.GetRole()) || !p.knowsScope(g.GetScope()) || never(intervalOf(g.GetStartsAt(), g.GetExpiresAt()))
	case act.GetRevoke() != nil:
		r := act.GetRevoke()
		return unknownRole(r.GetRole()) || !p.knowsScope(r.GetScope()) || r.GetEverywhere() && r.GetScope() != ""
	case act.GetChangeRole() != nil:
		c := act.GetChangeRole()
		return unknownRole(c.GetFrom()) || unknownRole(c.GetTo()) || never(intervalOf(c.GetStartsAt(), c.GetExpiresAt())) ||
			slices.ContainsFunc(c.GetScopes(), func(scope string) bool { return !p.knowsScope(scope) })
	case act.GetSetToggle() != nil:
		return p.toggle(act.GetSetToggle().GetToggle()) == nil
	}
	return false
}

// shortens reports whether something that is left of the one from now on is not in the other.
func (p walkPlan) shortens(old, i walkInterval) bool {
	return !old.ended(p.now) && (max(old.from, p.now) < i.from || i.until < old.until)
}

// lacksRevoke answers how an actor is refused who may not take all of the assignments away, or
// nil. Where several are lacking, it is open which is named.
func (p walkPlan) lacksRevoke(taken []walkKey) (refusals []string) {
	for _, key := range taken {
		switch {
		case p.mayRevoke(p.before, p.actor, key.role, key.scope, p.now):
		case p.ruleRatherThanActor(key):
			refusals = append(refusals, walkRefusedChange)
		default:
			refusals = append(refusals, walkNotAllowed)
		}
	}
	return refusals
}

// ruleRatherThanActor reports whether it is not the actor who is at fault when they may not
// take something away: nobody may, and they may take away others.
func (p walkPlan) ruleRatherThanActor(key walkKey) bool {
	return p.refusedChange(p.actor, key.role, "") != nil &&
		slices.ContainsFunc(p.roles, func(r walkRole) bool {
			return p.mayRevoke(p.before, p.actor, r.name, key.scope, p.now)
		})
}

func (p walkPlan) isOwn(subject string) bool {
	return p.actor != nil && (subject == p.actor.GetSubject() || slices.Contains(p.actor.GetGroups(), subject))
}

// assignable answers why nobody can be granted the role there, or nil.
func (p walkPlan) assignable(key walkKey) []string {
	r := p.role(key.role)
	switch {
	case r.isDefault:
		return []string{walkNotAssignable}
	case !hasWord(r.holders, typeOfID(key.subject)):
		return []string{walkNotToHolder}
	case key.scope != "" && !hasWord(r.heldIn, typeOfID(key.scope)):
		return []string{walkNotInScope}
	}
	return nil
}

// exclusive answers why the subject can't hold the role beside the others, or nil.
func (p walkPlan) exclusive(key walkKey, i walkInterval, others []walkKey) []string {
	if !p.role(key.role).exclusive {
		return nil
	}
	var refusals []string
	for _, other := range others {
		o := p.before.held[other]
		if other.role == key.role || !p.role(other.role).exclusive || max(o.from, i.from) >= min(o.until, i.until) {
			continue
		}
		if p.refusedChange(p.actor, other.role, key.role) != nil {
			refusals = append(refusals, walkRefusedChange)
		} else {
			refusals = append(refusals, walkOneRoleOnly)
		}
	}
	return refusals
}

// firstOf returns the first refusal that there is.
func firstOf(refusals ...[]string) []string {
	for _, r := range refusals {
		if len(r) > 0 {
			return r
		}
	}
	return nil
}

// when returns the refusal if the condition holds.
func when(condition bool, refusal string) []string {
	if condition {
		return []string{refusal}
	}
	return nil
}

// effect is what comes of setting and taking away, or LAST_HOLDER.
func (p walkPlan) effect(set map[walkKey]walkInterval, gone []walkKey) (*walkEffect, []string) {
	e := &walkEffect{after: p.before.clone(), gone: gone}
	for _, key := range gone {
		delete(e.after.held, key)
	}
	for key, i := range set {
		if old, there := p.before.held[key]; !there || old != i {
			e.after.held[key] = i
			e.set = append(e.set, key)
		}
	}
	if len(p.keepers(e.after, p.now)) == 0 {
		return nil, []string{walkLastHolder}
	}
	return e, nil
}

func (p walkPlan) grant(g *usherv1.GrantAct) (*walkEffect, []string) {
	key := walkKey{g.GetSubject(), g.GetRole(), g.GetScope()}
	i := intervalOf(g.GetStartsAt(), g.GetExpiresAt())
	live := p.before.live(key.subject, p.now)
	var shortened []walkKey
	if old, there := p.before.held[key]; there && p.shortens(old, i) {
		shortened = []walkKey{key}
	}
	var lacking []string
	if !p.mayGrant(p.before, p.actor, key.role, key.scope, p.now) {
		lacking = []string{walkNotAllowed}
		if len(shortened) > 0 && p.ruleRatherThanActor(key) {
			lacking = append(lacking, walkRefusedChange)
		}
	}
	if refusals := firstOf(
		lacking,
		p.lacksRevoke(shortened),
		when(p.isOwn(key.subject), walkOwnRoles),
		p.assignable(key),
		when(len(shortened) > 0 && p.refusedChange(p.actor, key.role, "") != nil, walkRefusedChange),
		p.exclusive(key, i, live),
	); refusals != nil {
		return nil, refusals
	}
	return p.effect(map[walkKey]walkInterval{key: i}, nil)
}

func (p walkPlan) revoke(r *usherv1.RevokeAct) (*walkEffect, []string) {
	key := walkKey{r.GetSubject(), r.GetRole(), r.GetScope()}
	held := slices.DeleteFunc(p.before.live(key.subject, p.now), func(k walkKey) bool { return k.role != key.role })
	taken := slices.DeleteFunc(slices.Clone(held), func(k walkKey) bool { return !r.GetEverywhere() && k.scope != key.scope })
	needed := taken
	if len(needed) == 0 {
		needed = []walkKey{key}
	}
	if refusals := firstOf(
		p.lacksRevoke(needed),
		when(p.isOwn(key.subject), walkOwnRoles),
		when(len(taken) == 0 && key.scope == "" && len(held) > 0, walkHeldInScopes),
		when(len(taken) > 0 && p.refusedChange(p.actor, key.role, "") != nil, walkRefusedChange),
	); refusals != nil {
		return nil, refusals
	}
	return p.effect(nil, taken)
}

func (p walkPlan) changeRole(c *usherv1.ChangeRoleAct) (*walkEffect, []string) {
	scopes := c.GetScopes()
	if len(scopes) == 0 {
		scopes = []string{""}
	}
	i := intervalOf(c.GetStartsAt(), c.GetExpiresAt())
	live := p.before.live(c.GetSubject(), p.now)
	given := map[walkKey]walkInterval{}
	var taken, shortened, stay []walkKey
	for _, scope := range scopes {
		key := walkKey{c.GetSubject(), c.GetTo(), scope}
		given[key] = i
		if slices.Contains(live, key) && p.shortens(p.before.held[key], i) {
			shortened = append(shortened, key)
		}
	}
	holdsFrom, done := false, true
	for key := range given {
		done = done && p.before.held[key] == i && slices.Contains(live, key)
	}
	for _, key := range live {
		_, again := given[key]
		switch {
		case key.role == c.GetFrom() && !again:
			taken = append(taken, key)
		case key.role != c.GetFrom():
			stay = append(stay, key)
		}
		holdsFrom = holdsFrom || key.role == c.GetFrom()
	}

	lost := slices.Concat(taken, shortened)
	if !holdsFrom {
		for _, scope := range scopes {
			lost = append(lost, walkKey{c.GetSubject(), c.GetFrom(), scope})
		}
	}
	lacking := p.lacksRevoke(lost)
	for key := range given {
		if !p.mayGrant(p.before, p.actor, key.role, key.scope, p.now) && !slices.Contains(lacking, walkNotAllowed) {
			lacking = append(lacking, walkNotAllowed)
		}
	}
	var notAssignable, beside []string
	for key := range given {
		notAssignable = append(notAssignable, p.assignable(key)...)
		beside = append(beside, p.exclusive(key, i, stay)...)
	}
	loses := slices.ContainsFunc(slices.Concat(taken, shortened), func(key walkKey) bool {
		return p.refusedChange(p.actor, key.role, "") != nil
	})
	changes := len(taken) > 0 && c.GetFrom() != c.GetTo() && p.refusedChange(p.actor, c.GetFrom(), c.GetTo()) != nil
	if refusals := firstOf(
		lacking,
		when(p.isOwn(c.GetSubject()), walkOwnRoles),
		when(!holdsFrom && !done, walkNotHeld),
		notAssignable,
		when(loses || changes, walkRefusedChange),
		beside,
	); refusals != nil {
		return nil, refusals
	}
	return p.effect(given, taken)
}

func (p walkPlan) removeSubject(subject string) (*walkEffect, []string) {
	taken := p.before.live(subject, p.now)
	lacking := p.lacksRevoke(taken)
	if len(taken) == 0 && !p.mayRevokeSome(p.before, p.actor, p.now) {
		lacking = []string{walkNotAllowed}
	}
	loses := slices.ContainsFunc(taken, func(key walkKey) bool { return p.refusedChange(p.actor, key.role, "") != nil })
	if refusals := firstOf(
		lacking,
		when(p.isOwn(subject), walkOwnRoles),
		when(loses, walkRefusedChange),
	); refusals != nil {
		return nil, refusals
	}
	return p.effect(nil, taken)
}

func (p walkPlan) setToggle(s *usherv1.SetToggleAct) (*walkEffect, []string) {
	toggle := p.toggle(s.GetToggle())
	on := s.GetState() == usherv1.ToggleState_TOGGLE_STATE_ON
	switch {
	case !p.maySwitch(p.before, p.actor, p.now):
		return nil, []string{walkNotAllowed}
	case p.stands(p.before, toggle) == on:
		return &walkEffect{after: p.before}, nil
	case toggle.locked:
		return nil, []string{walkToggleLocked}
	}
	e := &walkEffect{after: p.before.clone(), toggles: []string{toggle.name}}
	e.after.toggles[toggle.name] = on
	return e, nil
}

// setPrimary judges SetPrimaryAdministrator.
func (p walkPlan) setPrimary(subject string) (*walkState, []string) {
	switch {
	case !p.mayGrant(p.before, p.actor, p.protected, "", p.now):
		return nil, []string{walkNotAllowed}
	case !p.primary:
		return nil, []string{walkNoPrimary}
	case !slices.Contains(p.keepers(p.before, p.now), subject):
		return nil, []string{walkNotAHolder}
	}
	after := p.before.clone()
	after.primary = subject
	return after, nil
}

// objectOf is what an act is about: a subject or a toggle.
func objectOf(act *usherv1.Act) string {
	for _, subject := range []string{
		act.GetGrant().GetSubject(), act.GetRevoke().GetSubject(),
		act.GetChangeRole().GetSubject(), act.GetRemoveSubject().GetSubject(),
	} {
		if subject != "" {
			return subject
		}
	}
	return act.GetSetToggle().GetToggle()
}

// isRefusal reports whether an error is one of those that are expected.
func isRefusal(words string, expected []string) bool {
	return slices.ContainsFunc(expected, func(e string) bool {
		return words == e || !strings.Contains(e, " ") && strings.HasPrefix(words, e+" ")
	})
}
