// SPDX-License-Identifier: Apache-2.0

package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// MaxReleases is the length of status.history.
	MaxReleases = 5
	// MaxSteps is the number of steps that a release of the history keeps: the
	// last ones.
	MaxSteps = 30
)

// Verdicts of a [CanaryRelease].
const (
	// VerdictPromoted means that users have the revision.
	VerdictPromoted = "promoted"
	// VerdictSkipped means that users have the revision, unmeasured, because
	// spec.skipAnalysis says so. One that a person promoted unmeasured is promoted,
	// and has their name.
	VerdictSkipped = "skipped"
	// VerdictFailed means that the revision was rolled back.
	VerdictFailed = "failed"
	// VerdictReverted means that Git went back to what users have.
	VerdictReverted = "reverted"
	// VerdictSuperseded means that another revision came before the end.
	VerdictSuperseded = "superseded"
)

// CanaryRelease is what became of one revision. Sluice extension.
type CanaryRelease struct {
	// Revision is the digest of the pod template and of its configuration.
	// +required
	Revision string `json:"revision"`

	// Images of the pod template, init containers last.
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Images []string `json:"images,omitempty"`

	// StartedAt is when the analysis began.
	// +required
	StartedAt metav1.Time `json:"startedAt"`

	// HeldSince is since when the route or the primary keeps the release from going on;
	// absent while neither does.
	// +optional
	HeldSince metav1.Time `json:"heldSince,omitzero"`

	// InconclusiveAt is when the judge's time to decide was up.
	// +optional
	InconclusiveAt metav1.Time `json:"inconclusiveAt,omitzero"`

	// Unjudged means that the release goes on without a verdict of the judge: a person approved that,
	// or spec.analysis.judge.onInconclusive does.
	// +optional
	Unjudged bool `json:"unjudged,omitempty"`

	// EndedAt is when the verdict fell; absent while the release is under way.
	// +optional
	EndedAt metav1.Time `json:"endedAt,omitzero"`

	// Verdict: promoted, skipped, failed, reverted or superseded; empty while the
	// release is under way.
	// +kubebuilder:validation:Enum="";promoted;skipped;failed;reverted;superseded
	// +optional
	Verdict string `json:"verdict,omitempty"`

	// Reason is the sentence that decided.
	// +optional
	Reason string `json:"reason,omitempty"`

	// By is the person whose command decided, if one did.
	// +optional
	By string `json:"by,omitempty"`

	// Steps of the analysis, the last 30.
	// +kubebuilder:validation:MaxItems=30
	// +optional
	Steps []CanaryStep `json:"steps,omitempty"`
}

// CanaryStep is one stage of an analysis, and the last check made in it.
type CanaryStep struct {
	// Weight is the canary's percentage of the users.
	// +optional
	Weight int `json:"weight"`

	// Iteration of an analysis that counts.
	// +optional
	Iteration int `json:"iteration,omitempty"`

	// Mirror means that the canary got copies of requests.
	// +optional
	Mirror bool `json:"mirror,omitempty"`

	// At is when the stage began.
	// +required
	At metav1.Time `json:"at"`

	// FailedChecks made in this stage.
	// +optional
	FailedChecks int `json:"failedChecks,omitempty"`

	// Measured are the values of the last check made in this stage.
	// +kubebuilder:validation:MaxItems=30
	// +optional
	Measured []CanaryMeasurement `json:"measured,omitempty"`
}

// CanaryMeasurement is one metric of one check.
type CanaryMeasurement struct {
	// Name of the metric.
	// +required
	Name string `json:"name"`

	// Value that was measured; absent if there was none.
	// +optional
	Value *float64 `json:"value,omitempty"`

	// Failure says why the measurement failed the check; empty is good.
	// +optional
	Failure string `json:"failure,omitempty"`
}
