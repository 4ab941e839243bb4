// Package catalogs carries the built-in catalogs: the models of three helpdesk
// products, each a YAML file in the format of usher.catalog.v1.Catalog.
package catalogs

import "embed"

//go:embed expertconnect.yaml liveagent.yaml goto_contact_center.yaml
var files embed.FS

// Source is the text of a catalog.
type Source struct {
	// Name is the name of the file, for messages.
	Name string
	// YAML is its content.
	YAML []byte
}

// All returns the built-in catalogs, always in the same order. The caller may
// change what it gets.
func All() []Source {
	var sources []Source
	for _, name := range []string{"expertconnect.yaml", "liveagent.yaml", "goto_contact_center.yaml"} {
		text, err := files.ReadFile(name)
		if err != nil {
			panic(err) // The files are part of the binary.
		}
		sources = append(sources, Source{Name: name, YAML: text})
	}
	return sources
}
