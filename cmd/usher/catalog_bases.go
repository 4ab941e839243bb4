package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

// catalogBases finds what the catalog in a file extends: among the built-in catalogs, and
// among the other files of its directory.
func catalogBases(file string) policy.Bases {
	return (&baseFinder{directory: filepath.Dir(file)}).find
}

type baseFinder struct {
	directory string
	files     []string           // that have been read, each behind what it extends
	row       []store.CatalogRef // those that are being read, each extended by the one before
}

func (f *baseFinder) find(ref store.CatalogRef) (*policy.Catalog, error) {
	if slices.Contains(f.row, ref) {
		var names []string
		for _, r := range append(f.row, ref) {
			names = append(names, fmt.Sprintf("%s version %d", r.Name, r.Version))
		}
		return nil, fmt.Errorf("catalogs extend each other in a circle (%s): remove one of the links", strings.Join(names, " → "))
	}
	for _, source := range catalogs.All() {
		if source.Name != ref.Name+".yaml" {
			continue
		}
		if catalog, err := policy.Parse(source.Name, source.YAML, nil); err != nil || catalog.Ref() == ref {
			return catalog, err
		}
	}
	path, text, err := f.fileOf(ref)
	if err != nil {
		return nil, err
	}
	f.row = append(f.row, ref)
	defer func() { f.row = f.row[:len(f.row)-1] }()
	catalog, err := policy.Parse(path, text, f.find)
	f.files = append(f.files, path)
	return catalog, err
}

// fileOf finds the one file of the directory that has the catalog.
func (f *baseFinder) fileOf(ref store.CatalogRef) (path string, text []byte, err error) {
	entries, err := os.ReadDir(f.directory)
	if err != nil {
		return "", nil, err
	}
	for _, entry := range entries {
		if extension := filepath.Ext(entry.Name()); entry.IsDir() || extension != ".yaml" && extension != ".yml" {
			continue
		}
		candidate := filepath.Join(f.directory, entry.Name())
		content, err := os.ReadFile(candidate) // #nosec G304 -- beside the file that the user names
		if err != nil {
			return "", nil, err
		}
		var head struct {
			Name    string
			Version uint32
		}
		if yaml.Unmarshal(content, &head) != nil || head.Name != ref.Name || head.Version != ref.Version {
			continue
		}
		if path != "" {
			return "", nil, fmt.Errorf("%s and %s both have version %d of the catalog %q: remove one", path, candidate, ref.Version, ref.Name)
		}
		path, text = candidate, content
	}
	if path == "" {
		return "", nil, fmt.Errorf("there is no version %d of the catalog %q among the built-in ones and in %s: put its file there, as 'usher catalog show %[2]s --version %[1]d --yaml' prints it",
			ref.Version, ref.Name, f.directory)
	}
	return path, text, nil
}
