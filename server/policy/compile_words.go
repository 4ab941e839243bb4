package policy

import "strings"

// declareWords checks what things are called.
func (c *compiler) declareWords() {
	seen := map[string]bool{}
	for i, w := range c.in.GetWords() {
		path := at("words", i)
		c.unique(seen[w.GetName()], path+".name", "words", w.GetName())
		seen[w.GetName()] = true
		c.titles(path+".titles", w.GetTitles())
		switch name := w.GetName(); {
		case strings.Contains(name, ":"):
			c.permissionNamed(path+".name", name)
		case strings.Contains(name, "."):
			c.checkAttribute(path+".name", name)
		default:
			c.checkScopeType(path+".name", name)
		}
	}
}

// checkAttribute checks the name of an attribute with its type, as in "ticket.status".
func (c *compiler) checkAttribute(path, name string) {
	typeName, attribute, _ := strings.Cut(name, ".")
	t := c.out.resourceTypes[typeName]
	if t == nil {
		c.unknown(path, "resource type", typeName, keys(c.out.resourceTypes))
		return
	}
	if _, there := t.attributes[attribute]; !there {
		c.unknown(path, "attribute", attribute, keys(t.attributes))
	}
}
