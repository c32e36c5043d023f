// SPDX-License-Identifier: Apache-2.0

package v1beta1

// CanaryRouting is what of a Canary's spec names its routes.
type CanaryRouting struct {
	// Provider that wrote them.
	// +required
	Provider string `json:"provider"`

	// TargetRef is the target that they were written for.
	// +required
	TargetRef LocalObjectReference `json:"targetRef"`

	// Service that users call, and its Port.
	// +required
	Service string `json:"service"`
	// +optional
	Port int32 `json:"port,omitempty"`

	// RouteKind is the kind of the routes of spec.service.
	// +optional
	RouteKind string `json:"routeKind,omitempty"`

	// IngressRef is the reference to the Ingress of the spec.
	// +optional
	IngressRef *LocalObjectReference `json:"ingressRef,omitempty"`

	// RouteRef is the reference to the route of the spec.
	// +optional
	RouteRef *LocalObjectReference `json:"routeRef,omitempty"`

	// HTTPRouteRef is the reference to the HTTPRoute of the spec.
	// +optional
	HTTPRouteRef *LocalObjectReference `json:"httpRouteRef,omitempty"`
}

// RoutingBy returns what names the routes of a Canary that a provider writes.
func (in *Canary) RoutingBy(provider string) *CanaryRouting {
	apex, _, _ := in.ServiceNames()
	spec := in.Spec.DeepCopy()
	return &CanaryRouting{
		Provider: provider, TargetRef: spec.TargetRef, Service: apex, Port: spec.Service.Port, RouteKind: spec.Service.RouteKind,
		IngressRef: spec.IngressRef, RouteRef: spec.RouteRef, HTTPRouteRef: spec.HTTPRouteRef,
	}
}

// WithRouting returns a copy of a Canary whose spec names these routes.
func (in *Canary) WithRouting(r *CanaryRouting) *Canary {
	out, r := in.DeepCopy(), r.DeepCopy()
	out.Spec.Provider, out.Spec.TargetRef = r.Provider, r.TargetRef
	out.Spec.Service.Name, out.Spec.Service.Port, out.Spec.Service.RouteKind = r.Service, r.Port, r.RouteKind
	out.Spec.IngressRef, out.Spec.RouteRef, out.Spec.HTTPRouteRef = r.IngressRef, r.RouteRef, r.HTTPRouteRef
	return out
}
