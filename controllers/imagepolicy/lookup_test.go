// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// silent is a fixture whose policy reflects digests, chose 1.0.0, and whose
// registry has said nothing since.
func silent(t *testing.T) (f *fixture, wake func(), woken <-chan types.NamespacedName) {
	t.Helper()
	f = newFixture(t)
	f.policy.Spec.DigestReflectionPolicy = imagev1.ReflectAlways
	f.policy.Spec.Interval = &metav1.Duration{Duration: time.Hour}
	f.push(t, "1.0.0")
	f.mustReconcile(t)
	woken = waketest.Objects(t, &f.caches().done)
	f.caches().lookUps.Patience = time.Millisecond
	hang := make(chan struct{})
	f.hang.Store(hang)
	wake = func() {
		f.hang.Store((chan struct{})(nil))
		close(hang)
	}
	return f, wake, woken
}

// await waits until the policy is woken.
func await(t *testing.T, woken <-chan types.NamespacedName) {
	t.Helper()
	if got, want := waketest.Next(t, woken), (types.NamespacedName{Namespace: "apps", Name: "app"}); got != want {
		t.Fatalf("%s was woken", got)
	}
}

func TestARegistryThatSaysNothingHoldsNoWorkerAndChangesNothing(t *testing.T) {
	f, wake, woken := silent(t)
	before := f.policy.DeepCopy()
	f.pass(time.Hour)
	got := f.mustReconcile(t)
	ready := before.Status.Conditions[0]
	want := reconciler.Result{Reason: ready.Reason, Message: ready.Message, After: got.After}
	if diff := cmp.Diff(want, got); diff != "" || got.After == 0 {
		t.Errorf("while the look-up goes on: %s", diff)
	}
	if diff := cmp.Diff(before.Status, f.policy.Status); diff != "" {
		t.Errorf("a look by interval changes the status before it is done: %s", diff)
	}
	wake()
	await(t, woken)
	asked := f.asked.Load()
	f.wantChoice(t, "1.0.0")
	if f.asked.Load() != asked {
		t.Error("what came of the look-up was asked again")
	}
}

func TestANewPolicyIsProgressingWhileItsRegistrySaysNothing(t *testing.T) {
	f, wake, woken := silent(t)
	digest := f.policy.Status.LatestRef.Digest
	f.policy.Status = imagev1.ImagePolicyStatus{}
	got := f.mustReconcile(t)
	if !got.Progressing || got.Message != "waiting for "+f.host+" to answer" || f.policy.Status.LatestRef != nil {
		t.Errorf("got %+v", got)
	}
	wake()
	await(t, woken)
	f.wantChoice(t, "1.0.0")
	if got := f.policy.Status.LatestRef.Digest; got != digest {
		t.Errorf("digest %q, want %q", got, digest)
	}
}

func TestARequestedLookIsProgressingUntilItIsDone(t *testing.T) {
	f, wake, woken := silent(t)
	f.policy.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	for range 2 { // the second run does not see the request any more
		if got := f.mustReconcile(t); !got.Progressing {
			t.Fatalf("got %+v", got)
		}
	}
	wake()
	await(t, woken)
	if got := f.mustReconcile(t); got.Progressing || len(got.Events) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestPoliciesOfAHostThatIsSlowDoNotWaitForIt(t *testing.T) {
	f, wake, _ := silent(t)
	defer wake()
	f.pass(time.Hour)
	f.mustReconcile(t)
	f.caches().lookUps.Patience = time.Hour
	second := f.policy.DeepCopy()
	second.Name, second.UID = "second", "2"
	f.policy = second
	f.mustReconcile(t) // would hang
}

func TestALookUpEndsWithWhatItWasFor(t *testing.T) {
	ends := map[string]func(f *fixture){
		"another spec": func(f *fixture) {
			f.policy.Generation++
			_, _ = f.reconcile()
		},
		"no policy": func(f *fixture) { f.caches().lookUps.Forget(client.ObjectKeyFromObject(f.policy)) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			f, wake, woken := silent(t)
			f.pass(time.Hour)
			f.mustReconcile(t)
			end(f)
			if name == "no policy" && f.caches().lookUps.Has(client.ObjectKeyFromObject(f.policy)) {
				t.Error("the look-up goes on")
			}
			wake()
			if name == "no policy" {
				return
			}
			await(t, woken) // by the look-up for the new spec
			if len(woken) > 0 {
				t.Error("the look-up for the old spec woke the policy, too")
			}
		})
	}
}

func TestWhatNobodyCameForIsAskedAgain(t *testing.T) {
	f, wake, woken := silent(t)
	f.pass(time.Hour)
	f.mustReconcile(t)
	wake()
	await(t, woken)
	f.pass(time.Hour)
	f.caches().lookUps.Patience = time.Minute
	asked := f.asked.Load()
	f.mustReconcile(t)
	if f.asked.Load() == asked {
		t.Error("an hour later the old answer still counts")
	}
}
