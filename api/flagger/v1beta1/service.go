// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// CanaryService describes the three Services (<name>, <name>-primary and
// <name>-canary) and the route between them.
type CanaryService struct {
	// Name of the Service that users call. Defaults to the target's name.
	// +optional
	Name string `json:"name,omitempty"`

	// Port of the Services.
	// +required
	Port int32 `json:"port"`

	// PortName is the name of that port. Defaults to http.
	// +optional
	PortName string `json:"portName,omitempty"`

	// TargetPort is the number or the name of the container's port. Defaults to
	// port.
	// +optional
	TargetPort intstr.IntOrString `json:"targetPort,omitempty"`

	// AppProtocol of the port.
	// +optional
	AppProtocol string `json:"appProtocol,omitempty"`

	// TrafficDistribution of the Services.
	// +kubebuilder:validation:Enum=PreferClose;PreferSameZone;PreferSameNode
	// +optional
	TrafficDistribution string `json:"trafficDistribution,omitempty"`

	// PortDiscovery adds the other ports of the containers to the Services.
	// +optional
	PortDiscovery bool `json:"portDiscovery"`

	// Headless makes the Services headless.
	// +optional
	Headless bool `json:"headless,omitempty"`

	// Timeout of a request.
	// +optional
	Timeout string `json:"timeout,omitempty"`

	// BackendTimeout is the timeout of one try of a request (Gateway API only).
	// +optional
	BackendTimeout string `json:"backendTimeout,omitempty"`

	// Gateways that the VirtualService is attached to (Istio only).
	// +optional
	Gateways []string `json:"gateways,omitempty"`

	// GatewayRefs are the parents of the HTTPRoute (Gateway API only).
	// +kubebuilder:validation:MaxItems=32
	// +optional
	GatewayRefs []gatewayv1.ParentReference `json:"gatewayRefs,omitempty"`

	// RouteKind is the kind of route to make (Gateway API only). Defaults to
	// HTTPRoute, which carries gRPC too. Sluice extension.
	// +kubebuilder:validation:Enum=HTTPRoute;GRPCRoute
	// +optional
	RouteKind string `json:"routeKind,omitempty"`

	// Hosts that the route answers to. Defaults to the Service's name.
	// +optional
	Hosts []string `json:"hosts,omitempty"`

	// Delegation makes a VirtualService that another one delegates to (Istio
	// only).
	// +optional
	Delegation bool `json:"delegation,omitempty"`

	// TrafficPolicy of the DestinationRules, as Istio defines it.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	TrafficPolicy *runtime.RawExtension `json:"trafficPolicy,omitempty"`

	// Match limits the route to requests that match one of these.
	// +optional
	Match []HTTPMatchRequest `json:"match,omitempty"`

	// Rewrite changes the path or the host of requests.
	// +optional
	Rewrite *HTTPRewrite `json:"rewrite,omitempty"`

	// Retries of failed requests.
	// +optional
	Retries *HTTPRetry `json:"retries,omitempty"`

	// Headers to set, add or remove.
	// +optional
	Headers *Headers `json:"headers,omitempty"`

	// Mirror sends copies of requests elsewhere (Gateway API only).
	// +optional
	Mirror []gatewayv1.HTTPRequestMirrorFilter `json:"mirror,omitempty"`

	// CorsPolicy is the cross-origin policy of the route.
	// +optional
	CorsPolicy *CorsPolicy `json:"corsPolicy,omitempty"`

	// MeshName of the App Mesh objects.
	// +optional
	MeshName string `json:"meshName,omitempty"`

	// Backends of the App Mesh objects.
	// +optional
	Backends []string `json:"backends,omitempty"`

	// Apex is metadata for the Service that users call, and for the route.
	// +optional
	Apex *CustomMetadata `json:"apex,omitempty"`

	// Primary is metadata for the <name>-primary Service.
	// +optional
	Primary *CustomMetadata `json:"primary,omitempty"`

	// Canary is metadata for the <name>-canary Service.
	// +optional
	Canary *CustomMetadata `json:"canary,omitempty"`

	// UnmanagedMetadata lists labels and annotations that others own: they are
	// neither added, changed nor removed.
	// +optional
	UnmanagedMetadata *UnmanagedMetadata `json:"unmanagedMetadata,omitempty"`
}

// CustomMetadata are labels and annotations for generated objects.
type CustomMetadata struct {
	// Labels to set.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations to set.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// UnmanagedMetadata lists keys that others own.
type UnmanagedMetadata struct {
	// Annotations to leave alone.
	// +optional
	Annotations []string `json:"annotations,omitempty"`

	// Labels to leave alone.
	// +optional
	Labels []string `json:"labels,omitempty"`
}
