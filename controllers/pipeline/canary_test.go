// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/make"
)

// byCanary has staging verified by a Canary, and asCanary wait for one to be Ready.
func byCanary(p *sluicev1.Pipeline) {
	p.Spec.Stages[0].Verify = []sluicev1.Verification{{Name: "checkout", Canary: &sluicev1.CanaryVerification{Name: "app"}}}
}

func asCanary(p *sluicev1.Pipeline) {
	p.Spec.Stages[0].Ready = append(p.Spec.Stages[0].Ready, sluicev1.ReadyReference{Kind: flaggerv1.CanaryKind, Name: "app"})
}

func TestWhatACanaryProves(t *testing.T) {
	const otherImage = "app:1"
	phase := func(p flaggerv1.CanaryPhase, changes ...func(*flaggerv1.Canary)) func(*flaggerv1.Canary) {
		return func(c *flaggerv1.Canary) {
			c.Status.Phase = p
			for _, change := range changes {
				change(c)
			}
		}
	}
	measured := func(c *flaggerv1.Canary) {
		c.Status.History = []flaggerv1.CanaryRelease{{Reason: "latency is 612, and may be at most 500", Steps: []flaggerv1.CanaryStep{
			{Measured: []flaggerv1.CanaryMeasurement{{Failure: "an earlier one"}}},
			{Measured: []flaggerv1.CanaryMeasurement{{Failure: "latency is 612, and may be at most 500"}, {}}},
		}}}
	}
	for name, tc := range map[string]struct {
		canary   func(*flaggerv1.Canary)
		image    string
		want     string // part of what staging says, or of why it failed; "" is that it is verified
		failed   bool
		ofReady  string // the same of one that has to be Ready; "" is as above
		noCanary bool
	}{
		"it succeeded": {canary: phase(flaggerv1.CanaryPhaseSucceeded)},
		"it has begun": {canary: phase(flaggerv1.CanaryPhaseInitialized)},
		"it goes on": {
			canary: phase(flaggerv1.CanaryPhaseProgressing, func(c *flaggerv1.Canary) { c.Status.CanaryWeight = 20 }),
			want:   "Canary apps/app is Progressing at weight 20",
		},
		"it failed": {canary: phase(flaggerv1.CanaryPhaseFailed), failed: true, want: "Canary apps/app failed: it was rolled back"},
		"it says why": {
			canary: phase(flaggerv1.CanaryPhaseFailed, measured), failed: true,
			want: "failed: latency is 612, and may be at most 500",
		},
		"it measured none": {canary: phase(flaggerv1.CanaryPhaseFailed, func(c *flaggerv1.Canary) {
			c.Status.History = []flaggerv1.CanaryRelease{{Reason: "no traffic"}}
		}), failed: true, want: "failed: no traffic"},
		"it is Flagger's": {canary: phase(flaggerv1.CanaryPhaseFailed, func(c *flaggerv1.Canary) {
			c.Status.Conditions = []flaggerv1.CanaryCondition{{
				Type: flaggerv1.PromotedType, Message: "Canary analysis failed, Deployment scaled to zero.",
			}}
		}), failed: true, want: "failed: Deployment scaled to zero."},
		"its target has another version": {
			canary: phase(flaggerv1.CanaryPhaseSucceeded), image: otherImage,
			want: "the target of Canary apps/app does not have this version yet",
		},
		"it does not exist": {noCanary: true, canary: func(*flaggerv1.Canary) {}, want: "Canary apps/app does not exist"},
		"it saw the version before": {canary: phase(flaggerv1.CanaryPhaseSucceeded, func(c *flaggerv1.Canary) {
			c.Status.LastTransitionTime = metav1.NewTime(c.Status.LastTransitionTime.Add(-time.Hour))
		}), want: "Canary apps/app has not seen this version yet", ofReady: "verified"},
	} {
		for how, change := range map[string]func(*sluicev1.Pipeline){"verifies": byCanary, "has to be Ready": asCanary} {
			t.Run(name+", and "+how, func(t *testing.T) {
				e := newEnv(t)
				e.reconcile()
				e.release("2")
				e.reconcile()
				change(e.pipeline)
				e.apply("staging")
				e.clock.Step(time.Minute)
				image := "app:2"
				if tc.image != "" {
					image = tc.image
				}
				e.put(strings.Replace(deployment, "app:2", image, 1))
				if !tc.noCanary {
					c := make.Canary("apps", "app")
					c.Status.LastTransitionTime = metav1.NewTime(e.clock.Now())
					tc.canary(c)
					e.create(c)
				}
				e.reconcile()
				got, verified := e.stagingSays(), tc.want == "" || tc.ofReady != "" && how != "verifies"
				switch {
				case tc.failed:
					e.want("1", "1")
					if q := e.pipeline.Status.Quarantined; len(q) != 1 || !strings.Contains(q[0].Reason, tc.want) {
						t.Errorf("quarantined %+v, want %q", q, tc.want)
					}
				case verified:
					e.want("2", "2")
				default:
					e.want("2", "1")
					if !strings.Contains(got, tc.want) {
						t.Errorf("staging says %q, want %q", got, tc.want)
					}
				}
			})
		}
	}
}

// A Canary whose last version failed says so until it sees the next one. A Kustomization that
// waits for it and has just applied that one hears the old verdict, for which a good version
// went into quarantine.
func TestAVerdictOnTheVersionBeforeFailsNoKustomizationThatWaits(t *testing.T) {
	const stalled = "health check failed after 24ms: failed early due to stalled resources: "
	for name, tc := range map[string]struct {
		message string
		seen    time.Duration // when the Canary came to its verdict, after the landing
		want    string        // of staging
	}{
		"which it came to before": {stalled + "[Canary/apps/app status: 'Failed': it was rolled back]", -time.Minute, "2"},
		"or on this one":          {stalled + "[Canary/apps/app status: 'Failed': it was rolled back]", time.Minute, "1"},
		"beside something that is wrong": {
			stalled + "[Canary/apps/app status: 'Failed': it was rolled back, Deployment/apps/db status: 'Failed']", -time.Minute, "1",
		},
		"or something alone":      {stalled + "[Deployment/apps/db status: 'Failed': Progress deadline exceeded]", -time.Minute, "1"},
		"or what cannot be built": {"kustomize build failed", -time.Minute, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.reconcile()
			e.clock.Step(time.Hour)
			e.release("2")
			e.reconcile()
			e.put(deployment)
			c := make.Canary("apps", "app")
			c.Status.Phase, c.Status.LastTransitionTime = flaggerv1.CanaryPhaseFailed, metav1.NewTime(e.clock.Now().Add(tc.seen))
			e.create(c)
			e.apply("staging", func(k *kustomizev1.Kustomization) {
				k.Status.LastAttemptedRevision = k.Status.LastAppliedRevision
				k.Status.Conditions[0].Status, k.Status.Conditions[0].Reason = metav1.ConditionFalse, meta.HealthCheckFailedReason
				k.Status.Conditions[0].Message = tc.message
			})
			e.reconcile()
			e.want(tc.want, "1")
		})
	}
}
