// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// at is a time in seconds.
func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

func ref(tag string) imagev1.ImageRef { return imagev1.ImageRef{Name: "app", Tag: tag} }

func TestHowLongABatchStaysOpen(t *testing.T) {
	spec := imagev1.CommitBatch{Quiet: metav1.Duration{Duration: 10 * time.Second}}
	withMax := spec
	withMax.Max = &metav1.Duration{Duration: 25 * time.Second}
	tests := map[string]struct {
		batch batch
		spec  imagev1.CommitBatch
		now   int64
		want  time.Duration
	}{
		"a fresh batch waits for the quiet time":       {batch{first: at(0), last: at(0)}, spec, 0, 10 * time.Second},
		"an added update starts the quiet time anew":   {batch{first: at(0), last: at(8)}, spec, 9, 9 * time.Second},
		"a quiet batch is over":                        {batch{first: at(0), last: at(0)}, spec, 10, 0},
		"a busy batch ends after ten quiet times":      {batch{first: at(0), last: at(98)}, spec, 98, 2 * time.Second},
		"a busy batch ends at the maximum that is set": {batch{first: at(0), last: at(24)}, withMax, 24, time.Second},
	}
	for name, tc := range tests {
		if got := tc.batch.remaining(tc.spec, at(tc.now)); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestWhatExtendsABatch(t *testing.T) {
	open := batch{pending: imagev1.ObservedPolicies{"app": ref("1")}, first: at(1), last: at(2)}
	tests := map[string]struct {
		batch   batch
		pending imagev1.ObservedPolicies
		want    batch
	}{
		"the first update opens it": {
			batch{}, open.pending, batch{pending: open.pending, first: at(9), last: at(9)}},
		"the same update changes nothing": {open, open.pending, open},
		"another choice of the policy": {
			open, imagev1.ObservedPolicies{"app": ref("2")}, batch{imagev1.ObservedPolicies{"app": ref("2")}, at(1), at(9)}},
		"another policy": {
			open, imagev1.ObservedPolicies{"app": ref("1"), "b": ref("1")},
			batch{imagev1.ObservedPolicies{"app": ref("1"), "b": ref("1")}, at(1), at(9)}},
	}
	for name, tc := range tests {
		if diff := cmp.Diff(tc.want, tc.batch.extend(tc.pending, at(9)), cmp.AllowUnexported(batch{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatWaitsForABatch(t *testing.T) {
	batched := func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Commit.Batch = &imagev1.CommitBatch{Quiet: metav1.Duration{Duration: time.Second}}
	}
	requested := func(a *imagev1.ImageUpdateAutomation) {
		a.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	}
	chosen := imagev1.ObservedPolicies{"app": ref("2"), "same": ref("1")}
	tests := map[string]struct {
		changes []func(*imagev1.ImageUpdateAutomation)
		want    imagev1.ObservedPolicies
	}{
		"what the status does not have": {[]func(*imagev1.ImageUpdateAutomation){batched}, imagev1.ObservedPolicies{"app": ref("2")}},
		"nothing without batches":       {nil, nil},
		"nothing without a quiet time": {[]func(*imagev1.ImageUpdateAutomation){func(a *imagev1.ImageUpdateAutomation) {
			a.Spec.GitSpec.Commit.Batch = &imagev1.CommitBatch{}
		}}, nil},
		"nothing after a new reconcile request": {[]func(*imagev1.ImageUpdateAutomation){batched, requested}, nil},
		"a handled request ends no wait": {[]func(*imagev1.ImageUpdateAutomation){batched, requested, func(a *imagev1.ImageUpdateAutomation) {
			a.Status.LastHandledReconcileAt = "now"
		}}, imagev1.ObservedPolicies{"app": ref("2")}},
	}
	for name, tc := range tests {
		a := automation(tc.changes...)
		a.Status.ObservedPolicies = imagev1.ObservedPolicies{"same": ref("1"), "app": ref("1")}
		if diff := cmp.Diff(tc.want, pendingBatch(a, chosen)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAPushIsRememberedUntilTheStatusHasIt(t *testing.T) {
	var tr tracker
	a := automation()
	if _, ok := tr.unrecordedPush(a); ok {
		t.Error("there is a push before any")
	}
	tr.recordPush(a.UID, push{commit: "abc"})
	for range 2 {
		if made, ok := tr.unrecordedPush(a); !ok || made.commit != "abc" {
			t.Errorf("push %+v, %v", made, ok)
		}
	}
	a.Status.LastPushCommit = "abc"
	if _, ok := tr.unrecordedPush(a); ok {
		t.Error("the push is not recorded though the status has it")
	}
	a.Status.LastPushCommit = ""
	if _, ok := tr.unrecordedPush(a); ok || len(tr.automations) > 0 {
		t.Errorf("it is remembered after all: %v, %d entries", ok, len(tr.automations))
	}
}

func TestTheTrackerHasNothingOfObjectsThatAreGone(t *testing.T) {
	var tr tracker
	a, p := automation(), policy("2")
	tr.extendBatch(a.UID, imagev1.ObservedPolicies{"app": ref("2")}, at(1))
	tr.recordPush(a.UID, push{commit: "abc"})
	tr.closeBatch(a.UID)
	if tr.automations[a.UID].batch != nil || tr.automations[a.UID].push == nil {
		t.Errorf("closing a batch leaves %+v", tr.automations[a.UID])
	}
	if again := tr.extendBatch(a.UID, imagev1.ObservedPolicies{"app": ref("3")}, at(7)); again.first != at(7) {
		t.Errorf("a batch after a closed one began at %v", again.first)
	}
	tr.recordChoice(p, at(1))
	tr.forgetAutomation(a.UID)
	tr.forgetPolicy(types.NamespacedName{Namespace: "apps", Name: "app"})
	if len(tr.automations)+len(tr.policies) > 0 {
		t.Errorf("%d automations and %d policies are left", len(tr.automations), len(tr.policies))
	}
}

func TestTheDelayOfACommitIsTakenOnce(t *testing.T) {
	change := edit.Change{Setter: "apps:app"}
	tests := map[string]struct {
		change    edit.Change
		written   imagev1.ObservedPolicies
		wantDelay time.Duration
	}{
		"a new choice":                        {change: change, wantDelay: 5 * time.Second},
		"a policy that was never seen":        {change: edit.Change{Setter: "apps:none"}},
		"a policy of another namespace":       {change: edit.Change{Setter: "other:app"}},
		"a choice that was written before":    {change: change, written: imagev1.ObservedPolicies{"app": ref("2")}},
		"a choice that follows a written one": {change: change, written: imagev1.ObservedPolicies{"app": ref("1")}, wantDelay: 5 * time.Second},
		"a setter that cannot be read":        {change: edit.Change{Setter: "app"}},
	}
	for name, tc := range tests {
		var tr tracker
		tr.recordChoice(policy("1"), at(1))
		tr.recordChoice(policy("2"), at(10))
		a := automation()
		a.Status.ObservedPolicies = tc.written
		delay, ok := tr.takeDelay(a, tc.change, at(15))
		if delay != tc.wantDelay || ok != (tc.wantDelay > 0) {
			t.Errorf("%s: %v, %v; want %v", name, delay, ok, tc.wantDelay)
		}
		if again, ok := tr.takeDelay(a, tc.change, at(16)); ok {
			t.Errorf("%s: taken again: %v", name, again)
		}
	}
}
