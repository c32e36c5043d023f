// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/template"
)

func inline(queries ...string) *flaggerv1.Canary {
	c := plainCanary()
	for i, query := range queries {
		c.Spec.Analysis.Metrics = append(c.Spec.Analysis.Metrics, flaggerv1.CanaryMetric{Name: fmt.Sprint("m", i), Query: query})
	}
	return c
}

func TestAQueryWithoutEndHoldsNoWorker(t *testing.T) {
	k := testChecker(t)
	k.metricsServer = "http://127.0.0.1:1"
	for _, query := range []string{
		`{{ range 20000000 }}{{ end }}`,
		`{{ range 5000 }}{{ range 5000 }}{{ end }}{{ end }}`,
		`{{ range 9223372036854775807 }}{{ end }}`,
	} {
		err := k.Supports(t.Context(), inline(query))
		if !errors.Is(err, reconcile.TerminalError(nil)) || !errors.Is(err, template.ErrBudget) {
			t.Errorf("%s: got %v", query, err)
		}
	}
}

func TestAQueryIsFilledInOnceForAllLooksAtACanary(t *testing.T) {
	k := testChecker(t)
	k.metricsServer = "http://127.0.0.1:1"
	c := inline(`sum(x{ns="{{ namespace }}"})`)
	if err := k.Supports(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // whatever is filled in now fails
	if err := k.Supports(ended, c); err != nil {
		t.Errorf("the same query: %v", err)
	}
	c.Namespace = "other"
	k.checked.mu.Lock()
	known := len(k.checked.renderable)
	k.checked.mu.Unlock()
	if err := k.Supports(t.Context(), c); err != nil || len(k.checked.renderable) != known+1 {
		t.Errorf("another namespace: %v, %d queries known", err, len(k.checked.renderable))
	}
}

func TestACanaryHasOnlySoManyMetrics(t *testing.T) {
	k := testChecker(t)
	k.metricsServer = "http://127.0.0.1:1"
	if err := k.Supports(t.Context(), inline(make([]string, maxMetrics+1)...)); !errors.Is(err, reconcile.TerminalError(nil)) ||
		!strings.Contains(err.Error(), "at most 100") {
		t.Errorf("got %v", err)
	}
}

func TestEveryFunctionOfQueriesStillWorks(t *testing.T) {
	v := templateVars{
		name: "app", namespace: "test", target: "podinfo", service: "svc", ingress: "ing", route: "rt", interval: "1m",
		pods:      "podinfo-[0-9]+",
		variables: map[string]string{"direction": "inbound"},
	}
	for query, want := range map[string]string{
		`{{ name }} {{ namespace }} {{ target }} {{ service }}`:                                       "app test podinfo svc",
		`{{ ingress }} {{ route }} {{ interval }} {{ pods }}`:                                         "ing rt 1m podinfo-[0-9]+",
		`rate(x{direction="{{ variables.direction }}"}[{{ interval }}])`:                              `rate(x{direction="inbound"}[1m])`,
		`{{ if eq namespace "test" }}a{{ else }}b{{ end }}`:                                           "a",
		`{{ with variables.direction }}{{ . }}{{ end }}`:                                              "inbound",
		`{{ range $key, $value := variables }}{{ $key }}={{ $value }}{{ end }}`:                       "direction=inbound",
		`{{ printf "%s-%d" name 2 }} {{ index variables "direction" | len }} {{- /* a comment */ -}}`: "app-2 7",
		`{{ define "a" }}{{ namespace }}{{ end }}{{ template "a" }}`:                                  "test",
		"\n  sum(\n    x\n  )\n": "sum(\n    x\n  )",
	} {
		if got, err := render(t.Context(), query, v); err != nil || got != want {
			t.Errorf("%s: got %q, %v", query, got, err)
		}
	}
	if _, err := render(t.Context(), `{{ variables.missing }}`, v); err == nil {
		t.Error("a query with a hole in it is taken")
	}
}

func TestAnInfiniteValueFailsItsCheck(t *testing.T) {
	r := recordings(t)["prometheus"]
	r.spec.Type = "prometheus"
	for _, value := range []string{"+Inf", "-Inf", "1e999", "-1e999"} {
		s := newTestServer(t, r)
		s.answer(http.StatusOK, `{"data":{"resultType":"vector","result":[{"value":[1,"`+value+`"]}]}}`)
		if got, err := s.check(t); !errors.Is(err, ErrInfinite) {
			t.Errorf("%s: got %v, %v", value, got, err)
		}
	}
	if _, err := parseNumber("1.5"); err != nil {
		t.Error(err)
	}
}

func TestTemplatesPointToNoServerThatTheGuardForbids(t *testing.T) {
	for _, name := range []string{"prometheus", "web", "graphite", "influxdb"} {
		r := recordings(t)[name]
		r.spec.Type = name
		s := newTestServer(t, r)
		s.checker.transports = outbound.NewTransports(outbound.NewGuard(nil))
		if _, err := s.check(t); !errors.Is(err, outbound.ErrForbiddenAddress) || len(s.asked) > 0 {
			t.Errorf("%s: got %v", name, err)
		}
		s.checker.transports = outbound.NewTransports(outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
		if _, err := s.check(t); err != nil {
			t.Errorf("%s, allowed: %v", name, err)
		}
	}
}

func TestTheOperatorsPrometheusMayBeAnywhereAndATenantsMayNot(t *testing.T) {
	r := recordings(t)["prometheus"]
	r.spec.Type = "prometheus"
	s := newTestServer(t, r)
	s.checker.transports = outbound.NewTransports(outbound.NewGuard(nil))
	s.checker.metricsServer = s.URL
	c := inline("up")
	if _, err := s.checker.Check(t.Context(), c, c.Spec.Analysis.Metrics[0]); err != nil {
		t.Errorf("the operator's: %v", err)
	}
	c.Spec.MetricsServer = s.URL
	if _, err := s.checker.Check(t.Context(), c, c.Spec.Analysis.Metrics[0]); !errors.Is(err, outbound.ErrForbiddenAddress) {
		t.Errorf("a tenant's: %v", err)
	}
}

func TestAnswersAreBoundedTogether(t *testing.T) {
	r := recordings(t)["prometheus"]
	r.spec.Type = "prometheus"
	s := newTestServer(t, r)
	s.checker.memory = budget.New(2 * perReadByte * 64 << 10)
	if got, err := s.check(t); err != nil || got != 42.5 {
		t.Errorf("got %v, %v", got, err)
	}
	s.answer(http.StatusOK, strings.Repeat(" ", 100<<10)+r.value)
	if _, err := s.check(t); !errors.Is(err, budget.ErrTooLarge) {
		t.Errorf("an answer that is larger than a share: %v", err)
	}
	s.answer(http.StatusOK, strings.Repeat(" ", 20<<10)+r.value)
	for range 10 { // what was read is given back
		if got, err := s.check(t); err != nil || got != 42.5 {
			t.Errorf("got %v, %v", got, err)
		}
	}
}
