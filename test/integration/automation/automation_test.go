// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestAChoiceIsCommitted follows choices through commits, without an interval
// that could have helped.
func TestAChoiceIsCommitted(t *testing.T) {
	f := newFixture(t)
	p, a := f.policy("app"), f.automation("auto")
	f.upToDate(a)
	if a.Status.LastPushCommit != "" || a.Status.LastAutomationRunTime == nil || a.Status.ObservedGeneration != a.Generation {
		t.Errorf("without a choice the status is %+v", a.Status)
	}

	f.choose(p, "2")
	f.written(a, "a.yaml", "app", "2")
	f.upToDate(a)
	head := f.repo.Head("main")
	if a.Status.LastPushCommit != head || a.Status.LastPushTime == nil || a.Status.ObservedSourceRevision != "main@sha1:"+head {
		t.Errorf("after the push of %s the status is %+v", head, a.Status)
	}
	f.told(fmt.Sprintf("pushed commit '%s' to branch 'main'\nauto", head[:7]))

	f.choose(p, "3")
	f.written(a, "a.yaml", "app", "3")
	if count := f.repo.Git("rev-list", "--count", "main"); count != "3" {
		t.Errorf("%s commits, want 3", count)
	}
}

func TestANewMarkerIsWrittenWhenTheSourceMoves(t *testing.T) {
	f := newFixture(t)
	p, a := f.policy("app"), f.automation("auto")
	f.choose(p, "2")
	f.written(a, "a.yaml", "app", "2")

	f.fetched(f.repo.Commit("main", gitserver.Files{"b.yaml": f.marked("app", "1")}))
	f.written(a, "b.yaml", "app", "2")
}

func TestARefusedFieldStallsUntilItGoes(t *testing.T) {
	f := newFixture(t)
	f.choose(f.policy("app"), "2")
	a := f.automation("auto", func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Push = &imagev1.PushSpec{Refspec: "feature:other"}
	})
	harness.MustBecome(f.t, f.Client, a, "the refspec is refused", func() bool {
		stalled := apimeta.FindStatusCondition(a.Status.Conditions, meta.StalledCondition)
		return stalled != nil && stalled.Status == metav1.ConditionTrue &&
			stalled.Reason == imagev1.InvalidSourceConfigReason && strings.Contains(stalled.Message, "spec.git.push.refspec")
	})
	f.edit(a, func() { a.Spec.GitSpec.Push = nil })
	f.written(a, "a.yaml", "app", "2")
	f.upToDate(a)
	if apimeta.FindStatusCondition(a.Status.Conditions, meta.StalledCondition) != nil {
		t.Error("still Stalled")
	}
}

func TestSuspendAndRequest(t *testing.T) {
	f := newFixture(t)
	p := f.policy("app")
	a := f.automation("auto", func(a *imagev1.ImageUpdateAutomation) { a.Spec.Suspend = true })
	witness := f.automation("witness", func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.Update = &imagev1.UpdateStrategy{Strategy: "Setters", Path: "w"}
	})
	f.fetched(f.repo.Commit("main", gitserver.Files{"w/w.yaml": f.marked("app", "1")}))
	f.choose(p, "2")
	f.written(witness, "w/w.yaml", "app", "2")
	f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(a), a))
	if got := f.repo.File("main", "a.yaml"); got != f.marked("app", "1") || len(a.Status.Conditions) > 0 {
		t.Errorf("a suspended automation wrote %s, conditions %v", got, a.Status.Conditions)
	}
	f.edit(a, func() { a.Spec.Suspend = false })
	f.written(a, "a.yaml", "app", "2")

	f.edit(a, func() { a.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"} })
	harness.MustBecome(f.t, f.Client, a, "the request was handled", func() bool { return a.Status.LastHandledReconcileAt == "now" })
}

// TestAutomationsShareABranch lets three automations write their own policies to
// one branch at once.
func TestAutomationsShareABranch(t *testing.T) {
	const releases = 3
	names := []string{"one", "two", "three"}
	f := newFixture(t)
	files := gitserver.Files{}
	for _, name := range names {
		files[name+".yaml"] = f.marked(name, "0")
	}
	f.repo.Commit("main", files)
	policies, automations := map[string]*imagev1.ImagePolicy{}, map[string]*imagev1.ImageUpdateAutomation{}
	for _, name := range names {
		policies[name] = f.policy(name)
		automations[name] = f.automation(name, func(a *imagev1.ImageUpdateAutomation) {
			a.Spec.PolicySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
		})
	}
	for n := 1; n <= releases; n++ {
		for _, name := range names {
			f.choose(policies[name], fmt.Sprint(n))
		}
		for _, name := range names {
			f.written(automations[name], name+".yaml", name, fmt.Sprint(n))
		}
	}
	for _, name := range names {
		if got := strings.Count(f.repo.Git("log", "--format=%s.", "main"), name+"."); got != releases {
			t.Errorf("%s has %d commits, want %d", name, got, releases)
		}
	}
}

// told waits for an event with the text.
func (f *fixture) told(text string) {
	f.t.Helper()
	_, err := harness.Eventually(f.t.Context(), "an event tells "+text, harness.Patience, func(ctx context.Context) (bool, string) {
		var events corev1.EventList
		if err := f.Client.List(ctx, &events, client.InNamespace(f.ns)); err != nil {
			return false, err.Error()
		}
		for _, e := range events.Items {
			if e.Message == text && e.Type == corev1.EventTypeNormal && e.InvolvedObject.Kind == "ImageUpdateAutomation" {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%d others", len(events.Items))
	})
	f.must(err)
}
