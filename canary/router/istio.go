// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// istioVersion is the one that Flagger writes; every Istio since 1.5 serves it.
var istioVersion = schema.GroupVersion{Group: "networking.istio.io", Version: "v1beta1"}

// Annotations that know what a VirtualService was before it was taken over:
// kubectl's, or else the one that Flagger has for it.
const (
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
	original    = "flagger.kubernetes.io/original-configuration"
)

// istio is the provider `istio`: a VirtualService named like the apex Service
// carries the weights, and a DestinationRule for each copy the traffic policy.
//
//	VirtualService app -+- weight 80 -> app-primary <- DestinationRule app-primary
//	                    +- weight 20 -> app-canary  <- DestinationRule app-canary
//
// A VirtualService that was there before is taken over whole, as Flagger does: the
// first route that matches wins, so a rule of somebody else before the canary's
// would take its users. Its spec is kept in an annotation and comes back in the
// end. Routes of one's own go into a root VirtualService that delegates to this
// one (spec.service.delegation).
type istio struct {
	Deps
}

func newIstio(d Deps) Router { return istio{d} }

// Reconcile makes the DestinationRules, and the VirtualService from the spec
// around the weights that it carries now.
func (i istio) Reconcile(ctx context.Context, c *flaggerv1.Canary) error {
	_, primary, canary := c.ServiceNames()
	for _, host := range []string{canary, primary} {
		if err := i.reconcileRule(ctx, c, host); err != nil {
			return err
		}
	}
	return i.render(ctx, c, func(live []rule) provider.Weights {
		if w := hostsOf(c).weightsOf(live, c); w.Primary+w.Canary > 0 {
			return w
		}
		return provider.ToPrimary
	})
}

// SetWeights writes the whole VirtualService with the given weights.
func (i istio) SetWeights(ctx context.Context, c *flaggerv1.Canary, w provider.Weights) error {
	return i.render(ctx, c, func([]rule) provider.Weights { return w })
}

// Weights are taken at their word: Istio says nothing about who has them.
func (i istio) Weights(ctx context.Context, c *flaggerv1.Canary) (provider.Weights, error) {
	vs, err := i.read(ctx, virtualService(c))
	if err != nil {
		return provider.Weights{}, err
	}
	return hostsOf(c).weightsOf(routesOf(vs, c), c), nil
}

// Finalize gives a VirtualService that was there before its spec back. One that
// the canary created goes with it.
func (i istio) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	vs, err := i.read(ctx, virtualService(c))
	if apierrors.IsNotFound(err) || errors.Is(err, ErrNotInstalled) || err == nil && i.needsNoHandBack(vs, c) {
		return nil
	}
	if err != nil {
		return err
	}
	return i.write(ctx, c, virtualService(c), func(vs *unstructured.Unstructured) error { return restore(vs, c) })
}

// Objects are the VirtualService and the DestinationRules.
func (istio) Objects(c *flaggerv1.Canary) []object.Ref {
	_, primary, canary := c.ServiceNames()
	return []object.Ref{virtualService(c), destinationRule(c, primary), destinationRule(c, canary)}
}

func virtualService(c *flaggerv1.Canary) object.Ref {
	apex, _, _ := c.ServiceNames()
	return object.NewRef(istioVersion.WithKind("VirtualService"), c.Namespace, apex)
}

func destinationRule(c *flaggerv1.Canary, host string) object.Ref {
	return object.NewRef(istioVersion.WithKind("DestinationRule"), c.Namespace, host)
}

// reconcileRule makes the DestinationRule of one copy. Subsets that somebody else
// added stay.
func (i istio) reconcileRule(ctx context.Context, c *flaggerv1.Canary, host string) error {
	return i.write(ctx, c, destinationRule(c, host), func(dr *unstructured.Unstructured) error {
		is := object.Text(dr.Object, "spec", "host")
		if err := checkPlace(dr, c, func() bool { return is == host || strings.HasPrefix(is, host+"."+c.Namespace+".") }); err != nil {
			return err
		}
		if err := unstructured.SetNestedField(dr.Object, host, "spec", "host"); err != nil {
			return err
		}
		raw := c.Spec.Service.TrafficPolicy
		if raw == nil || len(raw.Raw) == 0 {
			unstructured.RemoveNestedField(dr.Object, "spec", "trafficPolicy")
			return nil
		}
		policy, err := parseObject(raw.Raw)
		if err != nil {
			return terminal("spec.service.trafficPolicy: %w", err)
		}
		return unstructured.SetNestedMap(dr.Object, policy, "spec", "trafficPolicy")
	})
}

// render writes the VirtualService with the weights that weigh makes of its live
// routes.
func (i istio) render(ctx context.Context, c *flaggerv1.Canary, weigh func([]rule) provider.Weights) error {
	return i.write(ctx, c, virtualService(c), func(vs *unstructured.Unstructured) error {
		w := weigh(routesOf(vs, c))
		if err := keepOriginal(vs, c); err != nil {
			return err
		}
		if apex := c.Spec.Service.Apex; apex != nil && len(apex.Labels) > 0 {
			vs.SetLabels(object.Merge(vs.GetLabels(), apex.Labels))
		}
		vs.SetAnnotations(object.Merge(vs.GetAnnotations(), annotations(c)))
		return renderVirtualService(vs, c, w)
	})
}

// keepOriginal keeps the spec of a VirtualService that somebody else made, once: what
// is there later is the canary's own, which Flagger then takes for the original.
func keepOriginal(vs *unstructured.Unstructured, c *flaggerv1.Canary) error {
	was := vs.GetAnnotations()
	if vs.GetResourceVersion() == "" || metav1.IsControlledBy(vs, c) || was[lastApplied] != "" || was[original] != "" {
		return nil
	}
	spec, err := json.Marshal(vs.Object["spec"])
	if err != nil {
		return fmt.Errorf("keeping the spec of VirtualService %s: %w", client.ObjectKeyFromObject(vs), err)
	}
	vs.SetAnnotations(object.Merge(was, map[string]string{original: string(spec)}))
	return nil
}

// restore undoes [keepOriginal]. Where nothing usable was kept, the routes go to the
// apex Service: the canary's Services will not be there any more.
func restore(vs *unstructured.Unstructured, c *flaggerv1.Canary) error {
	kept := vs.GetAnnotations()
	spec, ok := keptSpec(kept)
	if !ok {
		return releaseVirtualService(vs, c)
	}
	delete(kept, original)
	vs.SetAnnotations(kept)
	object.EnableFlux(vs)
	vs.Object["spec"] = spec
	return nil
}

// keptSpec is the spec before the canary, if one was kept.
func keptSpec(annotations map[string]string) (map[string]any, bool) {
	applied, err := parseObject([]byte(annotations[lastApplied]))
	if spec, ok := applied["spec"].(map[string]any); err == nil && ok {
		return spec, true
	}
	spec, err := parseObject([]byte(annotations[original]))
	return spec, err == nil
}

// parseObject reads JSON with the number types of Kubernetes objects.
func parseObject(data []byte) (map[string]any, error) {
	var out map[string]any
	if err := utiljson.Unmarshal(data, &out); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, errors.New("not an object")
	}
	return out, nil
}
