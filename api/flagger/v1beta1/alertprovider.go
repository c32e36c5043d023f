// SPDX-License-Identifier: Apache-2.0

package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AlertProviderKind is the kind of [AlertProvider].
const AlertProviderKind = "AlertProvider"

// AlertProviderSpec says where alerts go. The address is either written here or
// read from a Secret.
//
// +kubebuilder:validation:XValidation:rule="has(self.address) != has(self.secretRef)",message="exactly one of address and secretRef is required"
type AlertProviderSpec struct {
	// Type of the chat service.
	// +kubebuilder:validation:Enum=slack;msteams;discord;rocket;gchat
	// +required
	Type string `json:"type"`

	// Channel to write to.
	// +optional
	Channel string `json:"channel,omitempty"`

	// Username to write as.
	// +optional
	Username string `json:"username,omitempty"`

	// Address of the incoming webhook.
	// +optional
	Address string `json:"address,omitempty"`

	// Proxy to go through.
	// +optional
	Proxy string `json:"proxy,omitempty"`

	// SecretRef names the Secret with the `address`, or the `token`.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`
}

// AlertProviderStatus has only conditions.
type AlertProviderStatus struct {
	// Conditions of the object.
	// +optional
	Conditions []CanaryCondition `json:"conditions,omitempty"`
}

// AlertProvider is a chat room that hears about Canaries.
//
// +kubebuilder:storageversion
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=all
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:metadata:annotations="helm.sh/resource-policy=keep"
type AlertProvider struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AlertProviderSpec `json:"spec"`
	// +optional
	Status AlertProviderStatus `json:"status,omitempty"`
}

// AlertProviderList is a list of AlertProviders.
//
// +kubebuilder:object:root=true
type AlertProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []AlertProvider `json:"items"`
}
