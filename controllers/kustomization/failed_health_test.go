// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"fmt"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

const origin1, origin2 = "main@sha1:a1", "main@sha1:b2"

// waitingEnv is a Kustomization that waits for a Deployment, was healthy at revision one
// and applied revision two: the Deployment changed, and one ConfigMap came for another.
type waitingEnv struct {
	*testEnv
	whole reconcile.Reconciler
	ends  time.Time // of the wait
}

const deploymentAt = "/apis/apps/v1/namespaces/ns/deployments/d"

func newWaitingEnv(t *testing.T) *waitingEnv {
	t.Helper()
	e := &waitingEnv{testEnv: newTestEnv(t)}
	e.whole = reconciler.New(e.client, e.client, kind(), e.Reconciler, reconciler.Options{Clock: e.clock, Recorder: e})
	k := make.Kustomization("ns", "a", func(k *kustomizev1.Kustomization) {
		k.Generation, k.Finalizers = 3, []string{reconciler.DefaultFinalizer}
		k.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
		k.Spec.Wait, k.Spec.Prune = true, true
		k.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
	})
	if err := e.client.Create(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	e.commitOf("6.1.0@sha256:1", origin1, map[string]string{"d.yaml": deployment("d"), "one.yaml": configMap("one", "1")})
	e.applied(1)
	e.deploymentIs(map[string]any{
		"observedGeneration": int64(1), "replicas": int64(1),
		"updatedReplicas": int64(1), "readyReplicas": int64(1), "availableReplicas": int64(1),
		"conditions": []any{map[string]any{"type": "Available", "status": "True"}},
	})
	harness.MustEventually(e.t, "the first revision is healthy", harness.True(func() bool {
		e.step()
		return e.now().Status.LastAppliedRevision == "6.1.0@sha256:1"
	}))
	e.clock.SetTime(e.clock.Now().Add(time.Hour))
	e.commitOf("6.2.0@sha256:2", origin2, map[string]string{
		"d.yaml": strings.Replace(deployment("d"), "replicas: 1", "replicas: 2", 1), "two.yaml": configMap("two", "2")})
	e.deploymentIs(map[string]any{"observedGeneration": int64(1), "replicas": int64(1)})
	e.events = nil
	e.applied(2)
	e.ends = e.clock.Now().Add(time.Minute)
	return e
}

// applied reconciles until the Deployment has so many replicas: a build that takes long, as the
// first of a process does, goes on in the background.
func (e *waitingEnv) applied(replicas int) {
	e.t.Helper()
	harness.MustEventually(e.t, fmt.Sprintf("the Deployment has %d replicas", replicas), harness.True(func() bool {
		e.step()
		live := e.cluster.Get(deploymentAt)
		if live == nil {
			return false
		}
		got, _, _ := unstructured.NestedFieldNoCopy(live.Object, "spec", "replicas")
		return fmt.Sprint(got) == fmt.Sprint(replicas)
	}))
}

// step is one reconcile with all that the runner does around it.
func (e *waitingEnv) step() {
	e.t.Helper()
	_, _ = e.whole.Reconcile(e.t.Context(), reconcile.Request{NamespacedName: keyOf(app("a"))}) // the status says what came of it
}

func (e *waitingEnv) now() *kustomizev1.Kustomization {
	e.t.Helper()
	k := &kustomizev1.Kustomization{}
	if err := e.client.Get(e.t.Context(), keyOf(app("a")), k); err != nil {
		e.t.Fatal(err)
	}
	return k
}

func (e *waitingEnv) deploymentIs(status map[string]any) {
	live := e.cluster.Get(deploymentAt)
	live.Object["status"] = status
	live.SetGeneration(1)
	e.cluster.Put(deploymentAt, live)
}

// TestTheStatusAfterAFailedHealthCheckIsThatOfFlux compares the whole status with what
// kustomize-controller 1.9 leaves behind (reconcile, checkHealth and finalizeStatus of
// its internal/controller): what was applied and pruned counts, the revision does not;
// the generation is not observed; Reconciling goes on about the check that is retried.
func TestTheStatusAfterAFailedHealthCheckIsThatOfFlux(t *testing.T) {
	e := newWaitingEnv(t)
	before := e.now().Status
	e.clock.SetTime(e.ends)
	e.events = nil
	e.step()
	why := "timeout waiting for: [Deployment/ns/d status: 'InProgress'"
	at := metav1.NewTime(e.ends)
	got := e.now().Status
	for i, c := range got.Conditions { // the rest of the message is kstatus'
		if rest := strings.Index(c.Message, why); rest >= 0 {
			got.Conditions[i].Message = c.Message[:rest] + why
		}
	}
	want := kustomizev1.KustomizationStatus{
		ReconcileRequestStatus: meta.ReconcileRequestStatus{LastHandledReconcileAt: "now"},
		ObservedGeneration:     before.ObservedGeneration,
		Conditions: []metav1.Condition{
			{Type: meta.ReadyCondition, Status: metav1.ConditionFalse, Reason: meta.HealthCheckFailedReason,
				Message: "health check failed after 1m0s: " + why, ObservedGeneration: 3, LastTransitionTime: at},
			{Type: meta.ReconcilingCondition, Status: metav1.ConditionTrue, Reason: meta.ProgressingWithRetryReason,
				Message: "Running health checks for revision 6.2.0@sha256:2 with a timeout of 1m0s", ObservedGeneration: 3,
				LastTransitionTime: metav1.NewTime(e.ends.Add(-time.Minute))},
			{Type: meta.HealthyCondition, Status: metav1.ConditionFalse, Reason: meta.HealthCheckFailedReason,
				Message: why, ObservedGeneration: 3, LastTransitionTime: at},
		},
		LastAppliedRevision:       "6.1.0@sha256:1",
		LastAppliedOriginRevision: origin1,
		LastAttemptedRevision:     "6.2.0@sha256:2",
		Inventory: &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
			{ID: "ns_two__ConfigMap", Version: "v1"}, {ID: "ns_d_apps_Deployment", Version: "v1"}}},
		History: meta.History{
			{Digest: got.History[0].Digest, FirstReconciled: at, LastReconciled: at, LastReconciledStatus: meta.HealthCheckFailedReason,
				LastReconciledDuration: metav1.Duration{Duration: time.Minute}, TotalReconciliations: 1,
				Metadata: map[string]string{"revision": "6.2.0@sha256:2", "originRevision": origin2}},
			before.History[0],
		},
	}
	byType := cmpopts.SortSlices(func(a, b metav1.Condition) bool { return a.Type < b.Type })
	if diff := cmp.Diff(want, got, byType); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if got.History[0].Digest == before.History[0].Digest || !strings.HasPrefix(got.History[0].Digest, "sha256:") {
		t.Errorf("the digest of what was built is %q, and was %q", got.History[0].Digest, before.History[0].Digest)
	}
	wantEvents := []reconciler.Event{{
		Type: corev1.EventTypeWarning, Reason: meta.HealthCheckFailedReason, Message: "health check failed after 1m0s: " + why,
		Metadata: map[string]string{
			"kustomize.toolkit.fluxcd.io/revision": "6.2.0@sha256:2", "kustomize.toolkit.fluxcd.io/originRevision": origin2},
	}}
	for i := range e.events {
		if rest := strings.Index(e.events[i].Message, why); rest >= 0 {
			e.events[i].Message = e.events[i].Message[:rest] + why
		}
	}
	if diff := cmp.Diff(wantEvents, e.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
