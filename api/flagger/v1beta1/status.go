// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CanaryPhase is where a Canary stands.
//
// +kubebuilder:validation:Enum="";Initializing;Initialized;Waiting;Progressing;WaitingPromotion;Promoting;Finalising;Succeeded;Failed;Terminating;Terminated
type CanaryPhase string

const (
	// CanaryPhaseInitializing means: the primary is being made.
	CanaryPhaseInitializing CanaryPhase = "Initializing"
	// CanaryPhaseInitialized means: the primary serves, and the target is scaled to zero.
	CanaryPhaseInitialized CanaryPhase = "Initialized"
	// CanaryPhaseWaiting means: a webhook holds the release before it starts.
	CanaryPhaseWaiting CanaryPhase = "Waiting"
	// CanaryPhaseProgressing means: the analysis is under way.
	CanaryPhaseProgressing CanaryPhase = "Progressing"
	// CanaryPhaseWaitingPromotion means: a webhook holds the release before promotion.
	CanaryPhaseWaitingPromotion CanaryPhase = "WaitingPromotion"
	// CanaryPhasePromoting means: the primary gets the new version.
	CanaryPhasePromoting CanaryPhase = "Promoting"
	// CanaryPhaseFinalising means: traffic is back on the primary, and the canary is to
	// be scaled to zero.
	CanaryPhaseFinalising CanaryPhase = "Finalising"
	// CanaryPhaseSucceeded means: the new version was promoted.
	CanaryPhaseSucceeded CanaryPhase = "Succeeded"
	// CanaryPhaseFailed means: the new version was rolled back.
	CanaryPhaseFailed CanaryPhase = "Failed"
	// CanaryPhaseTerminating means: the Canary is deleted, and its target restored.
	CanaryPhaseTerminating CanaryPhase = "Terminating"
	// CanaryPhaseTerminated means: the target is restored.
	CanaryPhaseTerminated CanaryPhase = "Terminated"
)

// CanaryStatus is where a Canary stands. It is also the memory of the state
// machine: the next step is computed from it.
type CanaryStatus struct {
	// Phase of the Canary.
	// +optional
	Phase CanaryPhase `json:"phase"`

	// FailedChecks of the current analysis.
	// +kubebuilder:default=0
	// +optional
	FailedChecks int `json:"failedChecks"`

	// CanaryWeight is the canary's percentage of the traffic.
	// +kubebuilder:default=0
	// +optional
	CanaryWeight int `json:"canaryWeight"`

	// Iterations of the current analysis.
	// +kubebuilder:default=0
	// +optional
	Iterations int `json:"iterations"`

	// PreviousSessionAffinityCookie is the cookie of the release before.
	// +optional
	PreviousSessionAffinityCookie string `json:"previousSessionAffinityCookie,omitempty"`

	// SessionAffinityCookie of the current release.
	// +optional
	SessionAffinityCookie string `json:"sessionAffinityCookie,omitempty"`

	// PrimarySessionAffinityCookie is the primary's cookie of the current release.
	// +optional
	PrimarySessionAffinityCookie string `json:"primarySessionAffinityCookie,omitempty"`

	// TrackedConfigs maps the ConfigMaps and Secrets of the target, as
	// kind/name, to a digest of their content.
	// +optional
	TrackedConfigs map[string]string `json:"trackedConfigs,omitzero"`

	// LastAppliedSpec is what Flagger 1.44 calls the version that was last taken up:
	// handed back to it, a Canary at rest stays at rest.
	// +optional
	LastAppliedSpec string `json:"lastAppliedSpec,omitempty"`

	// LastPromotedSpec is what Flagger 1.44 calls the version that the primary runs.
	// +optional
	LastPromotedSpec string `json:"lastPromotedSpec,omitempty"`

	// LastTransitionTime is when the status last changed.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitzero"`

	// Conditions of the Canary: Promoted as Flagger has it, and Ready,
	// Reconciling and Stalled as every other kind.
	// +optional
	Conditions []CanaryCondition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation of the spec that was reconciled last.
	// Sluice extension.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// LastHandledReconcileAt is the value of the reconcile request annotation that
	// was handled last. Sluice extension.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`

	// AppliedRevision is the digest of the version that was last taken up: of its
	// template and its configuration. Sluice extension.
	// +optional
	AppliedRevision string `json:"appliedRevision,omitempty"`

	// PromotedRevision is the digest of the version that the primary runs; absent
	// while only Flagger knows. Sluice extension.
	// +optional
	PromotedRevision string `json:"promotedRevision,omitempty"`

	// Target is what the status is about, as kind and name. With another targetRef
	// everything starts over: what one target was given is no revision of another.
	// Sluice extension.
	// +optional
	Target string `json:"target,omitempty"`

	// Provider routes the users of a Canary that names none, for as long as a release
	// is under way: it ends as it began, whatever the controller's default is by then.
	// Sluice extension.
	// +optional
	Provider string `json:"provider,omitempty"`

	// Routing names the routes that were written last. They are what is led back to the
	// target when the Canary is deleted, whatever its spec has become by then. Sluice
	// extension.
	// +optional
	Routing *CanaryRouting `json:"routing,omitempty"`

	// Fallback is there while all users are on the canary because the primary cannot
	// answer. Sluice extension.
	// +optional
	Fallback *CanaryFallback `json:"fallback,omitempty"`

	// Hold is what keeps a release from going on until a person lets it; absent
	// when nothing does. Sluice extension.
	// +optional
	Hold *CanaryHold `json:"hold,omitempty"`

	// Judge is what comparing the canary with its primary has come to. Sluice extension.
	// +optional
	Judge *CanaryJudgeStatus `json:"judge,omitempty"`

	// LastCommand is the command that was carried out last. Sluice extension.
	// +optional
	LastCommand *CanaryCommand `json:"lastCommand,omitempty"`

	// Webhooks are what the webhooks of the analysis answered last, in the order of the
	// spec; one that was not called yet is not there. Sluice extension.
	// +kubebuilder:validation:MaxItems=30
	// +optional
	Webhooks []CanaryWebhookStatus `json:"webhooks,omitempty"`

	// History has the last releases, the newest first; the first one may still be
	// under way. Sluice extension.
	// +kubebuilder:validation:MaxItems=5
	// +optional
	History []CanaryRelease `json:"history,omitempty"`
}

// CanaryFallback says that a primary without pods has lost its users to the canary.
type CanaryFallback struct {
	// Weight that the canary has by the stage of its analysis, and gets again once
	// the primary is ready.
	// +required
	Weight int `json:"weight"`

	// Since when.
	// +required
	Since metav1.Time `json:"since"`
}

// UnderWay reports whether users may be on a version that is not promoted: what leads
// them there must not change. The rule of the CRD says the same.
func (s *CanaryStatus) UnderWay() bool {
	switch s.Phase {
	case CanaryPhaseProgressing, CanaryPhaseWaitingPromotion, CanaryPhasePromoting, CanaryPhaseFinalising:
		return true
	}
	return s.CanaryWeight > 0
}

// Applied is the revision that was last taken up: its digest or, while only Flagger
// has seen it, Flagger's name for it.
func (s *CanaryStatus) Applied() string { return cmp.Or(s.AppliedRevision, s.LastAppliedSpec) }

// Promoted is the revision that the primary runs, named like that of [Applied].
func (s *CanaryStatus) Promoted() string { return cmp.Or(s.PromotedRevision, s.LastPromotedSpec) }
