package server_test

import (
	"slices"
	"strings"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// walkProduct is how a product is administered, written down once more from its
// description: no line of it is read from a catalog.
type walkProduct struct {
	catalog   string
	yaml      string // of a catalog that is not built in
	protected string
	primary   bool
	// advised is how many holders of the protected role are advised at most; 0: any number.
	advised int
	roles   []walkRole
	refused []walkTransition
	toggles []walkToggle
	// scopes are some that there are; the last one is of a type in which no role is held.
	scopes []string
}

// walkRole is a role, and what whoever holds it administers.
type walkRole struct {
	name      string
	isDefault bool
	exclusive bool
	heldIn    string // types of scope
	holders   string // types of subject
	grants    string // roles
	revokes   string // roles
	switches  bool   // sets the toggles
	// grantsWhile are roles that are granted only while the toggle is on.
	grantsWhile, toggle string
}

// walkTransition is a change that is refused: from a role to another one, or to any other or
// none if `to` is empty.
type walkTransition struct {
	from, to    string
	operatorMay bool
	remedy      usherv1.RemedyKind
}

type walkToggle struct {
	name             string
	startsOn, locked bool
}

// walkProducts are the built-in ones, and one whose leads administer their own team only.
var walkProducts = []*walkProduct{
	{
		catalog: "expertconnect", protected: "administrator", primary: true, advised: 3,
		roles: []walkRole{
			{name: "free_user", isDefault: true, holders: "user"},
			{name: "internal_employee", exclusive: true, holders: "user"},
			{name: "view_only", exclusive: true, holders: "user", heldIn: "team"},
			{name: "advisor", exclusive: true, holders: "user", heldIn: "team"},
			{
				name: "manager", exclusive: true, holders: "user", switches: true,
				grants: "advisor view_only internal_employee manager", revokes: "advisor view_only internal_employee",
			},
			{
				name: "administrator", exclusive: true, holders: "user", switches: true,
				grants:  "advisor view_only internal_employee manager administrator",
				revokes: "advisor view_only internal_employee manager",
			},
		},
		refused: []walkTransition{
			{from: "administrator", operatorMay: true, remedy: usherv1.RemedyKind_REMEDY_KIND_SUPPORT_REQUEST},
			{from: "advisor", to: "view_only", remedy: usherv1.RemedyKind_REMEDY_KIND_INVITE_AGAIN},
			{from: "manager", to: "view_only", remedy: usherv1.RemedyKind_REMEDY_KIND_INVITE_AGAIN},
		},
		toggles: []walkToggle{
			{name: "advisor_ticket_create", startsOn: true},
			{name: "advisor_ticket_reassign", startsOn: true},
			{name: "advisor_ticket_log_time", startsOn: true},
			{name: "advisor_live_session_start", startsOn: true},
			{name: "advisor_report_download", startsOn: true},
			{name: "advisor_broadcast_create", startsOn: true},
		},
		scopes: []string{"team:harvest", "team:sugar", "team:hay", "dealer:1"},
	},
	{
		catalog: "liveagent", protected: "admin",
		roles: []walkRole{
			{name: "admin", holders: "user group", grants: "admin agent user", revokes: "admin agent user", switches: true},
			{name: "agent", holders: "user group", heldIn: "department"},
			{name: "user", holders: "user group"},
		},
		scopes: []string{"department:sales", "department:support", "team:sales"},
	},
	{
		catalog: "goto_contact_center", protected: "contact_admin",
		roles: []walkRole{
			{
				name: "contact_admin", holders: "user group", switches: true,
				grants: "contact_admin supervisor agent", revokes: "contact_admin supervisor agent",
			},
			{name: "supervisor", holders: "user group", heldIn: "queue inbox campaign"},
			{name: "agent", holders: "user group", heldIn: "queue ring_group inbox campaign"},
		},
		toggles: []walkToggle{
			{name: "allow_unassigned_queue_login"},
			{name: "access_configuration_portal"},
			{name: "restrict_to_assigned_queues", startsOn: true},
			{name: "view_queue_settings", startsOn: true, locked: true},
			{name: "manage_queue_settings"},
			{name: "view_pause_reasons"}, {name: "manage_pause_reasons"},
			{name: "view_skills"}, {name: "manage_skills"},
			{name: "manage_prerecorded_messages"},
			{name: "manage_public_canned_messages"},
			{name: "create_custom_tags"},
			{name: "enable_call_outcomes"},
		},
		scopes: []string{"queue:billing", "ring_group:front", "inbox:mail", "campaign:spring", "team:a"},
	},
	{
		catalog: "walk", protected: "boss",
		yaml: `
name: walk
version: 1
scope_types: [team, region]
holders: [user, group]
resource_types:
  - {name: ticket, actions: [view]}
toggles:
  - {name: late_shift, starts_on: false}
  - {name: sealed, starts_on: false, locked: true}
roles:
  - name: boss
    rules:
      - {allow: ["role:grant", "role:revoke", "toggle:set"], reach: tenant}
  - name: lead
    held_in: [team, region]
    rules:
      - {allow: ["toggle:set"], reach: tenant}
      - {allow: ["role:grant"], reach: tenant, condition: 'resource.id in ["lead", "agent"]'}
      - {allow: ["role:grant"], reach: tenant, condition: 'resource.id == "trainee"', while_on: late_shift}
      - {allow: ["role:revoke"], reach: tenant, condition: 'resource.id in ["agent", "trainee"]'}
  - name: agent
    held_in: [team, region]
    rules:
      - {allow: ["ticket:view"], reach: assigned}
  - name: trainee
    held_in: [team]
    holders: [user]
    rules:
      - {allow: ["ticket:view"], reach: assigned, while_on: sealed}
administration:
  protected_role: boss
  exclusive_roles: [agent, trainee]
  refused_transitions:
    - from: agent
      to: trainee
      remedy: {en: Nobody becomes a trainee again.}
    - from: trainee
      operator_may: true
      remedy: {en: A training has an end.}
`,
		roles: []walkRole{
			{name: "boss", holders: "user group", grants: "boss lead agent trainee", revokes: "boss lead agent trainee", switches: true},
			{
				name: "lead", holders: "user group", heldIn: "team region", switches: true,
				grants: "lead agent", revokes: "agent trainee", grantsWhile: "trainee", toggle: "late_shift",
			},
			{name: "agent", exclusive: true, holders: "user group", heldIn: "team region"},
			{name: "trainee", exclusive: true, holders: "user", heldIn: "team"},
		},
		refused: []walkTransition{
			{from: "agent", to: "trainee", remedy: usherv1.RemedyKind_REMEDY_KIND_ASK_SOMEBODY},
			{from: "trainee", operatorMay: true, remedy: usherv1.RemedyKind_REMEDY_KIND_ASK_SOMEBODY},
		},
		toggles: []walkToggle{{name: "late_shift"}, {name: "sealed", locked: true}},
		scopes:  []string{"team:a", "team:b", "region:north", "queue:a"},
	},
}

// role returns the role of that name, or nil.
func (p *walkProduct) role(name string) *walkRole {
	i := slices.IndexFunc(p.roles, func(r walkRole) bool { return r.name == name })
	if i < 0 {
		return nil
	}
	return &p.roles[i]
}

// toggle returns the toggle of that name, or nil.
func (p *walkProduct) toggle(name string) *walkToggle {
	i := slices.IndexFunc(p.toggles, func(t walkToggle) bool { return t.name == name })
	if i < 0 {
		return nil
	}
	return &p.toggles[i]
}

// knowsScope reports whether the catalog has the type of the scope, or it is the tenant.
func (p *walkProduct) knowsScope(scope string) bool {
	return scope != p.scopes[len(p.scopes)-1]
}

// hasWord reports whether a list of words has one.
func hasWord(words, word string) bool { return slices.Contains(strings.Fields(words), word) }

// typeOfID is the type of a type:id.
func typeOfID(id string) string {
	before, _, _ := strings.Cut(id, ":")
	return before
}
