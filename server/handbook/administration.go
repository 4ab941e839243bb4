package handbook

import (
	"strings"
	"time"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// writeAdministration says which roles grant and revoke which, and set which toggles, as the
// toggles stand at the start.
func (p *page) writeAdministration() {
	var roles, toggles []string
	for _, r := range p.message.GetRoles() {
		if r.GetName() != p.message.GetDefaultRole() {
			roles = append(roles, r.GetName())
		}
	}
	for _, t := range p.message.GetToggles() {
		if !t.GetLocked() {
			toggles = append(toggles, t.GetName())
		}
	}
	p.heading(p.administration)
	p.head(p.actor, p.grants, p.revokes, p.sets)
	for _, r := range p.message.GetRoles() {
		grants, revokes, sets := p.allowed(r, "role", "grant", roles), p.allowed(r, "role", "revoke", roles), p.allowed(r, "toggle", "set", toggles)
		if len(grants)+len(revokes)+len(sets) == 0 {
			continue
		}
		p.row(p.titleOf(r), p.listed(grants, roles, p.roleTitle), p.listed(revokes, roles, p.roleTitle),
			p.listed(sets, toggles, func(name string) string { return p.toggleTitle(p.toggle(name)) }))
	}
}

// listed is the titles of some of all.
func (p *page) listed(names, all []string, title func(string) string) string {
	switch len(names) {
	case 0:
		return p.nobody
	case len(all):
		return p.phrases.all
	}
	var titles []string
	for _, name := range names {
		titles = append(titles, title(name))
	}
	return strings.Join(titles, ", ")
}

// allowed returns those of the ids on which the holder of a role may do something: of a role
// that is held in scopes, in one of them.
func (p *page) allowed(r *catalogv1.Role, resourceType, action string, ids []string) []string {
	var held []store.Assignment
	var scopes []string
	if r.GetName() != p.message.GetDefaultRole() {
		held = []store.Assignment{{AssignmentKey: store.AssignmentKey{Role: r.GetName()}}}
		for _, t := range r.GetHeldIn() {
			scopes = append(scopes, t+":held")
			held = append(held, store.Assignment{AssignmentKey: store.AssignmentKey{Role: r.GetName(), Scope: t + ":held"}})
		}
	}
	h, err := policy.NewHolder(p.catalog, "user:holder", held, time.Time{})
	if err != nil {
		return nil // not with a role of the catalog
	}
	table := policy.NewTable(p.catalog, nil)
	var allowed []string
	for _, id := range ids {
		d, err := table.Decide([]*policy.Holder{h}, &policy.Request{
			Subject: h.Name(), Action: action, Resource: policy.Resource{Type: resourceType, ID: id, Scopes: scopes},
		})
		if err == nil && d.Allow {
			allowed = append(allowed, id)
		}
	}
	return allowed
}
