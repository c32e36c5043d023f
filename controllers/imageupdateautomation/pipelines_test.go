// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// shop is a pipeline that writes policy app to production.
func shop(changes ...func(*sluicev1.Pipeline)) *sluicev1.Pipeline {
	p := &sluicev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop"},
		Spec: sluicev1.PipelineSpec{
			Artifacts: []sluicev1.Artifact{{Name: "app", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}},
			SourceRef: &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
			Stages:    []sluicev1.Stage{{Name: "production", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: "./production/"}}},
		},
	}
	for _, change := range changes {
		change(p)
	}
	return p
}

func leftEvents(result reconciler.Result) (messages []string) {
	for _, e := range result.Events {
		if e.Reason == imagev1.LeftToPipelineReason {
			messages = append(messages, e.Type+" "+e.Message)
		}
	}
	return messages
}

// TestAutomationsWroteTheNewestOverTheVersionOfAStage leaves a stage at what was promoted
// to it, and says so once.
func TestAutomationsWroteTheNewestOverTheVersionOfAStage(t *testing.T) {
	suspended := func(p *sluicev1.Pipeline) { p.Spec.Suspend = true }
	for name, p := range map[string]*sluicev1.Pipeline{"a pipeline": shop(), "a suspended pipeline": shop(suspended)} {
		t.Run(name, func(t *testing.T) {
			f, a := newFixture(t, credentials(), source(), policy("2"), p), automation()
			f.repo.Commit("main", map[string]string{"production/a.yaml": markedFile, "productions.yaml": markedFile})
			const where = "stage production of Pipeline apps/shop"
			for run, want := range []int{1, 0} {
				result := f.succeeded(t, a)
				if want := "repository up-to-date; 1 marker is left to " + where; result.Message != want {
					t.Errorf("run %d: Ready says %q, want %q", run, result.Message, want)
				}
				told := leftEvents(result)
				if len(told) != want {
					t.Fatalf("run %d: events %q, want %d", run, told, want)
				}
				for _, message := range told {
					if !strings.HasPrefix(message, "Normal production/a.yaml:1: skipped: a Pipeline writes it: "+where+" (marker") {
						t.Errorf("the event says %q", message)
					}
				}
			}
			for file, want := range map[string]string{"a.yaml": "app:2", "productions.yaml": "app:2", "production/a.yaml": "app:1"} {
				if got := f.repo.File("main", file); !strings.Contains(got, want) {
					t.Errorf("%s has %q, want %s", file, got, want)
				}
			}
			if m := a.Status.Markers; m.Total != 3 || m.Current != 2 || len(m.Skipped) != 1 || m.Skipped[0].Count != 1 {
				t.Errorf("markers %+v", m)
			}
			if err := f.Client.Delete(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if result := f.succeeded(t, a); result.Message != "repository up-to-date" ||
				!strings.Contains(f.repo.File("main", "production/a.yaml"), "app:2") {
				t.Errorf("without the pipeline Ready says %q", result.Message)
			}
		})
	}
}

// TestARollbackOfAStageIsNoRevertOfTheAutomation goes on with the other markers of the
// policy when a pipeline takes its stage back.
func TestARollbackOfAStageIsNoRevertOfTheAutomation(t *testing.T) {
	f, a := newFixture(t, credentials(), source(), policy("2"), shop()), automation()
	f.repo.Commit("main", map[string]string{"production/a.yaml": strings.Replace(markedFile, "app:1", "app:2", 1)})
	f.succeeded(t, a)
	f.repo.Commit("main", map[string]string{"production/a.yaml": markedFile, "new.yaml": markedFile})

	f.succeeded(t, a)

	if held := a.Status.Held; len(held) != 0 {
		t.Errorf("held %+v", held)
	}
	for file, want := range map[string]string{"new.yaml": "app:2", "production/a.yaml": "app:1"} {
		if got := f.repo.File("main", file); !strings.Contains(got, want) {
			t.Errorf("%s has %q, want %s", file, got, want)
		}
	}
}

func TestOnlyWhatStagesWriteWakesAutomations(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*sluicev1.Pipeline)
		want   bool
	}{
		"a status":          {func(p *sluicev1.Pipeline) { p.Status.Summary = "1/1" }, false},
		"a suspension":      {func(p *sluicev1.Pipeline) { p.Spec.Suspend = true }, false},
		"another path":      {func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Path = "x" }, true},
		"another branch":    {func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Branch = "x" }, true},
		"a target":          {func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Targets = []sluicev1.Target{{Name: "eu", Path: "eu"}} }, true},
		"another artifact":  {func(p *sluicev1.Pipeline) { p.Spec.Artifacts[0].ImagePolicyRef.Name = "x" }, true},
		"another source":    {func(p *sluicev1.Pipeline) { p.Spec.SourceRef.Name = "x" }, true},
		"one stage is gone": {func(p *sluicev1.Pipeline) { p.Spec.Stages = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := stagesChanged().Update(event.UpdateEvent{ObjectOld: shop(), ObjectNew: shop(tc.change)}); got != tc.want {
				t.Errorf("passes: %t, want %t", got, tc.want)
			}
		})
	}
	f := newFixture(t, automation(), automation(func(a *imagev1.ImageUpdateAutomation) { a.Namespace = "others" }))
	if woken := f.automationsOfPipeline(t.Context(), shop()); len(woken) != 1 || woken[0].Namespace != "apps" {
		t.Errorf("woken %v", woken)
	}
}
