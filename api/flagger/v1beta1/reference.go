// SPDX-License-Identifier: Apache-2.0

package v1beta1

import "strings"

// LocalObjectReference names an object of the same namespace.
type LocalObjectReference struct {
	// APIVersion of the object.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the object.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Name of the object.
	// +required
	Name string `json:"name"`
}

// Identity is kind and name, `Deployment/podinfo`, with the group of kinds that are
// not Kubernetes' own: the version of its API makes no other object of one.
func (r LocalObjectReference) Identity() string {
	kind := r.Kind
	if group, _, _ := strings.Cut(r.APIVersion, "/"); strings.Contains(group, ".") {
		kind += "." + group
	}
	return kind + "/" + r.Name
}

// CrossNamespaceObjectReference names an object, perhaps of another namespace.
type CrossNamespaceObjectReference struct {
	// APIVersion of the object.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the object.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Name of the object.
	// +required
	Name string `json:"name"`

	// Namespace of the object. Defaults to that of the Canary.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// SecretReference names a Secret of the same namespace.
type SecretReference struct {
	// Name of the Secret.
	// +required
	Name string `json:"name,omitempty"`
}

// AutoscalerReference names the autoscaler of the workload. The primary gets a
// copy of it.
//
// +kubebuilder:validation:XValidation:rule="has(self.apiVersion) && has(self.kind)",message="apiVersion and kind are required"
type AutoscalerReference struct {
	// APIVersion of the autoscaler.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the autoscaler.
	// +kubebuilder:validation:Enum=HorizontalPodAutoscaler;ScaledObject
	// +optional
	Kind string `json:"kind,omitempty"`

	// Name of the autoscaler.
	// +required
	Name string `json:"name"`

	// PrimaryScalerQueries replaces queries in the primary's ScaledObject, by the
	// id of their trigger.
	// +optional
	PrimaryScalerQueries map[string]string `json:"primaryScalerQueries,omitzero"`

	// PrimaryScalerReplicas replaces the bounds in the primary's copy.
	// +optional
	PrimaryScalerReplicas *ScalerReplicas `json:"primaryScalerReplicas,omitempty"`
}

// ScalerReplicas are the bounds of an autoscaler.
type ScalerReplicas struct {
	// MinReplicas is the lower bound.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// MaxReplicas is the upper bound.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
}
