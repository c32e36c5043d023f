// SPDX-License-Identifier: Apache-2.0

package v1beta1

import (
	"fmt"
	"strings"
	"time"
)

// Defaults of fields that are not set.
const (
	// DefaultProgressDeadline is how long a workload may take to become ready.
	DefaultProgressDeadline = 600 * time.Second
	// DefaultAnalysisInterval is the time between two checks.
	DefaultAnalysisInterval = 60 * time.Second
	// MinAnalysisInterval is the shortest time between two checks that Flagger
	// allows; the controller raises a shorter one to it, unless told otherwise.
	MinAnalysisInterval = 10 * time.Second
	// DefaultReadyThreshold is the percentage of pods that makes a workload ready.
	DefaultReadyThreshold = 100
	// DefaultMaxWeight is the percentage of traffic at which a canary is promoted.
	DefaultMaxWeight = 100
	// DefaultWebhookTimeout is how long one attempt to call a webhook may take.
	DefaultWebhookTimeout = 10 * time.Second
	// MaxWebhookTimeout and MaxWebhookRetries are more than any load test takes; each
	// attempt holds a connection and memory.
	MaxWebhookTimeout = 6 * time.Hour
	MaxWebhookRetries = 1000
	// DefaultMetricInterval is the window that built-in metrics measure.
	DefaultMetricInterval = "1m"
)

// Strategy is the way a release gets its traffic.
type Strategy string

const (
	// StrategyCanary moves traffic step by step.
	StrategyCanary Strategy = "canary"
	// StrategyBlueGreen checks the canary without users, and switches.
	StrategyBlueGreen Strategy = "blue-green"
	// StrategyABTesting sends chosen users to the canary.
	StrategyABTesting Strategy = "ab-testing"
)

// DeploymentStrategy returns the strategy that the analysis amounts to.
func (in *Canary) DeploymentStrategy() Strategy {
	a := in.Spec.Analysis
	switch {
	case a == nil || a.Iterations == 0:
		return StrategyCanary
	case len(a.Match) > 0:
		return StrategyABTesting
	default:
		return StrategyBlueGreen
	}
}

// ServiceNames returns the names of the three Services.
func (in *Canary) ServiceNames() (apex, primary, canary string) {
	apex = in.Spec.Service.Name
	if apex == "" {
		apex = in.Spec.TargetRef.Name
	}
	return apex, PrimaryName(apex), apex + "-canary"
}

// PrimaryName is the name of the primary's copy of an object: of the target, of the apex
// Service, or of what the target uses, such as a ConfigMap or a HorizontalPodAutoscaler.
func PrimaryName(of string) string { return of + primarySuffix }

// OfPrimary returns the name of that whose copy for the primary has the given name; false
// if it is no such name.
func OfPrimary(name string) (of string, ok bool) {
	of, ok = strings.CutSuffix(name, primarySuffix)
	return of, ok && of != ""
}

// primarySuffix is Flagger's.
const primarySuffix = "-primary"

// ProgressDeadline returns how long a workload may take to become ready.
func (in *Canary) ProgressDeadline() time.Duration {
	if in.Spec.ProgressDeadlineSeconds == nil {
		return DefaultProgressDeadline
	}
	return time.Duration(*in.Spec.ProgressDeadlineSeconds) * time.Second
}

// SkipAnalysis reports whether a ready canary is promoted unmeasured.
func (in *Canary) SkipAnalysis() bool {
	return in.Spec.SkipAnalysis || in.Spec.Analysis == nil
}

// GetInterval returns the time between two checks. What is no duration, such as the `1m5` that
// the pattern of the schema lets through, means the default, as in Flagger; the error says so.
func (in *CanaryAnalysis) GetInterval() (time.Duration, error) {
	if in == nil || in.Interval == "" {
		return DefaultAnalysisInterval, nil
	}
	interval, err := time.ParseDuration(in.Interval)
	if err != nil {
		return DefaultAnalysisInterval, fmt.Errorf("spec.analysis.interval: %q is no duration such as 30s or 1m; checks are %.0fm apart",
			in.Interval, DefaultAnalysisInterval.Minutes())
	}
	return interval, nil
}

// GetThreshold returns the number of failed checks that roll back, at least one.
func (in *CanaryAnalysis) GetThreshold() int {
	if in == nil {
		return 1
	}
	return max(in.Threshold, 1)
}

// Bounds of the default of spec.analysis.sampling.
const (
	minSampleInterval  = time.Second
	maxSampleInterval  = 10 * time.Second
	samplesPerInterval = 6
	minSampleFailures  = 3
)

// GetSampling returns the time between two samples, zero if none are taken, and
// the failures in a row that are decisive for a metric of the given window. By
// default a run of failures outlasts the window: within it, all samples may see
// the same few errors. interval is that of the analysis.
func (in *CanaryAnalysis) GetSampling(interval, window time.Duration) (every time.Duration, failures int, err error) {
	every = min(max(interval/samplesPerInterval, minSampleInterval), maxSampleInterval)
	if in != nil && in.Sampling != nil && in.Sampling.Interval != "" {
		if every, err = time.ParseDuration(in.Sampling.Interval); err != nil || every <= 0 {
			return 0, 0, fmt.Errorf("spec.analysis.sampling.interval: %q is not a duration", in.Sampling.Interval)
		}
	}
	failures = max(in.GetThreshold(), minSampleFailures, int(window/every)+1)
	if in == nil || in.Sampling == nil {
		return every, failures, nil
	}
	if in.Sampling.Disabled {
		return 0, 0, nil
	}
	if in.Sampling.Failures > 0 {
		failures = in.Sampling.Failures
	}
	return every, failures, nil
}

// HasService reports whether there are users to route: a worker has none.
func (in *Canary) HasService() bool { return in.Spec.Service.Port != 0 }

// GetTimeout is how long one attempt to call the webhook may take. As in Flagger, a single
// letter is no duration, and means the default.
func (w CanaryWebhook) GetTimeout() (time.Duration, error) {
	if len(w.Timeout) < 2 {
		return DefaultWebhookTimeout, nil
	}
	timeout, err := time.ParseDuration(w.Timeout)
	if err != nil || timeout <= 0 || timeout > MaxWebhookTimeout {
		return 0, fmt.Errorf("%q is not a duration of up to %.0fh", w.Timeout, MaxWebhookTimeout.Hours())
	}
	return timeout, nil
}

// GetMaxWeight returns the percentage of traffic at which a canary is promoted. As in Flagger,
// one below 1 means the default.
func (in *CanaryAnalysis) GetMaxWeight() int {
	if in == nil || in.MaxWeight < 1 {
		return DefaultMaxWeight
	}
	return in.MaxWeight
}

// GetPrimaryReadyThreshold returns the percentage of pods that makes the primary
// ready.
func (in *CanaryAnalysis) GetPrimaryReadyThreshold() int {
	if in == nil || in.PrimaryReadyThreshold == nil {
		return DefaultReadyThreshold
	}
	return *in.PrimaryReadyThreshold
}

// GetCanaryReadyThreshold returns the percentage of pods that makes the canary
// ready.
func (in *CanaryAnalysis) GetCanaryReadyThreshold() int {
	if in == nil || in.CanaryReadyThreshold == nil {
		return DefaultReadyThreshold
	}
	return *in.CanaryReadyThreshold
}
