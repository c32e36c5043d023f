// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
	"github.com/sluice-cd/sluice/test/harness"
)

func TestTheWaitForAnotherRevisionIsATransition(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Wait = true
	k.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
	since := func() time.Time {
		t.Helper()
		if result, err := e.run(k); err != nil || !result.Progressing {
			t.Fatalf("Reconcile = %+v, %v", result, err)
		}
		c := apimeta.FindStatusCondition(k.Status.Conditions, meta.HealthyCondition)
		if c == nil || c.Status != metav1.ConditionUnknown {
			t.Fatalf("Healthy is %+v", c)
		}
		return c.LastTransitionTime.Time
	}
	began := e.clock.Now()
	e.commit("main@sha1:1", map[string]string{"d.yaml": deployment("d")})
	if at := since(); !at.Equal(began) {
		t.Errorf("the first wait is since %s", at)
	}
	e.clock.SetTime(began.Add(time.Minute))
	if at := since(); !at.Equal(began) {
		t.Errorf("it begins again, at %s", at)
	}
	e.commit("main@sha1:2", map[string]string{"d.yaml": deployment("d"), "c.yaml": configMap("c", "one")})
	if at := since(); !at.Equal(began.Add(time.Minute)) {
		t.Errorf("the wait for another revision is since %s", at)
	}
	k.Spec.Wait = false
	if e.must(k); apimeta.FindStatusCondition(k.Status.Conditions, meta.HealthyCondition) != nil {
		t.Error("Healthy stays although nothing is checked")
	}
}

func TestTheStatusOfACommitIsSetThoughTheProcessThatAppliedItWasKilled(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(k)
	e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "two")})
	e.must(k.DeepCopy()) // whose status was never written
	e.states.forget(t.Context(), keyOf(k))
	events := e.must(k).Events
	if len(events) != 1 || events[0].Metadata["kustomize.toolkit.fluxcd.io/commit_status"] != "update" ||
		events[0].Metadata["kustomize.toolkit.fluxcd.io/revision"] != "main@sha1:2" {
		t.Errorf("events %+v", events)
	}
	e.states.forget(t.Context(), keyOf(k))
	if events := e.must(k).Events; len(events) > 0 {
		t.Errorf("told again: %+v", events)
	}
}

func TestTheEventThatSetsTheStatusOfACommitIsMarked(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	marked := map[string]bool{}
	for _, event := range e.must(k).Events {
		marked[event.Reason] = event.Metadata["kustomize.toolkit.fluxcd.io/commit_status"] == "update"
	}
	if !marked[meta.ReconciliationSucceededReason] || marked[meta.ProgressingReason] {
		t.Errorf("marked: %v", marked)
	}
}

func TestWhoeverKeepsAnObjectIsNamed(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "ours")})
	e.must(k)
	harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
	live := e.cluster.Get(pathOf("c"))
	ownedBy("other")(live)
	live.Object["data"] = map[string]any{"key": "theirs"}
	e.cluster.Put(pathOf("c"), live)
	e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "ours"), "d.yaml": configMap("d", "one")})
	harness.MustEventually(e.t, "the other owner is told of", harness.True(func() bool {
		k.Annotations = map[string]string{meta.ReconcileRequestAnnotation: time.Now().String()}
		return slices.ContainsFunc(e.must(k).Events, func(event reconciler.Event) bool {
			return event.Reason == driftDetectedReason && event.Type == corev1.EventTypeWarning && strings.Contains(event.Message, "ns/other")
		})
	}))
}

func TestALateBuildWakesItsKustomization(t *testing.T) {
	e := newTestEnv(t)
	e.builds.Patience = time.Nanosecond
	woken := waketest.Objects(t, &e.wake)
	k := app("a")
	open := make(chan struct{})
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	for digest, files := range e.trees {
		e.trees[digest] = slow{files, open}
	}
	if result, err := e.run(k); err != nil || !result.Progressing {
		t.Fatalf("Reconcile = %+v, %v", result, err)
	}
	close(open)
	if got := waketest.Next(t, woken); got != keyOf(k) {
		t.Errorf("%s is woken", got)
	}
}

func TestASecretThatChangesIsSeen(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vars"}, Data: map[string][]byte{"a": []byte("1")}}
	r := reconcilerWith(t, secret)
	k := app("a")
	k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "Secret", Name: "vars"}}}
	_, seen, err := substitution(t.Context(), r.client, k)
	if err != nil || changedInputs(t.Context(), r.client, "ns", seen) {
		t.Fatalf("nothing changed, %v", err)
	}
	secret.Data["a"] = []byte("2")
	if err := r.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if !changedInputs(t.Context(), r.client, "ns", seen) {
		t.Error("it is not seen")
	}
}
