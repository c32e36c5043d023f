// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// Two canaries moved the partition of one StatefulSet in turn, and of a Deployment the second
// one was told about the primary, which it had never heard of.
func TestOnlyOneCanaryReleasesATarget(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	const released, failing = flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed
	for name, tc := range map[string]struct {
		mine, other func(*flaggerv1.Canary)
		refused     bool
	}{
		"the other one is older": {
			other: func(c *flaggerv1.Canary) { c.CreationTimestamp = metav1.NewTime(at.Add(-time.Hour)) }, refused: true,
		},
		"the other one is younger": {other: func(c *flaggerv1.Canary) { c.CreationTimestamp = metav1.NewTime(at.Add(time.Hour)) }},
		"both were made at once":   {refused: true}, // other comes first by its name
		"the other one has begun": {other: func(c *flaggerv1.Canary) {
			c.Status.Phase, c.CreationTimestamp = released, metav1.NewTime(at.Add(time.Hour))
		}, refused: true},
		"this one has begun":         {mine: func(c *flaggerv1.Canary) { c.Status.Phase = failing }},
		"another kind of the name":   {other: func(c *flaggerv1.Canary) { c.Spec.TargetRef.Kind = "DaemonSet" }},
		"another name":               {other: func(c *flaggerv1.Canary) { c.Spec.TargetRef.Name = "orders" }},
		"another version of its API": {other: func(c *flaggerv1.Canary) { c.Spec.TargetRef.APIVersion = "apps/v1beta2" }, refused: true},
		"another namespace":          {other: func(c *flaggerv1.Canary) { c.Namespace = "prod" }},
		"one that had another target": {
			mine: func(c *flaggerv1.Canary) { c.Status.Phase, c.Status.Target = released, "Deployment/orders" }, refused: true,
		},
		"the other one had another": {
			mine:  func(c *flaggerv1.Canary) { c.Status.Phase, c.Status.Target = released, "StatefulSet/podinfo" },
			other: func(c *flaggerv1.Canary) { c.Status.Phase, c.Status.Target = released, "Deployment/orders" },
		},
		"two of Flagger's, the elder": {mine: func(c *flaggerv1.Canary) {
			c.Status.Phase, c.CreationTimestamp = released, metav1.NewTime(at.Add(-time.Hour))
		}, other: func(c *flaggerv1.Canary) { c.Status.Phase = released }},
		"two of Flagger's, the second": {
			mine:  func(c *flaggerv1.Canary) { c.Status.Phase = released },
			other: func(c *flaggerv1.Canary) { c.Status.Phase = released }, refused: true,
		},
		"one of Flagger's that is older, and one that surely released the target": {mine: func(c *flaggerv1.Canary) {
			c.Status.Phase, c.Status.Target = released, "StatefulSet/podinfo"
		}, other: func(c *flaggerv1.Canary) {
			c.Status.Phase, c.CreationTimestamp = released, metav1.NewTime(at.Add(-time.Hour))
		}},
		"one of Flagger's, and one that surely released the target and is younger": {mine: func(c *flaggerv1.Canary) {
			c.Status.Phase = released
		}, other: func(c *flaggerv1.Canary) {
			c.Status.Phase, c.Status.Target, c.CreationTimestamp = released, "StatefulSet/podinfo", metav1.NewTime(at.Add(time.Hour))
		}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			canary := func(name string, edit func(*flaggerv1.Canary)) *flaggerv1.Canary {
				c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: name, CreationTimestamp: at}}
				c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "podinfo"}
				if edit != nil {
					edit(c)
				}
				return c
			}
			mine := canary("podinfo", tc.mine)
			e := newEnv(t, interceptor.Funcs{}, mine, canary("another", tc.other))
			err := e.r.observer.targetConflicts.check(t.Context(), mine)
			const want = "spec.targetRef: StatefulSet test/podinfo is released by Canary another already, and two cannot release the same; " +
				"delete one of them"
			if tc.refused != (err != nil) || err != nil && (!errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// listOptions notes how Canaries are listed.
type listOptions struct {
	client.Reader
	got client.ListOptions
}

func (l *listOptions) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	l.got.ApplyOptions(opts)
	return l.Reader.List(ctx, into, opts...)
}

// Each reconcile copied all Canaries of the namespace.
func TestCanariesOfATargetAreLookedUpWithoutCopies(t *testing.T) {
	mine := releasing(newPrometheus(t, "100"))
	seen := &listOptions{Reader: newEnv(t, interceptor.Funcs{}, mine).api}
	if err := (targetConflicts{seen}).check(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	if copies := seen.got.UnsafeDisableDeepCopy; copies == nil || !*copies || seen.got.Namespace != "test" {
		t.Errorf("listed with %+v", seen.got)
	}
}

// Who was refused stayed so for half a minute after the other one had gone.
func TestACanaryIsWokenWhenItsTargetIsGivenUp(t *testing.T) {
	gone, waiting, another := releasing(newPrometheus(t, "100")), releasing(newPrometheus(t, "100")), releasing(newPrometheus(t, "100"))
	waiting.Name, another.Name, another.Spec.TargetRef.Name = "waiting", "another", "orders"
	edited := gone.DeepCopy()
	edited.Generation, edited.Spec.TargetRef.Name = gone.Generation+1, "payments"
	for name, happens := range map[string]func(*testEnv){
		"it is deleted": func(e *testEnv) { e.r.ownEvents().Delete(t.Context(), event.DeleteEvent{Object: gone}, nil) },
		"it is edited": func(e *testEnv) {
			e.r.ownEvents().Update(t.Context(), event.UpdateEvent{ObjectOld: gone, ObjectNew: edited}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, interceptor.Funcs{}, waiting.DeepCopy(), another.DeepCopy())
			happens(e)
			if got := waketest.Next(t, e.woken); got.Name != "waiting" || len(e.woken) > 0 {
				t.Errorf("%s is woken, and %d more times", got, len(e.woken))
			}
		})
	}
}
