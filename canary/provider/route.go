// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// The kinds of routes of the Gateway API that weights are in.
const (
	HTTPRoute = "HTTPRoute"
	GRPCRoute = "GRPCRoute"
)

// Route names the route of the Gateway API that has the weights of a canary: the owner's, or the one that is made. version
// is that of the API.
func Route(c *flaggerv1.Canary, version string) (kind schema.GroupVersionKind, name string) {
	name, _, _ = c.ServiceNames()
	if ref := c.Spec.HTTPRouteRef; ref != nil {
		name = ref.Name
	}
	return RouteOf(KindOfRoute(c), version), name
}

// RouteOf is a kind of routes in a version of the API. A GRPCRoute has no version but v1.
func RouteOf(kind, version string) schema.GroupVersionKind {
	if kind == GRPCRoute {
		version = gatewayv1.GroupVersion.Version
	}
	return schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: version, Kind: kind}
}

// KindOfRoute is HTTPRoute unless the owner asks for a GRPCRoute. The application
// protocol does not: Flagger makes HTTPRoutes for gRPC too, which also carry what
// else comes to the port, and routes of both kinds for one host contend.
func KindOfRoute(c *flaggerv1.Canary) string {
	kind := c.Spec.Service.RouteKind
	if ref := c.Spec.HTTPRouteRef; ref != nil {
		kind = ref.Kind
	}
	if kind == "" {
		return HTTPRoute
	}
	return kind
}
