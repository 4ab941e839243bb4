package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
	"github.com/usher-pdp/usher/store"
)

// faultFile is testdata/faults.yaml, which explains itself.
type faultFile struct {
	Base   string       `yaml:"base"`
	Faults []*faultCase `yaml:"faults"`
}

type faultCase struct {
	Fault    string  `yaml:"fault"`
	Replace  string  `yaml:"replace"`
	With     string  `yaml:"with"`
	Append   string  `yaml:"append"`
	Whole    *string `yaml:"whole"`
	Quoted   string  `yaml:"quoted"`
	Generate string  `yaml:"generate"`
	Count    int     `yaml:"count"`
	Found    []found `yaml:"found"`
}

type found struct {
	At   string `yaml:"at"`
	Rule string `yaml:"rule"`
	Says string `yaml:"says"`
}

func readFaults(t testing.TB) *faultFile {
	t.Helper()
	text, err := os.ReadFile("testdata/faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := &faultFile{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(file); err != nil {
		t.Fatal(err)
	}
	return file
}

// source is the catalog of a case.
func (f *faultFile) source(t testing.TB, c *faultCase) string {
	t.Helper()
	switch {
	case c.Whole != nil:
		return *c.Whole
	case c.Quoted != "":
		text, err := strconv.Unquote(c.Quoted)
		if err != nil {
			t.Fatalf("%s: %s: %v", c.Fault, c.Quoted, err)
		}
		return text
	case c.Generate != "":
		generate := generators[c.Generate]
		if generate == nil {
			t.Fatalf("%s: there is no generator %q", c.Fault, c.Generate)
		}
		return generate(f.Base)
	}
	if c.Replace != "" {
		if n := strings.Count(f.Base, c.Replace); n != 1 {
			t.Fatalf("%s: %q is in the base %d times, want once", c.Fault, c.Replace, n)
		}
		return strings.Replace(f.Base, c.Replace, c.With, 1) + c.Append
	}
	return f.Base + c.Append
}

// generators make catalogs that are too large to be written down.
var generators = map[string]func(base string) string{
	"long_condition": func(base string) string {
		return strings.Replace(base, `"open"`, `"`+strings.Repeat("x", 4100)+`"`, 1)
	},
	// 10 long conditions, each compiled for 20 resource types.
	"conditions": func(base string) string {
		var types, rules, permissions strings.Builder
		for i := range 20 {
			fmt.Fprintf(&types, "  - {name: t%d, actions: [view]}\n", i)
			fmt.Fprintf(&permissions, "t%d:view, ", i)
		}
		for i := range 10 {
			fmt.Fprintf(&rules, "      - {allow: [%s], reach: tenant, condition: 'resource.id == \"%04000d\"'}\n", &permissions, i)
		}
		base = strings.Replace(base, "resource_types:\n", "resource_types:\n"+types.String(), 1)
		return strings.Replace(base, "    rules:\n", "    rules:\n"+rules.String(), 1)
	},
	// Each role has 32 times the rules of the one before.
	"multiplied": func(base string) string {
		var roles strings.Builder
		for i := range 20 {
			fmt.Fprintf(&roles, "  - name: r%d\n    inherits:\n", i+1)
			roles.WriteString(strings.Repeat(fmt.Sprintf("      - {role: r%d}\n", i), 32))
		}
		base = strings.Replace(base, "toggles:\n", roles.String()+"toggles:\n", 1)
		return strings.ReplaceAll(base, "r0}", "agent}")
	},
	// 60 roles inherit 10 rules about 200 permissions.
	"permissions": func(base string) string {
		var actions, permissions, rules, roles strings.Builder
		for i := range 200 {
			fmt.Fprintf(&actions, ", a%d", i)
			fmt.Fprintf(&permissions, "ticket:a%d, ", i)
		}
		for range 10 {
			fmt.Fprintf(&rules, "      - {allow: [%s], reach: own}\n", &permissions)
		}
		for i := range 60 {
			fmt.Fprintf(&roles, "  - {name: r%d, inherits: [{role: guest}]}\n", i)
		}
		base = strings.Replace(base, "[view, close]", "[view, close"+actions.String()+"]", 1)
		base = strings.Replace(base, "    rules:\n", "    rules:\n"+rules.String(), 1)
		return strings.Replace(base, "toggles:\n", roles.String()+"toggles:\n", 1)
	},
	"one_line": func(string) string { return "roles: [" + strings.Repeat("a,", 3_000) + "]" },
	"long_name": func(base string) string {
		return strings.Replace(base, "[ticket:view], reach: own", "["+strings.Repeat("x", 100_000)+":view], reach: own", 1)
	},
	"deep":        func(string) string { return strings.Repeat("[", 1_000_000) },
	"deep_closed": func(string) string { return "roles: " + strings.Repeat("{a: ", 9000) + strings.Repeat("}", 9000) },
	"deep_lines":  func(string) string { return "roles:\n" + strings.Repeat("- ", 500_000) + "x\n" },
}

// faultText is how a fault begins: file, line and column, then what is wrong.
var faultText = regexp.MustCompile(`(?s)^small\.yaml:(\d+:\d+) (.*)$`)

// TestFaults parses every faulty catalog: each fault has its line, column and text,
// nothing panics, and none takes long.
func TestFaults(t *testing.T) {
	t.Parallel()
	file := readFaults(t)
	if _, err := policy.Parse("small.yaml", []byte(file.Base), nil); err != nil {
		t.Fatalf("the base has a fault itself:\n%v", err)
	}
	for _, c := range file.Faults {
		t.Run(c.Fault, func(t *testing.T) {
			t.Parallel()
			catalog, err := parseInTime(t, "small.yaml", []byte(file.source(t, c)), basesOf(map[string]string{"small": file.Base}))
			var invalid *policy.InvalidCatalogError
			if !errors.As(err, &invalid) || catalog != nil {
				t.Fatalf("got a catalog: %t, error: %v; want an InvalidCatalogError", catalog != nil, err)
			}
			if want := max(c.Count, len(c.Found)); want == 0 || len(invalid.Faults) != want {
				t.Fatalf("got %d faults, want %d:\n%.2000s", len(invalid.Faults), want, invalid)
			}
			for i, text := range invalid.Faults {
				if len(text) > 1100 || !utf8.ValidString(text) {
					t.Errorf("%d bytes can't travel in a trailer: %.100q", len(text), text)
				}
				if i < len(c.Found) {
					c.Found[i].compare(t, text)
				}
			}
		})
	}
}

func (f found) compare(t *testing.T, text string) {
	t.Helper()
	parts := faultText.FindStringSubmatch(text)
	if parts == nil {
		t.Fatalf("%q does not begin with file:line:column", text)
	}
	if parts[1] != f.At || !strings.Contains(parts[2], f.Says) {
		t.Errorf("got %q, want it at %s and with %q", text, f.At, f.Says)
	}
	if f.Rule != "" && len(text) < 1000 && !strings.Contains(parts[2], " ("+f.Rule+")") {
		t.Errorf("got %q, want the rule %q", text, f.Rule)
	}
}

// parseInTime fails the test if Parse takes longer than any catalog that can be sent
// should, on a slow machine with the race detector.
func parseInTime(t testing.TB, file string, source []byte, bases policy.Bases) (*policy.Catalog, error) {
	t.Helper()
	begin := time.Now()
	catalog, err := policy.Parse(file, source, bases)
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
	return catalog, err
}

// TestFaultsAreComplete finds every rule of the compiler among the cases.
func TestFaultsAreComplete(t *testing.T) {
	t.Parallel()
	code, err := os.ReadFile("compile.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`fault\w+ +faultRule = "(\w+)"`).FindAllSubmatch(code, -1)
	if len(rules) < 16 {
		t.Fatalf("found only %d rules in compile.go: %q", len(rules), rules)
	}
	file := readFaults(t)
	for _, rule := range rules {
		if !slices.ContainsFunc(file.Faults, func(c *faultCase) bool {
			return slices.ContainsFunc(c.Found, func(f found) bool { return f.Rule == string(rule[1]) })
		}) {
			t.Errorf("testdata/faults.yaml has no fault of the rule %s", rule[1])
		}
	}
}

// FuzzParse looks for catalogs on which Parse panics or takes long, and decides by those
// that parse.
func FuzzParse(f *testing.F) {
	for _, builtIn := range catalogs.All() {
		f.Add(builtIn.YAML, uint64(0))
	}
	file := readFaults(f)
	f.Add([]byte(file.Base), uint64(1))
	for i, c := range file.Faults {
		if source := file.source(f, c); len(source) < 10_000 {
			f.Add([]byte(source), uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, source []byte, random uint64) {
		catalog, err := parseInTime(t, "fuzz.yaml", source, nil)
		var invalid *policy.InvalidCatalogError
		switch {
		case catalog == nil && errors.As(err, &invalid) && len(invalid.Faults) > 0:
		case catalog != nil && err == nil:
			decideAll(t, catalog, rand.New(rand.NewPCG(random, 0)))
		default:
			t.Fatalf("got a catalog: %t, error: %v; want either a catalog or its faults", catalog != nil, err)
		}
	})
}

// decideAll asks for every permission of a catalog, up to a few hundred, as a user and a
// group who hold some of its roles.
func decideAll(t *testing.T, catalog *policy.Catalog, random *rand.Rand) {
	message := catalog.Message()
	now := time.Unix(1_800_000_000, 0)
	scopes := []string{"", "team:a"}
	for _, scopeType := range message.GetScopeTypes() {
		scopes = append(scopes, scopeType+":a", scopeType+":b")
	}
	bounds := []time.Time{{}, now.Add(-time.Hour), now.Add(time.Hour)}
	hold := func(name string) *policy.Holder {
		var held []store.Assignment
		for range 1 + random.IntN(4) {
			held = append(held, store.Assignment{
				AssignmentKey: store.AssignmentKey{Subject: name, Role: pick(random, message.GetRoles()).GetName(), Scope: pick(random, scopes)},
				Interval:      store.Interval{Start: pick(random, bounds), End: pick(random, bounds)},
			})
		}
		holder, err := policy.NewHolder(catalog, name, held, now)
		if err != nil {
			t.Fatal(err)
		}
		return holder
	}
	toggles := map[string]bool{}
	for _, toggle := range message.GetToggles() {
		if random.IntN(2) == 0 {
			toggles[toggle.GetName()] = random.IntN(2) == 0
		}
	}
	table := policy.NewTable(catalog, toggles)
	values := []*structpb.Value{
		nil, structpb.NewNullValue(), structpb.NewBoolValue(true), structpb.NewNumberValue(3), structpb.NewNumberValue(0.5),
		structpb.NewNumberValue(math.NaN()), structpb.NewStringValue("open"), structpb.NewListValue(&structpb.ListValue{}),
		structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{nil, structpb.NewStringValue("open")}}),
	}
	asked := 0
	for _, resourceType := range append(message.GetResourceTypes(),
		&catalogv1.ResourceType{Name: "role", Actions: []string{"grant", "revoke"}},
		&catalogv1.ResourceType{Name: "toggle", Actions: []string{"set"}}) {
		attributes := map[string]*structpb.Value{}
		for _, a := range resourceType.GetAttributes() {
			attributes[a.GetName()] = pick(random, values)
		}
		for _, action := range resourceType.GetActions() {
			if asked++; asked > 300 {
				return
			}
			resource := policy.Resource{Type: resourceType.GetName(), Owner: pick(random, []string{"", "user:ann", "group:g"}), Attributes: attributes}
			for _, scope := range scopes[2:] {
				if random.IntN(2) == 0 {
					resource.Scopes = append(resource.Scopes, scope)
				}
			}
			decision, err := table.Decide([]*policy.Holder{hold("user:ann"), hold("group:g")}, &policy.Request{
				Subject: "user:ann", Action: action, Resource: resource,
			})
			if err != nil || decision.Reason.Code == 0 || decision.Allow != (decision.Reason.Code == policy.Granted) {
				t.Fatalf("%s:%s: got %+v, %v, want a decision with its reason", resourceType.GetName(), action, decision, err)
			}
		}
	}
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }
