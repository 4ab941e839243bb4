package tables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/usher-pdp/usher/server/policy"
)

// Tenant is a tenant that some steps need.
type Tenant struct {
	// First is its first administrator.
	First string
	// Holds is who holds what beside them.
	Holds []Holding
	// On and Off are the toggles that are set, and Place where that is said first.
	On, Off []string
	Place   string
}

// Step is a question or an act.
type Step struct {
	// Tenant is the index of the tenant in which it is asked or done.
	Tenant int
	// Question is nil for an act, and Act is nil for a question.
	Question *Question
	Act      *Act
}

// Plan lays the cases out: the tenants that they need, and the steps in their order. What it
// returns must not be changed.
func (t *Table) Plan() ([]Tenant, []Step) { return t.tenants, t.steps }

func (t *Table) plan() {
	t.tenants = []Tenant{{First: OtherFirst}}
	byToggles := map[string]int{}
	for i := range t.Checks {
		c := &t.Checks[i]
		key := c.Toggles()
		if _, planned := byToggles[key]; !planned {
			byToggles[key] = t.tenant(Tenant{Holds: t.Holds, On: c.WithOn, Off: c.WithOff, Place: c.Place})
		}
		t.planCase(byToggles[key], c)
	}
	// Acts that change nothing share a tenant; who changes something gets a fresh one.
	unchanged := t.tenant(Tenant{Holds: t.Holds})
	for i := range t.Administration {
		c := &t.Administration[i]
		for _, a := range c.Acts() {
			tenant := unchanged
			switch {
			case c.Tenant == OtherTenant:
				tenant = 0
			case c.Answer == ChangedWord || len(c.Given) > 0:
				tenant = t.tenant(Tenant{Holds: slices.Concat(t.Holds, c.Given)})
			}
			t.steps = append(t.steps, Step{Tenant: tenant, Act: &a})
		}
	}
	for _, sequence := range t.Sequences {
		tenant := t.tenant(Tenant{Holds: t.Holds})
		for i := range sequence {
			t.planCase(tenant, &sequence[i])
		}
	}
}

func (t *Table) tenant(in Tenant) int {
	in.First = First
	t.tenants = append(t.tenants, in)
	return len(t.tenants) - 1
}

// planCase adds the steps of a case in a tenant, or in the other one if the case says so.
func (t *Table) planCase(tenant int, c *Case) {
	if c.Tenant == OtherTenant {
		tenant = 0
	}
	for _, q := range c.Questions() {
		t.steps = append(t.steps, Step{Tenant: tenant, Question: &q})
	}
	for _, a := range c.Acts() {
		t.steps = append(t.steps, Step{Tenant: tenant, Act: &a})
	}
}

// Question is one check of a case.
type Question struct {
	*Case
	// Asker is who asks, and Permission for what.
	Asker, Permission string
	// ResourceID and ResourceOwner are those of the resource.
	ResourceID, ResourceOwner string
}

// Questions are the checks that the case stands for.
func (c *Case) Questions() []Question {
	var all []Question
	for _, who := range c.Who {
		for _, may := range c.May {
			for _, id := range c.ID.orNone() {
				for _, owner := range c.Owner.orNone() {
					if owner == selfWord {
						owner = who
					}
					all = append(all, Question{c, who, may, id, owner})
				}
			}
		}
	}
	return all
}

// Request is what is asked.
func (q Question) Request() *policy.Request {
	resourceType, action, _ := strings.Cut(q.Permission, ":")
	return &policy.Request{Subject: q.Asker, Action: action, Resource: policy.Resource{
		Type: resourceType, ID: q.ResourceID, Scopes: q.In, Owner: q.ResourceOwner, Attributes: q.attributes,
	}}
}

func (q Question) String() string {
	text := fmt.Sprintf("%s may %s", q.Asker, q.Permission)
	for _, part := range []struct{ word, value string }{
		{"id", q.ResourceID},
		{"in", strings.Join(q.In, " and ")},
		{"owner", q.ResourceOwner},
		{"groups", strings.Join(q.Groups, " and ")},
		{"tenant", q.Tenant},
		{"with", q.Toggles()},
	} {
		if part.value != "" {
			text += fmt.Sprintf(", %s %s", part.word, part.value)
		}
	}
	if q.Facts != nil {
		text += fmt.Sprintf(", facts %v", q.Facts)
	}
	return text
}

// Act is one act of a case.
type Act struct {
	*Case
	// Actor is who acts: a subject, or OperatorWord.
	Actor string
	// What is the role or toggle, and NewRole the role that a change is into.
	What, NewRole string
	// Subject is whose roles are changed.
	Subject string
	// Scope is where, for all but a change: "" is the tenant.
	Scope string
}

// Acts are the acts that the case stands for.
func (c *Case) Acts() []Act {
	var all []Act
	for _, as := range c.As {
		for _, list := range []Each{c.Grant, c.Revoke, c.Change, c.TurnOn, c.TurnOff} {
			for _, what := range list {
				for _, into := range c.Into.orNone() {
					for _, subject := range slices.Concat(c.To, c.From, c.Of).orNone() {
						all = append(all, Act{c, as, what, into, subject, c.In.orNone()[0]})
					}
				}
			}
		}
		for _, subject := range slices.Concat(c.Remove, c.Primary) {
			all = append(all, Act{Case: c, Actor: as, Subject: subject})
		}
	}
	return all
}

func (a Act) String() string {
	text := "as " + a.Actor
	if len(a.Groups) > 0 {
		text += fmt.Sprintf(" of %s", strings.Join(a.Groups, " and "))
	}
	switch {
	case len(a.Grant) > 0:
		text += fmt.Sprintf(" grant %s to %s", a.What, a.Subject)
	case len(a.Revoke) > 0:
		text += fmt.Sprintf(" revoke %s from %s", a.What, a.Subject)
	case len(a.Change) > 0:
		text += fmt.Sprintf(" change %s of %s into %s", a.What, a.Subject, a.NewRole)
	case len(a.Remove) > 0:
		text += " remove " + a.Subject
	case len(a.Primary) > 0:
		text += " name_primary " + a.Subject
	case len(a.TurnOn) > 0:
		text += " turn on " + a.What
	default:
		text += " turn off " + a.What
	}
	if len(a.In) > 0 {
		text += " in " + strings.Join(a.In, " and ")
	}
	if a.Tenant != "" {
		text += ", tenant " + a.Tenant
	}
	return text
}
