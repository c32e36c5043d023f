// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ImagePolicyKind is the kind of [ImagePolicy].
const ImagePolicyKind = "ImagePolicy"

// defaultDigestInterval is how often a digest is looked up again for an object
// stored before the schema demanded an interval.
const defaultDigestInterval = 10 * time.Minute

// ImagePolicySpec says how to choose one tag of an image repository.
//
// +kubebuilder:validation:XValidation:rule="!has(self.interval) || (has(self.digestReflectionPolicy) && self.digestReflectionPolicy == 'Always')", message="spec.interval is only accepted when spec.digestReflectionPolicy is set to 'Always'"
// +kubebuilder:validation:XValidation:rule="has(self.interval) || !has(self.digestReflectionPolicy) || self.digestReflectionPolicy != 'Always'", message="spec.interval must be set when spec.digestReflectionPolicy is set to 'Always'"
type ImagePolicySpec struct {
	// ImageRepositoryRef names the ImageRepository whose tags are considered. One
	// of another namespace must allow it in its spec.accessFrom.
	// +required
	ImageRepositoryRef meta.NamespacedObjectReference `json:"imageRepositoryRef"`

	// Policy orders the tags and picks the first.
	// +required
	Policy ImagePolicyChoice `json:"policy"`

	// FilterTags narrows the tags down before the policy sees them.
	// +optional
	FilterTags *TagFilter `json:"filterTags,omitempty"`

	// DigestReflectionPolicy says whether status.latestRef carries the digest of
	// the chosen tag: `Never`; `IfNotPresent`, looked up once for each choice; or
	// `Always`, looked up again after every interval.
	// +kubebuilder:default:=Never
	// +optional
	DigestReflectionPolicy ReflectionPolicy `json:"digestReflectionPolicy,omitempty"`

	// Interval is the time between two look-ups of the digest. Required with
	// digestReflectionPolicy `Always`, refused with the others.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// Suspend stops further choices; the last one stays.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// MinAge is how long a tag, with the digest it has now, must have been known
	// before it can be chosen. The best tag that has matured wins. Time counts
	// from when it was first seen in the registry: the creation time inside an
	// image is whatever its publisher says. Sluice extension.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	MinAge *metav1.Duration `json:"minAge,omitempty"`

	// Reject lists tags and digests that are never chosen. Sluice extension.
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Reject []Rejection `json:"reject,omitempty"`

	// Pin chooses one tag, whatever the policy would choose. Sluice extension.
	// +optional
	Pin *Pin `json:"pin,omitempty"`

	// Platform, such as `linux/arm64` or `linux/arm/v7`, that an image must be
	// made for to be chosen. Sluice extension.
	// +kubebuilder:validation:Pattern="^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$"
	// +optional
	Platform string `json:"platform,omitempty"`

	// Verify demands a signature. An image without a valid one is not chosen, and
	// status.latestRef carries the digest that was verified. Sluice extension.
	// +optional
	Verify *Verification `json:"verify,omitempty"`
}

// Rejection is a tag or a digest that is never chosen. Sluice extension.
//
// +kubebuilder:validation:XValidation:rule="has(self.tag) != has(self.digest)",message="exactly one of tag and digest must be set"
type Rejection struct {
	// Tag to reject.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Tag string `json:"tag,omitempty"`

	// Digest to reject, whatever tag points to it: `sha256:` and 64 hex digits.
	// +kubebuilder:validation:Pattern="^sha256:[0-9a-f]{64}$"
	// +optional
	Digest string `json:"digest,omitempty"`

	// Reason for people to read.
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Reason string `json:"reason,omitempty"`

	// Until is when the rejection ends. It does not end by default.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// Pin is a tag chosen by hand. Sluice extension.
type Pin struct {
	// Tag to choose. It must be one of the tags of the ImageRepository.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Tag string `json:"tag"`

	// Reason for people to read.
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Reason string `json:"reason,omitempty"`

	// Until is when the pin ends and the policy chooses again. It does not end by
	// default.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// Verification says whose signature an image must carry. It has the fields of
// OCIRepository's spec.verify. Sluice extension.
type Verification struct {
	// Provider is the technology the image was signed with.
	// +kubebuilder:validation:Enum=cosign;notation
	// +kubebuilder:default:=cosign
	// +required
	Provider string `json:"provider"`

	// SecretRef names the Secret with what to trust: public keys (`*.pub`) for
	// cosign, certificates (`*.crt`, `*.pem`) and `trustpolicy.json` for notation.
	// Without it, cosign verifies keyless signatures.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// MatchOIDCIdentity lists who may have signed keyless; one match is enough.
	// +optional
	MatchOIDCIdentity []OIDCIdentityMatch `json:"matchOIDCIdentity,omitempty"`

	// TrustedRootSecretRef names a Secret with `trusted_root.json`, for Sigstore
	// infrastructure of one's own.
	// +optional
	TrustedRootSecretRef *meta.LocalObjectReference `json:"trustedRootSecretRef,omitempty"`
}

// OIDCIdentityMatch matches the identity in a signing certificate. Sluice
// extension.
type OIDCIdentityMatch struct {
	// Issuer is a regular expression for the OIDC issuer.
	// +required
	Issuer string `json:"issuer"`

	// Subject is a regular expression for the identity.
	// +required
	Subject string `json:"subject"`
}

// ReflectionPolicy says when a value of the registry is copied to the status.
//
// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
type ReflectionPolicy string

const (
	// ReflectAlways keeps the value equal to that of the registry.
	ReflectAlways ReflectionPolicy = "Always"
	// ReflectIfNotPresent copies the value once for each choice.
	ReflectIfNotPresent ReflectionPolicy = "IfNotPresent"
	// ReflectNever leaves the value empty.
	ReflectNever ReflectionPolicy = "Never"
)

// ImagePolicyChoice holds the one policy to apply.
//
// +kubebuilder:validation:XValidation:rule="[has(self.semver), has(self.alphabetical), has(self.numerical)].filter(x, x).size() == 1",message="exactly one of semver, alphabetical and numerical must be set"
type ImagePolicyChoice struct {
	// SemVer picks the highest semantic version in a range.
	// +optional
	SemVer *SemVerPolicy `json:"semver,omitempty"`

	// Alphabetical picks the last or the first tag in alphabetical order.
	// +optional
	Alphabetical *AlphabeticalPolicy `json:"alphabetical,omitempty"`

	// Numerical picks the highest or the lowest number.
	// +optional
	Numerical *NumericalPolicy `json:"numerical,omitempty"`
}

// SemVerPolicy picks the highest semantic version in a range.
type SemVerPolicy struct {
	// Range of versions, such as `>=1.2.0 <2.0.0` or `1.x`.
	// +required
	Range string `json:"range"`
}

// AlphabeticalPolicy picks by alphabetical order.
type AlphabeticalPolicy struct {
	// Order in which the last tag wins: `asc` picks Z of the letters, `desc` A.
	// +kubebuilder:default:="asc"
	// +kubebuilder:validation:Enum=asc;desc
	// +optional
	Order string `json:"order,omitempty"`
}

// NumericalPolicy picks by number.
type NumericalPolicy struct {
	// Order in which the last tag wins: `asc` picks 9 of the digits, `desc` 0.
	// +kubebuilder:default:="asc"
	// +kubebuilder:validation:Enum=asc;desc
	// +optional
	Order string `json:"order,omitempty"`
}

// TagFilter narrows tags down, and may say which part of them to compare.
type TagFilter struct {
	// Pattern is a regular expression (RE2) that a tag must match.
	// +optional
	Pattern string `json:"pattern"`

	// Extract builds the text to compare from the groups of the pattern, such as
	// `$ts`. The whole tag is compared when it is empty.
	// +optional
	Extract string `json:"extract"`
}

// ImagePolicyStatus is the choice made last.
type ImagePolicyStatus struct {
	// LatestRef is the image that was chosen last. It stays when a later
	// reconcile finds no match.
	// +optional
	LatestRef *ImageRef `json:"latestRef,omitempty"`

	// LatestRefTime is when latestRef was chosen; left out of a choice that was made
	// before the controller noted that. Sluice extension.
	// +optional
	LatestRefTime *metav1.Time `json:"latestRefTime,omitempty"`

	// ObservedPreviousRef is the choice before latestRef.
	// +optional
	ObservedPreviousRef *ImageRef `json:"observedPreviousRef,omitempty"`

	// ObservedGeneration is the generation of the spec that was reconciled last.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions of the object; see the reasons of this package.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ReconcileRequestStatus records the last reconcile request that was handled.
	meta.ReconcileRequestStatus `json:",inline"`

	// Decision is the evidence of the last choice, in short; `sluice explain
	// policy` tells the rest. Sluice extension.
	// +optional
	Decision *Decision `json:"decision,omitempty"`
}

// Decision says what became of the tags. Sluice extension.
type Decision struct {
	// Rule that orders the tags, such as `semver 1.x`, or `pin`.
	// +required
	Rule string `json:"rule"`

	// Total is the number of tags considered.
	// +required
	Total int `json:"total"`

	// Qualified is the number of tags that no rule dropped.
	// +required
	Qualified int `json:"qualified"`

	// Dropped counts the tags that were dropped, by the first rule that did.
	// +optional
	Dropped []DroppedTags `json:"dropped,omitempty"`

	// Candidates are the best five tags and up to fifteen more that were looked at
	// before one was chosen, best first.
	// +optional
	Candidates []Candidate `json:"candidates,omitempty"`

	// Unchecked is the number of qualified tags that were not looked at because
	// one run asks the registry only so often. The next run goes on with them.
	// +optional
	Unchecked int `json:"unchecked,omitempty"`

	// NextMaturity is when the next better tag will be old enough.
	// +optional
	NextMaturity *metav1.Time `json:"nextMaturity,omitempty"`
}

// DroppedTags counts the tags that one rule dropped. Sluice extension.
type DroppedTags struct {
	// Rule that dropped them, as the end of a sentence that starts with the count.
	// +required
	Rule string `json:"rule"`

	// Count of tags.
	// +required
	Count int `json:"count"`

	// Example is one of them.
	// +optional
	Example string `json:"example,omitempty"`
}

// Candidate is one of the best tags. Sluice extension.
type Candidate struct {
	// Tag that was looked at.
	// +required
	Tag string `json:"tag"`

	// Digest that the tag points to, if it was looked up.
	// +optional
	Digest string `json:"digest,omitempty"`

	// FirstSeen is when the tag was first seen with this digest, or, if that was
	// not looked up, at all.
	// +optional
	FirstSeen *metav1.Time `json:"firstSeen,omitempty"`

	// Dropped says why the tag was not chosen. It is empty for the chosen tag and
	// those that come after it.
	// +optional
	Dropped string `json:"dropped,omitempty"`

	// Gate is what dropped the tag: the field of the spec (minAge, platform,
	// reject.digest or verify), registry for a tag that is not there any more, or
	// quarantine for a version that a Pipeline keeps back.
	// +optional
	Gate string `json:"gate,omitempty"`
}

// ImagePolicy chooses one tag of an ImageRepository.
//
// +kubebuilder:storageversion
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=imgpol;imagepol,categories=all;fluxcd;fluxcd-images
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.status.latestRef.name`
// +kubebuilder:printcolumn:name="Tag",type=string,JSONPath=`.status.latestRef.tag`
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status"
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].message"
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=flux"
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
type ImagePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ImagePolicySpec `json:"spec,omitempty"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ImagePolicyStatus `json:"status,omitempty"`
}

// ImagePolicyList is a list of ImagePolicies.
//
// +kubebuilder:object:root=true
type ImagePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ImagePolicy `json:"items"`
}

// GetDigestReflectionPolicy returns the policy, [ReflectNever] by default.
func (in *ImagePolicy) GetDigestReflectionPolicy() ReflectionPolicy {
	if in.Spec.DigestReflectionPolicy == "" {
		return ReflectNever
	}
	return in.Spec.DigestReflectionPolicy
}

// GetInterval returns the time between two look-ups of the digest, zero when
// there are none.
func (in *ImagePolicy) GetInterval() time.Duration {
	if in.GetDigestReflectionPolicy() != ReflectAlways {
		return 0
	}
	if in.Spec.Interval == nil || in.Spec.Interval.Duration == 0 {
		return defaultDigestInterval
	}
	return in.Spec.Interval.Duration
}

// GetConditions returns the conditions of the object.
func (in *ImagePolicy) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the object.
func (in *ImagePolicy) SetConditions(conditions []metav1.Condition) {
	in.Status.Conditions = conditions
}
