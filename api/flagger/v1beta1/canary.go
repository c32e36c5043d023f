// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CanaryKind is the kind of [Canary].
const CanaryKind = "Canary"

// CanarySpec says what to release, how its traffic is routed and what decides.
// What a provider cannot do at all is refused here when the Canary names it; the
// rest, and what the controller's own setting cannot do, by the condition Ready.
//
// +sluice:providers=rules
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || !(self.provider in ['nginx', 'skipper']) || has(self.ingressRef)",message="providers nginx and skipper need ingressRef, the Ingress that users come through"
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || !(self.provider == 'apisix') || has(self.routeRef)",message="provider apisix needs routeRef, the ApisixRoute that users come through"
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || self.provider.startsWith('gatewayapi:') || !has(self.httpRouteRef)",message="only the gatewayapi providers have httpRouteRef"
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || self.provider in ['contour', 'gloo', 'istio', 'kubernetes', 'nginx'] || self.provider.startsWith('gatewayapi:') || !has(self.analysis) || !has(self.analysis.match) || self.analysis.match.size() == 0",message="this provider cannot choose users by analysis.match; contour, gatewayapi, gloo, istio and nginx can"
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || self.provider == 'istio' || self.provider.startsWith('gatewayapi:') || !has(self.analysis) || !has(self.analysis.mirror) || !self.analysis.mirror",message="this provider has no analysis.mirror; gatewayapi and istio have"
// +kubebuilder:validation:XValidation:rule="!has(self.provider) || self.provider == 'istio' || self.provider.startsWith('gatewayapi:') || !has(self.analysis) || !has(self.analysis.sessionAffinity)",message="this provider has no analysis.sessionAffinity; gatewayapi and istio have"
// +sluice:end
type CanarySpec struct {
	// Provider names what routes the traffic. Defaults to the controller's
	// setting.
	// +sluice:providers=names
	// +kubebuilder:validation:Enum=apisix;appmesh;appmesh:v1beta2;contour;gatewayapi:v1;gatewayapi:v1beta1;gloo;istio;knative;kubernetes;kuma;linkerd;nginx;osm;skipper;smi:v1alpha1;smi:v1alpha2;smi:v1alpha3;traefik
	// +sluice:end
	// +optional
	Provider string `json:"provider,omitempty"`

	// MetricsServer is the address of the Prometheus server that the built-in
	// metrics are read from. Defaults to the controller's setting.
	// +optional
	MetricsServer string `json:"metricsServer,omitempty"`

	// TargetRef names the workload to release: a Deployment, a DaemonSet, a
	// Service, a Knative Service (kind Service of serving.knative.dev/v1), or a
	// StatefulSet (Sluice extension), which is released pod by pod.
	// +kubebuilder:validation:XValidation:rule="has(self.apiVersion) && has(self.kind) && self.kind in ['DaemonSet', 'Deployment', 'Service', 'StatefulSet']",message="apiVersion and kind are required, and kind is DaemonSet, Deployment, Service or StatefulSet"
	// +required
	TargetRef LocalObjectReference `json:"targetRef"`

	// AutoscalerRef names the autoscaler of the workload.
	// +optional
	AutoscalerRef *AutoscalerReference `json:"autoscalerRef,omitempty"`

	// IngressRef names the Ingress to route with, for providers that use one.
	// +kubebuilder:validation:XValidation:rule="has(self.apiVersion) && has(self.kind) && self.kind == 'Ingress'",message="apiVersion and kind are required, and kind is Ingress"
	// +optional
	IngressRef *LocalObjectReference `json:"ingressRef,omitempty"`

	// RouteRef names the ApisixRoute to route with.
	// +kubebuilder:validation:XValidation:rule="has(self.apiVersion) && has(self.kind) && self.kind == 'ApisixRoute'",message="apiVersion and kind are required, and kind is ApisixRoute"
	// +optional
	RouteRef *LocalObjectReference `json:"routeRef,omitempty"`

	// UpstreamRef names the Gloo Upstream whose settings are copied.
	// +kubebuilder:validation:XValidation:rule="has(self.apiVersion) && has(self.kind) && self.kind == 'Upstream'",message="apiVersion and kind are required, and kind is Upstream"
	// +optional
	UpstreamRef *CrossNamespaceObjectReference `json:"upstreamRef,omitempty"`

	// HTTPRouteRef names an HTTPRoute, or a GRPCRoute, of your own (Gateway API
	// only). Its rules that send traffic to the apex Service, or to the primary's
	// and the canary's, get their backends and weights from the Canary; everything
	// else stays yours. Sluice extension.
	// +kubebuilder:validation:XValidation:rule="!has(self.kind) || self.kind in ['HTTPRoute', 'GRPCRoute']",message="kind is HTTPRoute or GRPCRoute"
	// +optional
	HTTPRouteRef *LocalObjectReference `json:"httpRouteRef,omitempty"`

	// Service describes the Services and the route to make. Without it the target
	// is a worker: it gets no Services and no users, and is judged by its metrics
	// and webhooks alone (Sluice extension).
	// +optional
	Service CanaryService `json:"service"`

	// Analysis says how the next version is tried, and what decides.
	// +required
	Analysis *CanaryAnalysis `json:"analysis,omitempty"`

	// ProgressDeadlineSeconds is how long a workload may take to become ready.
	// Defaults to 600.
	// +optional
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`

	// SkipAnalysis promotes the next version as soon as it is ready.
	// +optional
	SkipAnalysis bool `json:"skipAnalysis,omitempty"`

	// RevertOnDeletion gives the workload its replicas and its Service back when
	// the Canary is deleted.
	// +optional
	RevertOnDeletion bool `json:"revertOnDeletion,omitempty"`

	// Suspend stops everything where it is, also in the middle of an analysis.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// Canary releases the versions of one workload step by step. What it releases, and
// what has its users, cannot be edited while a release is under way.
//
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.status) && (has(oldSelf.status.canaryWeight) && oldSelf.status.canaryWeight > 0 || has(oldSelf.status.phase) && oldSelf.status.phase in ['Progressing', 'WaitingPromotion', 'Promoting', 'Finalising'])) || (has(self.spec.provider) ? [self.spec.provider] : []) == (has(oldSelf.spec.provider) ? [oldSelf.spec.provider] : []) && (has(self.spec.service) && has(self.spec.service.name) ? [self.spec.service.name] : []) == (has(oldSelf.spec.service) && has(oldSelf.spec.service.name) ? [oldSelf.spec.service.name] : []) && (has(self.spec.ingressRef) && has(self.spec.ingressRef.name) ? [self.spec.ingressRef.name] : []) == (has(oldSelf.spec.ingressRef) && has(oldSelf.spec.ingressRef.name) ? [oldSelf.spec.ingressRef.name] : []) && (has(self.spec.routeRef) && has(self.spec.routeRef.name) ? [self.spec.routeRef.name] : []) == (has(oldSelf.spec.routeRef) && has(oldSelf.spec.routeRef.name) ? [oldSelf.spec.routeRef.name] : []) && (has(self.spec.httpRouteRef) && has(self.spec.httpRouteRef.name) ? [self.spec.httpRouteRef.name] : []) == (has(oldSelf.spec.httpRouteRef) && has(oldSelf.spec.httpRouteRef.name) ? [oldSelf.spec.httpRouteRef.name] : []) && self.spec.targetRef == oldSelf.spec.targetRef",message="targetRef, provider, service.name, ingressRef, routeRef and httpRouteRef cannot change while a release is under way: its users would be left where they are; let it end, or abort it"
// +kubebuilder:storageversion
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=all
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Weight",type=string,JSONPath=`.status.canaryWeight`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`,priority=1
// +kubebuilder:printcolumn:name="FailedChecks",type=string,JSONPath=`.status.failedChecks`,priority=1
// +kubebuilder:printcolumn:name="Interval",type=string,JSONPath=`.spec.analysis.interval`,priority=1
// +kubebuilder:printcolumn:name="Mirror",type=boolean,JSONPath=`.spec.analysis.mirror`,priority=1
// +kubebuilder:printcolumn:name="StepWeight",type=string,JSONPath=`.spec.analysis.stepWeight`,priority=1
// +kubebuilder:printcolumn:name="StepWeights",type=string,JSONPath=`.spec.analysis.stepWeights`,priority=1
// +kubebuilder:printcolumn:name="MaxWeight",type=string,JSONPath=`.spec.analysis.maxWeight`,priority=1
// +kubebuilder:printcolumn:name="LastTransitionTime",type=string,JSONPath=`.status.lastTransitionTime`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
type Canary struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec CanarySpec `json:"spec"`
	// +optional
	Status CanaryStatus `json:"status,omitempty"`
}

// CanaryList is a list of Canaries.
//
// +kubebuilder:object:root=true
type CanaryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []Canary `json:"items"`
}
