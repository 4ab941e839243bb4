package policy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/store"
)

// The resource types that every catalog has, and their actions.
const (
	roleType     = "role"
	grantAction  = "grant"
	revokeAction = "revoke"
	toggleType   = "toggle"
	setAction    = "set"
)

// Types of subject that mean something to Usher itself.
const (
	userType  = "user"
	groupType = "group"
)

// Catalog is a compiled catalog. It never changes and may be used by several
// goroutines at once.
type Catalog struct {
	// source is the whole catalog, and written what its file has: less, if it extends base.
	source        *catalogv1.Catalog
	written       *catalogv1.Catalog
	base          *Catalog // nil if it extends none
	resourceTypes map[string]*resourceType
	scopeTypes    []string // few, which are quicker to go through than to look up
	roles         []*role  // in the order of the catalog
	rolesByName   map[string]*role
	toggles       []*toggle // in the order of the catalog
	togglesByName map[string]*toggle
	defaultRole   *role // nil if there is none
	// defaultHolding is as if the default role was held in the tenant.
	defaultHolding holding
	protectedRole  *role
	transitions    []transition
}

type resourceType struct {
	name       string
	actions    map[string]*permission
	attributes map[string]attribute
	// administrative is whether an assignment in a scope covers only that scope.
	administrative bool
	// cel type-checks conditions while the catalog is compiled.
	cel *cel.Env
}

// permission is an action on a resource type.
type permission struct {
	name  string // type:action
	rules [][]rule
	of    *resourceType
}

// role is a role of the catalog. Its rules are with the permissions.
type role struct {
	catalog   *Catalog
	index     int
	name      string
	heldIn    map[string]bool
	holders   map[string]bool
	exclusive bool
	// allows is whether it has an allow rule at all.
	allows bool
}

// toggle is a switch of the catalog.
type toggle struct {
	index    int
	name     string
	startsOn bool
	locked   bool
}

// rule is a rule about one permission. It is as written, or inherited.
type rule struct {
	forbid    bool
	reach     reach
	widening  *widening  // nil: none
	condition *condition // nil: none
	gate      gate
}

// gate is a position of a toggle. The zero gate is always open.
type gate struct {
	toggle *toggle
	on     bool
}

type widening struct {
	reach reach
	gate  gate
}

type reachKind uint8

const (
	reachNothing reachKind = iota
	reachTenant
	reachAssigned
	reachOwn
	reachAnyScope
)

// reach says which resources a rule covers.
type reach struct {
	kind   reachKind
	prefix string // of reachAnyScope: the scope type with its colon
}

// transition is a change of role that is refused.
type transition struct {
	source *catalogv1.Transition
	from   *role
	to     *role // nil: any other role, or none
}

// Ref is the catalog's name and version.
func (c *Catalog) Ref() store.CatalogRef {
	return store.CatalogRef{Name: c.source.GetName(), Version: c.source.GetVersion()}
}

// Message is the whole catalog. If it extends another one, what that one has comes first, and
// what it narrows is narrowed: nothing has to be looked up there. It must not be changed.
func (c *Catalog) Message() *catalogv1.Catalog { return c.source }

// Written is the catalog as it was written: if it extends another one, only what it adds and
// narrows. It must not be changed.
func (c *Catalog) Written() *catalogv1.Catalog { return c.written }

// Base is the catalog that this one extends, or nil.
func (c *Catalog) Base() *Catalog { return c.base }

// InheritedStatements is how many of the statements, the first ones of Message, are those of
// catalogs that this one extends.
func (c *Catalog) InheritedStatements() int {
	return len(c.source.GetStatements()) - len(c.written.GetStatements())
}

// Extends reports whether the catalog extends one of the name, directly or not.
func (c *Catalog) Extends(name string) bool {
	for b := c.base; b != nil; b = b.base {
		if b.source.GetName() == name {
			return true
		}
	}
	return false
}

// ProtectedRole is the name of the role of which a tenant always keeps a holder.
func (c *Catalog) ProtectedRole() string { return c.protectedRole.name }

// AdvisoryLimit is how many holders of a role the catalog advises at most, or nil.
func (c *Catalog) AdvisoryLimit(role string) *catalogv1.AdvisoryLimit {
	limits := c.source.GetAdministration().GetAdvisoryLimits()
	i := slices.IndexFunc(limits, func(l *catalogv1.AdvisoryLimit) bool { return l.GetRole() == role })
	if i < 0 {
		return nil
	}
	return limits[i]
}

// Actions are the actions of a resource type, in byte order. The error is an *UnknownNameError.
func (c *Catalog) Actions(resourceType string) ([]string, error) {
	t := c.resourceTypes[resourceType]
	if t == nil {
		return nil, unknownName("resource.type", "RESOURCE_TYPE", resourceType, keys(c.resourceTypes))
	}
	actions := keys(t.actions)
	slices.Sort(actions)
	return actions, nil
}

// CheckRole returns an *UnknownNameError if the catalog has no such role.
func (c *Catalog) CheckRole(field, name string) error {
	if c.rolesByName[name] == nil {
		return unknownName(field, "ROLE", name, keys(c.rolesByName))
	}
	return nil
}

// CheckToggle returns an *UnknownNameError if the catalog has no such toggle.
func (c *Catalog) CheckToggle(field, name string) error {
	if c.togglesByName[name] == nil {
		return unknownName(field, "TOGGLE", name, keys(c.togglesByName))
	}
	return nil
}

// CheckScope returns an *UnknownNameError if the catalog has no scopes of the type of
// the given one.
func (c *Catalog) CheckScope(field, scope string) error {
	for _, t := range c.scopeTypes {
		if isOfType(scope, t) {
			return nil
		}
	}
	return unknownName(field, "SCOPE_TYPE", typeOf(scope), slices.Clone(c.scopeTypes))
}

// checkNames checks the names of scopes, roles and toggles in a resource.
func (c *Catalog) checkNames(t *resourceType, r *Resource) error {
	for _, s := range r.Scopes {
		if err := c.CheckScope("resource.scopes", s); err != nil {
			return err
		}
	}
	if t.administrative && r.ID != "" {
		check := c.CheckRole
		if t.name == toggleType {
			check = c.CheckToggle
		}
		if err := check("resource.id", r.ID); err != nil {
			return err
		}
	}
	return nil
}

// typeOf returns the type of an id of the form type:id.
func typeOf(id string) string {
	t, _, _ := strings.Cut(id, ":")
	return t
}

// isOfType reports whether the type of an id is t. It is quicker than typeOf.
func isOfType(id, t string) bool {
	n := len(t)
	return len(id) >= n && (len(id) == n || id[n] == ':') && id[:n] == t
}

func keys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	return names
}
