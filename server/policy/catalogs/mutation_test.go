package catalogs_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/server/policy/tables"
	"github.com/usher-pdp/usher/store"
)

var (
	mutantCount = flag.Int("mutants", 150, "how many mutants of each built-in catalog are tried; 0: all")
	mutantSeed  = flag.Uint64("mutant-seed", 0, "the seed by which they are chosen; 0: a random one")
)

// fate is what becomes of a mutant.
type fate int

const (
	refused    fate = iota // it can't be loaded
	byBoth                 // a statement is not true, and a case fails
	byProof                // a statement is not true
	byTable                // a case fails
	equivalent             // it decides and administers as the original does
	missed
)

// TestMutants makes the mistakes in the built-in catalogs that somebody could make who types
// them. Each is caught by the statements or by the tables, unless the catalog is as good as the
// original: the comparison of catalogs, which is exact, finds no difference.
func TestMutants(t *testing.T) {
	t.Parallel()
	seed := cmp.Or(*mutantSeed, rand.Uint64())
	t.Logf("repeat with -mutants=%d -mutant-seed=%d", *mutantCount, seed)
	fates := map[string]*[missed + 1]int{}
	for _, source := range catalogs.All() {
		original := parseMutant(t, source.Name, source.YAML)
		table := readTable(t, source.Name)
		mutants := mutantsOf(original.Message())
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(mutants), func(i, k int) { mutants[i], mutants[k] = mutants[k], mutants[i] })
		if *mutantCount > 0 {
			mutants = mutants[:min(*mutantCount, len(mutants))]
		}
		for i, f := range fatesOf(original, table, mutants) {
			kind := mutants[i].kind
			if fates[kind] == nil {
				fates[kind] = new([missed + 1]int)
			}
			fates[kind][f]++
			if f == missed {
				t.Errorf("%s: %s: %s: nothing notices it", source.Name, kind, mutants[i].what)
			}
		}
	}
	t.Log("\n" + fateTable(fates))
}

// fatesOf tries the mutants, on all processors.
func fatesOf(original *policy.Catalog, table *tables.Table, mutants []mutant) []fate {
	fates := make([]fate, len(mutants))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				fates[i] = mutants[i].fate(original, table)
			}
		})
	}
	for i := range mutants {
		next <- i
	}
	close(next)
	workers.Wait()
	return fates
}

func (m mutant) fate(original *policy.Catalog, table *tables.Table) fate {
	message := m.of(original.Message())
	catalog, err := policy.Parse("mutant.yaml", yamlOf(message), nil)
	if err != nil {
		return refused
	}
	extended, err := extensionOf(catalog)
	if err != nil {
		return refused
	}
	proved := allProved(catalog) && allProved(extended)
	passed := len(table.Run(catalog).Failures) == 0
	switch {
	case !proved && !passed:
		return byBoth
	case !proved:
		return byProof
	case !passed:
		return byTable
	case !policy.NewDiff(original, catalog).Same():
		return missed
	}
	was, err := extensionOf(original)
	if err != nil || !policy.NewDiff(was, extended).Same() {
		return missed
	}
	return equivalent
}

func allProved(c *policy.Catalog) bool {
	for proof, err := range c.Proofs() {
		if err != nil || proof.Counterexample != nil {
			return false
		}
	}
	return true
}

// extensionOf is a catalog with a role that a company has added. What the original says about
// such roles shows in it only.
func extensionOf(c *policy.Catalog) (*policy.Catalog, error) {
	source := fmt.Sprintf("name: extension\nversion: 1\nextends: {name: %s, version: %d}\n"+
		"roles: [{name: added, rules: [{allow: ['assignment:view'], reach: own}]}]\n", c.Ref().Name, c.Ref().Version)
	return policy.Parse("extension.yaml", []byte(source), func(store.CatalogRef) (*policy.Catalog, error) { return c, nil })
}

// yamlOf writes a catalog; JSON is YAML.
func yamlOf(c *catalogv1.Catalog) []byte {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(c)
	if err != nil {
		panic(err)
	}
	return text
}

func parseMutant(t *testing.T, name string, source []byte) *policy.Catalog {
	t.Helper()
	catalog, err := policy.Parse(name, source, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := policy.Parse(name, yamlOf(catalog.Message()), nil); err != nil || !proto.Equal(again.Message(), catalog.Message()) {
		t.Fatalf("written as JSON it is another catalog: %v", err)
	}
	return catalog
}

func readTable(t *testing.T, name string) *tables.Table {
	t.Helper()
	file := strings.TrimSuffix(name, ".yaml") + "_test.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table, err := tables.Read(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// fateTable writes what became of the mutants of each kind.
func fateTable(fates map[string]*[missed + 1]int) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what is changed\trefused\tby both\tstatements only\ttables only\tequivalent\tmissed\t")
	var all [missed + 1]int
	kinds := make([]string, 0, len(fates))
	for kind, of := range fates {
		kinds = append(kinds, kind)
		for f, n := range of {
			all[f] += n
		}
	}
	slices.Sort(kinds)
	row := func(kind string, of *[missed + 1]int) {
		fmt.Fprint(w, kind)
		for _, n := range of {
			fmt.Fprintf(w, "\t%d", n)
		}
		fmt.Fprintln(w, "\t")
	}
	for _, kind := range kinds {
		row(kind, fates[kind])
	}
	row("all", &all)
	_ = w.Flush()
	return text.String()
}
