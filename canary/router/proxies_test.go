// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

type headerMatch = map[string]flaggerv1.StringMatch

// choose makes an A/B test of one entry for each set of headers.
func choose(entries ...headerMatch) func(*flaggerv1.CanarySpec) {
	return func(s *flaggerv1.CanarySpec) {
		for _, headers := range entries {
			s.Analysis.Match = append(s.Analysis.Match, flaggerv1.HTTPMatchRequest{Headers: headers})
		}
	}
}

func TestProxiesRefuseWhatTheyCannotSay(t *testing.T) {
	exact := flaggerv1.StringMatch{Exact: "x"}
	cases := map[string]struct {
		provider, want string
		edit           func(*flaggerv1.CanarySpec)
	}{
		"nginx needs an Ingress":   {"nginx", "spec.ingressRef", func(s *flaggerv1.CanarySpec) { s.IngressRef = nil }},
		"an Ingress needs a name":  {"nginx", "spec.ingressRef", func(s *flaggerv1.CanarySpec) { s.IngressRef.Name = "" }},
		"Skipper needs an Ingress": {"skipper", "spec.ingressRef", func(s *flaggerv1.CanarySpec) { s.IngressRef = nil }},
		"APISIX needs a route":     {"apisix", "spec.routeRef", func(s *flaggerv1.CanarySpec) { s.RouteRef = nil }},
		"Traefik has no use for a route": {
			"traefik",
			"spec.routeRef",
			func(s *flaggerv1.CanarySpec) { s.RouteRef = &flaggerv1.LocalObjectReference{Name: "x"} },
		},
		"Traefik cannot choose users":    {"traefik", "spec.analysis.match", choose(headerMatch{"a": exact})},
		"Skipper cannot choose users":    {"skipper", "spec.analysis.match", choose(headerMatch{"a": exact})},
		"Kuma cannot choose users":       {"kuma", "spec.analysis.match", choose(headerMatch{"a": exact})},
		"APISIX cannot choose users":     {"apisix", "spec.analysis.match", choose(headerMatch{"a": exact})},
		"SMI cannot choose users":        {"smi:v1alpha3", "spec.analysis.match", choose(headerMatch{"a": exact})},
		"SMI has one root Service":       {"osm", "spec.service.hosts", func(s *flaggerv1.CanarySpec) { s.Service.Hosts = []string{"a", "b"} }},
		"nginx takes two headers for or": {"nginx", "spec.analysis.match[0].headers", choose(headerMatch{"a": exact, "cookie": exact})},
		"nginx has room for one header": {
			"nginx",
			"spec.analysis.match[1].headers[b]",
			choose(headerMatch{"a": exact}, headerMatch{"b": exact}),
		},
		"nginx has room for one cookie": {
			"nginx",
			"spec.analysis.match[1].headers[cookie]",
			choose(headerMatch{"cookie": exact}, headerMatch{"cookie": exact}),
		},
		"nginx needs a cookie's name":     {"nginx", "spec.analysis.match[0].headers[cookie]", choose(headerMatch{"cookie": {Regex: "x"}})},
		"nginx needs something to choose": {"nginx", "spec.analysis.match[0].headers", choose(headerMatch{})},
		"nginx has chosen users or a percentage": {"nginx", "spec.analysis.match", func(s *flaggerv1.CanarySpec) {
			choose(headerMatch{"a": exact})(s)
			s.Analysis.Iterations, s.Analysis.StepWeight = 0, 10
		}},
		"nginx cannot match a path": {"nginx", "spec.analysis.match[0].uri", func(s *flaggerv1.CanarySpec) {
			choose(headerMatch{"a": exact})(s)
			s.Analysis.Match[0].URI = &exact
		}},
		"Contour cannot match a method": {"contour", "spec.analysis.match[0].method", func(s *flaggerv1.CanarySpec) {
			choose(headerMatch{"a": exact})(s)
			s.Analysis.Match[0].Method = &exact
		}},
		"Contour cannot match a regex":     {"contour", "spec.analysis.match[0].headers[a]", choose(headerMatch{"a": {Regex: "x"}})},
		"Contour needs a header to choose": {"contour", "spec.analysis.match[1].headers", choose(headerMatch{"a": exact}, nil)},
		"Contour has one prefix": {
			"contour",
			"spec.service.match[1]",
			func(s *flaggerv1.CanarySpec) { s.Service.Match = make([]flaggerv1.HTTPMatchRequest, 2) },
		},
		"Contour has a prefix only": {"contour", "spec.service.match[0].uri", func(s *flaggerv1.CanarySpec) {
			s.Service.Match = []flaggerv1.HTTPMatchRequest{{URI: &exact}}
		}},
		"Contour's prefix is for all methods": {"contour", "spec.service.match[0].method", func(s *flaggerv1.CanarySpec) {
			s.Service.Match = []flaggerv1.HTTPMatchRequest{{URI: &flaggerv1.StringMatch{Prefix: "/"}, Method: &exact}}
		}},
		"Contour's timeout is a duration": {"contour", "spec.service.timeout", func(s *flaggerv1.CanarySpec) { s.Service.Timeout = "soon" }},
		"Gloo matches an exact method": {"gloo", "spec.analysis.match[0].method", func(s *flaggerv1.CanarySpec) {
			s.Analysis.Match = []flaggerv1.HTTPMatchRequest{{Method: &flaggerv1.StringMatch{Regex: "G.*"}}}
		}},
		"Gloo needs something to choose": {"gloo", "spec.analysis.match[0]", choose(nil)},
		"Gloo cannot match a caller": {"gloo", "spec.analysis.match[0].sourceLabels", func(s *flaggerv1.CanarySpec) {
			s.Analysis.Match = []flaggerv1.HTTPMatchRequest{{SourceLabels: map[string]string{"a": "b"}}}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, tc.provider, tc.edit, tc.want)
		})
	}
}

func TestNginxChoosesUsersByAnnotation(t *testing.T) {
	cases := map[string]struct {
		edit func(*flaggerv1.CanarySpec)
		want map[string]string
	}{
		"an exact header": {choose(headerMatch{"x-user": {Exact: "a.b"}}), map[string]string{"by-header": "x-user", "by-header-value": "a.b"}},
		"a regex":         {choose(headerMatch{"x-user": {Regex: "a.*"}}), map[string]string{"by-header": "x-user", "by-header-pattern": "a.*"}},
		"a prefix": {
			choose(headerMatch{"x-user": {Prefix: "a.b"}}),
			map[string]string{"by-header": "x-user", "by-header-pattern": `^a\.b`},
		},
		"a suffix": {
			choose(headerMatch{"x-user": {Suffix: "a.b"}}),
			map[string]string{"by-header": "x-user", "by-header-pattern": `a\.b$`},
		},
		"always": {choose(headerMatch{"x-user": {}}), map[string]string{"by-header": "x-user"}},
		"a header or a cookie": {choose(headerMatch{"x-user": {Exact: "a"}}, headerMatch{"Cookie": {Exact: "canary"}}),
			map[string]string{"by-header": "x-user", "by-header-value": "a", "by-cookie": "canary"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tr := contract.New(t, "nginx", contract.Cluster(t))
			tc.edit(&tr.Canary.Spec)
			must(t, tr.Supports(tr.Canary))
			for _, w := range []provider.Weights{{Canary: 100}, {Primary: 100}} {
				tr.Start(w)
				want := map[string]string{"": "true", "weight": "0"}
				if w.Canary > 0 {
					maps.Copy(want, tc.want)
				}
				got := map[string]string{}
				for key, value := range tr.Made()[0].GetAnnotations() {
					if suffix, ok := strings.CutPrefix(key, "nginx.ingress.kubernetes.io/canary"); ok {
						got[strings.TrimPrefix(suffix, "-")] = value
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("annotations (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestNginxAnnotationsHaveThePrefixOfTheController(t *testing.T) {
	tr := contract.New(t, "nginx", contract.Cluster(t))
	r, err := router.New("nginx", router.Deps{Client: tr.Cluster, IngressAnnotations: "edge.example.com"})
	must(t, err)
	tr.Router = r
	tr.Start(provider.Weights{Primary: 80, Canary: 20})
	tr.Wants(provider.Weights{Primary: 80, Canary: 20})
	if got := tr.Made()[0].GetAnnotations()["edge.example.com/canary-weight"]; got != "20" {
		t.Errorf("want 20 percent, got %q", got)
	}
}

func TestACopyFollowsItsOriginal(t *testing.T) {
	for _, by := range []string{"apisix", "nginx", "skipper"} {
		t.Run(by, func(t *testing.T) {
			tr := contract.New(t, by, contract.Cluster(t))
			tr.Start(provider.Weights{Primary: 80, Canary: 20})
			for key, o := range tr.All() {
				if tr.Given[key] {
					o.SetAnnotations(contract.Merged(o.GetAnnotations(), "example.com/body-size", "16m"))
					must(t, unstructured.SetNestedField(o.Object, "another", "spec", "ingressClassName"))
					must(t, tr.Cluster.Update(t.Context(), o))
				}
			}
			must(t, tr.Reconcile(t.Context(), tr.Canary))
			tr.Wants(provider.Weights{Primary: 80, Canary: 20})
			made := tr.Made()[0]
			class, _, _ := unstructured.NestedString(made.Object, "spec", "ingressClassName")
			if made.GetAnnotations()["example.com/body-size"] != "16m" || class != "another" {
				t.Errorf("the copy stayed behind: %s", contract.AsJSON(made))
			}
			if text := contract.AsJSON(made); strings.Contains(text, "last-applied") {
				t.Errorf("kubectl's memory was copied: %s", text)
			}
		})
	}
}

func TestTheOriginalMustLeadToTheApexService(t *testing.T) {
	for _, by := range []string{"apisix", "nginx", "skipper"} {
		tr := contract.New(t, by, contract.Cluster(t))
		tr.Canary.Spec.Service.Name = "another"
		err := tr.Reconcile(t.Context(), tr.Canary)
		if err == nil || !strings.Contains(err.Error(), "Service another") || errors.Is(err, reconcile.TerminalError(nil)) {
			t.Errorf("%s: want an error about the backend, which its owner may yet mend, got %v", by, err)
		}
	}
}

// TestUsersAreTakenOffTheCanaryWhateverBecameOfTheOriginal: a rollback must not
// wait for somebody to mend an Ingress.
func TestUsersAreTakenOffTheCanaryWhateverBecameOfTheOriginal(t *testing.T) {
	spoil := map[string]func(*contract.Fixture, *unstructured.Unstructured) error{
		"it was deleted": func(t *contract.Fixture, o *unstructured.Unstructured) error { return t.Cluster.Delete(t.Context(), o) },
		"it leads elsewhere": func(t *contract.Fixture, o *unstructured.Unstructured) error {
			o.Object["spec"] = map[string]any{}
			return t.Cluster.Update(t.Context(), o)
		},
	}
	for _, by := range []string{"apisix", "nginx", "skipper"} {
		for what, spoil := range spoil {
			t.Run(by+" "+what, func(t *testing.T) {
				tr := contract.New(t, by, contract.Cluster(t))
				tr.Start(provider.Weights{Primary: 70, Canary: 30})
				for key, o := range tr.All() {
					if tr.Given[key] {
						must(t, spoil(tr, o))
					}
				}
				tr.Set(provider.Weights{Primary: 100})
				tr.Wants(provider.Weights{Primary: 100})
				tr.DeleteMade()
				if err := tr.SetWeights(t.Context(), tr.Canary, provider.Weights{Canary: 100}); err == nil {
					t.Error("a copy of nothing was made")
				}
			})
		}
	}
}

func TestGlooTakesUsersOffWithoutItsSettings(t *testing.T) {
	tr := contract.New(t, "gloo", contract.Cluster(t))
	tr.Start(provider.Weights{Primary: 70, Canary: 30})
	tr.Canary.Spec.UpstreamRef = &flaggerv1.CrossNamespaceObjectReference{Name: "gone"}
	if err := tr.SetWeights(t.Context(), tr.Canary, provider.Weights{
		Primary: 100,
	}); err == nil || !strings.Contains(err.Error(), "spec.upstreamRef") {
		t.Errorf("want an error about the missing settings, got %v", err)
	}
	tr.Wants(provider.Weights{Primary: 100})
}

func TestSkipperPutsItsPredicateFirst(t *testing.T) {
	const theirs = `Host(/^app\.example\.com$/) && Method("GET")`
	cases := map[string]struct{ raw, wantOn, wantOff string }{
		"without predicates of the owner's":  {"", "Weight(100)", "False()"},
		"with predicates of the owner's":     {theirs, "Weight(100) && " + theirs, "False() && " + theirs},
		"with ours, from another controller": {theirs + "&&False() && Weight(100)", "Weight(100) && " + theirs, "False() && " + theirs},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tr := contract.New(t, "skipper", contract.Cluster(t))
			for _, o := range tr.All() {
				o.SetAnnotations(contract.Merged(o.GetAnnotations(), "zalando.org/skipper-predicate", tc.raw))
				must(t, tr.Cluster.Update(t.Context(), o))
			}
			for canary, want := range map[int]string{0: tc.wantOff, 30: tc.wantOn} {
				tr.Start(provider.Weights{Primary: 100 - canary, Canary: canary})
				if got := tr.Made()[0].GetAnnotations()["zalando.org/skipper-predicate"]; got != want {
					t.Errorf("want %s, got %s", want, got)
				}
			}
		})
	}
}

// TestContourHasARouteForEachEntryOfAMatch: Flagger puts all of them into one, with
// a prefix each, which Contour finds invalid.
func TestContourHasARouteForEachEntryOfAMatch(t *testing.T) {
	tr := contract.New(t, "contour", contract.Cluster(t))
	choose(headerMatch{"a": {Exact: "1"}, "b": {}}, headerMatch{"c": {Suffix: "3"}})(&tr.Canary.Spec)
	tr.Start(provider.Weights{Canary: 100})
	routes, _, _ := unstructured.NestedSlice(tr.Made()[0].Object, "spec", "routes")
	var got []any
	for _, route := range routes {
		got = append(got, route.(map[string]any)["conditions"])
	}
	want := []any{
		[]any{
			map[string]any{"prefix": "/", "header": map[string]any{"name": "a", "exact": "1"}},
			map[string]any{"header": map[string]any{"name": "b", "present": true}},
		},
		[]any{map[string]any{"prefix": "/", "header": map[string]any{"name": "c", "contains": "3"}}},
		[]any{map[string]any{"prefix": "/"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func TestGlooKeepsAnUpstreamForARouteTableThatStays(t *testing.T) {
	tr := contract.New(t, "gloo", contract.Cluster(t))
	tr.Start(provider.Weights{Primary: 80, Canary: 20})
	table := tr.Made()[0]
	table.SetOwnerReferences(nil)
	must(t, tr.Cluster.Update(t.Context(), table))
	must(t, tr.Finalize(t.Context(), tr.Canary))
	primary := tr.All()["Upstream/staging-app-primaryupstream-9898"]
	kube, _, _ := unstructured.NestedMap(primary.Object, "spec", "kube")
	if kube["serviceName"] != "app" || kube["selector"] != nil || len(primary.GetOwnerReferences()) > 0 {
		t.Errorf("want an Upstream of the apex Service that stays, got %v owned by %v", kube, primary.GetOwnerReferences())
	}
}

func TestGlooKeepsTheOrderOfRoutes(t *testing.T) {
	tr := contract.New(t, "gloo", contract.Cluster(t))
	tr.Start(provider.Weights{Primary: 100})
	table := tr.Made()[0]
	routes, _, _ := unstructured.NestedSlice(table.Object, "spec", "routes")
	first, last := map[string]any{"options": map[string]any{"timeout": "1s"}}, map[string]any{"options": map[string]any{"timeout": "2s"}}
	must(t, unstructured.SetNestedSlice(table.Object, []any{first, routes[0], last}, "spec", "routes"))
	must(t, tr.Cluster.Update(t.Context(), table))
	choose(headerMatch{"a": {Exact: "1"}})(&tr.Canary.Spec)
	tr.Set(provider.Weights{Canary: 100})
	routes, _, _ = unstructured.NestedSlice(tr.Made()[0].Object, "spec", "routes")
	if len(routes) != 4 || !cmp.Equal(routes[0], any(first)) || !cmp.Equal(routes[3], any(last)) {
		t.Errorf("want the canary's routes between the others, got %v", routes)
	}
}

func TestKumaNamesTheMeshOfTheCanary(t *testing.T) {
	for _, mesh := range []string{"", "blue"} {
		tr := contract.New(t, "kuma", contract.Cluster(t))
		if mesh != "" {
			tr.Canary.Annotations = map[string]string{"kuma.io/mesh": mesh}
		}
		tr.Start(provider.Weights{Primary: 100})
		if got := tr.Made()[0].Object["mesh"]; !slices.Contains([]any{mesh, "default"}, got) || mesh != "" && got != mesh {
			t.Errorf("want mesh %q, got %v", mesh, got)
		}
	}
}
