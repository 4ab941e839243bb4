package installation

import "github.com/usher-pdp/usher/store"

// model is how tenants use one of the built-in catalogs.
type model struct {
	catalog store.CatalogRef
	// jobs are what members of staff are. The first one is to administer, which the member
	// with the number 0 does.
	jobs []job
	// scopeTypes are those of the tenant's scopes, in turn. The first two are good for every role
	// that is held in scopes.
	scopeTypes []string
	// listed is what list pages show, with the actions that they have buttons for.
	listed  string
	actions []string
}

// job is what a part of the staff is.
type job struct {
	percent int
	duties  []duty
	asks    []ask // the frequent ones more than once
	own     bool  // asks about own tickets, like a customer
}

// duty is a role that is part of a job.
type duty struct {
	role      string
	scopes    int    // in at most so many of them; 0: in the tenant
	notHeldIn string // a type of scope
}

// ask is what somebody asks about.
type ask struct{ resource, action string }

// models are the built-in catalogs, in turn by tenant.
var models = [...]model{
	{
		catalog:    store.CatalogRef{Name: "expertconnect", Version: 3},
		scopeTypes: []string{"team"},
		listed:     "ticket",
		actions:    []string{"view", "answer", "message", "update", "reassign", "attach", "log_time", "search", "create"},
		jobs: []job{
			{2, []duty{{role: "administrator"}}, []ask{{"ticket", "view"}, {"ticket", "view"}, {"admin_page", "open"}, {"company_profile", "update"}}, false},
			{5, []duty{{role: "manager"}}, []ask{{"ticket", "view"}, {"ticket", "view"}, {"ticket", "reassign"}, {"insights", "view"}, {"admin_page", "open"}}, false},
			{10, []duty{{role: "internal_employee"}}, []ask{{"ticket", "view"}, {"ticket", "view"}, {"ticket", "message"}, {"ticket", "reassign"}}, true},
			{8, []duty{{role: "view_only", scopes: 2}}, []ask{{"ticket", "view"}, {"ticket", "view"}, {"ticket", "search"}, {"ticket", "update"}}, false},
			{75, []duty{{role: "advisor", scopes: 3}}, []ask{
				{"ticket", "view"}, {"ticket", "view"}, {"ticket", "view"}, {"ticket", "view"}, {"ticket", "answer"}, {"ticket", "answer"},
				{"ticket", "message"}, {"ticket", "update"}, {"ticket", "reassign"}, {"ticket", "log_time"}, {"call", "answer"}, {"insights", "view"},
			}, false},
		},
	},
	{
		catalog:    store.CatalogRef{Name: "liveagent", Version: 2},
		scopeTypes: []string{"department"},
		listed:     "ticket",
		actions:    []string{"view", "answer"},
		jobs: []job{
			{3, []duty{{role: "admin"}}, []ask{{"ticket", "view"}, {"ticket", "answer"}, {"report", "view"}, {"configuration", "open"}}, false},
			{12, []duty{{role: "user"}}, []ask{{"account", "view"}, {"account", "view"}, {"ticket", "view"}}, false},
			{65, []duty{{role: "agent", scopes: 3}}, []ask{{"ticket", "view"}, {"ticket", "view"}, {"ticket", "answer"}, {"call", "answer"}, {"chat", "answer"}}, false},
			{20, []duty{{role: "agent", scopes: 2}, {role: "user"}}, []ask{{"ticket", "view"}, {"ticket", "answer"}, {"account", "view"}}, false},
		},
	},
	{
		catalog:    store.CatalogRef{Name: "goto_contact_center", Version: 2},
		scopeTypes: []string{"queue", "queue", "ring_group", "queue", "inbox", "queue", "campaign"},
		listed:     "call",
		actions:    []string{"receive_direct", "place_outbound", "listen", "whisper", "barge"},
		jobs: []job{
			{2, []duty{{role: "contact_admin"}}, []ask{{"queue", "configure"}, {"analytics", "view"}, {"queue_settings", "view"}}, false},
			{8, []duty{{role: "supervisor", scopes: 3, notHeldIn: "ring_group"}}, []ask{
				{"queue", "monitor"}, {"queue", "monitor"}, {"agent", "monitor"}, {"call", "listen"}, {"queue_report", "view"}, {"agent", "manage"},
			}, false},
			{5, []duty{{role: "supervisor", scopes: 1, notHeldIn: "ring_group"}, {role: "agent", scopes: 2}}, []ask{
				{"queue", "serve"}, {"queue", "serve"}, {"queue", "monitor"}, {"call", "place_outbound"},
			}, false},
			{85, []duty{{role: "agent", scopes: 3}}, []ask{
				{"queue", "login"}, {"queue", "serve"}, {"queue", "serve"}, {"call", "place_outbound"}, {"call", "receive_direct"}, {"agent_dashboard", "open"},
			}, false},
		},
	},
}

// jobFor returns the job that a number from 0 to 99 stands for.
func (m *model) jobFor(percent int) *job {
	for j := range m.jobs {
		if percent -= m.jobs[j].percent; percent < 0 {
			return &m.jobs[j]
		}
	}
	panic("the jobs of " + m.catalog.Name + " are not those of 100 %")
}

// scopeType returns the type of a tenant's scope.
func (m *model) scopeType(scope int) string { return m.scopeTypes[scope%len(m.scopeTypes)] }
