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
		if strings.Contains(w.GetName(), ":") {
			c.permissionNamed(path+".name", w.GetName())
		} else {
			c.checkScopeType(path+".name", w.GetName())
		}
	}
}
