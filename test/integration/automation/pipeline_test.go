// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"fmt"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
)

// pipeline has a stage that writes what is below prod.
func (f *fixture) pipeline() *sluicev1.Pipeline {
	return &sluicev1.Pipeline{ObjectMeta: f.named("shop"), Spec: sluicev1.PipelineSpec{
		Artifacts: []sluicev1.Artifact{{Name: "app", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}},
		SourceRef: &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
		Stages:    []sluicev1.Stage{{Name: "prod", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: "prod"}}},
	}}
}

// leftToStage waits until an automation says that a stage writes a marker.
func (f *fixture) leftToStage(a *imagev1.ImageUpdateAutomation) {
	f.t.Helper()
	harness.MustBecome(f.t, f.Client, a, "the marker is left to the stage", func() bool {
		ready := apimeta.FindStatusCondition(a.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Message == "repository up-to-date; 1 marker is left to stage prod of Pipeline "+f.ns+"/shop"
	})
}

// TestPipelinesWhoseCRDIsAppliedAfterTheStart: a process that looked between two CRDs of an
// installation wrote what stages write until it was started again.
func TestPipelinesWhoseCRDIsAppliedAfterTheStart(t *testing.T) {
	harness.Require(t)
	playground, applyCRD := harness.LateKind(t, "sluice.dev_pipelines")
	f := newFixtureIn(t, playground)
	f.repo.Commit("main", gitserver.Files{"prod/a.yaml": f.marked("app", "1")})
	p, a := f.policy("app"), f.automation("auto")
	f.upToDate(a)
	f.choose(p, "2")
	f.written(a, "prod/a.yaml", "app", "2") // nobody else does

	applyCRD()
	f.must(f.Client.Create(t.Context(), f.pipeline()))
	f.leftToStage(a)
	f.choose(p, "3")
	f.written(a, "a.yaml", "app", "3")
	if got := f.repo.File("main", "prod/a.yaml"); got != f.marked("app", "2") {
		t.Errorf("the file of the stage is %q", got)
	}
}

// TestAMarkerOfAStageIsLeftToItsPipeline follows a Pipeline that comes and goes, without an
// interval that could have helped.
func TestAMarkerOfAStageIsLeftToItsPipeline(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", gitserver.Files{"prod/a.yaml": f.marked("app", "1")})
	pipeline := f.pipeline()
	p, a := f.policy("app"), f.automation("auto")
	f.upToDate(a)
	f.must(f.Client.Create(t.Context(), pipeline))
	f.leftToStage(a)

	f.choose(p, "2")
	f.written(a, "a.yaml", "app", "2")
	if got := f.repo.File("main", "prod/a.yaml"); got != f.marked("app", "1") {
		t.Errorf("the file of the stage is %q", got)
	}
	f.told(fmt.Sprintf("prod/a.yaml:1: skipped: a Pipeline writes it: stage prod of Pipeline %[1]s/shop "+
		"(marker \"%[1]s:app\" of policy 'app' in namespace '%[1]s')", f.ns))

	f.must(f.Client.Delete(t.Context(), pipeline))
	f.written(a, "prod/a.yaml", "app", "2")
}
