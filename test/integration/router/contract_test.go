// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/contract"
	"github.com/sluice-cd/sluice/test/env"
	"github.com/sluice-cd/sluice/test/harness"
)

// testdata is that of the routers, which has the CRDs of their proxies.
const testdata = "../../../canary/router/testdata"

// TestARealServerKeepsEveryRouterToTheContract repeats the suite where schemas,
// defaults and resource versions are real. It also meets a cluster without the
// proxies' CRDs, unless another test has installed them.
func TestARealServerKeepsEveryRouterToTheContract(t *testing.T) {
	p := playground(t)
	must(t, p.Install(t.Context()))
	for _, name := range provider.Names() {
		t.Run("without CRDs/"+name, func(t *testing.T) { meetWithoutCRDs(t, p, name) })
	}
	installCRDs(t, p)
	for _, name := range provider.Names() {
		if name == "linkerd" || name == "osm" {
			continue // are smi:v1alpha1 and smi:v1alpha2
		}
		t.Run(name, func(t *testing.T) {
			if row, _ := provider.Named(name); row.Routing != provider.ByRequest {
				t.Skip("moves nobody, or a controller of Kubernetes answers to every write, so that it has a test of its own")
			}
			namespace, apps := newNamespace(t, p), 0
			contract.Run(t, name, func(t *testing.T) *contract.Fixture {
				apps++
				return newFixture(t, p, name, namespace, fmt.Sprintf("app-%d", apps))
			})
		})
	}
}

func playground(t *testing.T) *harness.Playground {
	t.Helper()
	env.Require(t)
	p, err := harness.FromEnv()
	must(t, err)
	return p
}

func installCRDs(t *testing.T, p *harness.Playground) {
	t.Helper()
	files, err := filepath.Glob(testdata + "/crds/*.yaml")
	must(t, err)
	for _, file := range files {
		must(t, p.ApplyFile(t.Context(), file))
	}
	must(t, p.Install(t.Context())) // waits for all of them
}

// newFixture creates the Canary too: what it owns would else be collected.
func newFixture(t *testing.T, p *harness.Playground, name, namespace, app string) *contract.Fixture {
	t.Helper()
	if strings.Contains(name, "kuma") { // its routes are those of the whole cluster
		app += "-" + namespace
	}
	f := contract.New(t, name, p.Client, namespace, app)
	f.Canary.UID, f.Collected = "", true
	f.Canary.Spec.Suspend = true // not for a controller that may run here
	must(t, p.Client.Create(t.Context(), f.Canary))
	t.Cleanup(func() {
		for _, o := range f.Objects(f.Canary) {
			if o.Namespace == "" { // goes with no namespace
				left := &unstructured.Unstructured{}
				left.SetGroupVersionKind(o.GroupVersionKind)
				left.SetName(o.Name)
				_ = p.Client.Delete(context.Background(), left)
			}
		}
	})
	return f
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
	row, _ := provider.Named(name)
	if _, err := os.Stat(filepath.Join(testdata, "crds", row.Family()+".yaml")); err != nil {
		t.Skip("needs none, or has them already")
	}
	f := &contract.Fixture{T: t, Provider: row, Example: contract.Examples[name], Cluster: p.Client, Canary: contract.CanaryFor(name)}
	f.Router = f.RouterOver(p.Client)
	if strings.Contains(f.Example.Given, "apiVersion: v1\n") {
		f.Canary.Namespace = newNamespace(t, p)
		f.Create(f.Example.Given)
	}
	if _, err := f.Weights(t.Context(), f.Canary); err == nil || !strings.Contains(err.Error(), "install the CRDs") {
		t.Skipf("another test has installed them: %v", err)
	}
	f.SaysWhatToInstall()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
