package installation

import (
	"math/rand/v2"
	"strconv"
)

// Question is something a ticketing service would ask.
type Question struct {
	Tenant, Subject, Action  string
	ResourceType, ResourceID string
	Scopes                   []string
	Owner                    string
}

// Page is a list page: may the subject do each of the actions to each of the tickets?
type Page struct {
	Tenant, Subject string
	ResourceType    string
	Actions         []string
	Tickets         []Ticket
}

// Ticket is one line of a list page.
type Ticket struct {
	ID     string
	Scopes []string
	Owner  string
}

// Question draws one: tenants by their size; mostly staff, of whom a tenth asks half of all
// there is; now and then an end customer who holds nothing and asks about an own ticket. It is
// mostly about something in a scope of their own, so that most answers are allow.
func (i *Installation) Question(r *rand.Rand) Question {
	tenant := i.someTenant(r)
	if r.IntN(100) < 10 {
		who := i.customer(tenant, r.IntN(customers*i.staff(tenant)))
		return i.question(r.IntN, tenant, who, ask{modelOf(tenant).listed, modelOf(tenant).actions[0]}, who, nil)
	}
	return i.staffQuestion(r.IntN, tenant, i.someStaff(r, tenant))
}

// QuestionFor returns a question of the n-th member of a tenant's staff, always the same.
func (i *Installation) QuestionFor(tenant, n int) Question {
	d := i.dice(forQuestion, tenant, n)
	return i.staffQuestion(d.below, tenant, n)
}

// Page draws one: a member of staff, so many tickets of their tenant, each in two scopes, and
// so many actions on each, at most nine. It is of a tenant whose catalog has so many actions.
func (i *Installation) Page(r *rand.Rand, tickets, actions int) Page {
	actions = min(actions, len(models[0].actions))
	tenant := i.someTenant(r)
	for len(modelOf(tenant).actions) < actions {
		tenant = i.someTenant(r)
	}
	n := i.someStaff(r, tenant)
	m := i.member(tenant, n)
	page := Page{
		Tenant: tenantName(tenant), Subject: i.Subject(tenant, n),
		ResourceType: modelOf(tenant).listed, Actions: modelOf(tenant).actions[:actions:actions],
		Tickets: make([]Ticket, tickets),
	}
	for t := range page.Tickets {
		page.Tickets[t] = Ticket{
			ID:     ticket(r.IntN),
			Scopes: i.someScopes(r.IntN, tenant, &m, 2),
			Owner:  i.customer(tenant, r.IntN(customers*i.staff(tenant))),
		}
	}
	return page
}

// customers is how many of them there are to each member of staff.
const customers = 20

// someStaff draws a member of a tenant's staff. A few are busy.
func (i *Installation) someStaff(r *rand.Rand, tenant int) int {
	x := r.Float64()
	return int(x * x * x * float64(i.staff(tenant)))
}

// staffQuestion returns a question of a member of staff. The numbers come from below.
func (i *Installation) staffQuestion(below func(int) int, tenant, n int) Question {
	m := i.member(tenant, n)
	who := i.Subject(tenant, n)
	owner := who
	if !m.job.own {
		owner = i.customer(tenant, below(customers*i.staff(tenant)))
	}
	return i.question(below, tenant, who, m.job.asks[below(len(m.job.asks))], owner, &m)
}

func (i *Installation) question(below func(int) int, tenant int, who string, what ask, owner string, m *member) Question {
	return Question{
		Tenant: tenantName(tenant), Subject: who, Action: what.action,
		ResourceType: what.resource, ResourceID: ticket(below),
		Scopes: i.someScopes(below, tenant, m, 1+below(5)/4),
		Owner:  owner,
	}
}

// someScopes draws so many scopes, mostly neighbours of one that the member has.
func (i *Installation) someScopes(below func(int) int, tenant int, m *member, count int) []string {
	all := i.scopes(tenant)
	scope := below(all)
	if m != nil && below(100) < 90 {
		if duty := below(len(m.job.duties)); m.job.duties[duty].scopes > 0 {
			scope = m.held[duty][below(m.counts[duty])]
		}
	}
	scopes := make([]string, count)
	for s := range scopes {
		scopes[s] = scopeName(tenant, (scope+s)%all)
	}
	return scopes
}

func ticket(below func(int) int) string { return strconv.Itoa(1 + below(1e7)) }
