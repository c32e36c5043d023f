// SPDX-License-Identifier: Apache-2.0

// Package object names, reads and writes objects of Kubernetes as the packages of a
// canary do it: routes, Services, workloads and their copies, most of which have no
// Go type here.
//
// Objects are edited as JSON, because the Go types of a dozen proxies would drag in
// their code, and drop fields of a newer version. The helpers of apimachinery for
// that ([k8s.io/apimachinery/pkg/apis/meta/v1/unstructured.NestedSlice] and the like)
// copy what they return, and fail where something else than an object is on the way.
// These here return the live part, so that an edit is one line, and take whatever is
// not of the right type for missing: an API server has checked the object's schema.
//
//	backends := object.List(route.Object, "spec", "backends")
//	object.Put(route.Object, append(backends, object.JSON{"service": name}), "spec", "backends")
//
// The package is on the floor below canary and its I/O packages, and does no I/O.
package object

import (
	"errors"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// ErrMissing means that an object of the owner's is not there that a route or a copy is
// made of, or that a route is written into. It passes when somebody makes it.
var ErrMissing = errors.New("does not exist")

// Ref refers to an object, whether it exists or not.
type Ref struct {
	schema.GroupVersionKind
	types.NamespacedName
}

// NewRef refers to an object of a namespace; empty is one of the cluster.
func NewRef(kind schema.GroupVersionKind, namespace, name string) Ref {
	return Ref{kind, types.NamespacedName{Namespace: namespace, Name: name}}
}

// String is the object's key as messages have it: objects of the cluster have no
// slash.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.NamespacedName.String()
}

// fluxDisabled are the annotations that keep Flux from putting back what Git says
// about an object, and from taking a copy of one for a part of its own.
var fluxDisabled = map[string]string{
	"kustomize.toolkit.fluxcd.io/reconcile": "disabled",
	"helm.toolkit.fluxcd.io/driftDetection": "disabled",
}

// FluxDisabled returns the annotations that keep Flux off an object.
func FluxDisabled() map[string]string { return maps.Clone(fluxDisabled) }

// DisableFlux keeps Flux off an object.
func DisableFlux(o metav1.Object) { o.SetAnnotations(Merge(o.GetAnnotations(), fluxDisabled)) }

// FluxIsDisabled reports whether DisableFlux was called for an object.
func FluxIsDisabled(o metav1.Object) bool {
	has := o.GetAnnotations()
	for key, value := range fluxDisabled {
		if has[key] != value {
			return false
		}
	}
	return true
}

// EnableFlux gives an object back to Flux.
func EnableFlux(o metav1.Object) {
	left := maps.Clone(o.GetAnnotations())
	for key := range fluxDisabled {
		delete(left, key)
	}
	if len(left) == 0 {
		left = nil
	}
	o.SetAnnotations(left)
}

// Merge overlays extra onto base; neither is modified. Nothing merged is nil: an empty map in
// an object would be written again and again.
func Merge(base, extra map[string]string) map[string]string {
	if len(base)+len(extra) == 0 {
		return nil
	}
	out := make(map[string]string, len(base)+len(extra))
	maps.Copy(out, base)
	maps.Copy(out, extra)
	return out
}

// OwnerReference makes a canary the controller of what it creates.
func OwnerReference(c *flaggerv1.Canary) metav1.OwnerReference {
	return *metav1.NewControllerRef(c, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind))
}

// OwnedByCanary reports whether an owner is a Canary, in any version of its API.
func OwnedByCanary(ref metav1.OwnerReference) bool {
	of, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && of.Group == flaggerv1.GroupVersion.Group && ref.Kind == flaggerv1.CanaryKind
}
