package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// FuzzSettingsFile reads settings files. What is refused is refused with a line; what is taken and
// printed is a file that says the same.
func FuzzSettingsFile(f *testing.F) {
	for _, file := range []string{
		"", "# nothing\n", "---\n", "...\n", "data-dir", "- a\n", "data-dir:\n", "data-dir: [a]\n", "datadir: /var/lib/usher\n", "config: a.yaml\n",
		"data-dir: /var/lib/usher\ndata-dir: /tmp\n", "a: b\n---\nc: d\n", "data-dir: *x\n", "<<: {data-dir: a}\n", "demo: yes\n", "\xff\xfe",
		"data-dir: /var/lib/usher\ngrpc-address: 0.0.0.0:7301\nhttp-address: '[::1]:0'\nunix-socket: /run/usher.sock\nunix-socket-mode: 0660\ncache-size: 1GiB\n" +
			"keep-ended: 30d\nkeep-changes: 0\nlog-format: json\nlog-level: debug\n",
		"decision-log: '-'\ndecision-log-sample: 0.5\ndecision-log-denials-only: true\ntrace-endpoint: https://user:secret@host:4317\ntrace-sample: 1\n",
		"max-connections: 1\nmax-streams: 4294967295\nconnection-age: 30m\ndrain-time: 9223372036854775807s\n",
		"data-dir: \"a # b\\n\\u2028: c\"\nunix-socket: 'null'\naccess-file: ~\n", "data-dir: '@home'\ntokens-file: 'yes'\ntls-cert-file: !!binary YQ==\n",
	} {
		f.Add([]byte(file))
	}
	path := filepath.Join(f.TempDir(), "usher.yaml")
	place := regexp.MustCompile("^" + regexp.QuoteMeta(path) + `:(\d+): .`)
	read := func(content []byte) (map[string]string, *settings, error) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			f.Fatal(err)
		}
		s := new(settings)
		s.declare()
		s.config = path
		err := s.readFile()
		values := map[string]string{}
		s.each(func(f *pflag.Flag) { values[f.Name] = f.Value.String() })
		return values, s, err
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		values, s, err := read(content)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path) {
				t.Errorf("the error does not begin with the file: %v", err)
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if found := place.FindStringSubmatch(line); found != nil {
					if n, err := strconv.Atoi(found[1]); err != nil || n < 1 || n > len(content)+1 {
						t.Errorf("%q has not the line of %q", content, line)
					}
				}
			}
			return
		}
		var printed bytes.Buffer
		if err := s.printYAML(&printed); err != nil {
			t.Fatalf("%q is taken, and can't be printed: %v", content, err)
		}
		again, _, err := read(printed.Bytes())
		if err != nil {
			t.Fatalf("%q is printed as\n%s\nwhich is refused: %v", content, &printed, err)
		}
		for name, value := range values {
			if masked(value) == value && again[name] != value {
				t.Errorf("%q says %s: %q, and what is printed %q", content, name, value, again[name])
			}
		}
		if len(again) != len(values) {
			t.Errorf("%d settings became %d", len(values), len(again))
		}
	})
}
