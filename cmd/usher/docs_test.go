package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEveryCommandIsDocumented looks for every command and flag in docs/cli.md, and for a
// description and an example in the help of every command.
func TestEveryCommandIsDocumented(t *testing.T) {
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
			if f.Name != "help" && !strings.Contains(page, "--"+f.Name) {
				t.Errorf("docs/cli.md does not have %s --%s", path, f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
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
