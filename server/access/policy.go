package access

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
type Policy struct{}

// ParsePolicy reads an access file.
func ParsePolicy(yaml []byte) (*Policy, error) { return &Policy{}, nil }

// Caller is a service that calls Usher, and what it may. A nil Caller is that of a server without
// an access file, where callers are not told apart: it may everything.
type Caller struct{ name string }

// Name is the name that the access file gives it. It is in the log and in change records.
func (c *Caller) Name() string {
	if c == nil {
		return ""
	}
	return c.name
}

// May is whether it may call methods of the service that read, or that write.
func (c *Caller) May(service Service, write bool) bool { return c == nil }

// Sees is whether it may know of that tenant.
func (c *Caller) Sees(tenant string) bool { return c == nil }

// SeesAll is whether it may know of every tenant, those to come included.
func (c *Caller) SeesAll() bool { return c == nil }

// MayNameActors is whether it may say on behalf of which person it calls.
func (c *Caller) MayNameActors() bool { return c == nil }

// MayBeOperator is whether it may act as the installation's own staff.
func (c *Caller) MayBeOperator() bool { return c == nil }
