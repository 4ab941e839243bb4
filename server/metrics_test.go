package server_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
	"github.com/usher-pdp/usher/store/bolt"
)

// scrape returns the metrics as they are sent.
func (h *harness) scrape() string {
	recorder := httptest.NewRecorder()
	h.server.HTTP().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	return recorder.Body.String()
}

// families returns the metrics by name.
func (h *harness) families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(h.scrape()))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// measuredHarness is a server with everything that has metrics, and has been used.
func measuredHarness(t *testing.T) *harness {
	t.Helper()
	log := newDecisionLog(t, server.DecisionLogConfig{File: filepath.Join(t.TempDir(), "decisions"), Sample: 1})
	h := configuredHarness(t, func(c *server.Config) {
		c.DecisionLog, c.TenantMetrics = log, true
		c.Collectors = append(c.Collectors, c.Store.(*bolt.Store))
	})
	t.Cleanup(func() { _ = log.Close(context.Background()) })
	h.addDesk(t)
	h.askMuch(t)
	return h
}

func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	problems, err := promlint.New(strings.NewReader(measuredHarness(t).scrape())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Metrics of the files that say who may call, which a server has that is given such files.
var metricsOfOthers = regexp.MustCompile(`^usher_(tls_certificate_.*|reloads_total|reload_refused|authentication_failures_total)$`)

// TestDocumentedMetricsAreThoseThereAre compares docs/metrics.md with what the server sends: names, types and labels.
func TestDocumentedMetricsAreThoseThereAre(t *testing.T) {
	t.Parallel()
	there := map[string]string{}
	for name, family := range measuredHarness(t).families(t) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue // the libraries', which the page names together
		}
		labels := map[string]bool{}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				labels["`"+label.GetName()+"`"] = true
			}
		}
		there[name] = fmt.Sprintf("%s, labels %s", strings.ToLower(family.GetType().String()), strings.Join(slices.Sorted(maps.Keys(labels)), ", "))
	}
	page, err := os.Open("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	row := regexp.MustCompile("^\\| `([a-z_]+)` +\\| (counter|gauge|histogram) +\\| (.*?) *\\| (.*?) *\\|$")
	documented := map[string]string{}
	for lines := bufio.NewScanner(page); lines.Scan(); {
		cells := row.FindStringSubmatch(lines.Text())
		switch {
		case cells == nil:
			continue
		case documented[cells[1]] != "":
			t.Errorf("%s is documented twice", cells[1])
		case cells[4] == "":
			t.Errorf("%s is documented without a meaning", cells[1])
		}
		labels := strings.Split(cells[3], ", ")
		slices.Sort(labels)
		documented[cells[1]] = fmt.Sprintf("%s, labels %s", cells[2], strings.Join(labels, ", "))
	}
	for name, is := range there {
		if documented[name] != is {
			t.Errorf("%s is a %s, and documented as %q", name, is, documented[name])
		}
	}
	for name := range documented {
		if there[name] == "" && !metricsOfOthers.MatchString(name) {
			t.Errorf("%s is documented, and there is none", name)
		}
	}
}

func TestDecisionsByTenant(t *testing.T) {
	t.Parallel()
	h := measuredHarness(t)
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "other", Catalog: "desk", FirstAdministrator: "user:root"}); err != nil {
		t.Fatal(err)
	}
	h.may(t, "other", "user:root", "view", "team:a")
	for series, want := range map[string]float64{
		`usher_tenant_decisions_total{effect="allow",tenant="desk"}`:  2,
		`usher_tenant_decisions_total{effect="deny",tenant="desk"}`:   3,
		`usher_tenant_decisions_total{effect="allow",tenant="other"}`: 1,
		`usher_tenant_decisions_total{effect="deny",tenant="other"}`:  0,
	} {
		if got := h.value(t, series); got != want {
			t.Errorf("%s %v, and it should be %v", series, got, want)
		}
	}
	if _, err := h.operator.DeleteTenant(t.Context(), &usherv1.DeleteTenantRequest{Tenant: "desk", Confirm: "desk"}); err != nil {
		t.Fatal(err)
	}
	if metrics := h.scrape(); strings.Contains(metrics, `tenant="desk"`) || !strings.Contains(metrics, `tenant="other"`) {
		t.Error("the tenant that was deleted is still in the metrics, or another one is not")
	}
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "desk", Catalog: "desk", FirstAdministrator: "user:root"}); err != nil {
		t.Fatal(err)
	}
	h.may(t, "desk", "user:root", "view", "team:a")
	if n := h.value(t, `usher_tenant_decisions_total{effect="allow",tenant="desk"}`); n != 1 {
		t.Errorf("a new tenant of that name begins with %v decisions", n)
	}
}

func TestTenantsAreInTheMetricsOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	h.askMuch(t)
	if strings.Contains(h.scrape(), `"desk"`) {
		t.Error("the name of a tenant is in the metrics")
	}
}

func TestLastMaintenanceIsInTheMetrics(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	if at := h.value(t, "usher_maintenance_last_success_timestamp_seconds"); at != 0 {
		t.Errorf("before the first: %v", at)
	}
	maintain := func() error { return h.server.Maintain(t.Context(), server.Retention{}) }
	if err := maintain(); err != nil {
		t.Fatal(err)
	}
	if at := h.value(t, "usher_maintenance_last_success_timestamp_seconds"); at != float64(testTime.Unix()) {
		t.Errorf("after the first: %v", at)
	}
	h.clock.Set(testTime.Add(time.Hour))
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := maintain(); err == nil {
		t.Fatal("a store that is closed was maintained")
	}
	if at := h.value(t, "usher_maintenance_last_success_timestamp_seconds"); at != float64(testTime.Unix()) {
		t.Errorf("after one that failed: %v", at)
	}
}

func TestWatchersAreCounted(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	ctx, leave := context.WithCancel(t.Context())
	stream, err := h.admin.WatchChanges(ctx, &usherv1.WatchChangesRequest{Tenant: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if n := h.value(t, "usher_watchers"); n != 1 {
		t.Errorf("%v watchers", n)
	}
	leave()
	for deadline := time.Now().Add(10 * time.Second); h.value(t, "usher_watchers") != 0; {
		if time.Now().After(deadline) {
			t.Fatal("who has left is still counted")
		}
	}
}

// TestStepsOfTheClockAreCounted sets a clock forward and back, by more and by less than what is a step.
func TestStepsOfTheClockAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var wrong atomic.Int64 // by how much the clock is, in nanoseconds
		cache := server.NewCache(1 << 20)
		st, err := bolt.Open(filepath.Join(t.TempDir(), "usher.db"), bolt.Options{Observer: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = st.Close() }()
		s, err := server.New(t.Context(), server.Config{Store: st, Cache: cache, Now: func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }})
		if err != nil {
			t.Fatal(err)
		}
		h := &harness{server: s}
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { s.WatchClock(ctx); close(stopped) }()
		for _, by := range []time.Duration{0, time.Hour, 400 * time.Millisecond, -400 * time.Millisecond, -2 * time.Second, -2 * time.Second} {
			synctest.Wait()
			wrong.Add(int64(by))
			time.Sleep(1500 * time.Millisecond) // of the bubble: a look or two
		}
		synctest.Wait()
		stop()
		<-stopped
		for series, want := range map[string]float64{
			`usher_clock_steps_total{direction="forward"}`: 1,
			`usher_clock_steps_total{direction="back"}`:    2,
			`usher_clock_step_seconds_total`:               3604,
		} {
			if got := h.value(t, series); got != want {
				t.Errorf("%s %v, and it should be %v", series, got, want)
			}
		}
		s.GRPC().Stop()
	})
}
