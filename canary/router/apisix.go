// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

var apisixRoute = schema.GroupVersionKind{Group: "apisix.apache.org", Version: "v2", Kind: "ApisixRoute"}

// apisixPriority lets the copy of a rule win over the original. Its number is
// Flagger's.
const apisixPriority = 10000

// apisix is the provider of that name. The ApisixRoute of spec.routeRef stays as
// it is; a second one, `<route>-<apex>-canary`, has a copy of the rule for the
// apex Service with both copies of the workload as weighted backends.
type apisix struct{}

var apisixBackend = backendNameAt("serviceName")

func (apisix) object(c *flaggerv1.Canary) object.Ref {
	apex, _, _ := c.ServiceNames()
	return apisixObject(c, routeName(c)+"-"+apex+"-canary")
}

func (apisix) originField() string { return "spec.routeRef" }

func (apisix) origin(c *flaggerv1.Canary) object.Ref { return apisixObject(c, routeName(c)) }

func apisixObject(c *flaggerv1.Canary, name string) object.Ref {
	return object.NewRef(apisixRoute, c.Namespace, name)
}

func routeName(c *flaggerv1.Canary) string {
	if c.Spec.RouteRef == nil {
		return ""
	}
	return c.Spec.RouteRef.Name
}

func (apisix) render(d draft, w provider.Weights) error {
	_, primary, canary := d.canary.ServiceNames()
	rule, err := apisixRule(d)
	if err != nil {
		return err
	}
	backend := object.List(rule, "backends")[0]
	object.Put(rule, []entry{
		apisixEntry(backend, primary, w.Primary),
		apisixEntry(backend, canary, w.Canary),
	}, "backends")
	rule["priority"] = int64(apisixPriority)
	spec, _ := d.from.Object["spec"].(entry)
	spec = runtime.DeepCopyJSON(spec)
	spec["http"] = []any{rule}
	d.Object["spec"] = spec
	annotations := d.from.GetAnnotations()
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	addLabels(d, d.from.GetLabels())
	if len(annotations) > 0 {
		d.SetAnnotations(object.Merge(d.GetAnnotations(), annotations))
	}
	return nil
}

func (apisix) updateWeights(o *unstructured.Unstructured, c *flaggerv1.Canary, w provider.Weights) error {
	_, primary, canary := c.ServiceNames()
	weights, found := map[string]int{primary: w.Primary, canary: w.Canary}, 0
	for _, rule := range object.List(o.Object, "spec", "http") {
		for _, backend := range object.List(rule, "backends") {
			if weight, ours := weights[apisixBackend(backend)]; ours {
				backend["weight"] = int64(weight)
				found++
			}
		}
	}
	if found == 0 && w.Canary > 0 {
		return fmt.Errorf("spec.routeRef: %w: ApisixRoute %s leads to neither copy", errOrigin, o.GetName())
	}
	return nil
}

// isCopy implements [copyFormat]: a copy leads to both copies of the workload.
func (apisix) isCopy(live *unstructured.Unstructured, c *flaggerv1.Canary) bool {
	_, primary, canary := c.ServiceNames()
	return slices.ContainsFunc(object.List(live.Object, "spec", "http"), func(rule entry) bool {
		backends := object.List(rule, "backends")
		return findEntry(backends, apisixBackend, primary) != nil || findEntry(backends, apisixBackend, canary) != nil
	})
}

// apisixRule returns a copy of the rule for the apex Service.
func apisixRule(d draft) (entry, error) {
	apex, _, _ := d.canary.ServiceNames()
	for _, rule := range object.List(d.from.Object, "spec", "http") {
		backends := object.List(rule, "backends")
		if findEntry(backends, apisixBackend, apex) == nil {
			continue
		}
		if len(backends) != 1 {
			return nil, fmt.Errorf("spec.routeRef: %w: rule %s of ApisixRoute %s has other backends than Service %s",
				errOrigin, object.Text(rule, "name"), routeName(d.canary), apex)
		}
		return runtime.DeepCopyJSON(rule), nil
	}
	return nil, fmt.Errorf("spec.routeRef: %w: no rule of ApisixRoute %s has Service %s as its backend", errOrigin, routeName(d.canary), apex)
}

func apisixEntry(like entry, service string, weight int) entry {
	e := maps.Clone(like)
	e["serviceName"], e["weight"] = service, int64(weight)
	return e
}

func (apisix) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error) {
	_, primary, canary := c.ServiceNames()
	for _, rule := range object.List(live.Object, "spec", "http") {
		if w, ok := weightsIn(object.List(rule, "backends"), apisixBackend, primary, canary); ok {
			return w, nil
		}
	}
	return provider.ToPrimary, nil
}

func (apisix) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, primary, canary := c.ServiceNames()
	for _, rule := range object.List(live.Object, "spec", "http") {
		backends := object.List(rule, "backends")
		if findEntry(backends, apisixBackend, primary) != nil || findEntry(backends, apisixBackend, canary) != nil {
			object.Put(rule, []entry{apisixEntry(liveEntry(backends, apisixBackend, primary, canary), apex, provider.ToPrimary.Primary)},
				"backends")
		}
	}
	return nil
}

// notAccepted implements [statusFormat]: the condition has another name in each major
// version of the controller.
func (apisix) notAccepted(live *unstructured.Unstructured) *NotAccepted {
	conditions := object.List(live.Object, "status", "conditions")
	for _, kind := range []string{"ResourcesAvailable", "Accepted"} {
		if refused := conditionNotAccepted(live, conditions, kind, "APISIX"); refused != nil {
			return refused
		}
	}
	return nil
}
