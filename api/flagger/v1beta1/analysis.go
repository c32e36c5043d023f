// SPDX-License-Identifier: Apache-2.0

package v1beta1

import "slices"

// CanaryAnalysis says how the next version is tried, and what decides. Exactly
// one of iterations, stepWeight and stepWeights says how.
//
// +kubebuilder:validation:XValidation:rule="[has(self.iterations), has(self.stepWeight), has(self.stepWeights)].filter(is_set, is_set).size() == 1",message="exactly one of iterations, stepWeight and stepWeights is required"
// +kubebuilder:validation:XValidation:rule="!has(self.stepWeights) || self.stepWeights.isSorted() && self.stepWeights.all(w, w >= 1 && w <= 100 && self.stepWeights.exists_one(x, x == w))",message="stepWeights must rise, from 1 to at most 100"
type CanaryAnalysis struct {
	// Interval between two checks, such as `30s` or `1m`. Less than 10s is raised
	// to 10s.
	// +kubebuilder:validation:Pattern=`^[0-9]+(m|s)`
	// +required
	Interval string `json:"interval"`

	// Iterations is the number of checks of a blue/green or A/B release.
	// +optional
	Iterations int `json:"iterations,omitempty"`

	// Mirror sends copies of the users' requests to the canary.
	// +optional
	Mirror bool `json:"mirror,omitempty"`

	// MirrorWeight is the percentage of requests to copy.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	MirrorWeight int `json:"mirrorWeight,omitempty"`

	// MaxWeight is the percentage of traffic at which the canary is promoted.
	// Defaults to 100.
	// +optional
	MaxWeight int `json:"maxWeight,omitempty"`

	// StepWeight is added to the canary's percentage after each good check.
	// +optional
	StepWeight int `json:"stepWeight,omitempty"`

	// StepWeights are the canary's percentages, one after the other.
	// +kubebuilder:validation:MaxItems=100
	// +optional
	StepWeights []int `json:"stepWeights,omitempty"`

	// StepWeightPromotion moves traffic back to the promoted primary in steps of
	// this percentage. Without it, traffic moves at once.
	// +optional
	StepWeightPromotion int `json:"stepWeightPromotion,omitempty"`

	// Sampling says how often metrics are looked at between two checks, so that a
	// decisive failure rolls back at once. Sluice extension.
	// +optional
	Sampling *CanarySampling `json:"sampling,omitempty"`

	// Judge compares the canary with its primary, beside the thresholds of the metrics, and
	// decides as soon as the data allows. Sluice extension.
	// +optional
	Judge *CanaryJudge `json:"judge,omitempty"`

	// Threshold is the number of failed checks that roll the release back.
	// +required
	Threshold int `json:"threshold"`

	// PrimaryReadyThreshold is the percentage of pods that makes the primary
	// ready. Defaults to 100.
	// +optional
	PrimaryReadyThreshold *int `json:"primaryReadyThreshold,omitempty"`

	// CanaryReadyThreshold is the percentage of pods that makes the canary ready.
	// Defaults to 100.
	// +optional
	CanaryReadyThreshold *int `json:"canaryReadyThreshold,omitempty"`

	// Alerts to send.
	// +optional
	Alerts []CanaryAlert `json:"alerts,omitempty"`

	// Metrics to check. All must be in their range.
	// +optional
	Metrics []CanaryMetric `json:"metrics,omitempty"`

	// Webhooks to call.
	// +optional
	Webhooks []CanaryWebhook `json:"webhooks,omitempty"`

	// Match selects the users who get the canary in an A/B release.
	// +optional
	Match []HTTPMatchRequest `json:"match,omitempty"`

	// SessionAffinity keeps a user on the version first seen.
	// +optional
	SessionAffinity *SessionAffinity `json:"sessionAffinity,omitempty"`
}

// CanarySampling is how metrics are looked at between two checks. A failure is
// decisive when a metric was outside its range in so many samples in a row;
// samples without a value do not count. Sluice extension.
type CanarySampling struct {
	// Interval between two samples, such as `2s`. Defaults to a sixth of the
	// analysis interval, at least 1s and at most 10s.
	// +kubebuilder:validation:Pattern=`^[0-9]+(m|s)`
	// +optional
	Interval string `json:"interval,omitempty"`

	// Failures in a row that are decisive. Defaults to threshold, to at least 3,
	// and to at least as many as outlast the metric's window.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Failures int `json:"failures,omitempty"`

	// Disabled takes no samples: only checks decide, as in Flagger.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}

// The built-in checks, which come with the name of a metric.
const (
	// RequestSuccessRate is the percentage of requests whose status is not 5xx.
	RequestSuccessRate = "request-success-rate"
	// RequestDuration is the 99th percentile in milliseconds.
	RequestDuration = "request-duration"
)

// BuiltinMetrics are the names of metrics that come with a check.
var BuiltinMetrics = []string{RequestSuccessRate, RequestDuration}

// CanaryMetric is a measurement that a check makes. With several ways to measure,
// each of them is a check.
type CanaryMetric struct {
	// Name of the metric: `request-success-rate`, `request-duration`, or any with
	// a template.
	// +required
	Name string `json:"name"`

	// Interval is the window that is measured. Defaults to 1m for the built-in
	// metrics.
	// +kubebuilder:validation:Pattern=`^[0-9]+(m|s)`
	// +optional
	Interval string `json:"interval,omitempty"`

	// Threshold is the minimum of request-success-rate, and the maximum of any
	// other metric. Deprecated: use thresholdRange, which comes first.
	// +optional
	Threshold float64 `json:"threshold,omitempty"`

	// ThresholdRange is the range of good values.
	// +optional
	ThresholdRange *CanaryThresholdRange `json:"thresholdRange,omitempty"`

	// Query is a PromQL query. Deprecated: use templateRef.
	// +optional
	Query string `json:"query,omitempty"`

	// TemplateRef names the MetricTemplate to measure with.
	// +optional
	TemplateRef *CrossNamespaceObjectReference `json:"templateRef,omitempty"`

	// TemplateVariables are what `variables` returns in the template.
	// +optional
	TemplateVariables map[string]string `json:"templateVariables,omitempty"`
}

// Builtin reports whether a check comes with the name of the metric.
func (in CanaryMetric) Builtin() bool {
	return slices.Contains(BuiltinMetrics, in.Name)
}

// Checks returns the metrics, each with one way to measure it. As in Flagger, a
// metric is measured in every way that it has: by the check of its name, by its
// query, and by its template.
func (in *CanaryAnalysis) Checks() []CanaryMetric {
	if in == nil {
		return nil
	}
	checks := make([]CanaryMetric, 0, len(in.Metrics))
	for _, m := range in.Metrics {
		check := func(query string, template *CrossNamespaceObjectReference) {
			one := m
			one.Query, one.TemplateRef = query, template
			checks = append(checks, one)
		}
		if m.Builtin() || m.Query == "" && m.TemplateRef == nil {
			check("", nil)
		}
		if m.Query != "" {
			check(m.Query, nil)
		}
		if m.TemplateRef != nil {
			check("", m.TemplateRef)
		}
	}
	return checks
}

// CanaryThresholdRange is a range of good values. Both ends belong to it; an end
// that is not set does not limit.
type CanaryThresholdRange struct {
	// Min is the lowest good value.
	// +optional
	Min *float64 `json:"min,omitempty"`

	// Max is the highest good value.
	// +optional
	Max *float64 `json:"max,omitempty"`
}

// Beyond says which end of the range a value is beyond: below ("<") the minimum or
// above (">") the maximum; the sign is empty if it is in the range. Written so that a
// NaN is beyond any end.
func (in CanaryThresholdRange) Beyond(value float64) (sign string, limit float64) {
	switch {
	case in.Min != nil && !(value >= *in.Min):
		return "<", *in.Min
	case in.Max != nil && !(value <= *in.Max):
		return ">", *in.Max
	default:
		return "", 0
	}
}

// SessionAffinity keeps a user on the version first seen, with a cookie.
type SessionAffinity struct {
	// CookieName is the name of the cookie.
	// +required
	CookieName string `json:"cookieName,omitempty"`

	// Domain of the cookie.
	// +optional
	Domain string `json:"domain,omitempty"`

	// HTTPOnly hides the cookie from scripts.
	// +optional
	HTTPOnly bool `json:"httpOnly,omitempty"`

	// MaxAge of the cookie in seconds. Defaults to a day.
	// +kubebuilder:default=86400
	// +optional
	MaxAge int `json:"maxAge,omitempty"`

	// Partitioned stores the cookie per top-level site.
	// +optional
	Partitioned bool `json:"partitioned,omitempty"`

	// Path of the cookie.
	// +optional
	Path string `json:"path,omitempty"`

	// SameSite attribute of the cookie.
	// +kubebuilder:validation:Enum=Strict;Lax;None
	// +optional
	SameSite string `json:"sameSite,omitempty"`

	// Secure limits the cookie to HTTPS.
	// +optional
	Secure bool `json:"secure,omitempty"`

	// PrimaryCookieName is the name of the cookie for users who stay on the
	// primary.
	// +optional
	PrimaryCookieName string `json:"primaryCookieName,omitempty"`
}
