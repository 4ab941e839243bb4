package policy

import (
	"fmt"
	"maps"
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
	// Remedy says what to do instead, in English.
	Remedy string
	// Kind is what kind of remedy it is.
	Kind RemedyKind
	// Remedies say what to do instead, by language (BCP 47 tag): in English, German and
	// French, or what the catalog has.
	Remedies map[string]string
	// Fields are what a support request has to say, and FiledBy the role of those who may
	// file it; for the kind FileRequest only.
	Fields  []string
	FiledBy string
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
	NotHeld               RefusalCode = "NOT_HELD"
	TransitionRefused     RefusalCode = "TRANSITION_REFUSED"
	OneRoleOnly           RefusalCode = "ONE_ROLE_ONLY"
	LastHolder            RefusalCode = "LAST_HOLDER"
	TooManyAssignments    RefusalCode = "TOO_MANY_ASSIGNMENTS"
	ToggleLocked          RefusalCode = "TOGGLE_LOCKED"
	NoPrimary             RefusalCode = "NO_PRIMARY"
	NotAHolder            RefusalCode = "NOT_A_HOLDER"
)

// refuse makes a Refusal. The role and the types are what the remedy is about, if it is
// about any.
func refuse(code RefusalCode, about, text string, m remedy, role string, types ...string) *Refusal {
	remedies := m.fill(role, types)
	return &Refusal{Code: code, About: about, Text: text, Remedy: remedies["en"], Kind: m.kind, Remedies: remedies}
}

func notAllowed(actor Actor, act string, why Reason) *Refusal {
	because := "no role that they hold gives the permission"
	switch {
	case why.Code == OutOfScope:
		because = fmt.Sprintf("the role %q gives the permission for other scopes only", why.Role)
	case why.Code == Toggled:
		because = fmt.Sprintf("the toggle %q stands against it", why.Toggle)
	case why.Code == NotActive:
		because = fmt.Sprintf("the role %q has not started or has ended", why.Role)
	case why.Role != "":
		because = fmt.Sprintf("the role %q does not give the permission for it", why.Role)
	}
	return refuse(ActorNotAllowed, "actor/"+actor.Subject,
		fmt.Sprintf("%s may not %s: %s", actor.Subject, act, because), remedyAllowed, "")
}

func notAllowedFor(actor Actor, action string, r *role, scope string, why Reason) *Refusal {
	return notAllowed(actor, fmt.Sprintf("%s the role %q%s", action, r.name, inScope(scope)), why)
}

func ownRoles(subject string) *Refusal {
	return refuse(OwnRoles, "subject/"+subject,
		"nobody changes their own roles, nor those of a group that they are in", remedyAnother, "")
}

func notAssignable(r *role) *Refusal {
	return refuse(NotAssignable, "role/"+r.name,
		fmt.Sprintf("%q is the role of everybody who holds no other one, and is never granted", r.name), remedyRevokeOthers, "")
}

func notAssignableToHolder(r *role, subject string, holders []string) *Refusal {
	slices.Sort(holders)
	return refuse(NotAssignableToHolder, "role/"+r.name,
		fmt.Sprintf("the role %q can't be held by %s", r.name, subject), remedyHolder, r.name, holders...)
}

func notAssignableInScope(r *role, scope string) *Refusal {
	instead, types := remedyNoScope, keys(r.heldIn)
	if len(types) > 0 {
		instead = remedyScope
		slices.Sort(types)
	}
	return refuse(NotAssignableInScope, "role/"+r.name,
		fmt.Sprintf("the role %q can't be held in %s", r.name, scope), instead, r.name, types...)
}

func heldInScopes(subject string, held []store.Assignment) *Refusal {
	const most = 20
	var scopes []string
	for _, a := range held {
		if len(scopes) == most {
			scopes = append(scopes, fmt.Sprintf("and %d more", len(held)-most))
			break
		}
		scopes = append(scopes, a.Scope)
	}
	return refuse(HeldInScopes, "role/"+held[0].Role,
		fmt.Sprintf("%s does not hold the role %q in the tenant, but in %s", subject, held[0].Role, strings.Join(scopes, ", ")),
		remedyHeldScope, held[0].Role)
}

func notHeld(subject string, r *role) *Refusal {
	return refuse(NotHeld, "role/"+r.name, fmt.Sprintf("%s does not hold the role %q", subject, r.name), remedyHeldRole, r.name)
}

func transitionRefused(t transition, to *role) *Refusal {
	text := fmt.Sprintf("the role %q can't be changed or taken away", t.from.name)
	if to != nil {
		text = fmt.Sprintf("a change from the role %q to %q is not possible", t.from.name, to.name)
	}
	refusal := &Refusal{
		Code:     TransitionRefused,
		About:    "role/" + t.from.name,
		Text:     text,
		Remedy:   t.source.GetRemedy()["en"],
		Kind:     AskSomebody,
		Remedies: maps.Clone(t.source.GetRemedy()),
	}
	switch request := t.source.GetSupportRequest(); {
	case request != nil:
		refusal.Kind = FileRequest
		refusal.Fields = slices.Clone(request.GetFields())
		refusal.FiledBy = request.GetFiledBy()
	case t.source.GetInviteAgain():
		refusal.Kind = InviteAgain
	}
	return refusal
}

func oneRoleOnly(r *role, other store.Assignment) *Refusal {
	return refuse(OneRoleOnly, "role/"+r.name,
		fmt.Sprintf("%s holds the role %q%s at the same time, and may hold one of these roles only",
			other.Subject, other.Role, inScope(other.Scope)),
		remedyRevokeFirst, other.Role)
}

func (t *Table) lastHolder(subject string) *Refusal {
	r := t.catalog.protectedRole
	return refuse(LastHolder, "role/"+r.name,
		fmt.Sprintf("%s is the last who holds the role %q now and without an end", subject, r.name), remedyAnotherHolder, r.name)
}

func tooManyAssignments(subject string) *Refusal {
	return refuse(TooManyAssignments, "subject/"+subject,
		fmt.Sprintf("%s would have more than %d assignments, which is the most that there can be", subject, MaxAssignments),
		remedyRevokeSome, "")
}

func toggleLocked(t *toggle) *Refusal {
	state := "off"
	if t.startsOn {
		state = "on"
	}
	return refuse(ToggleLocked, "toggle/"+t.name, fmt.Sprintf("the toggle %q is locked %s", t.name, state), remedyLocked, "")
}

func (c *Catalog) noPrimary() *Refusal {
	return refuse(NoPrimary, "catalog/"+c.source.GetName(),
		fmt.Sprintf("the catalog %q has no primary administrator", c.source.GetName()), remedyAllAlike, c.protectedRole.name)
}

func (c *Catalog) notAHolder(subject string) *Refusal {
	r := c.protectedRole
	return refuse(NotAHolder, "subject/"+subject,
		fmt.Sprintf("%s is no user who holds the role %q in the tenant, now and without an end", subject, r.name),
		remedyNameHolder, r.name)
}

func inScope(scope string) string {
	if scope == "" {
		return ""
	}
	return " in " + scope
}
