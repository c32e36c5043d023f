// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JudgeMetric is what the judge compares between the canary and its primary.
//
// +kubebuilder:validation:Enum=errors;latency;throughput
type JudgeMetric string

// The metrics of the judge.
const (
	// JudgeErrors are requests that failed; more is worse.
	JudgeErrors JudgeMetric = "errors"
	// JudgeLatency are requests that took longer than the bounds of the histogram; more is worse.
	JudgeLatency JudgeMetric = "latency"
	// JudgeThroughput are requests beside the weight of the canary; fewer is worse.
	JudgeThroughput JudgeMetric = "throughput"
)

// InconclusiveAction is what becomes of a release that the judge cannot decide about in time.
//
// +kubebuilder:validation:Enum=hold;promote;rollback
type InconclusiveAction string

// What becomes of it.
const (
	// InconclusiveHold leaves users where they are until a person approves or aborts.
	InconclusiveHold InconclusiveAction = "hold"
	// InconclusivePromote goes on, as without the judge.
	InconclusivePromote InconclusiveAction = "promote"
	// InconclusiveRollback rolls the release back.
	InconclusiveRollback InconclusiveAction = "rollback"
)

// CanaryJudge compares the canary with its primary, which runs at the same time for the same
// users, instead of with a number: with a bounded probability of being wrong, and as early as
// the data allows. thresholdRange of the metrics remains a second guard. Sluice extension.
//
// +kubebuilder:validation:XValidation:rule="!has(self.templateRef) || !has(self.metrics) || self.metrics == ['errors']",message="with templateRef, metrics is errors: those are the events that its counters count"
// +kubebuilder:validation:XValidation:rule="double(has(self.regression) ? self.regression : '2') > double(has(self.tolerated) ? self.tolerated : '1')",message="regression, which is 2 unless set, must be more than tolerated"
type CanaryJudge struct {
	// Alpha is the largest probability that a release which is as good as its primary is
	// rolled back, over all metrics and all looks together. Defaults to `0.01`.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.000001 && double(self) <= 0.5",message="must be from 0.000001 to 0.5"
	// +kubebuilder:validation:Pattern=`^0\.[0-9]{1,9}$`
	// +kubebuilder:validation:MaxLength=11
	// +optional
	Alpha string `json:"alpha,omitempty"`

	// Beta is the largest probability that a release passes of which a metric is
	// regression times as bad as the primary's. Defaults to `0.05`.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.000001 && double(self) <= 0.5",message="must be from 0.000001 to 0.5"
	// +kubebuilder:validation:Pattern=`^0\.[0-9]{1,9}$`
	// +kubebuilder:validation:MaxLength=11
	// +optional
	Beta string `json:"beta,omitempty"`

	// Regression is how many times as bad as the primary a canary must not pass. More than
	// tolerated, and at most 100. Defaults to `2`.
	// +kubebuilder:validation:XValidation:rule="double(self) > 1.0 && double(self) <= 100.0",message="must be more than 1 and at most 100"
	// +kubebuilder:validation:Pattern=`^[0-9]{1,3}(\.[0-9]{1,6})?$`
	// +kubebuilder:validation:MaxLength=10
	// +optional
	Regression string `json:"regression,omitempty"`

	// Tolerated is how many times as bad as the primary is still fine, from 1 to 10.
	// Defaults to `1`.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 1.0 && double(self) <= 10.0",message="must be from 1 to 10"
	// +kubebuilder:validation:Pattern=`^[0-9]{1,2}(\.[0-9]{1,6})?$`
	// +kubebuilder:validation:MaxLength=9
	// +optional
	Tolerated string `json:"tolerated,omitempty"`

	// Metrics to compare: errors, latency, throughput. Each has its part of alpha, and all of them
	// have to pass. Defaults to errors and latency, and to errors with templateRef.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	// +listType=set
	// +optional
	Metrics []JudgeMetric `json:"metrics,omitempty"`

	// TemplateRef names a MetricTemplate with counters, such as jobs and failed jobs, that
	// are compared instead of the requests that the provider's proxies count.
	// +optional
	TemplateRef *CrossNamespaceObjectReference `json:"templateRef,omitempty"`

	// OnInconclusive is what becomes of a release that the judge has not decided about when
	// progressDeadlineSeconds have passed since its last step should have ended: `hold` leaves users
	// where they are until a person approves or aborts, `promote` goes on, and `rollback` rolls
	// back. Defaults to hold.
	// +optional
	OnInconclusive InconclusiveAction `json:"onInconclusive,omitempty"`

	// Negligible is the part of the canary's requests that may fail, or be slower than usual, without anybody
	// minding, from 0 to 0.1: a release for which it is known to be less passes, also if neither arm has any
	// errors to compare. With 0 nothing is negligible. Defaults to `0.001`.
	// +kubebuilder:validation:XValidation:rule="double(self) <= 0.1",message="must be at most 0.1"
	// +kubebuilder:validation:Pattern=`^0(\.[0-9]{1,9})?$`
	// +kubebuilder:validation:MaxLength=11
	// +optional
	Negligible string `json:"negligible,omitempty"`

	// MinSamples is the number of requests to the canary below which there is no verdict.
	// Defaults to 50.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	MinSamples *int64 `json:"minSamples,omitempty"`

	// Warmup is how long the canary's first users are not counted, such as `30s`, because
	// caches are cold. Defaults to none, and is at most 1h.
	// +kubebuilder:validation:Pattern=`^[0-9]{1,4}(m|s)$`
	// +optional
	Warmup string `json:"warmup,omitempty"`
}

// Defaults and bounds of [CanaryJudge].
const (
	DefaultJudgeAlpha      = 0.01
	DefaultJudgeBeta       = 0.05
	DefaultJudgeRegression = 2.0
	DefaultJudgeTolerated  = 1.0
	DefaultJudgeNegligible = 0.001
	DefaultJudgeMinSamples = 50
	MaxJudgeWarmup         = time.Hour
)

// GetMetrics are what is compared.
func (in *CanaryJudge) GetMetrics() []JudgeMetric {
	switch {
	case len(in.Metrics) > 0:
		return slices.Compact(slices.Sorted(slices.Values(in.Metrics)))
	case in.TemplateRef != nil:
		return []JudgeMetric{JudgeErrors}
	default:
		return []JudgeMetric{JudgeErrors, JudgeLatency}
	}
}

// GetOnInconclusive is what becomes of a release without a verdict.
func (in *CanaryJudge) GetOnInconclusive() InconclusiveAction {
	return cmp.Or(in.OnInconclusive, InconclusiveHold)
}

// GetWarmup is how long the canary's first users are not counted.
func (in *CanaryJudge) GetWarmup() (time.Duration, error) {
	if in.Warmup == "" {
		return 0, nil
	}
	warmup, err := time.ParseDuration(in.Warmup)
	if err != nil || warmup < 0 || warmup > MaxJudgeWarmup {
		return 0, fmt.Errorf("%q is not a duration of at most %s", in.Warmup, MaxJudgeWarmup)
	}
	return warmup, nil
}

// Number reads a quantity of the judge, or its default if it is empty.
func (in *CanaryJudge) Number(text string, byDefault float64) (float64, error) {
	if text == "" {
		return byDefault, nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return value, nil
}

// Outcomes of [CanaryJudgeStatus].
const (
	JudgeUndecided = "Undecided"
	JudgeFail      = "Fail"
	JudgePass      = "Pass"
	JudgeMismatch  = "Mismatch"
)

// MaxJudgeVerdicts is the length of status.judge.history, and MaxJudgeRemarks that of status.judge.remarks.
const (
	MaxJudgeVerdicts = 10
	MaxJudgeRemarks  = 10
)

// CanaryJudgeStatus is what the judge knows. It is written when a step begins or is checked, and when
// the verdict changes, and not at each look. Sluice extension.
type CanaryJudgeStatus struct {
	// Outcome about the revision under analysis, or about the last one that was: Undecided, Pass, Fail, or
	// Mismatch, which is undecided because the canary does not get the requests that its weight says.
	// +kubebuilder:validation:Enum="";Undecided;Pass;Fail;Mismatch
	// +optional
	Outcome string `json:"outcome,omitempty"`

	// Message says why.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Message string `json:"message,omitempty"`

	// Problem is why the judge cannot compare, such as an arm without counters; empty is good.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Problem string `json:"problem,omitempty"`

	// CountedBy names whose counters are compared, by the last window: the pods, the proxies of a provider or of the product that
	// carries the route, or a MetricTemplate.
	// +kubebuilder:validation:MaxLength=600
	// +optional
	CountedBy string `json:"countedBy,omitempty"`

	// Remarks are about pods that the last window does not count as the others, such as one that nobody
	// scrapes any more.
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=256
	// +optional
	Remarks []string `json:"remarks,omitempty"`

	// ThresholdsOnly means that the judge decides nothing, because its test of itself
	// failed: thresholds do.
	// +optional
	ThresholdsOnly bool `json:"thresholdsOnly,omitempty"`

	// Revision that the evidence is about.
	// +optional
	Revision string `json:"revision,omitempty"`

	// Since is when the analysis of it began.
	// +optional
	Since metav1.Time `json:"since,omitzero"`

	// Window is when the last window ended that is part of the evidence.
	// +optional
	Window *metav1.MicroTime `json:"window,omitempty"`

	// Findings about each metric.
	// +kubebuilder:validation:MaxItems=4
	// +optional
	Findings []CanaryJudgeFinding `json:"findings,omitempty"`

	// Evidence is all that the judge has counted about the release, so that a restart changes
	// nothing. No other program reads it.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	Evidence string `json:"evidence,omitempty"`

	// Outlook says how long a verdict takes with the traffic that the primary has.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Outlook string `json:"outlook,omitempty"`

	// SelfTest compares two halves of the primary, which differ by nothing but chance.
	// +optional
	SelfTest *CanaryJudgeSelfTest `json:"selfTest,omitempty"`

	// History has the last verdicts, the newest first.
	// +kubebuilder:validation:MaxItems=10
	// +optional
	History []CanaryJudgeVerdict `json:"history,omitempty"`
}

// CanaryJudgeFinding is what is known about one metric.
type CanaryJudgeFinding struct {
	// Metric: errors, latency or throughput, or traffic for a mismatch.
	// +required
	Metric string `json:"metric"`

	// Outcome: Undecided, Pass, Fail or Mismatch.
	// +required
	Outcome string `json:"outcome"`

	// Over is the bound of the histogram that the finding is about, such as 250ms.
	// +optional
	Over string `json:"over,omitempty"`

	// Ratio is how many times as bad as the primary the canary seems to be; absent without events.
	// +optional
	Ratio string `json:"ratio,omitempty"`

	// Message says all of it in words.
	// +kubebuilder:validation:MaxLength=512
	// +required
	Message string `json:"message"`
}

// CanaryJudgeSelfTest is what comparing the primary with itself has come to.
type CanaryJudgeSelfTest struct {
	// Windows that were compared.
	// +optional
	Windows int64 `json:"windows,omitempty"`

	// Trials is how many releases the windows amount to, and FalseAlarms how many of these
	// would have been rolled back although both halves are the same.
	// +optional
	Trials int64 `json:"trials,omitempty"`
	// +optional
	FalseAlarms int64 `json:"falseAlarms,omitempty"`

	// Dispersion is how many times as much errors vary as they would if each happened by
	// itself: all evidence is divided by it.
	// +optional
	Dispersion string `json:"dispersion,omitempty"`

	// Failed means that there are too many false alarms for the judge to be trusted.
	// +optional
	Failed bool `json:"failed,omitempty"`

	// State is all that was counted, so that a restart changes nothing. No other program reads it.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	State string `json:"state,omitempty"`
}

// CanaryJudgeVerdict is a verdict about a revision.
type CanaryJudgeVerdict struct {
	// At is when the judge came to it.
	// +required
	At metav1.Time `json:"at"`

	// Revision that it is about.
	// +required
	Revision string `json:"revision"`

	// Outcome: Pass, Fail or Mismatch, or Undecided when the time was up.
	// +required
	Outcome string `json:"outcome"`

	// Message says why.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Message string `json:"message,omitempty"`
}
