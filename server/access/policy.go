package access

import (
	"maps"
	"slices"
	"strings"
)

// Service is something that callers may be let into.
type Service string

// The services: the three of usher.v1, the metrics page, and gRPC reflection. Health is open to all.
const (
	Decision   Service = "decision"
	Admin      Service = "admin"
	Operator   Service = "operator"
	Metrics    Service = "metrics"
	Reflection Service = "reflection"
)

// Policy is what an access file says.
type Policy struct {
	callers map[identity]*Caller
}

// identity is something by which a caller is known. The value is that of the access file, in its only
// spelling.
type identity struct{ kind, value string }

// The kinds of identities.
const (
	kindURI       = "uri"
	kindDNS       = "dns"
	kindToken     = "token"
	kindUID       = "uid"
	kindGID       = "gid"
	kindAnonymous = "anonymous" // without a value
)

// tokens are the names of the tokens that callers are known by, in order.
func (p *Policy) tokens() []string {
	var names []string
	for i := range maps.Keys(p.callers) {
		if i.kind == kindToken {
			names = append(names, i.value)
		}
	}
	slices.Sort(names)
	return names
}

// Caller is a service that calls Usher, and what it may. A nil Caller is that of a server without
// an access file, where callers are not told apart: it may everything. The zero Caller may nothing.
type Caller struct {
	name string
	// may has the services that it may call. True: methods that write, too.
	may map[Service]bool
	// Tenants by name, by the beginning of their names, or all.
	tenants    map[string]bool
	beginnings []string
	allTenants bool

	actor, operator bool
}

// Name is the name that the access file gives it. It is in the log and in change records.
func (c *Caller) Name() string {
	if c == nil {
		return ""
	}
	return c.name
}

// May is whether it may call methods of the service that read, or that write.
func (c *Caller) May(service Service, write bool) bool {
	if c == nil {
		return true
	}
	writes, reads := c.may[service]
	return reads && (writes || !write)
}

// Sees is whether it may know of that tenant.
func (c *Caller) Sees(tenant string) bool {
	return c.SeesAll() || c.tenants[tenant] ||
		slices.ContainsFunc(c.beginnings, func(beginning string) bool { return strings.HasPrefix(tenant, beginning) })
}

// SeesAll is whether it may know of every tenant, those to come included.
func (c *Caller) SeesAll() bool { return c == nil || c.allTenants }

// MayNameActors is whether it may say on behalf of which person it calls.
func (c *Caller) MayNameActors() bool { return c == nil || c.actor }

// MayBeOperator is whether it may act as the installation's own staff.
func (c *Caller) MayBeOperator() bool { return c == nil || c.operator }
