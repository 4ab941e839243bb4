package check_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEndToEndPrometheus has a real Prometheus scrape a real server: every panel has data, every rule can be
// evaluated, and alerts fire when their cause is made.
func TestEndToEndPrometheus(t *testing.T) {
	binary := tool(t, "prometheus")
	in := newInstallation(t)
	in.start(t)
	in.traffic(t)
	narrow := in.startNarrow(t)
	p := startPrometheus(t, binary, in, narrow)

	stop := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		for number := 1; ; number++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
				if err := in.round(number); err != nil {
					ended <- err
					return
				}
			}
		}
	}()
	var panels []panel
	for _, panel := range loadDashboard(t).Panels {
		if panel.Title != "Alerts" { // It has data when there is one: below.
			panels = append(panels, panel)
		}
	}
	p.await(t, "data of every panel", func() error {
		var missing []error
		panels = slices.DeleteFunc(panels, func(panel panel) bool {
			err := p.hasData(panel)
			missing = append(missing, err)
			return err == nil
		})
		return errors.Join(missing...)
	})
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	p.await(t, "the evaluation of every rule", p.rulesAreHealthy)

	p.await(t, "UsherMemory", func() error { return p.fires("UsherMemory") })
	if found, err := p.query(`ALERTS{alertname="UsherMemory"}`); err != nil || len(found) != 1 || found[0]["instance"] != narrow.http {
		t.Errorf("UsherMemory is about %v and not about %s alone (%v)", found, narrow.http, err)
	}
	narrow.stop()
	in.write(t, "access.yaml", "callers: {nobody can read this\n")
	p.await(t, "UsherReloadRefused", func() error { return p.fires("UsherReloadRefused") })
	in.server.stop()
	p.await(t, "UsherDown", func() error { return p.fires("UsherDown") })
	for _, panel := range loadDashboard(t).Panels {
		if panel.Title == "Alerts" {
			p.await(t, "the panel of the alerts", func() error {
				series, err := p.query(panel.queries()[0])
				if err == nil && !slices.ContainsFunc(series, func(labels map[string]string) bool { return labels["alertname"] == "UsherDown" }) {
					err = fmt.Errorf("it shows %v", series)
				}
				return err
			})
		}
	}
}

// prometheus is one that runs, with the rules of the project.
type prometheus struct {
	address  string
	log      *lockedBuffer
	deadline time.Time
}

// startPrometheus runs one that scrapes the installation, and another server with its files, every second, and does
// not wait before alerts fire.
func startPrometheus(t *testing.T, binary string, in *installation, other *server) *prometheus {
	t.Helper()
	for _, name := range []string{"recording.rules.yaml", "alerts.rules.yaml"} {
		text := read(t, "deploy/prometheus/"+name)
		in.write(t, name, regexp.MustCompile(`(?m)^( +)for: .*$`).ReplaceAllString(text, "${1}for: 0s"))
	}
	in.write(t, "prometheus.yaml", fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [recording.rules.yaml, alerts.rules.yaml]
scrape_configs:
  - job_name: usher
    scheme: https
    tls_config: {ca_file: %s}
    authorization: {credentials_file: %s}
    static_configs: [{targets: ['%s', '%s']}]
`, in.path("ca.crt"), in.path("prometheus"), in.server.http, other.http))
	p := &prometheus{log: &lockedBuffer{}, deadline: time.Now().Add(90 * time.Second)}
	command := exec.Command(binary, "--config.file="+in.path("prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(t.TempDir(), "data"),
		"--web.listen-address=127.0.0.1:0")
	command.Stderr = p.log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		command.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		command.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("Prometheus wrote:\n%s", p.log.String())
		}
	})
	p.await(t, "the start of Prometheus", func() error {
		listening := regexp.MustCompile(`msg="Listening on" address=(\S+)`).FindStringSubmatch(p.log.String())
		if listening == nil {
			return errors.New("it has not said where it listens")
		}
		p.address = listening[1]
		if _, _, err := net.SplitHostPort(p.address); err != nil {
			return err
		}
		_, err := p.get("/-/ready", nil)
		return err
	})
	return p
}

// await tries until there is no error any more, or too much time has passed in all.
func (p *prometheus) await(t *testing.T, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), p.deadline)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("there was no sign of %s: %v", what, err)
		case <-tick.C:
		}
	}
}

func (p *prometheus) get(path string, parameters url.Values) ([]byte, error) {
	response, err := http.Get("http://" + p.address + path + "?" + parameters.Encode())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// query returns the labels of what a query finds now.
func (p *prometheus) query(query string) (found []map[string]string, err error) {
	body, err := p.get("/api/v1/query", url.Values{"query": {query}})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	for _, series := range answer.Data.Result {
		found = append(found, series.Metric)
	}
	return found, nil
}

// hasData is an error unless every query of the panel finds something.
func (p *prometheus) hasData(panel panel) error {
	for _, query := range panel.queries() {
		found, err := p.query(query)
		if err == nil && len(found) == 0 {
			err = errors.New("no data")
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", panel.Title, query, err)
		}
	}
	return nil
}

// rulesAreHealthy is an error unless every rule has been evaluated, without an error.
func (p *prometheus) rulesAreHealthy() error {
	body, err := p.get("/api/v1/rules", nil)
	if err != nil {
		return err
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string } `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	var bad []string
	rules := 0
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			rules++
			if rule.Health != "ok" {
				bad = append(bad, rule.Name+": "+rule.Health+" "+rule.LastError)
			}
		}
	}
	if rules == 0 || len(bad) > 0 {
		return fmt.Errorf("of %d rules: %s", rules, strings.Join(bad, "; "))
	}
	return nil
}

// fires is an error unless the alert fires.
func (p *prometheus) fires(alert string) error {
	found, err := p.query(fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"}`, alert))
	if err == nil && len(found) == 0 {
		err = errors.New("it does not fire")
	}
	return err
}
