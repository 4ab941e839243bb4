package check_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// promQL is the language of the queries, without what is experimental.
var promQL = parser.NewParser(parser.Options{})

// tool returns the path of prometheus or promtool. Where there is none the test is skipped, in CI it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	dir, err := prometheusDir()
	switch {
	case err == nil:
		return filepath.Join(dir, name)
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	}
	t.Skip("SKIPPED, what needs a Prometheus is not checked here: ", err)
	return ""
}

var prometheusDir = sync.OnceValues(func() (string, error) {
	find := exec.Command("tools/prometheus.sh")
	find.Dir = top
	find.Stderr = os.Stderr
	dir, err := find.Output()
	return strings.TrimSpace(string(dir)), err
})

// promtool runs it in deploy/prometheus, and fails the test if it finds something.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	command := exec.Command(tool(t, "promtool"), args...)
	command.Dir = filepath.Join(top, "deploy/prometheus")
	command.Stdin = strings.NewReader(input)
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", args, err, out)
	}
}

func TestTheRulesAreSound(t *testing.T) {
	promtool(t, "", "check", "rules", "--lint-fatal", "recording.rules.yaml", "alerts.rules.yaml")
}

func TestTheRulesDoWhatTheirUnitTestsSay(t *testing.T) {
	tests, err := filepath.Glob(filepath.Join(top, "deploy/prometheus/tests/*.yaml"))
	if err != nil || len(tests) == 0 {
		t.Fatalf("there are no unit tests (%v)", err)
	}
	for i, test := range tests {
		tests[i] = filepath.Join("tests", filepath.Base(test))
	}
	promtool(t, "", append([]string{"test", "rules"}, tests...)...)
}

// rules returns the rules of both files.
func rules(t *testing.T) (all []rulefmt.Rule) {
	t.Helper()
	for _, name := range []string{"recording", "alerts"} {
		groups, errs := rulefmt.Parse([]byte(read(t, "deploy/prometheus/"+name+".rules.yaml")), false, model.LegacyValidation, promQL, slog.Default())
		if len(errs) > 0 {
			t.Fatalf("%s: %v", name, errs)
		}
		for _, group := range groups.Groups {
			all = append(all, group.Rules...)
		}
	}
	return all
}

// TestEveryAlertSaysWhatItIsAndIsTestedBothWays reads the unit tests: each alert fires in one of them and does not in another.
func TestEveryAlertSaysWhatItIsAndIsTestedBothWays(t *testing.T) {
	fires, quiet := unitTests(t)
	operations := read(t, "docs/operations.md")
	for _, rule := range rules(t) {
		name := rule.Alert
		if name == "" {
			continue
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
			t.Errorf("%s has the severity %q", name, rule.Labels["severity"])
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s has no summary or no description", name)
		}
		if url := rule.Annotations["runbook_url"]; url != "https://github.com/usher-pdp/usher/blob/main/docs/operations.md#"+kebab(name) {
			t.Errorf("%s has the page %q", name, url)
		}
		if !slices.Contains(anchors(operations), kebab(name)) {
			t.Errorf("docs/operations.md has no section with the anchor %s", kebab(name))
		}
		if !fires[name] || !quiet[name] {
			t.Errorf("%s: a unit test in which it fires: %v; in which it does not: %v", name, fires[name], quiet[name])
		}
	}
}

func unitTests(t *testing.T) (fires, quiet map[string]bool) {
	t.Helper()
	fires, quiet = map[string]bool{}, map[string]bool{}
	for _, name := range []string{"alerts", "alerts_of_hours"} {
		var file struct {
			Tests []struct {
				Alerts []struct {
					Name     string `json:"alertname"`
					Expected []any  `json:"exp_alerts"`
				} `json:"alert_rule_test"`
			} `json:"tests"`
		}
		if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/tests/"+name+"_test.yaml")), &file); err != nil {
			t.Fatal(err)
		}
		for _, test := range file.Tests {
			fired := slices.ContainsFunc(test.Alerts, func(a struct {
				Name     string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			}) bool {
				return len(a.Expected) > 0
			})
			for _, alert := range test.Alerts {
				fires[alert.Name] = fires[alert.Name] || fired
				quiet[alert.Name] = quiet[alert.Name] || !fired
			}
		}
	}
	return fires, quiet
}

// kebab turns UsherDown into usher-down.
func kebab(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('-')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// anchors are those of the headings of a page, as GitHub makes them, and those that the page names.
func anchors(page string) (found []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(page, -1) {
		text := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found = append(found, strings.ReplaceAll(strings.TrimSpace(text), " ", "-"))
	}
	for _, named := range regexp.MustCompile(`<a (?:id|name)="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		found = append(found, named[1])
	}
	return found
}

// dashboard is what of a Grafana dashboard matters here.
type dashboard struct {
	UID           string `json:"uid"`
	SchemaVersion int    `json:"schemaVersion"`
	Templating    struct {
		List []struct {
			Name string `json:"name"`
		} `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Datasource  struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	GridPos     struct{ X, Y, W, H int } `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		RefID string `json:"refId"`
		Expr  string `json:"expr"`
	} `json:"targets"`
}

func loadDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.NewDecoder(bytes.NewReader([]byte(read(t, "deploy/grafana/usher.json")))).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// queries are those of a panel, with something in the place of its variables.
func (p panel) queries() (all []string) {
	for _, target := range p.Targets {
		all = append(all, strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m").Replace(target.Expr))
	}
	return all
}

func TestEveryPanelSaysWhatItShows(t *testing.T) {
	d := loadDashboard(t)
	if d.UID != "usher" || d.SchemaVersion < 41 {
		t.Errorf("uid %q, schema version %d", d.UID, d.SchemaVersion)
	}
	for _, name := range []string{"datasource", "instance"} {
		if !slices.ContainsFunc(d.Templating.List, func(v struct {
			Name string `json:"name"`
		}) bool {
			return v.Name == name
		}) {
			t.Errorf("there is no variable %s", name)
		}
	}
	ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || titles[p.Title] || p.Title == "" {
			t.Errorf("the id %d or the title %q is there twice", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies over %q, or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%q has no description, no unit, no query or a data source of its own", p.Title)
		}
		for _, query := range p.queries() {
			if !strings.Contains(query, `instance=~".*"`) && p.Title != "Alerts" {
				t.Errorf("%q does not select by instance: %s", p.Title, query)
			}
		}
	}
}

// notOurs are the metrics that others have.
var notOurs = []string{"up", "ALERTS", "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"}

// metricsOf returns the names in a query.
func metricsOf(t *testing.T, query string) (names []string) {
	t.Helper()
	expression, err := promQL.ParseExpr(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			names = append(names, selector.Name)
		}
		return nil
	})
	return names
}

func TestEveryQueryIsAboutMetricsThatTheServerHas(t *testing.T) {
	in := newInstallation(t)
	in.start(t)
	in.traffic(t)
	page := in.metrics(t)
	have := map[string]bool{}
	for _, family := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(page, -1) {
		have[family[1]] = true
		if family[2] == "histogram" {
			have[family[1]+"_bucket"], have[family[1]+"_sum"], have[family[1]+"_count"] = true, true, true
		}
	}
	for _, name := range notOurs {
		have[name] = true
	}
	asked := map[string][]string{}
	for _, rule := range rules(t) {
		have[rule.Record] = true
		for _, name := range metricsOf(t, rule.Expr) {
			asked[name] = append(asked[name], rule.Alert+rule.Record)
		}
	}
	for _, p := range loadDashboard(t).Panels {
		for _, query := range p.queries() {
			for _, name := range metricsOf(t, query) {
				asked[name] = append(asked[name], "panel "+p.Title)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if !have[name] {
			t.Errorf("the server has no %s, of which %q rely on", name, asked[name])
		}
	}
	promtool(t, page, "check", "metrics")
}
