// SPDX-License-Identifier: Apache-2.0

package router

import (
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// smi is a provider that implements the Service Mesh Interface: a TrafficSplit
// with the name of the apex, whose weights hold for requests to the root Service.
// Which version of it is served depends on the mesh: Linkerd's extension knows
// v1alpha1, Open Service Mesh v1alpha2.
type smi struct{ provider, version string }

func newSMI(provider, version string) func(Deps) Router {
	return func(d Deps) Router { return singleObject{d, smi{provider: provider, version: version}} }
}

var smiBackend = backendNameAt("service")

func (s smi) object(c *flaggerv1.Canary) object.Ref {
	apex, _, _ := c.ServiceNames()
	kind := schema.GroupVersionKind{Group: "split.smi-spec.io", Version: s.version, Kind: "TrafficSplit"}
	return object.NewRef(kind, c.Namespace, apex)
}

func (s smi) render(d draft, w provider.Weights) error {
	apex, primary, canary := d.canary.ServiceNames()
	root := apex
	if hosts := d.canary.Spec.Service.Hosts; len(hosts) > 0 {
		root = hosts[0]
	}
	object.Put(d.Object, root, "spec", "service")
	live := object.List(d.Object, "spec", "backends")
	object.Put(d.Object, []entry{
		s.entry(liveEntry(live, smiBackend, canary, primary), canary, w.Canary),
		s.entry(liveEntry(live, smiBackend, primary, canary), primary, w.Primary),
	}, "spec", "backends")
	return nil
}

// entry writes the weight as the version has it: v1alpha1 has quantities.
func (s smi) entry(e entry, service string, weight int) entry {
	e["service"], e["weight"] = service, any(int64(weight))
	if s.version == "v1alpha1" {
		e["weight"] = strconv.Itoa(weight)
	}
	return e
}

func (s smi) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error) {
	_, primary, canary := c.ServiceNames()
	w, ok := weightsIn(object.List(live.Object, "spec", "backends"), smiBackend, primary, canary)
	if !ok {
		return provider.ToPrimary, nil
	}
	return w, nil
}

func (s smi) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, primary, canary := c.ServiceNames()
	e := liveEntry(object.List(live.Object, "spec", "backends"), smiBackend, primary, canary)
	object.Put(live.Object, []entry{s.entry(e, apex, provider.ToPrimary.Primary)}, "spec", "backends")
	return nil
}

// Supports refuses what a TrafficSplit cannot say.
func (s smi) Supports(c *flaggerv1.Canary) error {
	if len(c.Spec.Service.Hosts) > 1 {
		return terminal("spec.service.hosts: provider %s has one host, the root Service of the TrafficSplit; leave one", s.provider)
	}
	return nil
}
