// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// Each commit of one pipeline woke all on its repository, three times: of 500 pipelines, 499 looked
// at all that they have, to find that nothing had changed for them.
func TestACommitWakesThePipelinesThatItIsAbout(t *testing.T) {
	ready := []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason, ObservedGeneration: 1}}
	e := newEnv(t)
	e.reconcile()
	for name, change := range map[string]func(*sluicev1.Pipeline){
		"shop":  nil,
		"below": func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Path = "./staging/eu/" },
		"root":  func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Path = "" },
		"other": func(p *sluicev1.Pipeline) {
			p.Spec.Stages[0].Write.Path, p.Spec.Stages[1].Write.Path = "other", "staging-eu"
		},
		"live": func(p *sluicev1.Pipeline) {
			p.Spec.Stages[0].Write.Branch, p.Spec.Stages[1].Write.Path = "live", "other"
		},
		"proposes": func(p *sluicev1.Pipeline) {
			p.Spec.Stages = p.Spec.Stages[:1]
			p.Spec.Stages[0].Write = sluicev1.Write{PullRequest: &sluicev1.PullRequest{}, Path: "other"}
		},
		"failing": func(p *sluicev1.Pipeline) {
			p.Spec.Stages = p.Spec.Stages[:1]
			p.Spec.Stages[0].Write.Path = "other"
			p.Status.Conditions[0].Status = metav1.ConditionFalse
		},
		"elsewhere": func(p *sluicev1.Pipeline) { p.Spec.SourceRef.Name = "another" },
	} {
		p := shop(func(p *sluicev1.Pipeline) {
			p.Name, p.Status.Conditions = name, []metav1.Condition{*ready[0].DeepCopy()}
		})
		if change != nil {
			change(p)
		}
		must(t, e.Client.Create(t.Context(), p))
	}
	annotated := func(name string) func(*sourcev1.GitRepository) {
		return func(r *sourcev1.GitRepository) { r.Annotations = map[string]string{name: "x"} }
	}
	at := func(artifact *meta.Artifact) func(*sourcev1.GitRepository) {
		return func(r *sourcev1.GitRepository) { r.Status.Artifact = artifact }
	}
	const onIt = "below failing live other proposes root shop"
	for name, tc := range map[string]struct {
		files  gitserver.Files
		unseen bool // the mirror does not have the commit
		change func(*sourcev1.GitRepository)
		want   string
	}{
		"a file of a stage":         {files: gitserver.Files{"staging/app.yaml": marked + "# 1\n"}, want: "failing proposes root shop"},
		"a file of nobody":          {files: gitserver.Files{"docs/README.md": "x"}, want: "failing proposes root"},
		"a directory that appeared": {files: gitserver.Files{"staging/eu/app.yaml": marked}, want: "below failing proposes root shop"},
		"a commit that is not here": {files: gitserver.Files{"docs/a": "x"}, unseen: true, want: onIt},
		"nothing":                   {want: "failing"},
		"a request for a fetch": {change: func(r *sourcev1.GitRepository) {
			r.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "x"}
		}, want: "failing"},
		"who may write to it": {change: annotated("sluice.dev/write-from"), want: onIt},
		// Who was in the way of one that is on another object was not told when that moved away.
		"its spec, with those that write the same elsewhere": {
			change: func(r *sourcev1.GitRepository) { r.Generation++ }, want: "below elsewhere failing live other proposes root shop",
		},
		"its first artifact":              {change: at(nil), want: onIt},
		"a revision that names no commit": {change: at(&meta.Artifact{Revision: "main"}), want: onIt},
	} {
		t.Run(name, func(t *testing.T) {
			var before sourcev1.GitRepository
			e.get("fleet", &before)
			after := before.DeepCopy()
			mirror := e.opened.byRepository[types.NamespacedName{Namespace: "apps", Name: "fleet"}]
			has := func() { must(t, mirror.Fetch(t.Context(), "refs/heads/main", plumbing.NewHash(e.head("main")))) }
			has()
			if tc.files != nil {
				after.Status.Artifact.Revision = "main@sha1:" + e.repo.Commit("main", tc.files)
			}
			if !tc.unseen {
				has()
			}
			if tc.change != nil {
				tc.change(after)
			}
			asked := e.server.Requests()
			var woken []string
			for _, r := range e.pipelinesOfMove(event.UpdateEvent{ObjectOld: &before, ObjectNew: after})(t.Context(), after) {
				woken = append(woken, r.Name)
			}
			if got := strings.Join(woken, " "); got != tc.want || e.server.Requests() != asked {
				t.Errorf("woke %s, want %s, with %d requests", got, tc.want, e.server.Requests()-asked)
			}
			e.fetch()
		})
	}
}

// A commit of a pipeline that somebody took back before its GitRepository fetched it changed no file
// from one revision to the next: the pipeline believed in it until its interval was over.
func TestACommitThatIsTakenBackAtOnceWakesItsPipeline(t *testing.T) {
	e := newEnv(t)
	e.reconcile()
	was := e.repo.File("main", "staging/app.yaml")
	e.release("2")
	var before sourcev1.GitRepository
	e.get("fleet", &before)
	e.reconcile()
	e.want("2", "1")
	e.repo.Commit("main", gitserver.Files{"staging/app.yaml": was})
	move := func() (woken []string) {
		mirror := e.opened.byRepository[types.NamespacedName{Namespace: "apps", Name: "fleet"}]
		must(t, mirror.Fetch(t.Context(), "refs/heads/main", plumbing.NewHash(e.head("main"))))
		after := before.DeepCopy()
		after.Status.Artifact.Revision = "main@sha1:" + e.head("main")
		for _, r := range e.pipelinesOfMove(event.UpdateEvent{ObjectOld: &before, ObjectNew: after})(t.Context(), after) {
			woken = append(woken, r.Name)
		}
		return woken
	}
	p := shop(func(p *sluicev1.Pipeline) {
		p.Status.Conditions = []metav1.Condition{
			{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason, ObservedGeneration: p.Generation},
		}
	})
	must(t, e.Client.Create(t.Context(), p))
	if woken := move(); len(woken) != 1 {
		t.Errorf("woken are %v", woken)
	}
	e.fetch()
	e.reconcile() // and has looked now
	e.get("fleet", &before)
	e.repo.Commit("main", gitserver.Files{"docs/README.md": "x"})
	if woken := move(); len(woken) != 0 {
		t.Errorf("woken by a file of nobody: %v", woken)
	}
}
