// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestHowBadAnEventIs(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		err  error
		want string
	}{
		"a failure":                       {broken, corev1.EventTypeWarning},
		"a failure that waits":            {Waiting(broken, time.Minute), corev1.EventTypeWarning},
		"a failure that only edits mend":  {reconcile.TerminalError(broken), corev1.EventTypeWarning},
		"something that is not there yet": {Pending(errors.New("dependency 'a/b' is not ready"), time.Minute), corev1.EventTypeNormal},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{}, tc.err }}, app(), nil)
			_, _ = b.reconcile()
			if len(*b.events) != 1 || (*b.events)[0].Type != tc.want {
				t.Errorf("events = %v, want one that is %s", *b.events, tc.want)
			}
		})
	}
}

// Alerts were told that an object failed and that it works again, and not that it failed once
// more in the same way: what says the same within five minutes was dropped.
func TestWhatFailsAgainAfterItWorkedIsNews(t *testing.T) {
	broken, retried := errors.New("broken"), Result{Progressing: true, Reason: "Progressing"}
	var result Result
	var err error
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return result, err }}, app(), nil)
	for _, run := range []struct {
		result Result
		err    error
	}{{err: broken}, {result: retried}, {err: broken}, {result: Result{Reason: "Done"}}, {err: broken}, {result: retried}, {err: broken}} {
		result, err = run.result, run.err
		_, _ = b.reconcile()
	}
	var got []string
	for _, e := range *b.events {
		got = append(got, e.Message+e.Token)
	}
	if diff := cmp.Diff([]string{"broken", "broken", "1", "broken1", "broken1"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWhatIsAlwaysToldIsToldThoughTheStatusSaysTheSame(t *testing.T) {
	told := Event{Type: corev1.EventTypeWarning, Reason: "Damaged", Message: "its file", Always: true}
	also := Event{Type: corev1.EventTypeNormal, Reason: "Did", Message: "nothing new"}
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) {
		return Result{Reason: "Done", Events: []Event{told, also}}, nil
	}}, app(), nil)
	for _, want := range []int{2, 3} { // all with the first status
		_, _ = b.reconcile()
		if len(*b.events) != want || (*b.events)[len(*b.events)-1].Reason == "" {
			t.Errorf("events %+v, want %d", *b.events, want)
		}
	}
}

// Whoever made the second of two commits that fail in the same way was told nothing, and the commit got no status.
func TestAnotherRevisionThatFailsInTheSameWayIsNews(t *testing.T) {
	revision := "main@1"
	b := newTestEnv(t, scripted{func(k *kustomizev1.Kustomization) (Result, error) {
		k.Status.LastAttemptedRevision = revision
		return Result{About: map[string]string{"g/revision": revision}}, errors.New("broken")
	}}, app(), nil)
	b.runner.kind.About = func(k *kustomizev1.Kustomization) map[string]string {
		return map[string]string{"g/revision": k.Status.LastAttemptedRevision}
	}
	for _, revision = range []string{"main@1", "main@1", "main@2", "main@2"} {
		_, _ = b.reconcile()
	}
	var got []string
	for _, e := range *b.events {
		got = append(got, e.Message+" "+e.Metadata["g/revision"])
	}
	if diff := cmp.Diff([]string{"broken main@1", "broken main@2"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestEveryEventSaysTheRevision(t *testing.T) {
	about := map[string]string{"g/revision": "main@2"}
	own := Event{Type: corev1.EventTypeNormal, Reason: "R", Message: "own", Metadata: map[string]string{"g/more": "x"}}
	tests := map[string]struct {
		result Result
		err    error
		want   []map[string]string
	}{
		"of the status":        {Result{Reason: "Done"}, nil, []map[string]string{{"g/revision": "main@1"}}},
		"of this run":          {Result{Reason: "Done", About: about}, nil, []map[string]string{{"g/revision": "main@2"}}},
		"of a failed run":      {Result{About: about}, errors.New("broken"), []map[string]string{{"g/revision": "main@2"}}},
		"of a run that waits":  {Result{About: about}, Pending(errors.New("later"), time.Minute), []map[string]string{{"g/revision": "main@2"}}},
		"beside what it says":  {Result{Events: []Event{own}, About: about}, nil, []map[string]string{{"g/revision": "main@2", "g/more": "x"}}},
		"unless there is none": {Result{Reason: "Done", About: map[string]string{"g/revision": ""}}, nil, []map[string]string{nil}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return tc.result, tc.err }}, app(), nil)
			b.runner.kind.About = func(*kustomizev1.Kustomization) map[string]string { return map[string]string{"g/revision": "main@1"} }
			_, _ = b.reconcile()
			var got []map[string]string
			for _, e := range *b.events {
				got = append(got, e.Metadata)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGenerationOfAKindThatLags(t *testing.T) {
	tests := map[string]struct {
		result Result
		err    error
		want   int64
	}{
		"ready":       {result: Result{Reason: "Done"}, want: 3},
		"stalled":     {err: reconcile.TerminalError(errors.New("spec")), want: 3},
		"progressing": {result: Result{Progressing: true}, want: 2},
		"failing":     {err: errors.New("broken"), want: 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			obj := app()
			obj.Status.ObservedGeneration = 2
			b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return tc.result, tc.err }}, obj, nil)
			b.runner.kind.LagsUnlessReady = true
			_, _ = b.reconcile()
			if got := b.get(t).Status.ObservedGeneration; got != tc.want {
				t.Errorf("observedGeneration = %d, want %d", got, tc.want)
			}
		})
	}
}

func TestACleanUpThatTakesTimeHoldsNobodyUp(t *testing.T) {
	obj := app()
	now := metav1.Now()
	obj.DeletionTimestamp, obj.Finalizers = &now, []string{DefaultFinalizer}
	left := errors.New("something is still there")
	b := newTestEnv(t, cleaning{finalize: func() error { return Pending(left, time.Minute) }}, obj, nil)
	if got, err := b.reconcile(); err != nil || got.RequeueAfter != time.Minute {
		t.Errorf("reconcile = %v, %v", got, err)
	}
	if len(*b.events) != 1 || (*b.events)[0].Type != corev1.EventTypeNormal || len(b.get(t).Finalizers) != 1 {
		t.Errorf("events %v, finalizers %v", *b.events, b.get(t).Finalizers)
	}
}
