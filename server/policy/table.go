package policy

// Table is a Catalog with the state of a tenant's toggles. It never changes and may be
// used by several goroutines at once.
type Table struct {
	catalog *Catalog
	on      []bool // by index of the toggle
}

// NewTable makes the table for toggles that have been set. Toggles that are not set,
// and locked ones whatever is stored, stand as they start.
func NewTable(c *Catalog, set map[string]bool) *Table {
	t := &Table{catalog: c, on: make([]bool, len(c.toggles))}
	for i, toggle := range c.toggles {
		t.on[i] = toggle.startsOn
		if on, isSet := set[toggle.name]; isSet && !toggle.locked {
			t.on[i] = on
		}
	}
	return t
}

// Catalog is the catalog of the table.
func (t *Table) Catalog() *Catalog { return t.catalog }

// On reports whether a toggle is on, by its position in the catalog.
func (t *Table) On(index int) bool { return t.on[index] }

// open reports whether the gate's toggle stands as the gate wants it.
func (t *Table) open(g gate) bool {
	return g.toggle == nil || t.on[g.toggle.index] == g.on
}
