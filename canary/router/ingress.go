// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// ingressFormat is what nginx and skipper have in common: beside the Ingress of
// spec.ingressRef, which is never touched, there is a copy of it that is called
// `<ingress>-canary` and carries the weights. The copy follows the original, also
// in its annotations: another class or body size must hold for both.
type ingressFormat struct{}

var ingressBackend = backendNameAt("backend", "service", "name")

func (ingressFormat) object(c *flaggerv1.Canary) object.Ref {
	return ingressObject(c, ingressName(c)+"-canary")
}

func (ingressFormat) originField() string { return "spec.ingressRef" }

func (ingressFormat) origin(c *flaggerv1.Canary) object.Ref { return ingressObject(c, ingressName(c)) }

func ingressObject(c *flaggerv1.Canary, name string) object.Ref {
	return object.NewRef(networkingv1.SchemeGroupVersion.WithKind("Ingress"), c.Namespace, name)
}

func ingressName(c *flaggerv1.Canary) string {
	if c.Spec.IngressRef == nil {
		return ""
	}
	return c.Spec.IngressRef.Name
}

// copyOrigin starts the copy over from the original; mine says which annotations
// are not the original's to give. What others added to the copy stays.
func copyOrigin(d draft, mine func(key string) bool) {
	addLabels(d, d.from.GetLabels())
	annotations := map[string]string{}
	for key, value := range d.GetAnnotations() {
		if !mine(key) {
			annotations[key] = value
		}
	}
	for key, value := range d.from.GetAnnotations() {
		if !mine(key) && !strings.HasPrefix(key, "kubectl.kubernetes.io/") {
			annotations[key] = value
		}
	}
	d.SetAnnotations(annotations)
	object.DisableFlux(d)
	spec, _ := d.from.Object["spec"].(entry)
	d.Object["spec"] = runtime.DeepCopyJSON(spec)
}

// isCopy implements [copyFormat]: a copy leads to the canary, and Flux is kept off it.
func (ingressFormat) isCopy(live *unstructured.Unstructured, c *flaggerv1.Canary) (leads bool) {
	_, _, canary := c.ServiceNames()
	eachPath(live, func(paths []entry) []entry {
		leads = leads || findEntry(paths, ingressBackend, canary) != nil
		return paths
	})
	return leads || object.FluxIsDisabled(live)
}

// eachPath calls edit with the paths of every rule and keeps what it returns.
func eachPath(o *unstructured.Unstructured, edit func([]entry) []entry) {
	for _, rule := range object.List(o.Object, "spec", "rules") {
		if paths := object.List(rule, "http", "paths"); len(paths) > 0 {
			object.Put(rule, edit(paths), "http", "paths")
		}
	}
}

// notInIngress is an error that the owner of the Ingress may yet mend.
func notInIngress(c *flaggerv1.Canary, service string) error {
	return fmt.Errorf("spec.ingressRef: %w: no rule of Ingress %s has Service %s as its backend", errOrigin, ingressName(c), service)
}

// redirect sends the paths of one Service to another, and says how many.
func redirect(o *unstructured.Unstructured, from, to string) int {
	count := 0
	eachPath(o, func(paths []entry) []entry {
		for _, path := range paths {
			if ingressBackend(path) == from {
				object.Put(path, to, "backend", "service", "name")
				count++
			}
		}
		return paths
	})
	return count
}
