package listfilter

import _ "embed"

// Schema makes the tables that Tickets is about.
//
//go:embed tickets.sql
var Schema string

// Tickets says where the facts about tickets are in the tables of Schema.
var Tickets = Table{
	ID:       "tickets.id",
	Owner:    "tickets.owner",
	Scopes:   "ticket_scopes",
	ScopesID: "ticket_scopes.ticket_id",
	Scope:    "ticket_scopes.scope",
	Attributes: map[string]string{
		"status":   "tickets.status",
		"priority": "tickets.priority",
		"hours":    "tickets.hours",
		"vip":      "tickets.vip",
		"tags":     "tickets.tags",
	},
}
