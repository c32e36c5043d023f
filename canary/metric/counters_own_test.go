// SPDX-License-Identifier: Apache-2.0

package metric_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/metric"
)

// Whoever replays a release does not reach the address of a template, and does not hand its password to another.
func TestCountersOfATemplateAreAskedOfTheOwnServer(t *testing.T) {
	prom := newCounting(t, one("arm=canary class=requests pod=worker-1", "40"))
	tmpl := template("http://127.0.0.1:1")
	tmpl.Spec.Counters = &flaggerv1.MetricTemplateCounters{
		Events: `sum by (pod) (failed{arm="{{ arm }}"})`, Exposure: `sum by (pod) (all{arm="{{ arm }}"})`}
	read, err := metric.NewChecker(fakeClient(t, tmpl), prom.URL, clock.RealClock{}, metric.WithOwnServer("--prometheus")).
		PrepareCounters(t.Context(), canary(), byTemplate())
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(t.Context(), then)
	if err != nil || len(got.Samples) != 1 || got.Source == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(prom.asked) != 1 || prom.asked[0].Header.Get("Authorization") != "" {
		t.Errorf("asked %d times", len(prom.asked))
	}
	tmpl.Spec.Counters.Events = `sum by (pod) (rejected{arm="{{ arm }}"})`
	read, err = metric.NewChecker(fakeClient(t, tmpl), prom.URL, clock.RealClock{}, metric.WithOwnServer("--prometheus")).
		PrepareCounters(t.Context(), canary(), byTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if edited, err := read(t.Context(), then.Add(time.Second)); err != nil || edited.Source == got.Source {
		t.Errorf("other counters have the source %q, too (%v)", edited.Source, err)
	}
	read, err = metric.NewChecker(fakeClient(t, tmpl), "http://127.0.0.1:1", clock.RealClock{}, metric.WithOwnServer("--prometheus")).
		PrepareCounters(t.Context(), canary(), rate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(t.Context(), then); err == nil || !strings.Contains(err.Error(), "(the Prometheus of --prometheus)") {
		t.Errorf("a server that is away: %v", err)
	}
}
