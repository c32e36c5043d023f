// SPDX-License-Identifier: Apache-2.0

package v1beta3

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AlertKind is the kind of [Alert].
const AlertKind = "Alert"

// Severities of events, and of alerts.
const (
	SeverityInfo  = "info"
	SeverityError = "error"
)

// EventSource selects the objects whose events are told.
type EventSource struct {
	// APIVersion of the objects. It is not compared.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the objects. Canary and Pipeline are a Sluice extension.
	// +kubebuilder:validation:Enum=Bucket;GitRepository;Kustomization;HelmRelease;HelmChart;HelmRepository;ImageRepository;ImagePolicy;ImageUpdateAutomation;OCIRepository;ArtifactGenerator;ExternalArtifact;Canary;Pipeline
	// +required
	Kind string `json:"kind"`

	// Name of the object; * is all of the kind.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// Namespace of the objects. Defaults to that of the Alert.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// MatchLabels are labels that the objects have to have.
	// +optional
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// AlertSpec selects events, and says who is told of them.
type AlertSpec struct {
	// ProviderRef names the Provider of the same namespace.
	// +required
	ProviderRef meta.LocalObjectReference `json:"providerRef"`

	// EventSeverity is error for what failed, info for all.
	// +kubebuilder:validation:Enum=info;error
	// +kubebuilder:default:=info
	// +optional
	EventSeverity string `json:"eventSeverity,omitempty"`

	// EventSources select the objects that the events are about.
	// +required
	EventSources []EventSource `json:"eventSources"`

	// InclusionList are regular expressions, one of which the message has to match.
	// +optional
	InclusionList []string `json:"inclusionList,omitempty"`

	// EventMetadata is added to the metadata of the events.
	// +optional
	EventMetadata map[string]string `json:"eventMetadata,omitempty"`

	// ExclusionList are regular expressions, none of which the message may match.
	// +optional
	ExclusionList []string `json:"exclusionList,omitempty"`

	// Summary is metadata of that name. Deprecated by Flux in favour of eventMetadata.
	// +kubebuilder:validation:MaxLength:=255
	// +optional
	Summary string `json:"summary,omitempty"`

	// Suspend drops the events.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// Alert says which events a Provider is told.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=flux"
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:resource:categories=all;fluxcd;fluxcd-notifications
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description=""
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status",description=""
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].message",description=""
type Alert struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AlertSpec `json:"spec,omitempty"`
	// Status is a Sluice extension. It has no default: where Flux's notification-controller
	// serves the object, nobody writes one, and who waits for it must not wait for that.
	Status Status `json:"status,omitzero"`
}

// GetConditions returns the conditions of the status.
func (in *Alert) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions sets the conditions of the status.
func (in *Alert) SetConditions(conditions []metav1.Condition) { in.Status.Conditions = conditions }

// AlertList is a list of Alerts.
//
// +kubebuilder:object:root=true
type AlertList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Alert `json:"items"`
}
