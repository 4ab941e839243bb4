package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/usher-pdp/usher/store"
)

// Refusal is why an administrative act is not done.
type Refusal struct {
	// Code is stable: one of those in docs/decisions.md, section 5.
	Code RefusalCode
	// About is what it is about, such as "role/advisor".
	About string
	// Text says what stands against the act.
	Text string
	// Remedy says what to do instead.
	Remedy string
}

func (r *Refusal) Error() string { return r.Text + ": " + r.Remedy }

// RefusalCode is the stable code of a Refusal.
type RefusalCode string

// The codes. The first says that the actor may not do the act; the others that a rule
// stands against it, whoever asks.
const (
	ActorNotAllowed       RefusalCode = "ACTOR_NOT_ALLOWED"
	OwnRoles              RefusalCode = "OWN_ROLES"
	NotAssignable         RefusalCode = "NOT_ASSIGNABLE"
	NotAssignableToHolder RefusalCode = "NOT_ASSIGNABLE_TO_HOLDER"
	NotAssignableInScope  RefusalCode = "NOT_ASSIGNABLE_IN_SCOPE"
	HeldInScopes          RefusalCode = "HELD_IN_SCOPES"
	TransitionRefused     RefusalCode = "TRANSITION_REFUSED"
	OneRoleOnly           RefusalCode = "ONE_ROLE_ONLY"
	LastHolder            RefusalCode = "LAST_HOLDER"
	TooManyAssignments    RefusalCode = "TOO_MANY_ASSIGNMENTS"
	ToggleLocked          RefusalCode = "TOGGLE_LOCKED"
)

func notAllowed(actor Actor, act string, why Reason) error {
	because := "no role that they hold gives the permission"
	if why.Role != "" {
		because = fmt.Sprintf("the role %q does not give the permission for it", why.Role)
	}
	return &Refusal{
		Code:   ActorNotAllowed,
		About:  "actor/" + actor.Subject,
		Text:   fmt.Sprintf("%s may not %s: %s", actor.Subject, act, because),
		Remedy: "let somebody do it whose role may, or the operator",
	}
}

func ownRoles(subject string) error {
	return &Refusal{
		Code:   OwnRoles,
		About:  "subject/" + subject,
		Text:   "nobody changes their own roles, nor those of a group that they are in",
		Remedy: "let another administrator do it",
	}
}

func notAssignable(r *role) error {
	return &Refusal{
		Code:   NotAssignable,
		About:  "role/" + r.name,
		Text:   fmt.Sprintf("%q is the role of everybody who holds no other one, and is never granted", r.name),
		Remedy: "revoke the subject's other roles instead",
	}
}

func notAssignableToHolder(r *role, subject string, holders []string) error {
	slices.Sort(holders)
	return &Refusal{
		Code:   NotAssignableToHolder,
		About:  "role/" + r.name,
		Text:   fmt.Sprintf("the role %q can't be held by %s", r.name, subject),
		Remedy: "name a subject of type " + strings.Join(holders, " or "),
	}
}

func notAssignableInScope(r *role, scope string) error {
	remedy := "grant it without a scope"
	if len(r.heldIn) > 0 {
		types := keys(r.heldIn)
		slices.Sort(types)
		remedy = "name a scope of type " + strings.Join(types, " or ")
	}
	return &Refusal{
		Code:   NotAssignableInScope,
		About:  "role/" + r.name,
		Text:   fmt.Sprintf("the role %q can't be held in %s", r.name, scope),
		Remedy: remedy,
	}
}

func heldInScopes(subject string, held []store.Assignment) error {
	const most = 20
	var scopes []string
	for _, a := range held {
		if len(scopes) == most {
			scopes = append(scopes, fmt.Sprintf("and %d more", len(held)-most))
			break
		}
		scopes = append(scopes, a.Scope)
	}
	return &Refusal{
		Code:   HeldInScopes,
		About:  "role/" + held[0].Role,
		Text:   fmt.Sprintf("%s does not hold the role %q in the tenant, but in %s", subject, held[0].Role, strings.Join(scopes, ", ")),
		Remedy: "name one of these scopes, or revoke it everywhere",
	}
}

func transitionRefused(t transition, to *role) error {
	text := fmt.Sprintf("the role %q can't be changed or taken away", t.from.name)
	if to != nil {
		text = fmt.Sprintf("a change from the role %q to %q is not possible", t.from.name, to.name)
	}
	return &Refusal{Code: TransitionRefused, About: "role/" + t.from.name, Text: text, Remedy: t.remedy}
}

func oneRoleOnly(r *role, other store.Assignment) error {
	return &Refusal{
		Code:  OneRoleOnly,
		About: "role/" + r.name,
		Text: fmt.Sprintf("%s holds the role %q%s at the same time, and may hold one of these roles only",
			other.Subject, other.Role, inScope(other.Scope)),
		Remedy: fmt.Sprintf("revoke %q first, or let the new role start when it ends", other.Role),
	}
}

func (t *Table) lastHolder(subject string) error {
	r := t.catalog.protectedRole
	return &Refusal{
		Code:   LastHolder,
		About:  "role/" + r.name,
		Text:   fmt.Sprintf("%s is the last who holds the role %q now and without an end", subject, r.name),
		Remedy: "grant it to another user first, in the tenant and without an end",
	}
}

func tooManyAssignments(subject string) error {
	return &Refusal{
		Code:   TooManyAssignments,
		About:  "subject/" + subject,
		Text:   fmt.Sprintf("%s has %d assignments, which is the most that there can be", subject, MaxAssignments),
		Remedy: "revoke some, or grant the role in the tenant instead of scope by scope",
	}
}

func toggleLocked(t *toggle) error {
	state := "off"
	if t.startsOn {
		state = "on"
	}
	return &Refusal{
		Code:   ToggleLocked,
		About:  "toggle/" + t.name,
		Text:   fmt.Sprintf("the toggle %q is locked %s", t.name, state),
		Remedy: "it can't be changed in this catalog",
	}
}

func inScope(scope string) string {
	if scope == "" {
		return ""
	}
	return " in " + scope
}
