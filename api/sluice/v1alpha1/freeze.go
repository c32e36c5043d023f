// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FreezeKind is the kind of [Freeze].
const FreezeKind = "Freeze"

// FreezeSpec says which pipelines stop, and when.
type FreezeSpec struct {
	// PipelineSelector selects pipelines by their labels. Defaults to all.
	// +optional
	PipelineSelector *metav1.LabelSelector `json:"pipelineSelector,omitempty"`

	// NamespaceSelector selects the namespaces of pipelines by their labels. Defaults to
	// all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Stages are the names of the stages that it is about. Defaults to all.
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	// +optional
	Stages []string `json:"stages,omitempty"`

	// Windows are the times of the freeze; of kind Allow they are the only times when
	// the pipelines are not frozen.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +required
	Windows []Window `json:"windows"`

	// Reason is told to those who wait.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Reason string `json:"reason,omitempty"`
}

// FreezeStatus says whether the freeze is in force.
type FreezeStatus struct {
	// ObservedGeneration is the generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Active means that the pipelines are frozen now.
	// +optional
	Active bool `json:"active,omitempty"`

	// Window is the name of the window that says so.
	// +optional
	Window string `json:"window,omitempty"`

	// NextChange is when active changes next.
	// +optional
	NextChange *metav1.Time `json:"nextChange,omitempty"`

	// Pipelines is how many pipelines are selected.
	// +optional
	Pipelines int32 `json:"pipelines,omitempty"`

	// Conditions: Ready, Reconciling, Stalled.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Freeze stops the promotions of selected pipelines, whoever owns those.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=flux"
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Active",type=boolean,JSONPath=`.status.active`
// +kubebuilder:printcolumn:name="Window",type=string,JSONPath=`.status.window`
// +kubebuilder:printcolumn:name="Changes",type=string,JSONPath=`.status.nextChange`
// +kubebuilder:printcolumn:name="Pipelines",type=integer,JSONPath=`.status.pipelines`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
type Freeze struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec FreezeSpec `json:"spec,omitempty"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status FreezeStatus `json:"status,omitempty"`
}

// GetConditions returns the conditions of the status.
func (in *Freeze) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions sets the conditions of the status.
func (in *Freeze) SetConditions(conditions []metav1.Condition) { in.Status.Conditions = conditions }

// FreezeList is a list of freezes.
//
// +kubebuilder:object:root=true
type FreezeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Freeze `json:"items"`
}
