// SPDX-License-Identifier: Apache-2.0

package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MetricTemplateKind is the kind of [MetricTemplate].
const MetricTemplateKind = "MetricTemplate"

// MetricTemplateSpec says where to ask, and what.
type MetricTemplateSpec struct {
	// Provider says where to ask.
	// +required
	Provider MetricTemplateProvider `json:"provider,omitempty"`

	// Query is a Go template of the query. It may call name, namespace, target,
	// service, ingress, route, interval and variables.
	// +required
	Query string `json:"query,omitempty"`

	// Counters are what spec.analysis.judge of a Canary compares, if it is to judge
	// this metric. Sluice extension.
	// +optional
	Counters *MetricTemplateCounters `json:"counters,omitempty"`
}

// MetricTemplateCounters are two queries of a Prometheus server, each of which returns a counter for
// each pod, such as `sum by (pod) (jobs_failed_total{pod=~"{{ pods }}"})`: no rates, since
// the judge has to see when one begins again. They are filled in once for the canary and once for
// the primary, and may call what Query may; pods are those of the arm then. Besides
// there are arm, which is `canary` or `primary`, and workload, the name of the arm's workload.
type MetricTemplateCounters struct {
	// Events counts what is bad: failed jobs, rejected messages, slow requests.
	// +kubebuilder:validation:MinLength=1
	// +required
	Events string `json:"events,omitempty"`

	// Exposure counts all that an event could have happened to, the events
	// included: jobs, messages, requests.
	// +kubebuilder:validation:MinLength=1
	// +required
	Exposure string `json:"exposure,omitempty"`
}

// MetricTemplateProvider is a metrics server.
type MetricTemplateProvider struct {
	// Type of the server. `web` asks any URL that answers in JSON: the query is
	// appended to the address (Sluice extension).
	// +kubebuilder:validation:Enum=prometheus;influxdb;datadog;externalmetrics;stackdriver;cloudwatch;newrelic;graphite;dynatrace;keptn;splunk;web
	// +required
	Type string `json:"type,omitempty"`

	// Address of the server.
	// +optional
	Address string `json:"address,omitempty"`

	// Headers to send.
	// +optional
	Headers map[string][]string `json:"headers,omitempty"`

	// SecretRef names the Secret with the credentials.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// JSONPath picks the number out of the answer of a web provider, such as
	// `{.data.errorRate}`. Sluice extension.
	// +optional
	JSONPath string `json:"jsonPath,omitempty"`

	// Region of the server.
	// +optional
	Region string `json:"region,omitempty"`

	// InsecureSkipVerify accepts any certificate.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// MetricTemplateStatus has only conditions.
type MetricTemplateStatus struct {
	// Conditions of the object.
	// +optional
	Conditions []CanaryCondition `json:"conditions,omitempty"`
}

// MetricTemplate is a query that Canaries share.
//
// +kubebuilder:storageversion
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=all
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider.type`
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
type MetricTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec MetricTemplateSpec `json:"spec"`
	// +optional
	Status MetricTemplateStatus `json:"status,omitempty"`
}

// MetricTemplateList is a list of MetricTemplates.
//
// +kubebuilder:object:root=true
type MetricTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []MetricTemplate `json:"items"`
}
