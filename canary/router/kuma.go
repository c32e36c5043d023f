// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

var kumaRoute = schema.GroupVersionKind{Group: "kuma.io", Version: "v1alpha1", Kind: "TrafficRoute"}

const (
	// kumaService is the tag by which Kuma knows a port of a Service.
	kumaService = "kuma.io/service"
	// kumaMesh is the annotation of a Canary that names its mesh, as in Flagger.
	kumaMesh = "kuma.io/mesh"
)

// kuma is the provider of that name: a TrafficRoute with the name of the apex.
// TrafficRoutes belong to the cluster, and the name that Flagger gives them does
// not say which namespace they are for; their destination does. A route for
// another namespace is refused, instead of shared. No canary can own a route
// either, so it outlives its own; all it does then is to send the apex Service's
// requests to the apex Service, and another owner may take its name.
type kuma struct{}

var kumaBackend = backendNameAt("destination", kumaService)

func (kuma) object(c *flaggerv1.Canary) object.Ref {
	apex, _, _ := c.ServiceNames()
	return object.NewRef(kumaRoute, "", apex)
}

func (kuma) render(d draft, w provider.Weights) error {
	if err := checkKuma(d.Unstructured, d.canary); err != nil {
		return err
	}
	object.Put(d.Object, meshOf(d.canary), "mesh")
	apexMetadata(d)
	apex, primary, canary := kumaTags(d.canary)
	object.Put(d.Object, []entry{kumaSelector("*")}, "spec", "sources")
	object.Put(d.Object, []entry{kumaSelector(apex)}, "spec", "destinations")
	live := object.List(d.Object, "spec", "conf", "split")
	object.Put(d.Object, []entry{
		kumaEntry(liveEntry(live, kumaBackend, primary, canary), primary, w.Primary),
		kumaEntry(liveEntry(live, kumaBackend, canary, primary), canary, w.Canary),
	}, "spec", "conf", "split")
	return nil
}

func (kuma) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error) {
	if err := checkKuma(live, c); err != nil {
		return provider.Weights{}, err
	}
	_, primary, canary := kumaTags(c)
	w, ok := weightsIn(object.List(live.Object, "spec", "conf", "split"), kumaBackend, primary, canary)
	if !ok {
		return provider.ToPrimary, nil
	}
	return w, nil
}

func (kuma) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	if err := checkKuma(live, c); err != nil {
		return err
	}
	apex, primary, canary := kumaTags(c)
	e := liveEntry(object.List(live.Object, "spec", "conf", "split"), kumaBackend, primary, canary)
	object.Put(live.Object, []entry{kumaEntry(e, apex, provider.ToPrimary.Primary)}, "spec", "conf", "split")
	return nil
}

// checkKuma refuses a route that sends anything but the canary's apex Service
// somewhere else: rewriting it would take the route from a namesake in another
// namespace, whose users would lose theirs.
func checkKuma(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, _, _ := c.ServiceNames()
	for _, destination := range object.List(live.Object, "spec", "destinations") {
		tag := object.Text(destination, "match", kumaService)
		if strings.HasPrefix(tag, fmt.Sprintf("%s_%s_svc_", apex, c.Namespace)) || kumaIdle(live, tag) {
			continue
		}
		return terminal("spec.service.name: TrafficRoute %s %w: it is for %s; such names are those of the whole cluster, choose another",
			apex, errTaken, tag)
	}
	return nil
}

// kumaIdle reports whether a route only sends a Service to itself.
func kumaIdle(live *unstructured.Unstructured, tag string) bool {
	split := object.List(live.Object, "spec", "conf", "split")
	return len(split) == 1 && kumaBackend(split[0]) == tag
}

func kumaSelector(service string) entry {
	return entry{"match": entry{kumaService: service}}
}

func kumaEntry(e entry, service string, weight int) entry {
	e["weight"], e["destination"] = int64(weight), entry{kumaService: service}
	return e
}

// kumaTags are Kuma's names of the three Services.
func kumaTags(c *flaggerv1.Canary) (apex, primary, canary string) {
	tag := func(service string) string {
		return fmt.Sprintf("%s_%s_svc_%d", service, c.Namespace, c.Spec.Service.Port)
	}
	apex, primary, canary = c.ServiceNames()
	return tag(apex), tag(primary), tag(canary)
}

func meshOf(c *flaggerv1.Canary) string {
	if mesh := c.Annotations[kumaMesh]; mesh != "" {
		return mesh
	}
	return "default"
}
