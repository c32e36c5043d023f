// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WindowKind says what a window is for.
type WindowKind string

const (
	// WindowAllow windows are the only times when a stage is written to.
	WindowAllow WindowKind = "Allow"
	// WindowDeny windows are times when it is not.
	WindowDeny WindowKind = "Deny"
)

// WindowScope is what a window is about.
type WindowScope string

const (
	// WindowPromotes is about promotions.
	WindowPromotes WindowScope = "Promote"
	// WindowRollsBack is about rollbacks.
	WindowRollsBack WindowScope = "Rollback"
)

// Window is a time that recurs, or one that does not. It is about pushing and merging:
// pull requests are opened at any time.
//
// +kubebuilder:validation:XValidation:rule="has(self.cron) ? (has(self.until) != has(self.duration)) && !has(self.from) && !has(self.to) : has(self.from) && has(self.to) && !has(self.until) && !has(self.duration)",message="a window has cron and one of until and duration, or from and to"
type Window struct {
	// Name of the window, in messages.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name"`

	// Kind is Allow or Deny. Deny wins.
	// +kubebuilder:validation:Enum=Allow;Deny
	// +required
	Kind WindowKind `json:"kind"`

	// Cron is when the window opens: minute, hour, day of the month, month, day of the
	// week. A time that a change to summer time skips is the first one after it; of a
	// time that comes twice only the first counts.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Cron string `json:"cron,omitempty"`

	// Until is the time of the day, such as `17:00`, at which the window closes next.
	// +kubebuilder:validation:Pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$"
	// +optional
	Until string `json:"until,omitempty"`

	// Duration is for how long it is open: elapsed time, whatever clocks are set to.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`

	// TimeZone of cron and until, such as `Europe/Zurich`. Defaults to UTC.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`

	// From is when a window that does not recur opens.
	// +optional
	From *metav1.Time `json:"from,omitempty"`

	// To is when it closes.
	// +optional
	To *metav1.Time `json:"to,omitempty"`

	// AppliesTo says what the window is about. Defaults to promotions alone: a rollback
	// waits for no window.
	// +kubebuilder:validation:items:Enum=Promote;Rollback
	// +kubebuilder:default={"Promote"}
	// +listType=set
	// +optional
	AppliesTo []WindowScope `json:"appliesTo,omitempty"`
}
