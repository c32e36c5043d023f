// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// queue is a ScaledObject that gives a target without work no pods, as KEDA's do that
// do not say otherwise.
func queue(edit func(spec map[string]any)) *unstructured.Unstructured {
	u := scaledObject()
	spec := object.Map(u.Object, "spec")
	delete(spec, "minReplicaCount")
	if edit != nil {
		edit(spec)
	}
	return u
}

// keda is a fixture with a primary whose ScaledObject is the copy of the owner's.
func keda(t *testing.T, theirs *unstructured.Unstructured) *fixture {
	t.Helper()
	b := scaled(t, theirs)
	b.primary()
	b.must(b.observe().EnsureScaler(t.Context()))
	b.must(b.observe().StopTarget(t.Context()))
	b.stand()
	return b
}

// scale does what an autoscaler does.
func (b *fixture) scale(name string, pods int32) {
	b.t.Helper()
	d := &appsv1.Deployment{}
	b.get(name, d)
	d.Spec.Replicas = ptr.To(pods)
	b.must(b.c.Update(b.t.Context(), d))
	b.stand()
}

func (b *fixture) pausedAt() string {
	b.t.Helper()
	return b.so("scale").GetAnnotations()[pausedReplicas]
}

// A canary that has no users yet has no load: KEDA took its pods away, and the release
// never began.
func TestATargetWithoutLoadKeepsItsPodsDuringARelease(t *testing.T) {
	for name, tc := range map[string]struct {
		theirs *unstructured.Unstructured
		want   string // paused at, during the release
	}{
		"no minimum":        {queue(nil), "3"},
		"a minimum of none": {queue(func(spec map[string]any) { spec["minReplicaCount"] = int64(0) }), "3"},
		"idle replicas":     {queue(func(spec map[string]any) { spec["minReplicaCount"], spec["idleReplicaCount"] = int64(2), int64(0) }), "3"},
		"a minimum":         {scaledObject(), ""},
		"paused at none by its owner": {func() *unstructured.Unstructured {
			u := scaledObject()
			u.SetAnnotations(map[string]string{pausedReplicas: "0"})
			return u
		}(), ""}, // which an earlier version cannot be told from
		"paused by its owner": {func() *unstructured.Unstructured {
			u := queue(nil)
			u.SetAnnotations(map[string]string{pausedReplicas: "5"})
			return u
		}(), "5"},
	} {
		t.Run(name, func(t *testing.T) {
			b := keda(t, tc.theirs)
			if got := b.pausedAt(); got != "0" {
				t.Fatalf("a stopped target is paused at %q", got)
			}
			b.canary.Status.Phase = flaggerv1.CanaryPhaseProgressing
			b.must(b.observe().StartTarget(t.Context()))
			b.must(b.observe().EnsureScaler(t.Context()))
			if got := b.pausedAt(); got != tc.want {
				t.Errorf("paused at %q during the release", got)
			}
			if b.observe().Target.Replicas == 0 {
				t.Error("the target has no pods")
			}
			if tc.want == "3" {
				b.scale("podinfo-primary", 6)
				b.must(b.observe().EnsureScaler(t.Context()))
				if got := b.pausedAt(); got != "6" {
					t.Errorf("paused at %q while the primary has more", got)
				}
			}
			b.must(b.observe().StopTarget(t.Context()))
			if got := b.pausedAt(); got != "0" {
				t.Errorf("paused at %q afterwards", got)
			}
		})
	}
}

func TestAPrimaryWithoutWork(t *testing.T) {
	for name, tc := range map[string]struct {
		theirs    *unstructured.Unstructured
		phase     flaggerv1.CanaryPhase
		want      bool
		wantLeast any
	}{
		"is ready for a release": {queue(nil), flaggerv1.CanaryPhaseSucceeded, true, nil},
		"has to wake for one":    {queue(nil), flaggerv1.CanaryPhaseProgressing, false, int64(1)},
		"has to wake from idleness, too": {
			queue(func(spec map[string]any) { spec["idleReplicaCount"] = int64(0) }),
			flaggerv1.CanaryPhaseProgressing,
			false,
			int64(1),
		},
		"is not to be without pods at rest": {scaledObject(), flaggerv1.CanaryPhaseSucceeded, false, int64(3)},
	} {
		t.Run(name, func(t *testing.T) {
			b := keda(t, tc.theirs)
			b.scale("podinfo-primary", 0)
			b.canary.Status.Phase = tc.phase
			p := b.observe()
			b.must(p.EnsureScaler(t.Context()))
			spec := object.Map(b.so("scale-primary").Object, "spec")
			if p.Primary.Ready != tc.want || spec["minReplicaCount"] != tc.wantLeast {
				t.Errorf("%+v, at least %v", p.Primary, spec["minReplicaCount"])
			}
			if _, idle := spec["idleReplicaCount"]; idle && tc.phase == flaggerv1.CanaryPhaseProgressing {
				t.Error("still idle")
			}
		})
	}
}

func TestAPrimaryThatWakesIsNotDown(t *testing.T) {
	b := keda(t, queue(nil))
	b.canary.Status.Phase = flaggerv1.CanaryPhaseProgressing
	if b.observe().Primary.Idle {
		t.Error("idle with pods")
	}
	b.scale("podinfo-primary", 0)
	if !b.observe().Primary.Idle {
		t.Error("not idle without pods")
	}
	d := &appsv1.Deployment{}
	b.get("podinfo-primary", d)
	d.Spec.Replicas = ptr.To(int32(1))
	b.must(b.c.Update(t.Context(), d))
	b.get("podinfo-primary", d)
	d.Status.AvailableReplicas = 0
	b.must(b.c.Status().Update(t.Context(), d))
	if !b.observe().Primary.Idle {
		t.Error("not idle while its pod starts")
	}
	b.stand()
	if b.observe().Primary.Idle {
		t.Error("idle still")
	}
}

func TestARevertedTargetKeepsItsPodsUntilUsersAreBack(t *testing.T) {
	for name, tc := range map[string]struct {
		primary int32
		pods    int32
	}{"with work": {4, 4}, "without": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			b := keda(t, queue(nil))
			b.scale("podinfo-primary", tc.primary)
			why, err := b.observe().RevertTarget(t.Context())
			b.must(err)
			if tc.primary > 0 && (why == "" || b.pausedAt() != "4") {
				t.Errorf("%q, paused at %q", why, b.pausedAt())
			}
			b.stand()
			why, err = b.observe().RevertTarget(t.Context())
			b.must(err)
			left := b.so("scale").GetAnnotations()
			if why != "" || left[pausedReplicas] != "" || left[pausedAnnotation] != "" || b.observe().Target.Replicas != tc.pods {
				t.Errorf("%q, %v, %+v", why, left, b.observe().Target)
			}
		})
	}
}

func TestThePauseOfAnOwnerComesBack(t *testing.T) {
	theirs := scaledObject()
	theirs.SetAnnotations(map[string]string{pausedReplicas: "5"})
	b := keda(t, theirs)
	b.must(b.observe().StartTarget(t.Context()))
	b.stand()
	if why, err := b.observe().RevertTarget(t.Context()); why != "" || err != nil || b.pausedAt() != "5" {
		t.Errorf("%q %v, paused at %q", why, err, b.pausedAt())
	}
}

// One that an earlier spec named would take the pods from users who are back.
func TestAnAutoscalerOfAnEarlierSpecIsLetGo(t *testing.T) {
	b := keda(t, scaledObject())
	b.canary.Spec.AutoscalerRef = nil
	for range 2 {
		if _, err := b.observe().RevertTarget(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.stand()
	}
	if left := b.so("scale").GetAnnotations(); left[pausedReplicas] != "" || left[pausedAnnotation] != "" {
		t.Errorf("left %v", left)
	}
}
