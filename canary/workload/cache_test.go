// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// calls counts what a manager asks the API server.
func (b *fixture) calls() func() int {
	b.t.Helper()
	n := 0
	base := b.c.(client.WithWatch)
	b.manager.live = interceptor.NewClient(base, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			n++
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, o client.ObjectList, opts ...client.ListOption) error {
			n++
			return c.List(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			n++
			return c.Patch(ctx, o, patch, opts...)
		},
	})
	return func() int {
		was := n
		n = 0
		return was
	}
}

// stand makes all pods of both copies available, as nobody would otherwise.
func (b *fixture) stand() {
	b.t.Helper()
	for _, name := range []string{"podinfo", "podinfo-primary"} {
		d := &appsv1.Deployment{}
		b.get(name, d)
		n := *d.Spec.Replicas
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, AvailableReplicas: n}
		b.must(b.c.Status().Update(b.t.Context(), d))
	}
}

func TestALookReadsWhatHasChanged(t *testing.T) {
	b := scaled(t, hpa())
	p := b.observe()
	b.must(p.Save(t.Context(), p.Revision.Digest))
	b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	b.must(p.EnsureScaler(t.Context()))
	b.stand()
	b.manager.Forget(b.canary.UID)
	count := b.calls()
	look := func() { b.must(b.observe().EnsureScaler(t.Context())) }
	look()
	if got := count(); got != 17 { // two Deployments, six configs, snapshots, two autoscalers, two lists of copies, three of neighbours, pods
		t.Errorf("the first look took %d calls", got)
	}
	for range 2 {
		look()
	}
	if got := count(); got != 4 { // two Deployments each
		t.Errorf("two looks took %d calls", got)
	}
	cm := &corev1.ConfigMap{}
	b.get("env", cm)
	cm.Data["color"] = "red"
	b.must(b.c.Update(t.Context(), cm))
	if got := b.observe(); got.Revision.Digest == p.Revision.Digest {
		t.Error("a change went unnoticed")
	}
	if got := count(); got != 3 {
		t.Errorf("one changed ConfigMap took %d calls", got)
	}
}

func TestWhatIsPromotedWasNotReadAgainByMistake(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	b.observe()
	p := b.observe() // knows the configs without their content
	cm := &corev1.ConfigMap{}
	b.get("env", cm)
	cm.Data["color"] = "red"
	b.must(b.c.Update(t.Context(), cm))
	if err := p.SetPrimary(t.Context(), p.Revision.Digest); err == nil {
		t.Fatal("promoted something else")
	}
	again := b.observe()
	b.must(again.SetPrimary(t.Context(), again.Revision.Digest))
	b.get("env-primary", cm)
	if cm.Data["color"] != "red" {
		t.Errorf("promoted %v", cm.Data)
	}
}

func TestASnapshotThatSomebodyDeletedIsNoticed(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	old := b.observe()
	b.must(old.Save(t.Context(), old.Revision.Digest))
	d := &appsv1.Deployment{}
	b.get("podinfo", d)
	d.Spec.Template.Spec.Containers[0].Image = "podinfo:2"
	b.must(b.c.Update(t.Context(), d))
	b.must(b.c.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace("test")))
	p := b.observe()
	if err := p.SetPrimary(t.Context(), old.Revision.Digest); err == nil {
		t.Fatal("promoted what is gone")
	}
	if b.observe().Saved[old.Revision.Digest] {
		t.Error("still said to be there")
	}
}

// TestTwoCanariesWithOneConfig is how a change that one of them measured used to
// reach the users of the other.
func TestTwoCanariesWithOneConfig(t *testing.T) {
	other := podinfo("other:1")
	other.Name, other.Spec.Selector.MatchLabels["app"], other.Spec.Template.Labels["app"] = "other", "other", "other"
	b := newFixture(t, append(targetAndConfigs("podinfo:1"), other)...)
	second := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "test", UID: types.UID("uid-2")}}
	second.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "other"}
	first := b.canary
	promote := func(c *flaggerv1.Canary) {
		b.canary = c
		p := b.observe()
		b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	}
	reads := func() []string {
		var values []string
		for _, name := range []string{"podinfo-primary", "other-primary"} {
			d, cm := &appsv1.Deployment{}, &corev1.ConfigMap{}
			b.get(name, d)
			b.get(d.Spec.Template.Spec.Containers[0].Env[0].ValueFrom.ConfigMapKeyRef.Name, cm)
			values = append(values, cm.Data["color"])
		}
		return values
	}
	promote(first)
	promote(second)
	cm := &corev1.ConfigMap{}
	b.get("env", cm)
	cm.Data["color"] = "red"
	b.must(b.c.Update(t.Context(), cm))
	for _, tc := range []struct {
		who  *flaggerv1.Canary
		want []string
	}{{second, []string{"blue", "red"}}, {first, []string{"red", "red"}}} {
		promote(tc.who)
		if diff := cmp.Diff(tc.want, reads()); diff != "" {
			t.Errorf("after %s: %s", tc.who.Name, diff)
		}
	}
}

// TestACopyThatFlaggerSharedIsRecognised: taking over must not look like a release.
func TestACopyThatFlaggerSharedIsRecognised(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	p := b.observe()
	b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	d, cm := &appsv1.Deployment{}, &corev1.ConfigMap{}
	b.get("podinfo-primary", d)
	d.Spec.Template.Annotations[idAnnotation] = "a-uuid-of-flagger"
	b.must(b.c.Update(t.Context(), d))
	b.get("env-primary", cm)
	cm.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "flagger.app/v1beta1",
		Kind:       "Canary",
		Name:       "other",
		UID:        "uid-2",
		Controller: ptr.To(true),
	}}
	b.must(b.c.Update(t.Context(), cm))
	if got := b.observe().Primary.Revision; got != p.Revision.Digest {
		t.Errorf("primary runs %q", got)
	}
}

func TestASecretOfAnotherTypeIsCopiedAnew(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	b.must(b.observe().SetPrimary(t.Context(), b.observe().Revision.Digest))
	s := &corev1.Secret{}
	b.get("cert", s)
	b.must(b.c.Delete(t.Context(), s))
	anew := secret("cert", corev1.SecretTypeOpaque)
	anew.Namespace, anew.Immutable = "test", ptr.To(true)
	b.must(b.c.Create(t.Context(), anew))
	b.must(b.observe().SetPrimary(t.Context(), b.observe().Revision.Digest))
	b.get("cert-primary", s)
	if s.Type != corev1.SecretTypeOpaque || s.Immutable != nil {
		t.Errorf("copied %+v", s)
	}
}

// TestAPodThatRestartsLateHasItsTime: the deadline counts from when it was missed,
// not from the beginning of a stage that may last for hours.
func TestAPodThatRestartsLateHasItsTime(t *testing.T) {
	d := agent("podinfo:1")
	d.Status.NumberAvailable = 1
	b := daemonBench(t, d)
	b.canary.Status.LastTransitionTime = metav1.NewTime(noon.Add(-time.Hour))
	clk := clocktesting.NewFakePassiveClock(noon)
	b.manager.clock = clk
	for _, tc := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {9 * time.Minute, false}, {11 * time.Minute, true}} {
		clk.SetTime(noon.Add(tc.after))
		if got := b.observe().Target; got.Stuck != tc.want || got.Ready {
			t.Errorf("after %s: %+v", tc.after, got)
		}
	}
	b.canary.Status.LastTransitionTime = metav1.NewTime(noon.Add(11 * time.Minute)) // another revision, say
	if b.observe().Target.Stuck {
		t.Error("stuck at the beginning")
	}
}

func TestAPrimaryThatIsRestoredHasThePodsThatItHad(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	p := b.observe()
	b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	b.must(p.StopTarget(t.Context()))
	b.observe()
	lost := &appsv1.Deployment{}
	b.get("podinfo-primary", lost)
	b.must(b.c.Delete(t.Context(), lost))
	b.must(b.observe().SetPrimary(t.Context(), p.Revision.Digest))
	if got := b.observe().Primary.Replicas; got != 3 {
		t.Errorf("restored with %d pods", got)
	}
}

// A primary that was restored once got the revision that an earlier target of the
// canary was promoted to.
func TestASnapshotOfAnotherTargetIsNotPromoted(t *testing.T) {
	other := podinfo("payments:1")
	other.Name, other.Spec.Replicas = "payments", ptr.To(int32(1))
	other.Spec.Selector.MatchLabels["app"], other.Spec.Template.Labels["app"] = "payments", "payments"
	b := newFixture(t, append(targetAndConfigs("podinfo:1"), other)...)
	old := b.observe()
	b.must(old.Save(t.Context(), old.Revision.Digest))
	b.must(old.SetPrimary(t.Context(), old.Revision.Digest))
	b.observe() // sees three pods of the primary
	b.canary.Spec.TargetRef.Name = "payments"
	p := b.observe()
	if len(p.Saved) > 0 || p.SetPrimary(t.Context(), old.Revision.Digest) == nil {
		t.Errorf("promoted %s, saved %v", old.Revision.Digest, p.Saved)
	}
	b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	primary := &appsv1.Deployment{}
	b.get("payments-primary", primary)
	if got := primary.Spec.Template.Spec.Containers[0].Image; got != "payments:1" || *primary.Spec.Replicas != 1 {
		t.Errorf("%d pods run %s", *primary.Spec.Replicas, got)
	}
	b.canary.Spec.TargetRef.Name = "podinfo"
	if diff := cmp.Diff(map[string]bool{old.Revision.Digest: true}, b.observe().Saved); diff != "" {
		t.Error(diff)
	}
}
