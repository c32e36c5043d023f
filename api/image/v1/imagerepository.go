// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ImageRepositoryKind is the kind of [ImageRepository].
const ImageRepositoryKind = "ImageRepository"

// ImageRepositorySpec says which image to list the tags of, how often, and with
// which credentials.
type ImageRepositorySpec struct {
	// Image is the name of the image repository, without scheme, tag or digest:
	// `ghcr.io/stefanprodan/podinfo`.
	// +required
	Image string `json:"image,omitempty"`

	// Interval is the longest time between two scans. A webhook or a reconcile
	// request scans at once.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +required
	Interval metav1.Duration `json:"interval,omitempty"`

	// Timeout of one scan. Defaults to the interval, but to no more than a minute;
	// at least one second.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m))+$"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// SecretRef names a Secret of type kubernetes.io/dockerconfigjson in the same
	// namespace, with the credentials of the registry.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// ProxySecretRef names a Secret with the address, and optionally the user
	// name and password, of the proxy to reach the registry through.
	// +optional
	ProxySecretRef *meta.LocalObjectReference `json:"proxySecretRef,omitempty"`

	// ServiceAccountName names a ServiceAccount whose image pull secrets are used
	// or, with a cloud provider, whose identity is.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// CertSecretRef names a Secret with a client certificate (`tls.crt` and
	// `tls.key`), a certificate authority (`ca.crt`), or both.
	// +optional
	CertSecretRef *meta.LocalObjectReference `json:"certSecretRef,omitempty"`

	// Suspend stops further scans. A scan that is under way is not interrupted.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// AccessFrom lists the namespaces, by their labels, whose ImagePolicies may
	// refer to this repository. Without it only the own namespace may.
	// +optional
	AccessFrom *acl.AccessFrom `json:"accessFrom,omitempty"`

	// ExclusionList holds regular expressions. A tag that matches one of them is
	// treated as if the registry did not have it.
	// +kubebuilder:default:={"^.*\\.sig$"}
	// +kubebuilder:validation:MaxItems:=25
	// +optional
	ExclusionList []string `json:"exclusionList,omitempty"`

	// Provider says how to authenticate: `generic` uses Secrets, the others the
	// identity that the cloud gives to the workload.
	// +kubebuilder:validation:Enum=generic;aws;azure;gcp
	// +kubebuilder:default:=generic
	// +optional
	Provider string `json:"provider,omitempty"`

	// Insecure allows plain HTTP.
	// +optional
	Insecure bool `json:"insecure,omitempty"`

	// MaxTags is the most tags that one scan lists. A registry that has more makes
	// the scan fail; one that has nearly as many is told of by the condition
	// ScanBudget. Defaults to what the controller's flags say. Sluice extension.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxTags int `json:"maxTags,omitempty"`
}

// ScanResult summarises the last scan.
type ScanResult struct {
	// Revision is a digest of the set of tags. It changes exactly when the set
	// does.
	// +optional
	Revision string `json:"revision"`

	// TagCount is the number of tags that were not excluded.
	// +required
	TagCount int `json:"tagCount"`

	// ScanTime is when the registry was last asked.
	// +optional
	ScanTime metav1.Time `json:"scanTime"`

	// LatestTags is a sample for people: the first ten tags in descending
	// alphabetical order. Policies see all tags.
	// +optional
	LatestTags []string `json:"latestTags,omitempty"`
}

// ImageRepositoryStatus is what the last scan found.
type ImageRepositoryStatus struct {
	// Conditions of the object; see the reasons of this package.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation of the spec that was reconciled last.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// CanonicalImageName is spec.image with nothing left implied:
	// `index.docker.io/library/alpine` for `alpine`.
	// +optional
	CanonicalImageName string `json:"canonicalImageName,omitempty"`

	// LastScanResult summarises the last scan that succeeded.
	// +optional
	LastScanResult *ScanResult `json:"lastScanResult,omitempty"`

	// ObservedExclusionList is the exclusion list that lastScanResult was made
	// with.
	// +optional
	ObservedExclusionList []string `json:"observedExclusionList,omitempty"`

	// ReconcileRequestStatus records the last reconcile request that was handled.
	meta.ReconcileRequestStatus `json:",inline"`
}

// ImageRepository lists the tags of one image in a registry.
//
// +kubebuilder:storageversion
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=imgrepo;imagerepo,categories=all;fluxcd;fluxcd-images
// +kubebuilder:printcolumn:name="Image",type="string",JSONPath=".spec.image"
// +kubebuilder:printcolumn:name="Tags",type=string,JSONPath=`.status.lastScanResult.tagCount`
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status"
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].message"
// +kubebuilder:printcolumn:name="Last scan",type=string,JSONPath=`.status.lastScanResult.scanTime`,priority=1
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=flux"
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
type ImageRepository struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ImageRepositorySpec `json:"spec,omitempty"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ImageRepositoryStatus `json:"status,omitempty"`
}

// ImageRepositoryList is a list of ImageRepositories.
//
// +kubebuilder:object:root=true
type ImageRepositoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ImageRepository `json:"items"`
}

// GetTimeout returns the timeout of one scan as Flux defines it: the interval by
// default, never less than a second.
func (in *ImageRepository) GetTimeout() time.Duration {
	timeout := in.Spec.Interval.Duration
	if in.Spec.Timeout != nil {
		timeout = in.Spec.Timeout.Duration
	}
	return max(timeout, time.Second)
}

// GetExclusionList returns the expressions of excluded tags. Objects stored
// before the schema had the default get it here.
func (in *ImageRepository) GetExclusionList() []string {
	if len(in.Spec.ExclusionList) == 0 {
		return []string{`^.*\.sig$`}
	}
	return in.Spec.ExclusionList
}

// GetProvider returns the authentication provider, `generic` by default.
func (in *ImageRepository) GetProvider() string {
	if in.Spec.Provider == "" {
		return "generic"
	}
	return in.Spec.Provider
}

// GetConditions returns the conditions of the object.
func (in *ImageRepository) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the object.
func (in *ImageRepository) SetConditions(conditions []metav1.Condition) {
	in.Status.Conditions = conditions
}
