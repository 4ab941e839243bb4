package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/usher-pdp/usher/server/handbook"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

// TestEveryCommandIsDocumented looks for every command and flag in docs/cli.md, and for a
// description and an example in the help of every command. Settings are in docs/configuration.md.
func TestEveryCommandIsDocumented(t *testing.T) {
	var s settings
	s.declare()
	page := readFile(t, "../../docs/cli.md")
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if strings.HasPrefix(path, "usher completion ") || path == "usher help" {
			return // cobra's own
		}
		if !strings.Contains(page, "`"+path) {
			t.Errorf("docs/cli.md does not have `%s`", path)
		}
		if path != "usher completion" && (cmd.Short == "" || !strings.Contains(cmd.Example, path)) {
			t.Errorf("%s: its help has no description or no example", path)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			takesSettings := cmd.Flags().Lookup("config") != nil
			if f.Name != "help" && !(takesSettings && s.flags.Lookup(f.Name) != nil) && !strings.Contains(page, "--"+f.Name) {
				t.Errorf("docs/cli.md does not have %s --%s", path, f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
}

// TestEverySettingIsDocumented holds that docs/configuration.md has the settings that there are, in a row each:
// with its variable and with what holds if nothing is said.
func TestEverySettingIsDocumented(t *testing.T) {
	page := readFile(t, "../../docs/configuration.md")
	var s settings
	s.declare()
	rows := map[string]string{}
	for line := range strings.Lines(page) {
		if name, rest, found := strings.Cut(strings.TrimPrefix(line, "| `"), "` | `USHER_"); found && strings.HasPrefix(line, "| `") {
			rows[name] = "USHER_" + rest
		}
	}
	s.flags.VisitAll(func(f *pflag.Flag) {
		want := f.Annotations[environment][0] + "` | "
		switch value := f.DefValue; {
		case value == "":
			want += "| "
		case value == "false":
			want += "off | "
		default:
			want += "`" + value + "` | "
		}
		if !strings.HasPrefix(rows[f.Name], want) {
			t.Errorf("docs/configuration.md has no row | `%s` | `%s…\n got %q", f.Name, want, rows[f.Name])
		}
		delete(rows, f.Name)
	})
	for name := range rows {
		t.Errorf("docs/configuration.md has %s, which is no setting", name)
	}
}

// TestREADMESnippetCompiles holds that the Go code in README.md is that of the example.
func TestREADMESnippetCompiles(t *testing.T) {
	_, rest, found := strings.Cut(readFile(t, "../../README.md"), "```go\n")
	snippet, _, closed := strings.Cut(rest, "```")
	if !found || !closed || !strings.Contains(readFile(t, "example_test.go"), snippet) {
		t.Errorf("the Go code in README.md is not in example_test.go:\n%s", snippet)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestExamplesInTheDocsAreTheFiles holds that the pages show the files in docs/examples, which
// are tried elsewhere.
func TestExamplesInTheDocsAreTheFiles(t *testing.T) {
	for page, example := range map[string]string{"cli.md": "staff.yaml", "catalogs.md": "night_desk.yaml"} {
		if !strings.Contains(readFile(t, "../../docs/"+page), "```yaml\n"+readFile(t, "../../docs/examples/"+example)+"```") {
			t.Errorf("docs/%s shows another file than %s", page, example)
		}
	}
}

// TestTheHandbooksAreCurrent holds that docs/catalogs has the pages of the built-in catalogs as
// they are now.
func TestTheHandbooksAreCurrent(t *testing.T) {
	for _, source := range catalogs.All() {
		name := strings.TrimSuffix(source.Name, ".yaml")
		catalog, err := openCatalog(name)
		if err != nil {
			t.Fatal(err)
		}
		if readFile(t, "../../docs/catalogs/"+name+".md") != handbook.Page(catalog, "en") {
			t.Errorf("docs/catalogs/%s.md is not what the catalog says: run make handbooks", name)
		}
	}
}
