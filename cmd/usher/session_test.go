package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A step is a command that is shown to a reader, and what it is said to answer.
type step struct {
	command string
	answer  []string
}

// stepsIn finds the steps in a text: "$ " and a command, which goes on after a "\" at the
// end of a line and inside of single quotes; then the answer, up to an empty line, the
// next step or a fence.
func stepsIn(text string) (steps []step) {
	open := false // whether the command of the last step goes on
	answering := false
	fenced := false // a block of Markdown, in which an answer may have empty lines
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		command, starts := strings.CutPrefix(line, "$ ")
		switch {
		case starts:
			steps = append(steps, step{command: command})
			open, answering = goesOn(command), true
		case open:
			steps[len(steps)-1].command += "\n" + line
			open = goesOn(steps[len(steps)-1].command)
		case strings.HasPrefix(line, "```"):
			fenced, answering = !fenced, false
		case line == "" && !fenced:
			answering = false
		case answering:
			steps[len(steps)-1].answer = append(steps[len(steps)-1].answer, line)
		}
	}
	return steps
}

func goesOn(command string) bool {
	return strings.HasSuffix(command, `\`) || strings.Count(command, "'")%2 == 1
}

// play runs the steps one after the other in the root of the repository, and compares
// what they write with the answers.
func play(t *testing.T, steps []step, environ ...string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		cmd := exec.Command("bash", "-c", s.command)
		cmd.Dir = root
		cmd.Env = append(withoutSettings(os.Environ()), environ...)
		out, _ := cmd.CombinedOutput() // the exit status of a deny is 1
		got := strings.TrimRight(goRunNoise.ReplaceAllString(string(out), ""), "\n")
		if !matches(got, s.answer) {
			t.Errorf("$ %s\n-- it answers:\n%s\n-- but is said to:\n%s", s.command, got, strings.Join(s.answer, "\n"))
		}
	}
}

// goRunNoise is what the go command adds to the output of what it runs.
var goRunNoise = regexp.MustCompile(`(?m)^(exit status \d+|go: downloading .*)\n`)

// matches reports whether a text is what the lines say; … in them is anything.
func matches(got string, lines []string) bool {
	text := strings.TrimRight(strings.Join(lines, "\n"), "\n")
	pattern := strings.ReplaceAll(regexp.QuoteMeta(text), "…", ".*")
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(got)
}
