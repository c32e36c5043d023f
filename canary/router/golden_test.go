package router_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/golden"
)

// rendering is testdata/<name>: in.yaml has a Canary, and perhaps objects that are
// there before it comes, want.yaml the route objects that it gets. A Canary with
// a phase gets its status.canaryWeight, any other 30 percent.
type rendering struct {
	name   string
	canary *flaggerv1.Canary
	before []*unstructured.Unstructured
}

func renderings(t *testing.T) []rendering {
	t.Helper()
	files, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var out []rendering
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		g := rendering{name: filepath.Base(filepath.Dir(file)), canary: &flaggerv1.Canary{}}
		reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
		first, err := reader.Read()
		must(t, err)
		if err := yaml.UnmarshalStrict(first, g.canary); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for {
			doc, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			object := &unstructured.Unstructured{}
			must(t, yaml.Unmarshal(doc, object))
			g.before = append(g.before, object)
		}
		out = append(out, g)
	}
	return out
}

// weights are those that the routes are rendered with.
func (g rendering) weights() provider.Weights {
	share := 30
	if g.canary.Status.Phase != "" {
		share = g.canary.Status.CanaryWeight
	}
	return provider.Weights{Primary: 100 - share, Canary: share, Mirror: g.canary.Spec.Analysis.Mirror}
}

// path is that of the expected route objects.
func (g rendering) path() string { return filepath.Join("testdata", g.name, "want.yaml") }

func TestGoldens(t *testing.T) {
	for _, g := range renderings(t) {
		t.Run(g.name, func(t *testing.T) {
			cluster := clusterWith(t)
			for _, object := range g.before {
				must(t, cluster.Create(t.Context(), object))
			}
			r := routerOf(t, g.canary.Spec.Provider, cluster)
			must(t, r.Supports(g.canary))
			must(t, r.Reconcile(t.Context(), g.canary))
			must(t, r.SetWeights(t.Context(), g.canary, g.weights()))
			var got bytes.Buffer
			for i, o := range r.Objects(g.canary) {
				object := objectOf(t, cluster, o)
				object.SetResourceVersion("")
				data, err := yaml.Marshal(object.Object)
				must(t, err)
				if i > 0 {
					got.WriteString("---\n")
				}
				got.Write(data)
			}
			golden.Compare(t, g.path(), got.Bytes())
			wantWeights(t, r, g.canary, g.weights())
		})
	}
}

// objectOf reads a route object as it is stored.
func objectOf(t *testing.T, c client.Client, o object.Ref) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(o.GroupVersionKind)
	must(t, c.Get(t.Context(), o.NamespacedName, object))
	return object
}

func routerOf(t *testing.T, by string, c client.Client) router.Router {
	t.Helper()
	r, err := router.New(by, router.Deps{Client: c})
	must(t, err)
	return r
}
