// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kustomization makes a Kustomization that nobody serves but the test.
func (f *fixture) kustomization(name string) {
	f.t.Helper()
	f.create(&kustomizev1.Kustomization{ObjectMeta: f.named(name), Spec: kustomizev1.KustomizationSpec{
		Interval: metav1.Duration{Duration: time.Hour}, SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
	}})
}

// answer answers the next request for a reconcile as a controller does.
func (f *fixture) answer(name string, ready metav1.ConditionStatus, reason, message string) {
	ctx := f.t.Context()
	go func() {
		_ = wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			k := &kustomizev1.Kustomization{}
			err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.ns, Name: name}, k)
			at := k.Annotations[meta.ReconcileRequestAnnotation]
			if err != nil || at == "" || at == k.Status.LastHandledReconcileAt {
				return false, nil
			}
			k.Status.LastHandledReconcileAt = at
			k.Status.Conditions = []metav1.Condition{{
				Type: meta.ReadyCondition, Status: ready, Reason: reason, Message: message, LastTransitionTime: metav1.Now(),
			}}
			return f.Client.Status().Update(ctx, k) == nil, nil
		})
	}()
}

func TestObjectsOfAllKindsAreListedAlike(t *testing.T) {
	f := newFixture(t)
	f.kustomization("web")
	out, _ := f.succeed("get", "sources")
	want := [][]string{
		{"KIND", "NAME", "REVISION", "SUSPENDED", "READY", "REASON", "MESSAGE"}, {"GitRepository", "app", "-", "false", "Unknown", "-", "-"},
	}
	if diff := cmp.Diff(want, words(out)); diff != "" {
		t.Error(diff)
	}
	out, _ = f.succeed("get", "all", "-o", "name")
	for _, name := range []string{
		"gitrepository.source.toolkit.fluxcd.io/app", "kustomization.kustomize.toolkit.fluxcd.io/web", "imagepolicy.image.toolkit.fluxcd.io/app",
		"imagerepository.image.toolkit.fluxcd.io/app", "imageupdateautomation.image.toolkit.fluxcd.io/fleet",
	} {
		if !slices.Contains(strings.Split(out, "\n"), name) {
			t.Errorf("%s is not in\n%s", name, out)
		}
	}
	out, _ = f.succeed("get", "all", "-l", "app=other", "-o", "name")
	if out != "imagepolicy.image.toolkit.fluxcd.io/other\n" {
		t.Errorf("by labels: %s", out)
	}
	if _, errs, err := f.sluice("get", "kustomizations", "none"); err == nil || !strings.Contains(errs, "there is no Kustomization none") {
		t.Errorf("got %v, %s", err, errs)
	}
}

func TestSuspendResumeAndReconcile(t *testing.T) {
	f := newFixture(t)
	f.kustomization("web")
	_, errs := f.succeed("suspend", "kustomization.kustomize.toolkit.fluxcd.io/web", "ks/web")
	if strings.Count(errs, "Kustomization "+f.ns+"/web suspended") != 2 {
		t.Errorf("got %s", errs)
	}
	out, _ := f.succeed("get", "kustomizations", "web")
	if got := words(out)[1]; got[3] != "true" {
		t.Errorf("after suspend: %v", got)
	}
	_, errs, err := f.sluice("reconcile", "kustomization/web")
	if err == nil || !strings.Contains(errs, "is suspended: sluice resume kustomization web -n ") {
		t.Errorf("a reconcile of what is suspended: %v, %s", err, errs)
	}
	// No controller is there, so that whoever waits for it waits in vain.
	if _, errs, err := f.sluice("resume", "ks/web", "--timeout", "1s"); err == nil || !strings.Contains(errs, "resumed") ||
		!strings.Contains(errs, "is not ready after 1s") {
		t.Errorf("a resume that nothing comes of: %v, %s", err, errs)
	}
	f.succeed("suspend", "source", "git", "--all")
	f.succeed("resume", "source", "git", "--all")
	f.succeed("suspend", "source", "git", "app")
	f.succeed("resume", "source", "git", "app", "--wait=false")
	if out, _ := f.succeed("get", "source", "git", "app", "-o", "name"); out != "gitrepository.source.toolkit.fluxcd.io/app\n" {
		t.Errorf("as Flux's CLI is called: %s", out)
	}
	f.answer("web", metav1.ConditionTrue, meta.ReconciliationSucceededReason, "Applied revision: 1")
	if _, errs := f.succeed("reconcile", "kustomization", "web", "--timeout", "1m"); !strings.Contains(errs, "is ready: Applied revision: 1") {
		t.Errorf("got %s", errs)
	}
	f.answer("web", metav1.ConditionFalse, meta.BuildFailedReason, "no such file")
	_, errs, err = f.sluice("reconcile", "kustomization", "web", "--timeout", "1m")
	if err == nil || !strings.Contains(errs, "is not ready: BuildFailed: no such file") {
		t.Errorf("got %v, %s", err, errs)
	}
	_, errs, err = f.sluice("reconcile", "kustomization", "web", "--timeout", "1s")
	if err == nil || !strings.Contains(errs, "is not reconciled after 1s") {
		t.Errorf("got %v, %s", err, errs)
	}
	for args, want := range map[string]string{
		"reconcile externalartifact web": "reconcile of externalartifacts is not possible",
		"suspend nothing web":            `unknown kind "nothing"; known: gitrepositories`,
		"suspend ks":                     "needs a KIND and a NAME", "suspend source git": "needs a KIND and a NAME",
		"suspend source ks web": "kustomizations are no sources", "suspend ks/web oci/app": "is about objects of one kind, here of",
		"resume ks/": "needs a KIND and a NAME", "resume kustomization": "needs a KIND and a NAME", "tree ks/": "needs a KIND and a NAME",
		"suspend ks.apps web": "unknown kind", "reconcile oci none": "there is no OCIRepository none",
	} {
		if _, errs, err := f.sluice(strings.Fields(args)...); err == nil || !strings.Contains(errs, want) {
			t.Errorf("%s: %v, %s", args, err, errs)
		}
	}
}
