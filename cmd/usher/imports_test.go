package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/usher-pdp/usher"

// An arrow is an import that must not be. Trees of packages are written as the go
// command does it: "./server/..." is server and all below it, "os/..." likewise.
type arrow struct {
	from   string   // the packages that the rule is about
	except []string // those of them that it leaves out
	to     []string // what they must not import
	far    bool     // nor reach through other packages
	why    string
}

// The architecture is
//
//	cmd → server → server/policy → store,  store ← store/bolt ← cmd
//
// and these are the arrows that would turn it round. Tests may import what they like.
var arrows = []arrow{
	{
		from:   "./...",
		except: []string{"./cmd/..."},
		to:     []string{"./cmd/..."},
		why:    "nothing is above cmd",
	},
	{
		from:   "./...",
		except: []string{"./cmd/...", "./tools/...", "./store/bolt/..."},
		to:     []string{"./store/bolt/..."},
		why:    "only cmd knows which store it is",
	},
	{
		from:   "./...",
		except: []string{"./tools/...", "./store/storetest/...", "./server/access/accesstest"},
		to:     []string{"./tools/...", "./store/storetest/...", "./server/access/accesstest"},
		why:    "what tests and measures is no part of what runs",
	},
	{
		from: "./store/...",
		to:   []string{"./server/..."},
		why:  "a store is below the server",
	},
	{
		from: "./gen/...",
		to:   []string{"./server/...", "./store/..."},
		why:  "generated code stands alone",
	},
	{
		from: "./server/policy/...",
		to:   []string{"./server", "go.etcd.io/bbolt/...", "os/...", "net", "net/http/..."},
		why:  "policy decides from what it is given, without server, files or network",
	},
	{
		from: "./server/policy/...",
		to:   []string{"google.golang.org/grpc/..."},
		far:  true,
		why:  "policy decides without gRPC",
	},
}

// Folder names that say nothing about what is in them.
var grabBags = []string{"internal", "pkg", "util", "utils", "common", "mocks"}

func TestImportsPointDown(t *testing.T) {
	for _, fault := range importFaults(listImports(t)) {
		t.Error(fault)
	}
}

// TestImportFaultsAreFound plants one import at a time.
func TestImportFaultsAreFound(t *testing.T) {
	const pure = ": policy decides from what it is given, without server, files or network"
	for _, test := range []struct {
		from, to string
		fault    string // how it is reported; empty for an import that is right
	}{
		{"./cmd/usher", "./store/bolt", ""},
		{"./server", "./server/policy", ""},
		{"./server", "google.golang.org/grpc", ""},
		{"./server/policy", "./store", ""},
		{"./server/policy", "net/netip", ""},
		{"./store", "context", ""},
		{"./store/bolt", "go.etcd.io/bbolt", ""},
		{"./store/storetest", "pgregory.net/rapid", ""},

		{"./server", "./cmd/usher", "./server → ./cmd/usher: nothing is above cmd"},
		{"./store/bolt", "./cmd/usher", "./store/bolt → ./cmd/usher: nothing is above cmd"},
		{"./server", "./store/bolt", "./server → ./store/bolt: only cmd knows which store it is"},
		{"./server/policy", "./store/bolt", "./server/policy → ./store/bolt: only cmd knows which store it is"},
		{"./store/storetest", "./store/bolt", "./store/storetest → ./store/bolt: only cmd knows which store it is"},
		{"./store/bolt", "./server/policy", "./store/bolt → ./server/policy: a store is below the server"},
		{"./gen/usher/v1", "./server", "./gen/usher/v1 → ./server: generated code stands alone"},
		{"./store", "go.etcd.io/bbolt", "./store → go.etcd.io/bbolt: store imports only the standard library"},
		{"./store", "./gen/usher/v1", "./store → ./gen/usher/v1: store imports only the standard library"},
		{"./server", "./server/access/accesstest", "./server → ./server/access/accesstest: what tests and measures is no part of what runs"},
		{"./server/policy", "./server", "./server/policy → ./server" + pure},
		{"./server/policy", "go.etcd.io/bbolt", "./server/policy → go.etcd.io/bbolt" + pure},
		{"./server/policy/catalogs", "os", "./server/policy/catalogs → os" + pure},
		{"./server/policy", "net", "./server/policy → net" + pure},
		{"./server/policy", "net/http", "./server/policy → net/http" + pure},
		{"./server/policy", "google.golang.org/grpc/codes", "./server/policy → google.golang.org/grpc/codes: policy decides without gRPC"},
		{"./server/policy", "./gen/usher/v1", "./server/policy → ./gen/usher/v1 → google.golang.org/grpc: policy decides without gRPC"},
		{"./server/internal/x", "context", "./server/internal/x: a folder called internal does not say what is in it"},
		{"./store/utils", "context", "./store/utils: a folder called utils does not say what is in it"},
	} {
		imports := map[string][]string{"./gen/usher/v1": {"google.golang.org/grpc"}}
		imports[test.from] = append(imports[test.from], test.to)
		if got := strings.Join(importFaults(imports), "\n"); got != test.fault {
			t.Errorf("%s → %s:\n got %q\nwant %q", test.from, test.to, got, test.fault)
		}
	}
}

// listImports asks the go command what each package imports, ours and those they
// need, tests left out.
func listImports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Imports", module+"/...")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &complaint)
	}
	imports := map[string][]string{}
	for list := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir string
			Imports         []string
		}
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v: %v", cmd, err)
		}
		name := shorten(p.ImportPath)
		imports[name] = make([]string, len(p.Imports))
		for i, to := range p.Imports {
			imports[name][i] = shorten(to)
		}
		if isOurs(name) {
			// Reading the folder is for go test: it repeats a stored result unless
			// something that the test itself has read has changed.
			if _, err := os.ReadDir(p.Dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	return imports
}

// importFaults returns what is wrong with the imports, sorted, a line each.
func importFaults(imports map[string][]string) []string {
	var faults []string
	for from, direct := range imports {
		if !isOurs(from) {
			continue
		}
		for _, element := range strings.Split(from, "/") {
			if slices.Contains(grabBags, element) {
				faults = append(faults, from+": a folder called "+element+" does not say what is in it")
			}
		}
		for _, to := range direct {
			if from == "./store" && !isStandard(to) {
				faults = append(faults, from+" → "+to+": store imports only the standard library")
			}
		}
		for _, rule := range arrows {
			if !inTree(from, rule.from) || inTrees(from, rule.except) {
				continue
			}
			if way := wayTo(imports, from, rule); way != nil {
				faults = append(faults, strings.Join(way, " → ")+": "+rule.why)
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// wayTo returns the shortest way from a package to one that the rule forbids it, or
// nil if there is none.
func wayTo(imports map[string][]string, from string, rule arrow) []string {
	seen := map[string]bool{from: true}
	for ways := [][]string{{from}}; len(ways) > 0; ways = ways[1:] {
		way := ways[0]
		for _, to := range imports[way[len(way)-1]] {
			if seen[to] {
				continue
			}
			seen[to] = true
			longer := append(slices.Clone(way), to)
			if inTrees(to, rule.to) {
				return longer
			}
			if rule.far {
				ways = append(ways, longer)
			}
		}
	}
	return nil
}

// shorten writes our own packages as "./server" instead of with the module path.
func shorten(importPath string) string {
	if rest, ok := strings.CutPrefix(importPath, module); ok && (rest == "" || rest[0] == '/') {
		return "." + rest
	}
	return importPath
}

func isOurs(name string) bool { return name == "." || strings.HasPrefix(name, "./") }

// isStandard knows the standard library as the go command does: no dot before the first slash.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

func inTrees(name string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return inTree(name, tree) })
}

func inTree(name, tree string) bool {
	root, ok := strings.CutSuffix(tree, "/...")
	if !ok {
		return name == tree
	}
	return name == root || strings.HasPrefix(name, root+"/")
}
