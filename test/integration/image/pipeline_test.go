// SPDX-License-Identifier: Apache-2.0

package image

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestPipelinesWhoseCRDIsAppliedAfterTheStart: a process that looked between two CRDs of an
// installation chose versions in quarantine until it was started again.
func TestPipelinesWhoseCRDIsAppliedAfterTheStart(t *testing.T) {
	harness.Require(t)
	playground, applyCRD := harness.LateKind(t, "sluice.dev_pipelines")
	f := newFixtureIn(t, playground)
	f.push("1.0.0", "1.1.0")
	f.start(f.ns)
	f.repository(time.Hour)
	p := f.policy(f.ns, "1.x")
	f.chosen(p, "1.1.0")

	applyCRD()
	pipeline := &sluicev1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "shop"},
		Spec: sluicev1.PipelineSpec{
			Artifacts: []sluicev1.Artifact{{Name: "app", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}},
			SourceRef: &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
			Stages:    []sluicev1.Stage{{Name: "prod", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: "prod"}}},
		},
	}
	f.must(f.Client.Create(t.Context(), pipeline))
	pipeline.Status.Quarantined = []sluicev1.Quarantine{{
		Bundle: sluicev1.Bundle{Versions: []sluicev1.Version{{Artifact: "app", Tag: "1.1.0"}}},
		Reason: "Canary app failed", At: metav1.Now(),
	}}
	f.must(f.Client.Status().Update(t.Context(), pipeline))
	f.chosen(p, "1.0.0")
	first := p.Status.Decision.Candidates[0]
	if first.Tag != "1.1.0" || first.Gate != "quarantine" || !strings.Contains(first.Dropped, "Canary app failed") {
		t.Errorf("candidates %+v", p.Status.Decision.Candidates)
	}
}
