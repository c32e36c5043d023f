// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/test/harness"
)

func TestDeletionPolicy(t *testing.T) {
	tests := map[string]struct {
		policy  string
		prune   bool
		suspend bool
		want    decide.DeletionPolicy
	}{
		"mirrors prune by default":    {prune: true, want: decide.DeleteObjects},
		"mirrors its absence":         {},
		"delete without prune":        {policy: kustomizev1.DeletionPolicyDelete, want: decide.DeleteObjects},
		"a suspended one awaits none": {policy: kustomizev1.DeletionPolicyWaitForTermination, suspend: true},
		"wait for termination":        {policy: kustomizev1.DeletionPolicyWaitForTermination, want: decide.AwaitTermination},
		"orphan with prune":           {policy: kustomizev1.DeletionPolicyOrphan, prune: true},
		"a suspended one keeps all":   {policy: kustomizev1.DeletionPolicyDelete, suspend: true},
		"an unknown one deletes none": {policy: "Whatever", prune: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			k := app("a")
			k.Spec.DeletionPolicy, k.Spec.Prune, k.Spec.Suspend = tc.policy, tc.prune, tc.suspend
			if got := deletionPolicy(k); got != tc.want {
				t.Errorf("deletionPolicy = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDeletion(t *testing.T) {
	tests := map[string]struct {
		policy  string
		account string
		holds   bool                               // a finalizer holds the object
		change  func(k *kustomizev1.Kustomization) // since it was applied

		wantKept, wantWaits bool
		wantEvent           string
	}{
		"prunes":                                 {wantEvent: "ConfigMap/ns/c deleted"},
		"orphans":                                {policy: kustomizev1.DeletionPolicyOrphan, wantKept: true},
		"waits for no finalizer unless asked to": {holds: true, wantKept: true, wantEvent: "ConfigMap/ns/c deleted"},
		"waits for what is held": {
			policy: kustomizev1.DeletionPolicyWaitForTermination, holds: true, wantKept: true, wantWaits: true,
			wantEvent: "waiting for the termination of ConfigMap/ns/c",
		},
		"keeps what it may not prune":           {change: func(k *kustomizev1.Kustomization) { k.Spec.Prune = false }, wantKept: true},
		"touches nothing while it is suspended": {change: func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true }, wantKept: true},
		"prunes without a source": {
			change:    func(k *kustomizev1.Kustomization) { k.Spec.SourceRef.Name = "gone" },
			wantEvent: "ConfigMap/ns/c deleted",
		},
		"keeps what its account applied": {account: "gone", wantKept: true, wantEvent: "unable to prune, service account ns/gone is gone"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			k.Spec.Prune, k.Spec.DeletionPolicy = true, tc.policy
			e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
			e.must(k)
			harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
			k.Spec.ServiceAccountName = tc.account
			if tc.change != nil {
				tc.change(k)
			}
			if tc.holds {
				live := e.cluster.Get(pathOf("c"))
				live.SetFinalizers([]string{"example.com/held"})
				e.cluster.Put(pathOf("c"), live)
			}
			err := e.Finalize(t.Context(), k)
			if (err != nil) != tc.wantWaits {
				t.Errorf("Finalize = %v", err)
			}
			if kept := e.cluster.Get(pathOf("c")) != nil; kept != tc.wantKept {
				t.Errorf("kept = %v, want %v", kept, tc.wantKept)
			}
			told := ""
			for _, event := range e.events {
				told += event.Message + "\n"
			}
			if !strings.Contains(told, tc.wantEvent) || tc.wantEvent == "" && told != "" {
				t.Errorf("events %q, want %q", told, tc.wantEvent)
			}
			if tc.wantWaits {
				before := e.wakes()
				e.cluster.Delete(pathOf("c"))
				harness.MustEventually(e.t, "the Kustomization is woken", harness.True(func() bool { return e.wakes() > before }))
				if err := e.Finalize(t.Context(), k); err != nil {
					t.Errorf("when it is gone: %v", err)
				}
			}
		})
	}
}

func TestATerminationIsNotWaitedForForEver(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Prune, k.Spec.DeletionPolicy = true, kustomizev1.DeletionPolicyWaitForTermination
	k.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(k)
	live := e.cluster.Get(pathOf("c"))
	live.SetFinalizers([]string{"example.com/held"})
	e.cluster.Put(pathOf("c"), live)
	if err := e.Finalize(t.Context(), k); err == nil {
		t.Fatal("what is held is not waited for")
	}
	e.clock.SetTime(e.clock.Now().Add(time.Minute))
	if err := e.Finalize(t.Context(), k); err != nil {
		t.Errorf("after the timeout: %v", err)
	}
	if last := e.events[len(e.events)-1]; last.Type != corev1.EventTypeWarning ||
		!strings.HasPrefix(last.Message, "failed to wait for resources termination") {
		t.Errorf("last event %+v", last)
	}
}
