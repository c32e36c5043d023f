// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"fmt"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/test/harness"
)

// installProxies applies the CRDs of everything that may be routed or scaled with. Kinds of which canary/router/testdata has
// none get one that takes any object: the rights are the same.
func installProxies(t *testing.T, p *harness.Playground) {
	t.Helper()
	root, err := harness.Root()
	must(t, err)
	files, err := filepath.Glob(filepath.Join(root, "canary", "router", "testdata", "crds", "*.yaml"))
	must(t, err)
	for _, file := range append(files, filepath.Join(root, "test", "integration", "workload", "testdata", "keda.yaml")) {
		must(t, p.ApplyFile(t.Context(), file))
	}
	must(t, p.Install(t.Context())) // waits for all of them
	for name, r := range releases {
		_, routes := r.routes(t, name)
		for _, route := range routes {
			if _, err := p.Client.RESTMapper().RESTMapping(route.GroupKind(), route.Version); meta.IsNoMatchError(err) {
				must(t, p.Apply(t.Context(), []byte(anyObject(route))))
			}
		}
	}
	must(t, p.Install(t.Context()))
}

// anyObject is a CRD of the kind of an object.
func anyObject(o object.Ref) string {
	resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind)
	scope := "Namespaced"
	if o.Namespace == "" {
		scope = "Cluster"
	}
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %s}
spec:
  group: %s
  names: {kind: %s, plural: %s}
  scope: %s
  versions:
  - {name: %s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`, resource.GroupResource(), o.Group, o.Kind, resource.Resource, scope, o.Version)
}
