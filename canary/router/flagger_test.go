// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

// recording is what Flagger 1.44.0 wrote for a canary, each time after its router
// had set weights. testdata/flagger was recorded with Flagger's own routers on
// its own fake clients; the objects of the owner are given.
type recording struct {
	Canary       *flaggerv1.Canary           `json:"canary"`
	IngressClass string                      `json:"ingressClass"`
	Given        []map[string]any            `json:"given"`
	Written      map[string][]map[string]any `json:"written"`
}

func recordings(t *testing.T) map[string]recording {
	t.Helper()
	files, err := filepath.Glob("testdata/flagger/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	out := map[string]recording{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		var r recording
		data, err = yaml.YAMLToJSONStrict(data)
		must(t, err)
		must(t, utiljson.Unmarshal(data, &r)) // with whole numbers, as clients have them
		out[strings.TrimSuffix(filepath.Base(file), ".yaml")] = r
	}
	return out
}

// better are the differences on purpose, by the name of the recording. Each edits
// what we wrote to what Flagger would have.
var better = map[string]func(o *unstructured.Unstructured){
	// Users who were not chosen keep a route: in Flagger they have none.
	"gloo-ab": func(o *unstructured.Unstructured) {
		if routes, ok, _ := unstructured.NestedSlice(o.Object, "spec", "routes"); ok {
			_ = unstructured.SetNestedSlice(o.Object, routes[:1], "spec", "routes")
		}
	},
	// Users who were not chosen have a route with a weight: in Flagger it has that
	// of the primary among the chosen ones, which comes to 0. Chosen ones are among those of the
	// service: in Flagger their headers take the place of all of its own.
	"istio-ab": func(o *unstructured.Unstructured) {
		routes, ok, _ := unstructured.NestedSlice(o.Object, "spec", "http")
		if !ok {
			return
		}
		chosen, rest := routes[0].(map[string]any)["route"].([]any), routes[1].(map[string]any)["route"].([]any)
		rest[0].(map[string]any)["weight"] = chosen[0].(map[string]any)["weight"]
		for _, m := range routes[0].(map[string]any)["match"].([]any) {
			if headers, ok := m.(map[string]any)["headers"].(map[string]any); ok && len(headers) > 1 {
				delete(headers, "x-replaced")
			}
		}
		_ = unstructured.SetNestedSlice(o.Object, routes, "spec", "http")
	},
	// Flux keeps its hands off the copy from the beginning.
	"skipper": func(o *unstructured.Unstructured) {
		annotations := o.GetAnnotations()
		maps.DeleteFunc(annotations, func(key, _ string) bool { return strings.Contains(key, "toolkit.fluxcd.io") })
		o.SetAnnotations(annotations)
	},
}

// TestWhatWeWriteIsWhatFlaggerWrites is one half of a takeover in either
// direction: who reads the same objects finds the same weights.
func TestWhatWeWriteIsWhatFlaggerWrites(t *testing.T) {
	for name, r := range recordings(t) {
		for _, step := range steps(r) {
			t.Run(name+" "+step.name, func(t *testing.T) {
				cluster := contract.Cluster(t)
				for _, o := range r.Given {
					must(t, cluster.Create(t.Context(), &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o)}))
				}
				ours := newRouter(t, r, cluster)
				must(t, ours.Supports(r.Canary))
				must(t, ours.Reconcile(t.Context(), r.Canary))
				must(t, ours.SetWeights(t.Context(), r.Canary, step.weights))
				matches(t, cluster, name, r.Written[step.name])
			})
		}
	}
}

// TestTakingOverFromFlaggerMovesNobody starts with Flagger's objects, at any
// weight.
func TestTakingOverFromFlaggerMovesNobody(t *testing.T) {
	for name, r := range recordings(t) {
		for _, step := range steps(r) {
			t.Run(name+" "+step.name, func(t *testing.T) {
				cluster := contract.Cluster(t)
				for _, o := range slices.Concat(r.Given, r.Written[step.name]) {
					must(t, cluster.Create(t.Context(), &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o)}))
				}
				ours := newRouter(t, r, cluster)
				wantWeights(t, ours, r.Canary, step.weights)
				must(t, ours.Reconcile(t.Context(), r.Canary))
				wantWeights(t, ours, r.Canary, step.weights)
				matches(t, cluster, name, r.Written[step.name])
			})
		}
	}
}

// matches compares what is in a cluster with what Flagger wrote.
func matches(t *testing.T, cluster client.Client, name string, written []map[string]any) {
	t.Helper()
	for _, theirs := range written {
		want := normal(&unstructured.Unstructured{Object: theirs})
		got := &unstructured.Unstructured{}
		got.SetGroupVersionKind(want.GroupVersionKind())
		must(t, cluster.Get(t.Context(), client.ObjectKeyFromObject(want), got))
		if edit := better[name]; edit != nil {
			edit(got)
		}
		if diff := cmp.Diff(want.Object, normal(got).Object); diff != "" {
			t.Errorf("%s %s (-Flagger's +ours):\n%s", want.GetKind(), want.GetName(), diff)
		}
	}
}

type step struct {
	name    string
	weights provider.Weights
}

// steps are the weights that were recorded. nginx has no percentages of the users
// whom an A/B test chooses.
func steps(r recording) []step {
	var out []step
	for name := range r.Written {
		var w provider.Weights
		if _, err := fmt.Sscanf(name, "%d/%d", &w.Primary, &w.Canary); err != nil {
			continue
		}
		if r.Canary.Spec.Provider == "nginx" && len(r.Canary.Spec.Analysis.Match) > 0 && w.Primary > 0 && w.Canary > 0 {
			continue
		}
		out = append(out, step{name, w})
	}
	return out
}

func newRouter(t *testing.T, r recording, cluster client.Client) router.Router {
	t.Helper()
	out, err := router.New(r.Canary.Spec.Provider, router.Deps{Client: cluster, IngressClass: r.IngressClass})
	must(t, err)
	return out
}

// normal is an object without what the API server adds and without weights of
// zero, which Flagger leaves out. The order of an A/B test's headers is random
// there.
func normal(o *unstructured.Unstructured) *unstructured.Unstructured {
	o = &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o.Object)}
	o.SetResourceVersion("")
	delete(o.Object, "status")
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			if w, ok := v["weight"]; ok && fmt.Sprint(w) == "0" {
				delete(v, "weight")
			}
			if headers, ok := v["headers"].([]any); ok {
				slices.SortFunc(headers, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(o.Object)
	return o
}
