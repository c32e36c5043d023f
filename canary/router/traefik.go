// SPDX-License-Identifier: Apache-2.0

package router

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

var traefikService = schema.GroupVersionKind{Group: "traefik.io", Version: "v1alpha1", Kind: "TraefikService"}

// traefik is the provider of that name: a weighted TraefikService with the name
// of the apex, which an IngressRoute of the owner's refers to. A TraefikService
// sees no request, so that there is nothing to match with. The canary is left out
// while it has no weight, as Flagger does.
type traefik struct{}

var traefikBackend = backendNameAt("name")

func (traefik) object(c *flaggerv1.Canary) object.Ref {
	apex, _, _ := c.ServiceNames()
	return object.NewRef(traefikService, c.Namespace, apex)
}

func (traefik) render(d draft, w provider.Weights) error {
	_, primary, canary := d.canary.ServiceNames()
	live := object.List(d.Object, "spec", "weighted", "services")
	services := []entry{traefikEntry(d.canary, liveEntry(live, traefikBackend, primary, canary), primary, w.Primary)}
	if w.Canary > 0 {
		services = append(services, traefikEntry(d.canary, liveEntry(live, traefikBackend, canary, primary), canary, w.Canary))
	}
	apexMetadata(d)
	object.Put(d.Object, services, "spec", "weighted", "services")
	return nil
}

// traefikEntry spells out a weight of zero: without one, Traefik assumes 1.
func traefikEntry(c *flaggerv1.Canary, e entry, name string, weight int) entry {
	e["name"], e["namespace"] = name, c.Namespace
	e["port"], e["weight"] = int64(c.Spec.Service.Port), int64(weight)
	return e
}

func (traefik) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error) {
	_, primary, canary := c.ServiceNames()
	w, ok := weightsIn(object.List(live.Object, "spec", "weighted", "services"), traefikBackend, primary, canary)
	if !ok {
		return provider.ToPrimary, nil
	}
	return w, nil
}

func (traefik) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, primary, canary := c.ServiceNames()
	e := liveEntry(object.List(live.Object, "spec", "weighted", "services"), traefikBackend, primary, canary)
	object.Put(live.Object, []entry{traefikEntry(c, e, apex, provider.ToPrimary.Primary)}, "spec", "weighted", "services")
	return nil
}
