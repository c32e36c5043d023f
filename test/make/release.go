// SPDX-License-Identifier: Apache-2.0

// Package make builds objects for tests. A builder makes an object that is complete and
// ordinary; a test changes what matters to it, and nothing else:
//
//	c := make.Release(now, func(c *flaggerv1.Canary) { c.Spec.Suspend = true })
package make

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Canary releases the Deployment of its name behind a Service on port 80, once a minute in
// steps of 10 %, and rolls back at the first failed check. It has no provider and no
// metrics, and has not been looked at yet.
func Canary(namespace, name string, changes ...func(*flaggerv1.Canary)) *flaggerv1.Canary {
	return changed(&flaggerv1.Canary{
		TypeMeta:   metav1.TypeMeta{APIVersion: flaggerv1.GroupVersion.String(), Kind: "Canary"},
		ObjectMeta: named(namespace, name),
		Spec: flaggerv1.CanarySpec{
			TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			Service:   flaggerv1.CanaryService{Port: 80},
			Analysis:  &flaggerv1.CanaryAnalysis{Interval: "1m", Threshold: 1, StepWeight: 10},
		},
	}, changes)
}

// Revisions of Release: the one that is tried, and the one that users have.
const (
	NewRevision = "sha256:bbbbbbbbbb"
	OldRevision = "sha256:aaaaaaaaaa"
)

// Release is the Canary apps/podinfo whose release of podinfo:6.1.0 is in the second
// of three steps, at 40 %, since 5 minutes before now. The first step lasted a minute.
// One of 3 checks has failed, of two metrics: the success rate is too low, and the
// queue has no values.
func Release(now time.Time, changes ...func(*flaggerv1.Canary)) *flaggerv1.Canary {
	first, second := metav1.NewTime(now.Add(-6*time.Minute)), metav1.NewTime(now.Add(-5*time.Minute-500*time.Millisecond))
	c := &flaggerv1.Canary{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "podinfo"},
		Spec: flaggerv1.CanarySpec{
			Provider:  "gatewayapi:v1",
			TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"},
			Service:   flaggerv1.CanaryService{Port: 80},
			Analysis: &flaggerv1.CanaryAnalysis{
				Interval: "30s", Threshold: 3, StepWeight: 20, MaxWeight: 60,
				Metrics: []flaggerv1.CanaryMetric{
					{Name: "request-success-rate", Interval: "1m", ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: new(99.0)}},
					{
						Name: "queue", TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "depth"},
						ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: new(1.0), Max: new(5.0)},
					},
				},
			},
		},
		Status: flaggerv1.CanaryStatus{
			Phase: flaggerv1.CanaryPhaseProgressing, CanaryWeight: 40, FailedChecks: 1,
			LastAppliedSpec: NewRevision, LastPromotedSpec: OldRevision, LastTransitionTime: second,
			Conditions: []flaggerv1.CanaryCondition{{
				Type: "Ready", Status: metav1.ConditionUnknown, Reason: "Progressing", Message: "step 2 of 3",
			}},
			History: []flaggerv1.CanaryRelease{{
				Revision: NewRevision, Images: []string{"ghcr.io/acme/podinfo:6.1.0", "envoy:1"}, StartedAt: first,
				Steps: []flaggerv1.CanaryStep{
					{Weight: 20, At: first, Measured: []flaggerv1.CanaryMeasurement{
						{Name: "request-success-rate", Value: new(99.9)}, {Name: "queue", Value: new(2.0)}}},
					{Weight: 40, At: second, FailedChecks: 1, Measured: []flaggerv1.CanaryMeasurement{
						{Name: "request-success-rate", Value: new(62.5), Failure: "success rate 62.50% < 99%"},
						{Name: "queue", Failure: "no values"}}},
				},
			}},
		},
	}
	return changed(c, changes)
}
