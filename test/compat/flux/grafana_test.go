// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/test/harness"
)

// pod is the name by which Prometheus knows the process, as if it were the installation's pod.
const pod = "sluice-5d8f7c9b64-x7k2p"

// scraped has the playground's Prometheus scrape the controller. The target has the labels that a PodMonitor gives it:
// its namespace is that of the controller, so that a namespace of its metrics becomes exported_namespace.
func scraped(t *testing.T, name string) {
	t.Helper()
	at, err := url.Parse(the.sluice.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(the.PrometheusTargets, name+".json")
	targets := fmt.Sprintf(`[{"targets": [%q], "labels": {"namespace": "flux-system", "pod": %q, "container": "manager"}}]`, at.Host, pod)
	if err := os.WriteFile(file, []byte(targets), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
}

// grafana asks Prometheus what dashboards ask it.
func (s *story) grafana(t *testing.T) {
	t.Run("what Flux's and Flagger's dashboards and alerts ask for", s.published)
	t.Run("gotk_resource_info is what kube-state-metrics makes of the objects", s.resourceInfo)
	t.Run("every panel of the dashboards in config/monitoring has data", s.ownDashboards)
}

// query returns the labels of the series that an expression has.
func (s *story) query(ctx context.Context, expression string) ([]map[string]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Prometheus+"/api/v1/query?query="+url.QueryEscape(expression), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != "" {
		return nil, fmt.Errorf("%s: %s %w", expression, answer.Error, err)
	}
	var series []struct{ Metric map[string]string }
	if err := json.Unmarshal(answer.Data.Result, &series); err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	all := make([]map[string]string, 0, len(series))
	for _, each := range series {
		all = append(all, each.Metric)
	}
	return all, nil
}

// answers waits until an expression has series, and returns them.
func (s *story) answers(t *testing.T, expression string) (series []map[string]string) {
	t.Helper()
	_, err := harness.Eventually(t.Context(), "an answer to "+expression, harness.Patience, func(ctx context.Context) (bool, string) {
		var err error
		series, err = s.query(ctx, expression)
		return err == nil && len(series) > 0, fmt.Sprint(err)
	})
	if err != nil {
		t.Error(err)
	}
	return series
}

// Shapes of expressions, of a metric and what selects its series.
func value(metric, of string) string { return metric + of }
func count(metric, of string) string { return "count(" + metric + of + ")" }
func rate(metric, of string) string  { return "sum(rate(" + metric + of + "[1m]))" }
func grown(metric, of string) string { return "sum(increase(" + metric + of + "[1m])) by (controller)" }
func mean(metric, of string) string {
	return "sum(rate(" + metric + "_sum" + of + "[5m])) by (kind, name) / sum(rate(" + metric + "_count" + of + "[5m])) by (kind, name)"
}
func quantile(metric, of string) string {
	return "histogram_quantile(0.9, sum(rate(" + metric + "_bucket" + of + "[5m])) by (le))"
}

// asked is what a panel asks, or an alert.
type asked struct {
	shape      func(metric, of string) string
	metric, of string
	labels     []string // that its legend or its table shows
}

// published are the panels of the dashboards cluster and control-plane of fluxcd/flux2-monitoring-example, with what their
// variables stand for; those of controller-runtime; and the metrics of Flagger's documentation.
func (s *story) published(t *testing.T) {
	mine := `exported_namespace=~"` + s.namespace + `"`
	sources, appliers := `=~"GitRepository|HelmRepository|Bucket|OCIRepository"`, `=~"Kustomization|HelmRelease"`
	operator, ours := `namespace=~"flux-system"`, `{namespace="flux-system",pod=~"sluice-.*"}`
	tests := map[string]asked{
		"reconcilers": {count, "gotk_resource_info", `{` + mine + `,customresource_kind` + appliers + `}`, nil},
		"sources":     {count, "gotk_resource_info", `{` + mine + `,customresource_kind` + sources + `}`, nil},
		"readiness of reconcilers": {value, "gotk_resource_info", `{` + mine + `,customresource_kind` + appliers + `,ready="True"}`,
			[]string{"name", "exported_namespace", "revision", "source_name", "suspended"}},
		"readiness of sources": {value, "gotk_resource_info", `{` + mine + `,customresource_kind` + sources + `,ready="True"}`,
			[]string{"name", "exported_namespace", "revision", "url", "suspended"}},
		"how long sources take": {mean, "gotk_reconcile_duration_seconds", `{` + operator + `,` + mine + `,kind` + sources + `}`,
			[]string{"kind", "name"}},
		"how long reconcilers take": {mean, "gotk_reconcile_duration_seconds", `{` + operator + `,` + mine + `,kind` + appliers + `}`,
			[]string{"kind", "name"}},

		"processes":             {rate, "process_cpu_seconds_total", ours, nil},
		"the runtime":           {value, "go_info", ours, nil},
		"the heap":              {value, "go_memstats_alloc_bytes", ours, nil},
		"requests":              {rate, "rest_client_requests_total", ours, nil},
		"requests by code":      {value, "rest_client_requests_total", ours, []string{"code", "method"}},
		"the longest run":       {value, "workqueue_longest_running_processor_seconds", `{name="kustomization",namespace="flux-system"}`, nil},
		"runs that worked":      {grown, "controller_runtime_reconcile_total", `{controller="gitrepository",result!="error"}`, nil},
		"runs that failed":      {grown, "controller_runtime_reconcile_total", `{controller="kustomization",result="error"}`, nil},
		"runs of OCI":           {grown, "controller_runtime_reconcile_total", `{controller="ocirepository",result!="error"}`, nil},
		"runs of buckets":       {grown, "controller_runtime_reconcile_total", `{controller="bucket",result!="error"}`, nil},
		"how long runs take":    {quantile, "controller_runtime_reconcile_time_seconds", `{controller="kustomization"}`, nil},
		"workers":               {value, "controller_runtime_max_concurrent_reconciles", `{controller="canary"}`, nil},
		"workers at work":       {value, "controller_runtime_active_workers", `{controller="imagepolicy"}`, nil},
		"the queue":             {value, "workqueue_depth", `{name="imagerepository"}`, nil},
		"how long it is queued": {quantile, "workqueue_queue_duration_seconds", `{name="gitrepository"}`, nil},
		"how long it is worked": {quantile, "workqueue_work_duration_seconds", `{name="gitrepository"}`, nil},
		"what is queued":        {rate, "workqueue_adds_total", ours, nil},
		"what is tried again":   {rate, "workqueue_retries_total", ours, nil},
		"cached tokens":         {value, "gotk_token_cached_items", ours, nil},

		"Flagger":               {value, "flagger_info", ``, []string{"version", "mesh_provider"}},
		"canaries":              {value, "flagger_canary_total", `{` + mine + `}`, nil},
		"no canary failed":      {value, "flagger_canary_status", `{` + mine + `,name="podinfo"} < 2`, []string{"name"}},
		"weight of the primary": {value, "flagger_canary_weight", `{` + mine + `,workload="podinfo-primary"} == 100`, []string{"workload"}},
		"weight of the canary":  {value, "flagger_canary_weight", `{` + mine + `,workload="podinfo"}`, []string{"workload"}},
		"what was measured":     {value, "flagger_canary_metric_analysis", `{` + mine + `,metric="quality"} == 99.5`, []string{"name", "metric"}},
		"how long a check took": {quantile, "flagger_canary_duration_seconds", `{` + mine + `,name="podinfo"}`, nil},
		"promotions": {value, "flagger_canary_successes_total", `{` + mine + `,analysis_status="completed"} > 0`,
			[]string{"name", "deployment_strategy", "analysis_status"}},
	}
	for name, tc := range tests {
		series := s.answers(t, tc.shape(tc.metric, tc.of))
		for _, label := range tc.labels {
			if len(series) > 0 && series[0][label] == "" {
				t.Errorf("%s: no label %s in %v", name, label, series[0])
			}
		}
	}
}

// infoPaths are those of the configuration of kube-state-metrics that Flux publishes, by kind and label.
var infoPaths = map[string]map[string]string{
	"Kustomization":         {"revision": "status.lastAppliedRevision", "source_name": "spec.sourceRef.name"},
	"GitRepository":         {"revision": "status.artifact.revision", "url": "spec.url"},
	"OCIRepository":         {"revision": "status.artifact.revision", "url": "spec.url"},
	"ImageRepository":       {"image": "spec.image"},
	"ImagePolicy":           {"source_name": "spec.imageRepositoryRef.name"},
	"ImageUpdateAutomation": {"source_name": "spec.sourceRef.name"},
	"Receiver":              {},
	"Alert":                 {},
	"Provider":              {},
}

// resourceInfo makes the labels from the objects, and compares those that the controller shows.
func (s *story) resourceInfo(t *testing.T) {
	for kind, of := range infoPaths {
		_, err := harness.Eventually(t.Context(), "the labels of "+kind, harness.Patience, func(ctx context.Context) (bool, string) {
			group, version, _ := strings.Cut(strings.TrimPrefix(paths[kind], "/apis/"), "/")
			version, _, _ = strings.Cut(version, "/")
			o := s.list(t, s.at(kind))[0]
			want := map[string]string{
				"customresource_group": group, "customresource_version": version, "customresource_kind": kind,
				"exported_namespace": s.namespace, "name": text(o, "metadata", "name"), "suspended": "false",
			}
			if suspended := text(o, "spec", "suspend"); suspended != "" {
				want["suspended"] = suspended
			}
			if ready := condition(o, "Ready", "status"); ready != "" {
				want["ready"] = ready
			}
			for label, path := range of {
				want[label] = text(o, strings.Split(path, ".")...)
			}
			series, err := s.query(ctx, fmt.Sprintf(`gotk_resource_info{exported_namespace=%q,customresource_kind=%q}`, s.namespace, kind))
			if err != nil || len(series) != 1 {
				return false, fmt.Sprint(series, err)
			}
			got := series[0]
			maps.DeleteFunc(got, func(label, _ string) bool {
				return slices.Contains([]string{"__name__", "instance", "job", "namespace", "pod", "container"}, label)
			})
			diff := cmp.Diff(want, got)
			return diff == "", diff
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// dashboard is what Grafana reads of a file.
type dashboard struct {
	Title, UID string
	Panels     []struct {
		Title   string
		Type    string
		Targets []struct{ Expr string }
	}
	Templating struct {
		List []struct {
			Name       string
			Type       string
			Definition string
		}
	}
}

// variable is one in an expression.
var variable = regexp.MustCompile(`\$\{?(\w+)\}?`)

func (s *story) ownDashboards(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "config", "monitoring", "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	known := map[string]string{"namespace": s.namespace, "__rate_interval": "1m", "__range": "10m", "datasource": ""}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil || d.Title == "" || d.UID == "" {
			t.Errorf("%s: %v", file, err)
		}
		var expressions []string
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				expressions = append(expressions, target.Expr)
			}
		}
		for _, v := range d.Templating.List {
			if _, ok := known[v.Name]; !ok {
				t.Errorf("%s: the test gives variable %s no value", d.Title, v.Name)
			}
			if of, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
				metric, _, _ := strings.Cut(of, ",")
				expressions = append(expressions, metric)
			}
		}
		if len(expressions) < 2 {
			t.Errorf("%s asks for nothing", d.Title)
		}
		for _, expression := range expressions {
			s.answers(t, variable.ReplaceAllStringFunc(expression, func(found string) string {
				return known[variable.FindStringSubmatch(found)[1]]
			}))
		}
	}
}
