// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
	"github.com/sluice-cd/sluice/test/golden"
)

// probes set each field in which providers differ, one at a time, to something
// that a provider that has it can do.
var probes = []struct {
	field string
	set   func(*flaggerv1.CanarySpec)
}{
	{"spec.ingressRef", func(s *flaggerv1.CanarySpec) { s.IngressRef = &flaggerv1.LocalObjectReference{Name: "x"} }},
	{"spec.routeRef", func(s *flaggerv1.CanarySpec) { s.RouteRef = &flaggerv1.LocalObjectReference{Name: "x"} }},
	{"spec.upstreamRef", func(s *flaggerv1.CanarySpec) { s.UpstreamRef = &flaggerv1.CrossNamespaceObjectReference{Name: "x"} }},
	{"spec.httpRouteRef", func(s *flaggerv1.CanarySpec) {
		s.HTTPRouteRef, s.Service.GatewayRefs = &flaggerv1.LocalObjectReference{Name: "x"}, nil
	}},
	{"spec.analysis.iterations", func(s *flaggerv1.CanarySpec) { s.Analysis.Iterations, s.Analysis.StepWeight = 5, 0 }},
	{"spec.analysis.stepWeight", func(s *flaggerv1.CanarySpec) { s.Analysis.Iterations, s.Analysis.StepWeight = 0, 10 }},
	{"spec.analysis.stepWeights", func(s *flaggerv1.CanarySpec) {
		s.Analysis.Iterations, s.Analysis.StepWeight, s.Analysis.StepWeights = 0, 0, []int{1, 50}
	}},
	{"spec.analysis.maxWeight", func(s *flaggerv1.CanarySpec) {
		s.Analysis.Iterations, s.Analysis.StepWeight, s.Analysis.MaxWeight = 0, 10, 50
	}},
	{"spec.analysis.stepWeightPromotion", func(s *flaggerv1.CanarySpec) {
		s.Analysis.Iterations, s.Analysis.StepWeight, s.Analysis.StepWeightPromotion = 0, 10, 20
	}},
	{"spec.analysis.match", func(s *flaggerv1.CanarySpec) { s.Analysis.Match = contract.Insider }},
	{"spec.analysis.mirror", func(s *flaggerv1.CanarySpec) { s.Analysis.Mirror = true }},
	{"spec.analysis.mirrorWeight", func(s *flaggerv1.CanarySpec) { s.Analysis.MirrorWeight = 10 }},
	{"spec.analysis.sessionAffinity", func(s *flaggerv1.CanarySpec) {
		s.Analysis.Iterations, s.Analysis.StepWeight = 0, 10
		s.Analysis.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "c", MaxAge: 60}
	}},
	{"spec.service.gatewayRefs", func(s *flaggerv1.CanarySpec) { s.Service.GatewayRefs = []gatewayv1.ParentReference{{Name: "public"}} }},
	{"spec.service.gateways", func(s *flaggerv1.CanarySpec) { s.Service.Gateways = []string{"istio-system/public"} }},
	{"spec.service.hosts", func(s *flaggerv1.CanarySpec) { s.Service.Hosts = []string{"app.example.com"} }},
	{"spec.service.routeKind", func(s *flaggerv1.CanarySpec) { s.Service.RouteKind = "GRPCRoute" }},
	{"spec.service.match", func(s *flaggerv1.CanarySpec) {
		s.Service.Match = []flaggerv1.HTTPMatchRequest{{URI: &flaggerv1.StringMatch{Prefix: "/v1"}}}
	}},
	{"spec.service.rewrite", func(s *flaggerv1.CanarySpec) { s.Service.Rewrite = &flaggerv1.HTTPRewrite{URI: "/"} }},
	{"spec.service.headers", func(s *flaggerv1.CanarySpec) {
		s.Service.Headers = &flaggerv1.Headers{Request: &flaggerv1.HeaderOperations{Set: map[string]string{"a": "b"}}}
	}},
	{"spec.service.corsPolicy", func(s *flaggerv1.CanarySpec) {
		s.Service.CorsPolicy = &flaggerv1.CorsPolicy{AllowOrigin: []string{"https://example.com"}}
	}},
	{"spec.service.mirror", func(s *flaggerv1.CanarySpec) {
		s.Service.Mirror = []gatewayv1.HTTPRequestMirrorFilter{{BackendRef: gatewayv1.BackendObjectReference{Name: "audit"}}}
	}},
	{"spec.service.timeout", func(s *flaggerv1.CanarySpec) { s.Service.Timeout = "15s" }},
	{"spec.service.backendTimeout", func(s *flaggerv1.CanarySpec) { s.Service.BackendTimeout = "5s" }},
	{"spec.service.retries", func(s *flaggerv1.CanarySpec) { s.Service.Retries = &flaggerv1.HTTPRetry{Attempts: 3} }},
	{"spec.service.delegation", func(s *flaggerv1.CanarySpec) { s.Service.Delegation = true }},
	{"spec.service.trafficPolicy", func(s *flaggerv1.CanarySpec) {
		s.Service.TrafficPolicy = &runtime.RawExtension{Raw: []byte(`{"tls":{"mode":"ISTIO_MUTUAL"}}`)}
	}},
	{"spec.service.meshName", func(s *flaggerv1.CanarySpec) { s.Service.MeshName = "x" }},
	{"spec.service.backends", func(s *flaggerv1.CanarySpec) { s.Service.Backends = []string{"x"} }},
}

// elsewhere are the fields that no router looks at.
var elsewhere = strings.Fields(`
	spec.provider spec.metricsServer spec.targetRef spec.autoscalerRef spec.service spec.analysis
	spec.progressDeadlineSeconds spec.skipAnalysis spec.revertOnDeletion spec.suspend
	spec.service.name spec.service.port spec.service.portName spec.service.targetPort spec.service.appProtocol
	spec.service.trafficDistribution spec.service.portDiscovery spec.service.headless
	spec.service.apex spec.service.primary spec.service.canary spec.service.unmanagedMetadata
	spec.analysis.interval spec.analysis.sampling spec.analysis.threshold spec.analysis.primaryReadyThreshold
	spec.analysis.canaryReadyThreshold spec.analysis.alerts spec.analysis.metrics spec.analysis.webhooks
	spec.analysis.judge`)

func TestEveryFieldIsProbed(t *testing.T) {
	known := slices.Clone(elsewhere)
	for _, p := range probes {
		known = append(known, p.field)
	}
	for prefix, kind := range map[string]reflect.Type{
		"spec.":          reflect.TypeFor[flaggerv1.CanarySpec](),
		"spec.service.":  reflect.TypeFor[flaggerv1.CanaryService](),
		"spec.analysis.": reflect.TypeFor[flaggerv1.CanaryAnalysis](),
	} {
		for i := range kind.NumField() {
			name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
			if !slices.Contains(known, prefix+name) {
				t.Errorf("%s%s: say in probes what it is, or that it is no router's business", prefix, name)
			}
		}
	}
}

// TestTheMatrixIsDocumented asks every router about every field: it is honoured or
// refused by its name, and docs/routers/README.md says which.
func TestTheMatrixIsDocumented(t *testing.T) {
	golden.CompareBlock(t, "../../docs/routers/README.md", "matrix", matrix(t))
}

// TestTheExamplesAreSupported reads the Canaries of docs/routers.
func TestTheExamplesAreSupported(t *testing.T) {
	pages, err := filepath.Glob("../../docs/routers/*.md")
	must(t, err)
	examples := 0
	for _, page := range pages {
		data, err := os.ReadFile(page)
		must(t, err)
		for i, block := range strings.Split(string(data), "```") {
			yml, ok := strings.CutPrefix(block, "yaml\n")
			if !ok || i%2 == 0 || !strings.Contains(block, "kind: Canary\n") {
				continue
			}
			examples++
			c := &flaggerv1.Canary{}
			if err := yaml.UnmarshalStrict([]byte(yml), c); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if c.Spec.Provider == "" {
				continue // the controller's own
			}
			r, err := router.New(c.Spec.Provider, router.Deps{})
			must(t, err)
			if err := r.Supports(c); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
	if examples < 10 {
		t.Errorf("only %d examples in %v", examples, pages)
	}
}

// TestEveryProviderIsOnAPage collects the first tables of the pages, one row each.
func TestEveryProviderIsOnAPage(t *testing.T) {
	const columns, line = "| provider | what it writes | where the weight is | A/B by |", "|---|---|---|---|"
	pages, err := filepath.Glob("../../docs/routers/[a-z]*.md")
	must(t, err)
	var named []string
	var table strings.Builder
	table.WriteString(columns + " |\n" + line + "---|\n")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		must(t, err)
		_, rest, ok := strings.Cut(string(text), "\n"+columns+"\n"+line+"\n")
		row, _, _ := strings.Cut(rest, "\n")
		cells := strings.Split(row, "|")
		if !ok || len(cells) != 6 {
			t.Errorf("%s does not begin with a table of one row: %s", page, columns)
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			named = append(named, name[1])
		}
		fmt.Fprintf(&table, "%s [page](%s) |\n", row, filepath.Base(page))
	}
	slices.Sort(named)
	if diff := cmp.Diff(provider.Nameable(), named); diff != "" {
		t.Errorf("each provider is on one page (-providers +pages):\n%s", diff)
	}
	golden.CompareBlock(t, "../../docs/routers/README.md", "providers", table.String())
}

// TestWhatARouterNeedsIsInItsRow holds the routers to the references that the API server asks for.
func TestWhatARouterNeedsIsInItsRow(t *testing.T) {
	for _, p := range probes[:4] {
		for _, name := range provider.Nameable() {
			row, _ := provider.Named(name)
			needs := slices.ContainsFunc(provider.References(), func(ref provider.Reference) bool {
				return "spec."+ref.Path == p.field && row.Needs&ref.Field != 0
			})
			if needed := ask(t, name, p.field, p.set) == "needed"; needed != needs {
				t.Errorf("%s needs %s: %v; its row says so: %v", name, p.field, needed, needs)
			}
		}
	}
}

// families are the columns: providers of one family honour the same.
func families() (names []string, of map[string][]string) {
	of = map[string][]string{}
	for _, name := range provider.Names() {
		family, _, _ := strings.Cut(name, ":")
		if family == "linkerd" || family == "osm" {
			family = "smi"
		}
		if of[family] == nil {
			names = append(names, family)
		}
		of[family] = append(of[family], name)
	}
	slices.Sort(names)
	return names, of
}

func matrix(t *testing.T) string {
	t.Helper()
	columns, of := families()
	var out strings.Builder
	fmt.Fprintf(&out, "| field | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, p := range probes {
		fmt.Fprintf(&out, "| `%s` |", strings.TrimPrefix(p.field, "spec."))
		for _, family := range columns {
			cells := map[string]bool{}
			for _, name := range of[family] {
				cells[ask(t, name, p.field, p.set)] = true
			}
			if len(cells) != 1 {
				t.Errorf("%s: the providers of %s differ: %v", p.field, family, cells)
			}
			for cell := range cells {
				fmt.Fprintf(&out, " %s |", cell)
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

// ask returns `yes`, `needed` or nothing for refused.
func ask(t *testing.T, by, field string, set func(*flaggerv1.CanarySpec)) string {
	t.Helper()
	r, err := router.New(by, router.Deps{})
	must(t, err)
	c := contract.CanaryFor(by)
	c.Spec.IngressRef, c.Spec.RouteRef, c.Spec.Service.GatewayRefs = nil, nil, nil
	if err := r.Supports(c); err != nil && strings.Contains(err.Error(), field+":") {
		return "needed"
	}
	c = contract.CanaryFor(by)
	set(&c.Spec)
	err = r.Supports(c)
	switch {
	case err == nil:
		return "yes"
	case !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), field+":"):
		t.Errorf("%s %s: want a terminal error that names the field, got %v", by, field, err)
	}
	return ""
}
