// SPDX-License-Identifier: Apache-2.0

// Package workload tests how workloads are released against the controllers of
// Kubernetes.
package workload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	targets "github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/internal/partition"
	"github.com/sluice-cd/sluice/test/harness"
)

// database is a StatefulSet of four pods under a canary, without a controller of
// ours: the test does what one would do.
type database struct {
	*testing.T
	c       client.Client
	manager *targets.Manager
	router  router.Router
	canary  *flaggerv1.Canary
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	p := harness.Installed(t)
	d := &database{T: t, c: p.Client, manager: targets.New(p.Client, p.Client, clock.RealClock{}, targets.Options{})}
	ns := p.NewNamespace(t, "statefulset-", nil)
	d.canary = &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db"}, Spec: flaggerv1.CanarySpec{
		TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db"}, Suspend: true,
		Service:  flaggerv1.CanaryService{Port: 5432},
		Analysis: &flaggerv1.CanaryAnalysis{Interval: "10s", Threshold: 2, StepWeight: 25},
	}}
	d.must(p.Client.Create(t.Context(), d.canary))
	partition, err := router.New("partition", router.Deps{Client: p.Client})
	d.must(err)
	d.router = partition
	labels := map[string]string{"app": "db"}
	d.must(p.Client.Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: ns,
		Name:      "db",
	}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To(int32(4)), Selector: &metav1.LabelSelector{MatchLabels: labels}, ServiceName: "db",
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{TerminationGracePeriodSeconds: ptr.To(int64(0)), Containers: []corev1.Container{{Name: "db", Image: "db:1"}}}},
	}}))
	return d
}

func (d *database) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *database) observe() *targets.Workloads {
	d.Helper()
	p, err := d.manager.Observe(d.Context(), d.canary)
	d.must(err)
	return p
}

// try repeats what a write of Kubernetes came in between of.
func (d *database) try(do func() error) {
	d.Helper()
	for {
		err := do()
		if !apierrors.IsConflict(err) {
			d.must(err)
			return
		}
	}
}

func (d *database) set(canary int) {
	d.Helper()
	d.try(func() error {
		return d.router.SetWeights(d.Context(), d.canary, provider.Weights{Primary: 100 - canary, Canary: canary})
	})
}

// promote gives all pods the template.
func (d *database) promote() {
	d.Helper()
	d.try(func() error {
		p := d.observe()
		return p.SetPrimary(d.Context(), p.Revision.Digest)
	})
}

// push changes the template.
func (d *database) push(change func(*corev1.PodSpec)) {
	d.Helper()
	d.try(func() error {
		set := &appsv1.StatefulSet{}
		d.must(d.c.Get(d.Context(), client.ObjectKey{Namespace: d.canary.Namespace, Name: "db"}, set))
		change(&set.Spec.Template.Spec)
		return d.c.Update(d.Context(), set)
	})
}

func image(name string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) { s.Containers[0].Image, s.NodeSelector = name, nil }
}

// unschedulable is an image in pods that no node takes. Kubernetes stops at the first of
// them: pods of the simulated node are ready at once, and all could have a template
// before the test has written the next partition.
func unschedulable(name string) func(*corev1.PodSpec) {
	return func(s *corev1.PodSpec) { s.Containers[0].Image, s.NodeSelector = name, map[string]string{"no": "node"} }
}

// images are those of the pods, by ordinal; a question mark is a pod that does not
// serve.
func (d *database) images() []string {
	d.Helper()
	pods := &corev1.PodList{}
	d.must(d.c.List(d.Context(), pods, client.InNamespace(d.canary.Namespace), client.MatchingLabels{"app": "db"}))
	images := make([]string, 4)
	for i := range pods.Items {
		pod := &pods.Items[i]
		n := int(pod.Name[len("db-")] - '0')
		if images[n] = strings.TrimPrefix(pod.Spec.Containers[0].Image, "db:"); !partition.Ready(pod) {
			images[n] += "?"
		}
	}
	return images
}

// until does what every look of a controller does, until the pods are as wanted,
// the router says so, and both halves agree.
func (d *database) until(weight int, images ...string) *targets.Workloads {
	d.Helper()
	var pair *targets.Workloads
	_, err := harness.Eventually(d.Context(), fmt.Sprintf("weight %d, pods %v", weight, images),
		harness.Patience, func(ctx context.Context) (bool, string) {
			if err := d.router.Reconcile(ctx, d.canary); err != nil && !apierrors.IsConflict(err) {
				return false, err.Error()
			}
			pair = d.observe()
			weights, err := d.router.Weights(ctx, d.canary)
			if err != nil && !errors.Is(err, router.ErrNotAccepted) {
				return false, err.Error()
			}
			got := d.images()
			ok := err == nil && weights.Canary == weight && cmp.Equal(images, got) && pair.Target.Ready && pair.Primary.Ready
			return ok, fmt.Sprintf("%v %v %v; target %+v; primary %+v", weights, err, got, pair.Target, pair.Primary)
		})
	d.must(err)
	return pair
}

// begin puts the StatefulSet under the canary.
func (d *database) begin() {
	d.Helper()
	d.until(0, "1", "1", "1", "1")
	d.set(0)
	d.until(0, "1", "1", "1", "1")
}

func TestAStatefulSetIsReleasedPodByPod(t *testing.T) {
	d := newDatabase(t)
	d.begin()
	first := d.observe()
	d.push(image("db:2"))
	held := d.until(0, "1", "1", "1", "1")
	if held.Primary.Revision != first.Primary.Revision || held.Target.Revision == held.Primary.Revision || held.Primary.Images[0] != "db:1" {
		t.Fatalf("held: %+v %+v", held.Target, held.Primary)
	}
	d.set(25)
	one := d.until(25, "1", "1", "1", "2")
	if one.Target.Available != 1 || one.Primary.Available != 3 || one.Primary.Revision != first.Primary.Revision {
		t.Errorf("one pod: %+v %+v", one.Target, one.Primary)
	}
	d.set(100)
	d.until(100, "1", "2", "2", "2")
	d.promote()
	d.until(100, "2", "2", "2", "2")
	d.set(0)
	done := d.until(0, "2", "2", "2", "2")
	if done.Primary.Revision != held.Target.Revision {
		t.Errorf("promoted %s, not %s", done.Primary.Revision, held.Target.Revision)
	}
	d.push(image("db:3")) // the next one is held back again
	d.until(0, "2", "2", "2", "2")
}

func TestAFailedStatefulSetGetsItsPodsBack(t *testing.T) {
	d := newDatabase(t)
	d.begin()
	d.push(image("db:2"))
	d.set(60)
	d.until(60, "1", "2", "2", "2")
	d.set(0)
	d.try(func() error { return d.observe().StopTarget(t.Context()) })
	d.until(0, "1", "1", "1", "1")
	d.push(image("db:1")) // Git follows
	if p := d.until(0, "1", "1", "1", "1"); p.Target.Revision != p.Primary.Revision {
		t.Errorf("target %s, primary %s", p.Target.Revision, p.Primary.Revision)
	}
}

func TestAPodThatNeverStartsIsReplacedByTheOldOne(t *testing.T) {
	d := newDatabase(t)
	d.begin()
	d.push(unschedulable("db:2"))
	d.set(25)
	_, err := harness.Eventually(t.Context(), "a reason", harness.Patience, func(context.Context) (bool, string) {
		why := d.observe().Target.Why
		return strings.Contains(why, "pod db-3: Unschedulable"), why
	})
	d.must(err)
	if diff := cmp.Diff([]string{"1", "1", "1", "2?"}, d.images()); diff != "" {
		t.Error(diff)
	}
	d.set(0)
	d.until(0, "1", "1", "1", "1")
}

func TestAPromotionThatGetsStuckIsTakenBack(t *testing.T) {
	d := newDatabase(t)
	d.begin()
	d.push(unschedulable("db:2"))
	d.promote()
	_, err := harness.Eventually(t.Context(), "the last pod to be pending", harness.Patience, func(ctx context.Context) (bool, string) {
		// The partition is lowered once the status shows the new revision.
		err := d.router.Reconcile(ctx, d.canary)
		got := d.images()
		return got[3] == "2?", fmt.Sprint(got, err)
	})
	d.must(err)
	d.set(0)
	d.try(func() error { return d.observe().StopTarget(t.Context()) })
	d.until(0, "1", "1", "1", "1")
}

func TestARevertDuringAPromotionEndsWhereItBegan(t *testing.T) {
	d := newDatabase(t)
	d.begin()
	d.push(image("db:2"))
	d.set(25)
	d.until(25, "1", "1", "1", "2")
	d.promote()
	d.push(image("db:1"))
	d.promote()
	d.set(0)
	d.until(0, "1", "1", "1", "1")
}

func TestAnotherTemplateDuringAPromotionIsHeldBack(t *testing.T) {
	d := newDatabase(t)
	d.begin()
	d.push(image("db:2"))
	d.set(25)
	d.until(25, "1", "1", "1", "2")
	d.promote()
	d.push(unschedulable("db:3"))
	d.set(0)
	// The promotion may have been complete already, and the last pod may have got db:3
	// before the partition was raised; in the end db:3 is nowhere.
	_, err := harness.Eventually(t.Context(), "all pods to be of one revision that is not db:3",
		harness.Patience, func(ctx context.Context) (bool, string) {
			_ = d.router.Reconcile(ctx, d.canary)
			got := d.images()
			_, err := d.router.Weights(ctx, d.canary)
			same := cmp.Equal(got, []string{"1", "1", "1", "1"}) || cmp.Equal(got, []string{"2", "2", "2", "2"})
			return err == nil && same, fmt.Sprint(got, err)
		})
	d.must(err)
}

func TestScalingInTheMiddleKeepsTheShare(t *testing.T) {
	d := newDatabase(t)
	d.begin()
	d.push(image("db:2"))
	d.set(50)
	d.until(50, "1", "1", "2", "2")
	scale := func(pods int32) {
		d.try(func() error {
			set := &appsv1.StatefulSet{}
			d.must(d.c.Get(t.Context(), client.ObjectKey{Namespace: d.canary.Namespace, Name: "db"}, set))
			set.Spec.Replicas = &pods
			return d.c.Update(t.Context(), set)
		})
	}
	scale(3)
	d.until(50, "1", "2", "2", "")
	scale(4)
	d.until(50, "1", "1", "2", "2")
}

func TestADeletedCanaryLetsTheTemplateThrough(t *testing.T) {
	d := newDatabase(t)
	d.begin()
	d.push(image("db:2"))
	d.until(0, "1", "1", "1", "1")
	d.try(func() error { return d.router.Finalize(t.Context(), d.canary) })
	_, err := harness.Eventually(t.Context(), "the template to reach all pods", harness.Patience, func(context.Context) (bool, string) {
		got := d.images()
		return cmp.Equal(got, []string{"2", "2", "2", "2"}), fmt.Sprint(got)
	})
	d.must(err)
}
