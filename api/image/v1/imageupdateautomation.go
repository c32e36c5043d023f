// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ImageUpdateAutomationKind is the kind of [ImageUpdateAutomation].
const ImageUpdateAutomationKind = "ImageUpdateAutomation"

// ImageUpdateAutomationSpec says which repository to write the chosen images
// into, and how.
type ImageUpdateAutomationSpec struct {
	// SourceRef names the GitRepository to write to; it has the address and the
	// credentials.
	// +required
	SourceRef CrossNamespaceSourceReference `json:"sourceRef"`

	// GitSpec says what to read, how to commit and where to push. The schema
	// leaves it optional as Flux does; without it the object is stalled.
	// +optional
	GitSpec *GitSpec `json:"git,omitempty"`

	// Interval is the longest time between two runs. A change of a policy runs it
	// at once.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +required
	Interval metav1.Duration `json:"interval"`

	// PolicySelector selects the ImagePolicies of the namespace to write. All of
	// them by default.
	// +optional
	PolicySelector *metav1.LabelSelector `json:"policySelector,omitempty"`

	// Update says how files are edited, and which.
	// +kubebuilder:default={"strategy":"Setters"}
	// +optional
	Update *UpdateStrategy `json:"update,omitempty"`

	// Suspend stops further runs.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// CrossNamespaceSourceReference names a source, perhaps in another namespace.
type CrossNamespaceSourceReference struct {
	// APIVersion of the source.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the source.
	// +kubebuilder:validation:Enum=GitRepository
	// +kubebuilder:default=GitRepository
	// +required
	Kind string `json:"kind"`

	// Name of the source.
	// +required
	Name string `json:"name"`

	// Namespace of the source. Defaults to that of the automation.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// String returns Kind/namespace/name, without the namespace if it has none.
func (in *CrossNamespaceSourceReference) String() string {
	if in.Namespace == "" {
		return in.Kind + "/" + in.Name
	}
	return in.Kind + "/" + in.Namespace + "/" + in.Name
}

// UpdateStrategyName names a way to edit files.
//
// +kubebuilder:validation:Enum=Setters
type UpdateStrategyName string

// UpdateStrategySetters edits the values that are marked with a comment such as
// `# {"$imagepolicy": "namespace:name"}`.
const UpdateStrategySetters UpdateStrategyName = "Setters"

// UpdateStrategy says how files are edited, and which.
type UpdateStrategy struct {
	// Strategy to edit with.
	// +kubebuilder:default=Setters
	// +optional
	Strategy UpdateStrategyName `json:"strategy,omitempty"`

	// Path of the directory below which files are edited. Defaults to the root of
	// the repository.
	// +optional
	Path string `json:"path,omitempty"`
}

// ImageUpdateAutomationStatus is what the last run did.
type ImageUpdateAutomationStatus struct {
	// LastAutomationRunTime is when a run was last completed, with or without a
	// commit.
	// +optional
	LastAutomationRunTime *metav1.Time `json:"lastAutomationRunTime,omitempty"`

	// LastPushCommit is the SHA of the last commit that was pushed.
	// +optional
	LastPushCommit string `json:"lastPushCommit,omitempty"`

	// LastPushBase is the commit of the checkout that LastPushCommit was built on,
	// if the push branch is another one and has nothing but commits of the
	// automation: such a branch is built anew when the checkout moves. Sluice
	// extension.
	// +optional
	LastPushBase string `json:"lastPushBase,omitempty"`

	// LastPushTime is when it was pushed.
	// +optional
	LastPushTime *metav1.Time `json:"lastPushTime,omitempty"`

	// PendingPush is a commit that was about to be pushed to a push branch of its own: the
	// branch is that of the automation if it is found there, although no run said that it
	// was pushed. Sluice extension.
	// +optional
	PendingPush *PendingPush `json:"pendingPush,omitempty"`

	// ObservedGeneration is the generation of the spec that was reconciled last.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions of the object; see the reasons of this package.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedPolicies are the choices that the last run wrote or found written.
	// +optional
	ObservedPolicies ObservedPolicies `json:"observedPolicies,omitempty"`

	// ObservedSourceRevision is the revision that the last run left in Git, as
	// branch@sha1:commit.
	// +optional
	ObservedSourceRevision string `json:"observedSourceRevision,omitempty"`

	// ReconcileRequestStatus records the last reconcile request that was handled.
	meta.ReconcileRequestStatus `json:",inline"`

	// Markers counts the markers of the files below spec.update.path; `sluice
	// explain automation` lists them. Sluice extension.
	// +optional
	Markers *MarkerCounts `json:"markers,omitempty"`

	// Held lists the updates that are not written because a person reverted them.
	// A newer choice of the policy releases one, and so does `sluice resume
	// automation`. Sluice extension.
	// +optional
	Held []HeldUpdate `json:"held,omitempty"`

	// PullRequest is the one of spec.git.push.pullRequest that was opened last. Sluice
	// extension.
	// +optional
	PullRequest *PullRequestStatus `json:"pullRequest,omitempty"`

	// Declined lists what people closed pull requests of, the newest last. It is not
	// proposed again, unless its pull request is reopened, or by `sluice resume
	// automation`. Sluice extension.
	// +optional
	Declined []DeclinedProposal `json:"declined,omitempty"`

	// LastHandledResume is the value of the annotation sluice.dev/resumedAt that
	// was handled last. Sluice extension.
	// +optional
	LastHandledResume string `json:"lastHandledResume,omitempty"`
}

// PendingPush is a commit that was made, and may have been pushed.
type PendingPush struct {
	// Commit is its SHA, and Base that of the checkout that it was built on.
	Commit string `json:"commit"`
	Base   string `json:"base"`

	// Time is when it was about to be pushed.
	Time metav1.Time `json:"time"`
}

// ResumeAnnotation on an automation releases what status.held and status.declined list. Its value is
// any that was not used before, such as the time.
const ResumeAnnotation = "sluice.dev/resumedAt"

// Reasons of events on an ImageUpdateAutomation. Sluice extension.
const (
	// UpdateHeldReason means: an update was reverted and is not written again.
	UpdateHeldReason = "UpdateHeld"
	// MarkerHeldReason means: a marker is not written, because its field cannot be what
	// it asks for, or because of the file that it is in.
	MarkerHeldReason = "MarkerHeld"
	// MarkerSkippedReason means: a marker has no effect, because it cannot be read, or
	// names no policy of the automation's namespace.
	MarkerSkippedReason = "MarkerSkipped"
	// LeftToPipelineReason means: markers are not written, because a stage of a Pipeline
	// writes them.
	LeftToPipelineReason = "LeftToPipeline"
	// PushBranchExtendedReason means: the push branch has commits of others and is
	// extended instead of built anew.
	PushBranchExtendedReason = "PushBranchExtended"
	// ProposalWithdrawnReason means: a push branch had images that no policy stands
	// for any more, and was set to the checkout.
	ProposalWithdrawnReason = "ProposalWithdrawn"
	// SourceRequestFailedReason means: a GitRepository that another controller serves
	// could not be asked to fetch what was pushed.
	SourceRequestFailedReason = "SourceRequestFailed"
)

// WriteFromAnnotation on a GitRepository names the namespaces, separated by
// commas, whose automations may write with its credentials; `*` is all. Those of
// its own namespace always may.
const WriteFromAnnotation = "sluice.dev/write-from"

// MarkerCounts says what came of every marker. Sluice extension.
type MarkerCounts struct {
	// Total number of markers, near misses included.
	// +required
	Total int `json:"total"`

	// Current is the number whose value is the policy's choice, after the run. What is
	// proposed by a pull request does not count before it is merged.
	// +required
	Current int `json:"current"`

	// Held is the number that is not written for now: see status.held and the
	// Ready condition.
	// +optional
	Held int `json:"held,omitempty"`

	// Skipped counts the rest, by reason.
	// +optional
	Skipped []SkippedMarkers `json:"skipped,omitempty"`
}

// SkippedMarkers counts the markers that have no effect for one reason. Sluice
// extension.
type SkippedMarkers struct {
	// Reason why they have no effect.
	// +required
	Reason string `json:"reason"`

	// Count of markers.
	// +required
	Count int `json:"count"`

	// Example is one of them, as file:line.
	// +optional
	Example string `json:"example,omitempty"`

	// Digest of the markers' files and texts. When it changes, an event tells of them.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// HeldUpdate is an update that was reverted by a person. Sluice extension.
type HeldUpdate struct {
	// Policy whose choice is held.
	// +required
	Policy string `json:"policy"`

	// Ref is the choice that is not written again.
	// +required
	Ref ImageRef `json:"ref"`

	// Reverted is the commit of the automation that was undone.
	// +optional
	Reverted string `json:"reverted,omitempty"`

	// By is the commit that undid it, or the first one in which that was seen.
	// +optional
	By string `json:"by,omitempty"`

	// Since is when that was seen.
	// +required
	Since metav1.Time `json:"since"`
}

// ObservedPolicies maps the name of a policy to its choice.
type ObservedPolicies map[string]ImageRef

// ImageUpdateAutomation writes the choices of ImagePolicies into Git.
//
// +kubebuilder:storageversion
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iua;imgupd;imgauto,categories=all;fluxcd;fluxcd-images
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status"
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].message"
// +kubebuilder:printcolumn:name="Last run",type="string",JSONPath=".status.lastAutomationRunTime",priority=1
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:metadata:labels="app.kubernetes.io/part-of=flux"
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
type ImageUpdateAutomation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ImageUpdateAutomationSpec `json:"spec,omitempty"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ImageUpdateAutomationStatus `json:"status,omitempty"`
}

// ImageUpdateAutomationList is a list of ImageUpdateAutomations.
//
// +kubebuilder:object:root=true
type ImageUpdateAutomationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ImageUpdateAutomation `json:"items"`
}

// GetConditions returns the conditions of the object.
func (in *ImageUpdateAutomation) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the object.
func (in *ImageUpdateAutomation) SetConditions(conditions []metav1.Condition) {
	in.Status.Conditions = conditions
}
