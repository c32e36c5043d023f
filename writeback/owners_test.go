// SPDX-License-Identifier: Apache-2.0

package writeback_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// owning is a pipeline that writes policy app to the paths of one stage with targets, or
// with none to the first.
func owning(change func(*sluicev1.Pipeline)) *sluicev1.Pipeline {
	p := &sluicev1.Pipeline{Spec: sluicev1.PipelineSpec{
		Artifacts: []sluicev1.Artifact{{Name: "api", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}},
		SourceRef: &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "fleet"},
		Stages:    []sluicev1.Stage{{Name: "prod", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: "/prod/"}}},
	}}
	p.Namespace, p.Name = "apps", "shop"
	if change != nil {
		change(p)
	}
	return p
}

func TestOwnersOfMarkers(t *testing.T) {
	const owner = "stage prod of Pipeline apps/shop"
	owned := func(paths ...string) writeback.Owners {
		byPath := map[string]string{}
		for _, path := range paths {
			byPath[path] = owner
		}
		return writeback.Owners{"app": byPath}
	}
	none := writeback.Owners{}
	fleet := func(url string) *sourcev1.GitRepository {
		return make.GitRepository("apps", "fleet", func(g *sourcev1.GitRepository) { g.Spec.URL = url })
	}
	sees := func(url string) func(*sluicev1.Pipeline) {
		return func(p *sluicev1.Pipeline) { p.Spec.SourceRef.Name = url }
	}
	for name, tc := range map[string]struct {
		pipeline   func(*sluicev1.Pipeline)
		automation func(*imagev1.GitSpec)
		want       writeback.Owners
	}{
		"the path of a stage":   {want: owned("prod")},
		"a stage without paths": {pipeline: func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Path = "" }, want: owned(".")},
		"the paths of targets, or else of the stage": {
			pipeline: func(p *sluicev1.Pipeline) {
				p.Spec.Stages[0].Targets = []sluicev1.Target{{Name: "eu", Path: "./eu"}, {Name: "us"}}
			}, want: owned("eu", "prod")},
		"a stage of another branch": {
			pipeline: func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Branch = "live" }, want: none},
		"a stage of the branch that is pushed": {
			pipeline:   func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Branch = "live" },
			automation: func(g *imagev1.GitSpec) { g.Push = &imagev1.PushSpec{Branch: "live"} }, want: owned("prod")},
		"a stage of the branch that the refspec pushes to": {
			pipeline:   func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Branch = "live" },
			automation: func(g *imagev1.GitSpec) { g.Push = &imagev1.PushSpec{Refspec: "HEAD:live"} }, want: owned("prod")},
		"a stage of the branch that a pull request is meant for": {
			automation: func(g *imagev1.GitSpec) { g.Push = &imagev1.PushSpec{Branch: "updates"} }, want: owned("prod")},
		"an automation that checks out another branch": {
			automation: func(g *imagev1.GitSpec) {
				g.Checkout = &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Branch: "next"}}
			}, want: none},
		"the same repository by another GitRepository": {pipeline: sees("same"), want: owned("prod")},
		"another repository":                           {pipeline: sees("other"), want: none},
		"a stage of another repository than its pipeline's": {pipeline: func(p *sluicev1.Pipeline) {
			p.Spec.Stages[0].Write.SourceRef = &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "other"}
		}, want: none},
		"a stage of this repository, of a pipeline of another one": {pipeline: func(p *sluicev1.Pipeline) {
			p.Spec.Stages[0].Write.SourceRef, p.Spec.SourceRef = p.Spec.SourceRef, nil
		}, want: owned("prod")},
		"a GitRepository that does not exist": {pipeline: sees("missing"), want: none},
		"a pipeline of another namespace":     {pipeline: func(p *sluicev1.Pipeline) { p.Namespace = "others" }, want: none},
		"a stage that writes a tag": {
			pipeline: func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write = sluicev1.Write{Tag: &sluicev1.WriteTag{}} }, want: none},
		"a suspended pipeline": {pipeline: func(p *sluicev1.Pipeline) { p.Spec.Suspend = true }, want: owned("prod")},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			for _, add := range []func(*runtime.Scheme) error{sluicev1.AddToScheme, sourcev1.AddToScheme} {
				if err := add(scheme); err != nil {
					t.Fatal(err)
				}
			}
			repo, other := fleet("https://git.example.com/acme/fleet"), fleet("https://git.example.com/acme/shop")
			same := fleet("ssh://git@git.example.com/acme/fleet.git")
			same.Name, other.Name = "same", "other"
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects([]client.Object{repo, same, other, owning(tc.pipeline)}...).Build()
			a := &imagev1.ImageUpdateAutomation{}
			a.Namespace, a.Spec.GitSpec = "apps", &imagev1.GitSpec{}
			if tc.automation != nil {
				tc.automation(a.Spec.GitSpec)
			}
			got, err := writeback.OwnersFor(t.Context(), c, a, repo)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
		})
	}
}

// TestADigestThatAStageLacksHoldsNoOtherMarkers plans the markers that are not a stage's.
func TestADigestThatAStageLacksHoldsNoOtherMarkers(t *testing.T) {
	const digest = "digest: sha256:1 # {\"$imagepolicy\": \"apps:app:digest\"}\n"
	files, err := tree.FromStrings(map[string]string{"dev/a.yaml": marked, "prod/deep/a.yaml": marked + digest, "prods/a.yaml": marked})
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"", "./", "/"} {
		planned, err := writeback.Plan(t.Context(), files, root, writeback.Policies{
			Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}},
			Owners: writeback.Owners{"app": {"prod": "stage prod of Pipeline apps/shop"}},
		})
		if err != nil || planned.Held != nil {
			t.Fatalf("below %q: %v, held %v", root, err, planned.Held)
		}
		var got []string
		for _, line := range planned.Report.Lines() {
			got = append(got, line.Location()+" "+string(line.State())+" "+line.Why())
		}
		const why = " skipped a Pipeline writes it: stage prod of Pipeline apps/shop"
		want := []string{"dev/a.yaml:1 outdated ", "prod/deep/a.yaml:1" + why, "prod/deep/a.yaml:2" + why, "prods/a.yaml:1 outdated "}
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], "/")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("markers below %q (-want +got):\n%s", root, diff)
		}
		if len(planned.Contents) != 2 || len(planned.Report.NearMisses()) != 0 {
			t.Errorf("below %q: %d files change, near misses %q", root, len(planned.Contents), planned.Report.NearMisses())
		}
	}
}
