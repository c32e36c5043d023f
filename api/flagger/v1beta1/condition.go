// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CanaryConditionType is the type of a condition.
type CanaryConditionType string

// PromotedType is the condition of the last release: Unknown while it is under
// way, True when it was promoted, False when it was rolled back. Its reason is
// the phase.
const PromotedType CanaryConditionType = "Promoted"

// Reasons of the conditions Ready, Reconciling and Stalled of a Canary. While all is
// well the reason is the phase; Failed is the phase, too.
const (
	// InvalidSpecReason means that a field is refused: the message names it, and what
	// cannot honour it. Nothing happens until it is edited.
	InvalidSpecReason = "InvalidSpec"

	// NotInstalledReason means that the cluster does not know the kind of an object
	// that the provider, the target or its autoscaler needs. It passes when somebody
	// installs the CRDs that the message names.
	NotInstalledReason = "NotInstalled"

	// NotReadyReason means that the target is missing, or that the primary does not
	// become ready.
	NotReadyReason = "NotReady"

	// ReconciliationFailedReason means that the API server refused something, or
	// could not be reached. It is tried again.
	ReconciliationFailedReason = "ReconciliationFailed"
)

// CanaryCondition is a condition in Flagger's form. It differs from
// [metav1.Condition] by lastUpdateTime, and by fields that may be missing.
type CanaryCondition struct {
	// Type of the condition.
	// +required
	Type CanaryConditionType `json:"type"`

	// Status of the condition: True, False or Unknown.
	// +required
	Status metav1.ConditionStatus `json:"status"`

	// LastUpdateTime is when the condition was last written.
	// +optional
	LastUpdateTime metav1.Time `json:"lastUpdateTime,omitzero"`

	// LastTransitionTime is when the status last changed.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitzero"`

	// Reason is one word for machines.
	// +required
	Reason string `json:"reason,omitempty"`

	// Message is a sentence for people.
	// +optional
	Message string `json:"message,omitempty"`

	// ObservedGeneration is the generation that the condition is about. Sluice
	// extension.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// GetConditions returns the conditions in Kubernetes' form.
func (in *Canary) GetConditions() []metav1.Condition {
	return toMeta(in.Status.Conditions)
}

// SetConditions replaces the conditions. A condition that did not change keeps
// its lastUpdateTime. [PromotedType] comes first: it is the only one that Flagger has, and
// clients such as Weave GitOps read the first, whichever it is.
func (in *Canary) SetConditions(conditions []metav1.Condition) {
	in.Status.Conditions = fromMeta(in.Status.Conditions, conditions)
	slices.SortStableFunc(in.Status.Conditions, func(a, b CanaryCondition) int {
		return later(a) - later(b)
	})
}

// later is 0 for the condition that comes first.
func later(c CanaryCondition) int {
	if c.Type == PromotedType {
		return 0
	}
	return 1
}

// GetConditions returns the conditions in Kubernetes' form.
func (in *MetricTemplate) GetConditions() []metav1.Condition {
	return toMeta(in.Status.Conditions)
}

// SetConditions replaces the conditions. A condition that did not change keeps
// its lastUpdateTime.
func (in *MetricTemplate) SetConditions(conditions []metav1.Condition) {
	in.Status.Conditions = fromMeta(in.Status.Conditions, conditions)
}

// GetConditions returns the conditions in Kubernetes' form.
func (in *AlertProvider) GetConditions() []metav1.Condition {
	return toMeta(in.Status.Conditions)
}

// SetConditions replaces the conditions. A condition that did not change keeps
// its lastUpdateTime.
func (in *AlertProvider) SetConditions(conditions []metav1.Condition) {
	in.Status.Conditions = fromMeta(in.Status.Conditions, conditions)
}

func toMeta(from []CanaryCondition) []metav1.Condition {
	if from == nil {
		return nil
	}
	to := make([]metav1.Condition, 0, len(from))
	for _, c := range from {
		to = append(to, metav1.Condition{
			Type:               string(c.Type),
			Status:             c.Status,
			ObservedGeneration: c.ObservedGeneration,
			LastTransitionTime: c.LastTransitionTime,
			Reason:             c.Reason,
			Message:            c.Message,
		})
	}
	return to
}

// fromMeta turns conditions into Flagger's form. Theirs has no update time, so
// it is taken from the old condition of the type, and moves up to the transition
// time when that is later.
func fromMeta(old []CanaryCondition, from []metav1.Condition) []CanaryCondition {
	if from == nil {
		return nil
	}
	updated := make(map[CanaryConditionType]metav1.Time, len(old))
	for _, c := range old {
		updated[c.Type] = c.LastUpdateTime
	}
	to := make([]CanaryCondition, 0, len(from))
	for _, c := range from {
		next := CanaryCondition{
			Type:               CanaryConditionType(c.Type),
			Status:             c.Status,
			LastUpdateTime:     updated[CanaryConditionType(c.Type)],
			LastTransitionTime: c.LastTransitionTime,
			Reason:             c.Reason,
			Message:            c.Message,
			ObservedGeneration: c.ObservedGeneration,
		}
		if next.LastUpdateTime.Before(&c.LastTransitionTime) {
			next.LastUpdateTime = c.LastTransitionTime
		}
		to = append(to, next)
	}
	return to
}
