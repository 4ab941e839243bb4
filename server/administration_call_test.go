package server_test

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// walkCall is an administrative call: acts in a batch, or one act by the call of its own, or
// the naming of the primary administrator.
type walkCall struct {
	acts          []*usherv1.Act
	batch         bool
	primary       string
	actor         *usherv1.Actor // nil: the operator
	justification string
	requestID     string
}

// walkAnswer is what every answer to a write says.
type walkAnswer interface {
	proto.Message
	GetOutcome() usherv1.Outcome
	GetRevision() string
}

// message returns the call's method, its request, and a message for its answer.
func (c *walkCall) message(tenant string, validateOnly bool) (string, proto.Message, walkAnswer) {
	method, request, answer := c.empty()
	m := request.ProtoReflect()
	set := func(name protoreflect.Name, value any) {
		m.Set(m.Descriptor().Fields().ByName(name), protoreflect.ValueOf(value))
	}
	set("tenant", tenant)
	set("justification", c.justification)
	set("request_id", c.requestID)
	set("validate_only", validateOnly)
	if c.actor == nil {
		set("operator", (&usherv1.Operator{}).ProtoReflect())
	} else {
		set("actor", c.actor.ProtoReflect())
	}
	switch {
	case c.primary != "":
		set("subject", c.primary)
	case c.batch:
		request.(*usherv1.BatchWriteRequest).Acts = c.acts
	default:
		set("expected_revision", c.acts[0].GetExpectedRevision())
		act := c.acts[0].ProtoReflect()
		one := act.Get(act.WhichOneof(act.Descriptor().Oneofs().ByName("act"))).Message()
		one.Range(func(f protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			m.Set(m.Descriptor().Fields().ByName(f.Name()), value)
			return true
		})
	}
	return "/usher.v1.AdminService/" + method, request, answer
}

func (c *walkCall) empty() (string, proto.Message, walkAnswer) {
	switch {
	case c.primary != "":
		return "SetPrimaryAdministrator", &usherv1.SetPrimaryAdministratorRequest{}, &usherv1.SetPrimaryAdministratorResponse{}
	case c.batch:
		return "BatchWrite", &usherv1.BatchWriteRequest{}, &usherv1.BatchWriteResponse{}
	}
	switch c.acts[0].GetAct().(type) {
	case *usherv1.Act_Grant:
		return "Grant", &usherv1.GrantRequest{}, &usherv1.GrantResponse{}
	case *usherv1.Act_Revoke:
		return "Revoke", &usherv1.RevokeRequest{}, &usherv1.RevokeResponse{}
	case *usherv1.Act_ChangeRole:
		return "ChangeRole", &usherv1.ChangeRoleRequest{}, &usherv1.ChangeRoleResponse{}
	case *usherv1.Act_RemoveSubject:
		return "RemoveSubject", &usherv1.RemoveSubjectRequest{}, &usherv1.RemoveSubjectResponse{}
	}
	return "SetToggle", &usherv1.SetToggleRequest{}, &usherv1.SetToggleResponse{}
}

// same reports whether two calls ask for the same.
func (c *walkCall) same(d *walkCall) bool {
	method, request, _ := c.message("t", false)
	otherMethod, other, _ := d.message("t", false)
	return method == otherMethod && proto.Equal(request, other)
}

func (c *walkCall) String() string {
	method, request, _ := c.message("", false)
	return fmt.Sprintf("%s {%s}", method, prototext.MarshalOptions{}.Format(request))
}

// walkWanted says whether an act that has this effect, or is refused so, is one that is wanted.
type walkWanted func(act *usherv1.Act, effect *walkEffect, refused []string) bool

func walkChanges(_ *usherv1.Act, effect *walkEffect, refused []string) bool {
	return refused == nil && effect.changed()
}

// drawWanted draws what is wanted of an act for that actor: that it changes something, that
// it is refused by a certain rule, or nothing. Without it the rarer rules would hardly be met.
func (t *walkTenant) drawWanted(actor *usherv1.Actor) walkWanted {
	rule := pick(t.Rand, []string{
		walkOwnRoles, walkNotHeld, walkNotAssignable, walkNotToHolder, walkNotInScope, walkHeldInScopes, walkRefusedChange,
		walkRefusedChange, walkOneRoleOnly, walkLastHolder, walkLastHolder, walkToggleLocked, walkNotAllowed, walkNotAllowed,
	})
	moves := t.IntN(2) == 0
	switch n := t.IntN(100); {
	case n < 50:
		return walkChanges
	case n < 80:
		return func(act *usherv1.Act, _ *walkEffect, refused []string) bool {
			c := act.GetChangeRole()
			if rule == walkNotAllowed && (!t.grants(actor, act) || moves && (c == nil || c.GetFrom() != c.GetTo())) {
				return false
			}
			return slices.Contains(refused, rule)
		}
	}
	return func(*usherv1.Act, *walkEffect, []string) bool { return true }
}

// grants reports whether an act grants something that the actor may grant.
func (t *walkTenant) grants(actor *usherv1.Actor, act *usherv1.Act) bool {
	if g := act.GetGrant(); g != nil {
		return t.mayGrant(t.state, actor, g.GetRole(), g.GetScope(), t.now())
	}
	c := act.GetChangeRole()
	if c == nil {
		return false
	}
	scopes := c.GetScopes()
	if len(scopes) == 0 {
		scopes = []string{""}
	}
	return !slices.ContainsFunc(scopes, func(scope string) bool { return !t.mayGrant(t.state, actor, c.GetTo(), scope, t.now()) })
}

// drawWantedAct draws an act that is wanted, if there is one among many. The plan goes on
// from what it does.
func (t *walkTenant) drawWantedAct(plan *walkPlan, wanted walkWanted) *usherv1.Act {
	for range 100 {
		act := t.drawAct(*plan)
		effect, refused := (*walkEffect)(nil), []string{walkMalformed}
		if !plan.malformed(act) {
			effect, refused = plan.judge(act)
		}
		if wanted(act, effect, refused) {
			if refused == nil {
				plan.before = effect.after
			}
			return act
		}
	}
	return t.drawAct(*plan)
}

// drawCall draws a call.
func (t *walkTenant) drawCall() *walkCall {
	c := &walkCall{actor: t.drawActor(), justification: fmt.Sprintf("step %d", t.step)}
	if t.IntN(100) < 35 {
		c.requestID = fmt.Sprintf("request %d", t.step)
	}
	if n := t.IntN(100); n == 0 || n < 8 && t.primary {
		c.primary = t.drawSubject()
		if t.IntN(2) == 0 {
			c.primary = pick(t.Rand, t.keepers(t.state, t.now()))
		}
		return c
	}
	count := 1
	if c.batch = t.IntN(100) < 20; c.batch {
		count = 1 + t.IntN(6)
	}
	plan := walkPlan{t.walkProduct, t.state, c.actor, t.now()}
	for i := range count {
		wanted := walkWanted(walkChanges) // of all but the last act of a batch
		if i == count-1 {
			wanted = t.drawWanted(c.actor)
		}
		act := t.drawWantedAct(&plan, wanted)
		if t.IntN(100) < 25 {
			act.ExpectedRevision = t.drawRevision(objectOf(act))
		}
		c.acts = append(c.acts, act)
	}
	return c
}

var (
	walkUsers  = []string{"user:ann", "user:ben", "user:cem", "user:dan", "user:eve", "user:fay", "user:gus"}
	walkGroups = []string{"group:day", "group:night", "group:board"}
)

func (t *walkTenant) drawSubject() string {
	switch n := t.IntN(100); {
	case n < 2:
		return "bot:sync"
	case n < 25:
		return pick(t.Rand, walkGroups)
	}
	return pick(t.Rand, walkUsers)
}

// drawActor draws somebody who administers something, or anybody, or the operator.
func (t *walkTenant) drawActor() *usherv1.Actor {
	n := t.IntN(100)
	if n < 25 {
		return nil
	}
	actor := &usherv1.Actor{Subject: pick(t.Rand, walkUsers)}
	if n < 85 {
		administering := map[string][]string{} // subjects by role
		for _, key := range t.keys() {
			if r := t.role(key.role); (r.grants != "" || r.switches) && t.state.held[key].running(t.now()) {
				administering[key.role] = append(administering[key.role], key.subject)
			}
		}
		role := pick(t.Rand, slices.Sorted(maps.Keys(administering)))
		if subject := pick(t.Rand, administering[role]); typeOfID(subject) == "group" {
			actor.Groups = []string{subject}
		} else {
			actor.Subject = subject
		}
	}
	for t.IntN(4) == 0 {
		actor.Groups = append(actor.Groups, pick(t.Rand, walkGroups))
	}
	return actor
}

func (t *walkTenant) drawRole() string {
	if t.IntN(100) == 0 {
		return "janitor" // no catalog has it
	}
	return t.roles[t.IntN(len(t.roles))].name
}

// drawScope draws a scope, mostly one in which the role may be held.
func (t *walkTenant) drawScope(role string) string {
	if r := t.role(role); r != nil && t.IntN(100) < 85 {
		fit := slices.DeleteFunc(slices.Clone(t.scopes), func(s string) bool { return !hasWord(r.heldIn, typeOfID(s)) })
		return pick(t.Rand, append(fit, ""))
	}
	if t.IntN(100) < 10 {
		return t.scopes[len(t.scopes)-1]
	}
	return t.scopes[t.IntN(len(t.scopes)-1)]
}

// drawKey draws an assignment that there is, or any; often one of a holder of the protected role.
func (t *walkTenant) drawKey(s *walkState) walkKey {
	switch n := t.IntN(100); {
	case n < 40:
		return pick(t.Rand, sortedKeys(s))
	case n < 50:
		return walkKey{pick(t.Rand, t.keepers(s, t.now())), t.protected, ""}
	case n < 60 && t.advised > 0:
		return walkKey{pick(t.Rand, walkUsers), t.protected, ""}
	}
	role := t.drawRole()
	return walkKey{t.drawSubject(), role, t.drawScope(role)}
}

// drawInterval draws an interval; often one that touches another one of the subject.
func (t *walkTenant) drawInterval(s *walkState, subject string) walkInterval {
	if t.IntN(100) < 50 {
		return walkInterval{fromEver, withoutEnd}
	}
	hours := func(least, most int) int64 { return int64(least+t.IntN(most-least)) * 3_600_000_000_000 }
	i := walkInterval{t.now() + hours(-5, 30), t.now() + hours(1, 60)}
	if i.from >= i.until && t.IntN(10) > 0 {
		i.until = i.from + hours(1, 20)
	}
	for _, key := range s.live(subject, t.now()) {
		if other := s.held[key]; t.IntN(3) == 0 && other.until != withoutEnd {
			i.from = other.until - int64(t.IntN(2))
			i.until = max(i.until, i.from+1)
		} else if t.IntN(3) == 0 && other.from != fromEver {
			i.until = other.from + int64(t.IntN(2))
			i.from = min(i.from, i.until-1)
		}
	}
	if t.IntN(3) == 0 {
		i.from = fromEver
	}
	if t.IntN(3) == 0 {
		i.until = withoutEnd
	}
	return i
}

// drawAct draws an act in a tenant of that state.
func (t *walkTenant) drawAct(plan walkPlan) *usherv1.Act {
	key := t.drawKey(plan.before)
	starts, ends := t.drawInterval(plan.before, key.subject).timestamps()
	n := t.IntN(100)
	if len(plan.before.held) > 15 {
		n = t.IntN(140) // enough is held
	}
	if len(t.toggles) == 0 {
		n = max(n, 9)
	}
	switch {
	case n < 9:
		s := &usherv1.SetToggleAct{Toggle: "brightness", State: toggleState(t.IntN(2) == 0)} // no catalog has it
		if t.IntN(50) > 0 {
			s.Toggle = pick(t.Rand, t.toggles).name
		}
		return &usherv1.Act{Act: &usherv1.Act_SetToggle{SetToggle: s}}
	case n < 60:
		return &usherv1.Act{Act: &usherv1.Act_Grant{Grant: &usherv1.GrantAct{
			Subject: key.subject, Role: key.role, Scope: key.scope, StartsAt: starts, ExpiresAt: ends,
		}}}
	case n < 80:
		return &usherv1.Act{Act: &usherv1.Act_ChangeRole{ChangeRole: t.drawChange(key, starts, ends)}}
	case n < 86:
		return &usherv1.Act{Act: &usherv1.Act_RemoveSubject{RemoveSubject: &usherv1.RemoveSubjectAct{Subject: key.subject}}}
	}
	r := &usherv1.RevokeAct{Subject: key.subject, Role: key.role, Scope: key.scope}
	if t.IntN(3) == 0 {
		r.Scope = ""
	}
	if r.Everywhere = t.IntN(4) == 0; r.Everywhere && t.IntN(20) > 0 {
		r.Scope = ""
	}
	return &usherv1.Act{Act: &usherv1.Act_Revoke{Revoke: r}}
}

// drawChange draws a change of a role that is held, to the same or another one.
func (t *walkTenant) drawChange(key walkKey, starts, ends *timestamppb.Timestamp) *usherv1.ChangeRoleAct {
	c := &usherv1.ChangeRoleAct{Subject: key.subject, From: key.role, To: t.drawRole(), StartsAt: starts, ExpiresAt: ends}
	if t.IntN(4) == 0 {
		c.To = c.From
		if key.scope != "" && t.IntN(2) == 0 {
			c.Scopes = []string{key.scope}
		}
	}
	for _, refused := range t.refused {
		if refused.from == c.From && refused.to != "" && t.IntN(2) == 0 {
			c.To = refused.to
		}
	}
	for range t.IntN(3) {
		if scope := t.drawScope(c.To); scope != "" && !slices.Contains(c.Scopes, scope) {
			c.Scopes = append(c.Scopes, scope)
		}
	}
	return c
}

// drawRevision draws a revision that a write is said to rest on.
func (t *walkTenant) drawRevision(object string) string {
	switch n := t.IntN(100); {
	case n < 2:
		return "yesterday"
	case n < 5:
		return t.otherEpoch
	case n < 45:
		return t.revisions[len(t.revisions)-1].revision
	case n < 80:
		if last, ok := t.changedAt[object]; ok {
			return t.revisions[last].revision
		}
	}
	return t.revisions[t.IntN(len(t.revisions))].revision
}

// drawAgain draws a call that was made already, with the same id: the same or another one.
func (t *walkTenant) drawAgain() *walkCall {
	made := pick(t.Rand, t.calls)
	if t.IntN(100) < 85 {
		made = pick(t.Rand, t.calls[max(0, len(t.calls)-4):])
	}
	if t.IntN(100) < 65 {
		return made
	}
	other := t.drawCall()
	other.requestID = made.requestID
	if t.IntN(3) == 0 {
		justification := other.justification
		*other = *made
		other.justification = justification
	}
	return other
}
