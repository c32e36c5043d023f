// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"bytes"
	"cmp"
	"os"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/canary/provider"
)

// byAll is what every release writes, or one of those that are rolled back.
var byAll = []string{
	"flagger.app/canaries", "flagger.app/canaries/status", "flagger.app/canaries/finalizers",
	"apps/controllerrevisions", "/services", "/pods",
}

// TestNothingMayBeWrittenThatNoReleaseWrites needs no cluster: it compares the rules of
// config/rbac/canary.yaml with the targets, autoscalers and routes of the releases,
// which TestEveryKindIsReleasedWithTheRoles carries out.
func TestNothingMayBeWrittenThatNoReleaseWrites(t *testing.T) {
	written, providers := map[string]bool{}, map[string]bool{}
	write := func(kind schema.GroupVersionKind) {
		resource, _ := meta.UnsafeGuessKindToResource(kind)
		written[resource.Group+"/"+resource.Resource] = true
	}
	for _, resource := range byAll {
		written[resource] = true
	}
	for name, r := range releases {
		for _, object := range r.objects(t, name) {
			write(object.GroupVersionKind())
		}
		routedBy, routes := r.routes(t, name)
		providers[family(routedBy)] = true
		for _, object := range routes {
			write(object.GroupVersionKind)
		}
	}
	for _, resource := range writable(t) {
		if !written[resource] {
			t.Errorf("%s may be written, and no release of kinds_test.go does", resource)
		}
	}
	for _, name := range provider.Names() {
		if p, _ := provider.Named(name); !providers[family(p)] {
			t.Errorf("no release of kinds_test.go is routed by %s", name)
		}
	}
}

// family is what providers with the same objects have in common.
func family(p provider.Provider) string { return cmp.Or(p.Product, p.Name) }

// writable are the resources, after their group, that config/rbac/canary.yaml lets be
// made, changed or deleted.
func writable(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("../../../config/rbac/canary.yaml")
	must(t, err)
	role := &rbacv1.ClusterRole{}
	first, _, _ := bytes.Cut(data, []byte("\n---\n"))
	must(t, yaml.UnmarshalStrict(first, role))
	var resources []string
	for _, rule := range role.Rules {
		if !slices.ContainsFunc(rule.Verbs, func(verb string) bool { return !slices.Contains([]string{"get", "list", "watch"}, verb) }) {
			continue
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				resources = append(resources, group+"/"+resource)
			}
		}
	}
	return resources
}
