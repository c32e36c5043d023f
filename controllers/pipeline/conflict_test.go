// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func TestTwoWhoWriteTheSame(t *testing.T) {
	setter := func(file string) []sluicev1.Setter {
		return []sluicev1.Setter{{Artifact: "app", File: file, HelmValues: &sluicev1.HelmValues{Tag: "image.tag"}}}
	}
	tagged := func(repository string) sluicev1.Write {
		return sluicev1.Write{Tag: &sluicev1.WriteTag{Repository: repository, Tag: "live"}}
	}
	tests := map[string]struct {
		ours, theirs func(*sluicev1.Pipeline)
		want         string
	}{
		"another pipeline": {want: `spec.stages[staging].write.path: stage staging of Pipeline apps/another writes the markers of ` +
			`ImagePolicy apps/app at path "staging" of branch main of GitRepository apps/fleet, too`},
		"another pipeline that names the branch": {
			theirs: func(p *sluicev1.Pipeline) { p.Spec.Stages = p.Spec.Stages[:1]; p.Spec.Stages[0].Write.Branch = "main" },
			want:   "stage staging of Pipeline apps/another",
		},
		"not one that writes another branch": {
			theirs: func(p *sluicev1.Pipeline) { p.Spec.Stages = p.Spec.Stages[:1]; p.Spec.Stages[0].Write.Branch = "next" },
		},
		"not one of other policies": {theirs: func(p *sluicev1.Pipeline) { p.Spec.Artifacts[0].ImagePolicyRef.Name = "web" }},
		"not one that came later":   {theirs: func(p *sluicev1.Pipeline) { p.Name = "zoo" }},
		"two stages of one pipeline": {
			ours:   func(p *sluicev1.Pipeline) { p.Spec.Stages[1].Write.Path = "./staging/" },
			theirs: func(p *sluicev1.Pipeline) { p.Name = "zoo" },
			want:   "spec.stages[production].write.path: stage staging writes the markers of ImagePolicy apps/app",
		},
		"two setters of one field": {
			ours: func(p *sluicev1.Pipeline) {
				p.Spec.Stages[1].Write.Path = "staging"
				p.Spec.Stages[0].Write.Setters, p.Spec.Stages[1].Write.Setters = setter("values.yaml"), setter("values.yaml")
			},
			theirs: func(p *sluicev1.Pipeline) { p.Name = "zoo" },
			want:   "stage staging writes the field of a setter in values.yaml",
		},
		"a path below that of another pipeline": {
			ours: func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Path = "./staging/eu" },
			want: `stage staging of Pipeline apps/another writes the markers of ImagePolicy apps/app at path "staging" of branch main`,
		},
		"a path that another pipeline has one below": {
			ours: func(p *sluicev1.Pipeline) { p.Spec.Stages = p.Spec.Stages[:1]; p.Spec.Stages[0].Write.Path = "." },
			theirs: func(p *sluicev1.Pipeline) {
				p.Spec.Stages = p.Spec.Stages[1:]
				p.Spec.Stages[0].Write.Path = "staging/eu"
			},
			want: `writes the markers of ImagePolicy apps/app at path "staging/eu" of branch main`,
		},
		"not a path that only begins like that of another": {
			theirs: func(p *sluicev1.Pipeline) {
				p.Spec.Stages = p.Spec.Stages[:1]
				p.Spec.Stages[0].Write.Path = "staging-eu"
			},
		},
		"one file of two paths": {
			ours: func(p *sluicev1.Pipeline) {
				p.Spec.Stages[0].Write.Path = "."
				p.Spec.Stages[0].Write.Setters, p.Spec.Stages[1].Write.Setters = setter("production/values.yaml"), setter("values.yaml")
			},
			theirs: func(p *sluicev1.Pipeline) { p.Name = "zoo" },
			want:   "stage staging writes the field of a setter in",
		},
		"another object of the same repository": {
			theirs: func(p *sluicev1.Pipeline) { p.Spec.SourceRef.Name = "again" },
			want:   `at path "staging" of branch main of GitRepository apps/again, too`,
		},
		"one tag of two pipelines": {
			ours:   func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write = tagged("registry.example.com/app") },
			theirs: func(p *sluicev1.Pipeline) { p.Spec.Stages[1].Write = tagged("registry.example.com/app") },
			want:   "spec.stages[staging].write.tag: stage production of Pipeline apps/another writes the tag at registry.example.com/app:live, too",
		},
		"one tag of two stages": {
			ours: func(p *sluicev1.Pipeline) {
				p.Spec.Stages[0].Write, p.Spec.Stages[1].Write = tagged("registry.example.com/app"), tagged("registry.example.com/app")
			},
			theirs: func(p *sluicev1.Pipeline) { p.Name = "zoo" },
			want:   "spec.stages[production].write.tag: stage staging writes registry.example.com/app:live, too: give each a tag of its own",
		},
		"not tags of two repositories": {
			ours: func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write = tagged("registry.example.com/app") },
			theirs: func(p *sluicev1.Pipeline) {
				p.Spec.Stages = p.Spec.Stages[:1]
				p.Spec.Stages[0].Write = tagged("registry.example.com/web")
			},
		},
		"not setters of two files": {
			ours: func(p *sluicev1.Pipeline) {
				p.Spec.Stages[1].Write.Path = "staging"
				p.Spec.Stages[0].Write.Setters, p.Spec.Stages[1].Write.Setters = setter("staging.yaml"), setter("production.yaml")
			},
			theirs: func(p *sluicev1.Pipeline) { p.Name = "zoo" },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			other := shop(func(p *sluicev1.Pipeline) { p.Name = "another" })
			if tc.theirs != nil {
				tc.theirs(other)
			}
			if tc.ours != nil {
				tc.ours(e.pipeline)
			}
			var fleet sourcev1.GitRepository
			e.get("fleet", &fleet)
			again := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "again"}, Spec: fleet.Spec}
			again.Spec.URL = strings.TrimSuffix(fleet.Spec.URL, ".git") + "/"
			for _, object := range []client.Object{other, again} {
				if err := e.Client.Create(t.Context(), object); err != nil {
					t.Fatal(err)
				}
			}
			err := e.checkPathConflicts(t.Context(), e.pipeline)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v, want %q", err, tc.want)
			case err != nil && !errors.Is(err, reconcile.TerminalError(nil)):
				t.Errorf("%v is tried again", err)
			}
		})
	}
}
