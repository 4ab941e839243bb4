// Command mutants shows that the server's tests notice faults: it plants those of
// mutants.txt, one at a time, and runs the judge of decisions against each, or the tests
// of the cache, of planning or of writing if it is planted there. The files of the repository are not touched; the
// compiler is given an overlay.
//
// Run it in the root of the repository:
//
//	go run ./tools/mutants [-only REGEXP]
//
// It fails if a fault is not noticed, does not compile, or can't be planted because the
// text that it replaces is not there exactly once.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

//go:embed mutants.txt
var list string

// The tests that are to notice a fault: the judge, always with the same random worlds,
// for the cache the test of its truth, more than once because it is about chance, and for
// planning the tables and its own tests.
var (
	judge = []string{
		"-run", "^TestJudge", "-count", "1", "-timeout", "10m", "./server",
		"-rapid.seed", "1", "-rapid.shrinktime", "1ns", "-rapid.nofailfile",
	}
	cacheTruth = []string{"-run", "^TestCacheTruth$", "-count", "5", "-failfast", "-timeout", "10m", "./server"}
	writing    = []string{
		"-run", "^Test(Administration|Retries|RaceOfRequest|Expected|Actor|Warnings|Preview|Tables)", "-count", "1", "-timeout", "10m", "./server", "-walk-seed", "1",
	}
	planning = []string{
		"-run", "^Test(Tables|ChangeRole|RemoveSubject|MayGrant|Primary|Conflicts|EveryRefusal)",
		"-count", "1", "-timeout", "10m", "./server", "./server/policy",
	}
)

var (
	// ofTheCache are the files of the cache and of the facts that come through it.
	ofTheCache = []string{"server/cache.go", "server/facts.go", "store/bolt/writer.go"}
	// ofWriting are the files of how acts are planned together and committed.
	ofWriting = []string{"server/act.go", "server/administer.go", "server/draft.go", "server/preview.go"}
	// ofPlanning are the files of what is administered, and by whom.
	ofPlanning = []string{
		"server/policy/conflict.go", "server/policy/consequences.go", "server/policy/may_grant.go", "server/policy/plan.go",
		"server/policy/plan_change.go", "server/policy/primary.go",
	}
)

// tests returns the tests that are to notice a fault in a file.
func tests(file string) []string {
	switch {
	case slices.Contains(ofTheCache, file):
		return cacheTruth
	case slices.Contains(ofWriting, file):
		return writing
	case slices.Contains(ofPlanning, file):
		return planning
	}
	return judge
}

// mutant is a fault: some lines of a file with others instead.
type mutant struct {
	name     string
	file     string
	old, new string
}

func main() {
	only := flag.String("only", "", "plant only the faults whose name matches this regular expression")
	flag.Parse()
	if err := run(*only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(only string) error {
	filter, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	all, err := parse(list)
	if err != nil {
		return err
	}
	if err := applyAll(".", all); err != nil {
		return err
	}
	for _, tests := range [][]string{judge, cacheTruth, planning} {
		if caught, err := runTests(tests, ""); err != nil {
			return err
		} else if len(caught) > 0 {
			return fmt.Errorf("%s fails without any fault planted", strings.Join(caught, ", "))
		}
	}

	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MUTANT\tFILE\tCAUGHT BY")
	planted, survived := 0, 0
	for _, m := range all {
		if !filter.MatchString(m.name) {
			continue
		}
		start := time.Now()
		caught, err := m.test()
		by := strings.Join(caught, ", ")
		switch {
		case err != nil:
			by = "NOT PLANTED"
			survived++
			fmt.Fprintln(os.Stderr, err)
		case len(caught) == 0:
			by = "NOTHING"
			survived++
		}
		planted++
		fmt.Fprintf(os.Stderr, "%3.0f s  %s: %s\n", time.Since(start).Seconds(), m.name, by)
		fmt.Fprintf(table, "%s\t%s\t%s\n", m.name, m.file, by)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Printf("%d of %d caught\n", planted-survived, planted)
	if survived > 0 {
		return errors.New("some faults were not noticed")
	}
	return nil
}

// parse reads the list of faults. Each has a line with # and its name, one with @ and
// the file, the lines that are replaced after -, and those instead after +.
func parse(text string) ([]mutant, error) {
	var all []mutant
	for i, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		rest := line[1:]
		if line[0] == '#' {
			all = append(all, mutant{name: strings.TrimSpace(rest)})
			continue
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("mutants.txt:%d: a fault begins with # and its name", i+1)
		}
		m := &all[len(all)-1]
		switch line[0] {
		case '@':
			m.file = strings.TrimSpace(rest)
		case '-':
			m.old += rest + "\n"
		case '+':
			m.new += rest + "\n"
		default:
			return nil, fmt.Errorf("mutants.txt:%d: a line begins with #, @, - or +", i+1)
		}
	}
	return all, nil
}

// apply returns the file with the fault in it.
func (m mutant) apply(root string) ([]byte, error) {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	before, after, found := strings.Cut("\n"+string(source), "\n"+m.old)
	if !found || m.old == "" {
		return nil, fmt.Errorf("%s has no such lines:\n%s", m.file, m.old)
	}
	if strings.Contains("\n"+after, "\n"+m.old) {
		return nil, fmt.Errorf("%s has these lines more than once:\n%s", m.file, m.old)
	}
	return []byte(strings.TrimPrefix(before+"\n"+m.new+after, "\n")), nil
}

// applyAll returns what stands against planting the faults.
func applyAll(root string, all []mutant) error {
	var faults []error
	names := map[string]bool{}
	for _, m := range all {
		if _, err := m.apply(root); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", m.name, err))
		}
		if names[m.name] {
			faults = append(faults, fmt.Errorf("%s: there are two of this name", m.name))
		}
		names[m.name] = true
	}
	return errors.Join(faults...)
}

// test plants the fault and returns the tests that notice it.
func (m mutant) test() ([]string, error) {
	faulty, err := m.apply(".")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	planted := filepath.Join(dir, "planted.go")
	if err := os.WriteFile(planted, faulty, 0o600); err != nil {
		return nil, err
	}
	replaced, err := filepath.Abs(m.file)
	if err != nil {
		return nil, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{replaced: planted}})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return nil, err
	}
	return runTests(tests(m.file), file)
}

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// runTests runs tests with an overlay, or with none, and returns those that fail.
func runTests(tests []string, overlay string) ([]string, error) {
	args := []string{"test", "-vet=off"}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	out, err := exec.Command("go", append(args, tests...)...).CombinedOutput()
	if err == nil {
		return nil, nil
	}
	var caught []string
	for _, match := range failedTest.FindAllSubmatch(out, -1) {
		caught = append(caught, string(match[1]))
	}
	if len(caught) == 0 {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return caught, nil
}
