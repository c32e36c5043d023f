// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func TestWhatCannotBeWrittenIsRefusedByItsField(t *testing.T) {
	for name, tc := range map[string]struct {
		write sluicev1.Write
		want  string
	}{
		"a message that is no template": {
			sluicev1.Write{Commit: &sluicev1.WriteCommit{MessageTemplate: "{{ .Stage"}}, "spec.stages[staging].write.commit.messageTemplate",
		},
		"a message with a field that there is not": {
			sluicev1.Write{Commit: &sluicev1.WriteCommit{MessageTemplate: "{{ if .Rollback }}{{ .Resaon }}{{ end }}"}},
			"spec.stages[staging].write.commit.messageTemplate:1:21: there is no field .Resaon here: there are .Pipeline, .Stage, .Bundle, ",
		},
		"a title with a function that there is not": {
			sluicev1.Write{PullRequest: &sluicev1.PullRequest{TitleTemplate: "{{ nope }}"}},
			`spec.stages[staging].write.pullRequest.titleTemplate:1: function "nope" not defined`,
		},
		"a body with a field of its changes that there is not": {
			sluicev1.Write{PullRequest: &sluicev1.PullRequest{BodyTemplate: "Changes:\n{{ range .Changes }}{{ .Tag }}{{ end }}"}},
			"spec.stages[staging].write.pullRequest.bodyTemplate:2:23: there is no field .Tag here: there are .Artifact, .From, .To",
		},
		"a prefix that is none of a branch": {
			sluicev1.Write{PullRequest: &sluicev1.PullRequest{BranchPrefix: "a..b/"}}, "spec.stages[staging].write.pullRequest.branchPrefix",
		},
		"a prefix of states": {
			sluicev1.Write{PullRequest: &sluicev1.PullRequest{BranchPrefix: "sluice/state/"}}, "spec.stages[staging].write.pullRequest.branchPrefix",
		},
		"a setter that cannot be parsed": {
			sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Setters: []sluicev1.Setter{{Artifact: "app", File: "a.env", Regex: "TAG=(.*)"}}},
			"spec.stages[staging].write.setters[0]",
		},
		"a setter of an artifact that there is not": {
			sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Setters: []sluicev1.Setter{{Artifact: "web", File: "a.yaml", YAML: "image"}}},
			"spec.stages[staging].write.setters[0].artifact: there is no artifact web",
		},
		"a path that leaves the repository": {
			sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: "../staging"},
			`spec.stages[staging].write.path: "../staging" leads out of the repository: name a folder below its root`,
		},
		"a pull request without a token": {
			sluicev1.Write{PullRequest: &sluicev1.PullRequest{}, Path: "staging"}, "spec.forge: this process does not speak with forges",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, func(p *sluicev1.Pipeline) { p.Spec.Stages = p.Spec.Stages[:1]; p.Spec.Stages[0].Write = tc.write })
			_, err := e.Reconcile(t.Context(), e.pipeline)
			if err == nil || !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// A Pipeline whose folder or whose policy was misspelt said that it was Ready.
func TestAPipelineThatCannotGoOnIsNotReady(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*sluicev1.Pipeline)
		want   string
	}{
		"a folder that is not there": {func(p *sluicev1.Pipeline) { p.Spec.Stages[1].Write.Path = "prod" },
			`spec.stages[production].write.path: looking for markers in "prod": open prod: file does not exist: ` +
				`create it, or correct the path (at main@HEAD)`},
		"the folder of a target": {func(p *sluicev1.Pipeline) {
			p.Spec.Stages[1].Targets = []sluicev1.Target{{Name: "eu", Path: "eu"}}
		}, "spec.stages[production].targets[eu].path: "},
		"a folder without markers": {func(p *sluicev1.Pipeline) { p.Spec.Stages[1].Write.Path = "docs" },
			`spec.stages[production].write.path: no field has a marker of the policies, or is named by a setter below "docs": ` +
				`give the field a marker, or name it in write.setters (at main@HEAD)`},
		"a setter of no field": {func(p *sluicev1.Pipeline) {
			values := &sluicev1.HelmValues{Tag: "image.tag"}
			p.Spec.Stages[1].Write.Setters = []sluicev1.Setter{{Artifact: "app", File: "app.yaml", HelmValues: values}}
		}, "spec.stages[production].write.setters: the setter does not fit its file: "},
		"a policy that is not there": {func(p *sluicev1.Pipeline) { p.Spec.Artifacts[0].ImagePolicyRef.Name = "ap" },
			"artifact app: ImagePolicy apps/ap does not exist: create it, or correct its name in spec.artifacts[].imagePolicyRef"},
		"a repository that is not there": {func(p *sluicev1.Pipeline) { p.Spec.SourceRef.Name = "flee" },
			"spec.sourceRef: reading GitRepository apps/flee: "},
		"a branch that is not there": {func(p *sluicev1.Pipeline) { p.Spec.Stages[1].Write.Branch = "live" },
			"spec.stages[production].write.branch: GitRepository apps/fleet has no branch live: create it, or correct the name"},
		"a circle": {func(p *sluicev1.Pipeline) { p.Spec.Stages[0].After = &sluicev1.After{Stages: []string{"production"}} },
			"spec.stages[staging].after.stages: the stage comes after itself: staging after production after staging: leave one of them out"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, tc.change)
			e.repo.Commit("main", gitserver.Files{"docs/a.yaml": "kind: None\n", "eu/a.yaml": "kind: None\n"})
			e.fetch()
			_, err := e.Reconcile(t.Context(), e.pipeline)
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(tc.want, "HEAD", e.repo.Head("main")[:7])) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestSettersAndAMessageOfOnesOwn(t *testing.T) {
	e := newEnv(t, func(p *sluicev1.Pipeline) {
		p.Spec.Stages[0].Write = sluicev1.Write{
			Path: "staging", Setters: []sluicev1.Setter{{Artifact: "app", File: "app.env", Regex: `TAG=(?P<version>\S+)`}},
			Commit: &sluicev1.WriteCommit{MessageTemplate: "{{ .Stage }}: {{ range .Changes }}{{ .From }} -> {{ .To }}{{ end }}"},
		}
	})
	e.repo.Commit("main", gitserver.Files{"staging/app.env": "# the version\nTAG=1\n"})
	e.fetch()
	e.apply("staging")
	e.reconcile()
	e.release("2")
	e.reconcile()
	if text := e.repo.Git("show", "main:staging/app.env"); strings.TrimSpace(text) != "# the version\nTAG=2" {
		t.Errorf("the file is %q", text)
	}
	if log := e.repo.Git("log", "-1", "--format=%B", "main"); !strings.HasPrefix(log, "staging: 1 -> 2\n\nSluice-Pipeline: apps/shop\n") {
		t.Errorf("the commit says %q", log)
	}
	e.apply("staging")
	e.reconcile()
	e.want("2", "2")
}

func TestNamesAtAForge(t *testing.T) {
	p := shop()
	p.Name = strings.Repeat("long", 40)
	for _, stage := range []string{"production", "lock"} {
		name := stageName(p, stage)
		if len(name) > maxStageName || strings.HasSuffix(name, ".lock") || name == stageName(p, stage+"2") {
			t.Errorf("stage %s is called %s", stage, name)
		}
	}
	if name := stageName(shop(), "lock"); strings.HasSuffix(name, ".lock") {
		t.Errorf("no branch can be called %s", name)
	}
}
