package router_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestARealServerKeepsEveryRouterToTheContract repeats the suite where schemas,
// defaults and resource versions are real. It also meets a cluster without the
// proxies' CRDs, unless another test has installed them.
func TestARealServerKeepsEveryRouterToTheContract(t *testing.T) {
	p, err := harness.FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.Install(t.Context()))
	for _, name := range router.Names() {
		t.Run("without CRDs/"+name, func(t *testing.T) { meetWithoutCRDs(t, p, name) })
	}
	files, err := filepath.Glob("testdata/crds/*.yaml")
	must(t, err)
	for _, file := range files {
		must(t, p.ApplyFile(t.Context(), file))
	}
	must(t, p.Install(t.Context())) // waits for all of them
	for _, name := range router.Names() {
		if name == "linkerd" || name == "osm" {
			continue // are smi:v1alpha1 and smi:v1alpha2
		}
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, p)
			for i, clause := range slices.Sorted(maps.Keys(contract)) {
				t.Run(clause, func(t *testing.T) {
					if subjects[name].still || subjects[name].busy {
						t.Skip("moves nobody, or has a test of its own")
					}
					contract[clause](newServerTrial(t, p, name, namespace, fmt.Sprintf("app-%d", i)))
				})
			}
		})
	}
}

// newServerTrial creates the canary too: what it owns would else be collected.
func newServerTrial(t *testing.T, p *harness.Playground, name, namespace, app string) *trial {
	t.Helper()
	if strings.Contains(name, "kuma") { // its routes are those of the whole cluster
		app += "-" + namespace
	}
	tr := newTrial(t, name, p.Client, namespace, app)
	tr.canary.UID, tr.collected = "", true
	tr.canary.Spec.Suspend = true // not for a controller that may run here
	must(t, p.Client.Create(t.Context(), tr.canary))
	t.Cleanup(func() {
		for _, o := range tr.Objects(tr.canary) {
			if o.Namespace == "" { // goes with no namespace
				left := &unstructured.Unstructured{}
				left.SetGroupVersionKind(o.GroupVersionKind)
				left.SetName(o.Name)
				_ = p.Client.Delete(context.Background(), left)
			}
		}
	})
	return tr
}

func newNamespace(t *testing.T, p *harness.Playground) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "router-"}}
	must(t, p.Client.Create(t.Context(), ns))
	t.Cleanup(func() { _ = p.Client.Delete(context.Background(), ns) })
	return ns.Name
}

func meetWithoutCRDs(t *testing.T, p *harness.Playground, name string) {
	t.Helper()
	s := subjects[name]
	if s.crds == "" {
		t.Skip("needs none, or has them already")
	}
	tr := &trial{T: t, subject: s, name: name, cluster: p.Client, canary: canaryFor(name)}
	tr.Router = tr.routerOver(p.Client)
	if strings.Contains(s.given, "apiVersion: v1\n") {
		tr.canary.Namespace = newNamespace(t, p)
		tr.create(s.given)
	}
	if _, err := tr.Weights(t.Context(), tr.canary); err == nil || !strings.Contains(err.Error(), "install the CRDs") {
		t.Skipf("another test has installed them: %v", err)
	}
	tr.saysWhatToInstall()
}
