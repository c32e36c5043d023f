// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

var (
	glooTable    = schema.GroupVersionKind{Group: "gateway.solo.io", Version: "v1", Kind: "RouteTable"}
	glooUpstream = schema.GroupVersionKind{Group: "gloo.solo.io", Version: "v1", Kind: "Upstream"}
)

// glooSettings are what is copied from the Upstream of spec.upstreamRef.
var glooSettings = []string{
	"labels", "sslConfig", "circuitBreakers", "connectionConfig", "loadBalancerConfig",
	"useHttp2", "initialStreamWindowSize", "initialConnectionWindowSize", "httpProxyHostname",
}

// gloo is the provider of that name: a RouteTable with the name of the apex, which
// a VirtualService of the owner's delegates to, and an Upstream for either copy,
// because a cluster may have Gloo's discovery of Services turned off.
type gloo struct{ singleObject }

func newGloo(d Deps) Router { return gloo{singleObject{d, glooFormat{}}} }

// Reconcile writes the Upstreams and the RouteTable around its weights.
func (g gloo) Reconcile(ctx context.Context, c *flaggerv1.Canary) error {
	if err := g.writeUpstreams(ctx, c); err != nil {
		return err
	}
	return g.singleObject.Reconcile(ctx, c)
}

// SetWeights writes everything, and the weights also when the Upstreams cannot be
// written: users have to be taken off a bad canary.
func (g gloo) SetWeights(ctx context.Context, c *flaggerv1.Canary, w provider.Weights) error {
	return errors.Join(g.writeUpstreams(ctx, c), g.singleObject.SetWeights(ctx, c, w))
}

func (g gloo) writeUpstreams(ctx context.Context, c *flaggerv1.Canary) error {
	var settings entry
	if config, ok := glooConfig(c); ok {
		read, err := g.read(ctx, config)
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("spec.upstreamRef: Upstream %s %w; create it, or correct the reference", config, object.ErrMissing)
		}
		if err != nil {
			return fmt.Errorf("spec.upstreamRef: %w", err)
		}
		settings, _ = read.Object["spec"].(entry)
	}
	_, primary, canary := c.ServiceNames()
	names := glooNames(c)
	for service, upstream := range map[string]string{primary: names.primary, canary: names.canary} {
		live, err := g.read(ctx, object.NewRef(corev1.SchemeGroupVersion.WithKind("Service"), c.Namespace, service))
		if err != nil {
			return err
		}
		err = g.write(ctx, c, glooObject(c, upstream), func(o *unstructured.Unstructured) error {
			renderUpstream(o, c, live, settings)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func renderUpstream(o *unstructured.Unstructured, c *flaggerv1.Canary, service *unstructured.Unstructured, settings entry) {
	if settings != nil {
		for _, key := range glooSettings {
			if value, ok := settings[key]; ok {
				object.Put(o.Object, value, "spec", key)
			} else {
				unstructured.RemoveNestedField(o.Object, "spec", key)
			}
		}
	}
	object.Put(o.Object, service.GetName(), "spec", "kube", "serviceName")
	object.Put(o.Object, c.Namespace, "spec", "kube", "serviceNamespace")
	object.Put(o.Object, int64(c.Spec.Service.Port), "spec", "kube", "servicePort")
	if selector, ok := object.Nested(service.Object, "spec", "selector").(entry); ok {
		object.Put(o.Object, selector, "spec", "kube", "selector")
	}
}

// Finalize gives the primary's Upstream to the apex Service. It stays with a
// RouteTable that was there before the canary.
func (g gloo) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	table, err := g.read(ctx, g.object(c))
	if apierrors.IsNotFound(err) || errors.Is(err, ErrNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	apex, _, _ := c.ServiceNames()
	err = g.handBack(ctx, c, glooObject(c, glooNames(c).primary), func(o *unstructured.Unstructured, _ *flaggerv1.Canary) error {
		object.Put(o.Object, apex, "spec", "kube", "serviceName")
		unstructured.RemoveNestedField(o.Object, "spec", "kube", "selector")
		if !metav1.IsControlledBy(table, c) {
			o.SetOwnerReferences(slices.DeleteFunc(o.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == c.UID }))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.singleObject.Finalize(ctx, c)
}

// Objects are the RouteTable, the two Upstreams and the one with the settings.
func (g gloo) Objects(c *flaggerv1.Canary) []object.Ref {
	names := glooNames(c)
	objects := append(g.singleObject.Objects(c), glooObject(c, names.primary), glooObject(c, names.canary))
	if config, ok := glooConfig(c); ok {
		objects = append(objects, config)
	}
	return objects
}

func glooObject(c *flaggerv1.Canary, upstream string) object.Ref {
	return object.NewRef(glooUpstream, c.Namespace, upstream)
}

func glooConfig(c *flaggerv1.Canary) (object.Ref, bool) {
	ref := c.Spec.UpstreamRef
	if ref == nil {
		return object.Ref{}, false
	}
	key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	if key.Namespace == "" {
		key.Namespace = c.Namespace
	}
	return object.NewRef(glooUpstream, key.Namespace, key.Name), true
}

// upstreams are the names of Upstreams; apex is what Gloo's discovery calls that
// of the apex Service.
type upstreams struct{ apex, primary, canary string }

func glooNames(c *flaggerv1.Canary) upstreams {
	apex, _, _ := c.ServiceNames()
	name := func(middle string) string {
		return fmt.Sprintf("%s-%s-%s%d", c.Namespace, apex, middle, c.Spec.Service.Port)
	}
	return upstreams{apex: name(""), primary: name("primaryupstream-"), canary: name("canaryupstream-")}
}
