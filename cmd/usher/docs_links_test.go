package main

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"
)

const projectRoot = "../.."

// docsPages are the pages of the project by their path, without what is built.
func docsPages(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir(projectRoot, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != "..":
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".md") && !strings.Contains(path, "testdata"):
			pages[path] = readFile(t, path)
		}
		return nil
	})
	if err != nil || len(pages) < 20 {
		t.Fatalf("found %d pages: %v", len(pages), err)
	}
	return pages
}

var (
	codeBlock  = regexp.MustCompile("(?ms)^[ ]*```(\\w*)\n(.*?)^[ ]*```$")
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	pageLink   = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	ourCommand = regexp.MustCompile(`^\s*(?:\$ )?(?:sudo -u \w+ )?usher ([^|>#]+)`)
	heading    = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
)

// anchors are those that GitHub gives the headings of a page.
func anchors(page string) []string {
	var all []string
	for _, found := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(page, ""), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, found[1])
		for n, first := 1, anchor; slices.Contains(all, anchor); n++ {
			anchor = fmt.Sprintf("%s-%d", first, n)
		}
		all = append(all, anchor)
	}
	return all
}

// TestLinksInTheDocsResolve follows every link from one of our pages to a file or a heading.
func TestLinksInTheDocsResolve(t *testing.T) {
	pages := docsPages(t)
	links := 0
	for path, page := range pages {
		prose := inlineCode.ReplaceAllString(codeBlock.ReplaceAllString(page, ""), "")
		for _, found := range pageLink.FindAllStringSubmatch(prose, -1) {
			link, err := url.Parse(found[1])
			if err != nil {
				t.Errorf("%s: %q is no link: %v", path, found[1], err)
				continue
			}
			if link.IsAbs() {
				continue
			}
			links++
			target := path
			if link.Path != "" {
				target = filepath.Join(filepath.Dir(path), link.Path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", path, found[1])
			} else if link.Fragment != "" && !slices.Contains(anchors(pages[target]), link.Fragment) {
				t.Errorf("%s links to %s: the page is there, and has no heading for the anchor", path, found[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("found %d links only", links)
	}
}

// TestCommandsInTheDocsExist looks up every command of ours, with its flags, that a page shows in a
// block of commands.
func TestCommandsInTheDocsExist(t *testing.T) {
	commands := 0
	for path, page := range docsPages(t) {
		for _, block := range codeBlock.FindAllStringSubmatch(page, -1) {
			if block[1] != "console" && block[1] != "sh" {
				continue
			}
			for line := range strings.SplitSeq(strings.ReplaceAll(block[2], "\\\n", " "), "\n") {
				found := ourCommand.FindStringSubmatch(line)
				if found == nil {
					continue // another program's, or what a command has printed
				}
				command := found[1]
				commands++
				cmd, rest, err := newRoot().Find(strings.Fields(command))
				if err != nil || !cmd.HasParent() || !cmd.Runnable() {
					t.Errorf("%s: there is no command usher %s: %v", path, command, err)
					continue
				}
				for _, word := range rest {
					name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
					if !strings.HasPrefix(word, "--") {
						continue
					}
					if cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
						t.Errorf("%s: %s has no flag --%s, in: usher %s", path, cmd.CommandPath(), name, command)
					}
				}
			}
		}
	}
	if commands < 20 {
		t.Errorf("found %d commands only", commands)
	}
}

// TestEveryAlertHasASection holds that each alert links to its section of docs/operations.md, and that
// there is no section for an alert that is not there.
func TestEveryAlertHasASection(t *testing.T) {
	rules, err := os.ReadFile(projectRoot + "/deploy/prometheus/alerts.rules.yaml")
	if os.IsNotExist(err) {
		t.Skip("there are no alert rules")
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	if err == nil {
		err = yaml.Unmarshal(rules, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(readFile(t, projectRoot+"/docs/operations.md"), "\n## Alerts\n")
	page, _, _ = strings.Cut(page, "\n## ")
	sections := anchors(page)
	var alerts []string
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			anchor := strings.ToLower(regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(rule.Alert, "$1-$2"))
			alerts = append(alerts, anchor)
			if link := rule.Annotations["runbook_url"]; !strings.HasSuffix(link, "docs/operations.md#"+anchor) {
				t.Errorf("%s has the runbook_url %q, want docs/operations.md#%s", rule.Alert, link, anchor)
			}
			if !slices.Contains(sections, anchor) {
				t.Errorf("docs/operations.md has no section %s for %s", anchor, rule.Alert)
			}
		}
	}
	if len(alerts) < 10 {
		t.Errorf("found %d alerts only", len(alerts))
	}
	for _, section := range sections {
		if !slices.Contains(alerts, section) {
			t.Errorf("docs/operations.md has a section %s, and there is no such alert", section)
		}
	}
}
