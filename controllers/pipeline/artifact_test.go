// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// fromOCI makes the app an artifact of an OCIRepository.
func fromOCI(p *sluicev1.Pipeline) {
	p.Spec.Artifacts[0] = sluicev1.Artifact{Name: "app", OCIRepositoryRef: &meta.LocalObjectReference{Name: "app"}}
}

// push has the OCIRepository fetch a revision.
func (e *env) push(url, revision string) {
	e.t.Helper()
	repo := &sourcev1.OCIRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	found := e.Client.Get(e.t.Context(), client.ObjectKeyFromObject(repo), repo) == nil
	repo.Spec.URL, repo.Status.Artifact = url, &meta.Artifact{Revision: revision}
	repo.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, ObservedGeneration: repo.Generation}}
	if found {
		e.update(repo)
		return
	}
	must(e.t, e.Client.Create(e.t.Context(), repo))
}

func TestTheArtifactOfAnOCIRepositoryIsPromotedInGit(t *testing.T) {
	e := newEnv(t, fromOCI, func(p *sluicev1.Pipeline) {
		for i := range p.Spec.Stages {
			p.Spec.Stages[i].Write.Setters = []sluicev1.Setter{{Artifact: "app", File: "app.yaml", YAML: "image", Part: "reference"}}
		}
	})
	e.reconcile()
	if got := e.pipeline.Status.Stages[0].Waiting; len(got) == 0 || got[0].Message != "artifact app: OCIRepository apps/app does not exist: "+
		"create it, or correct its name in spec.artifacts[].ociRepositoryRef" {
		t.Errorf("waits for %+v", got)
	}
	e.push("oci://registry/app", "2@"+someDigest)
	e.reconcile()
	e.want("2@"+someDigest, "1")
	if v := e.pipeline.Status.Candidate.Versions[0]; v.Image != "registry/app" || v.Tag != "2" || v.Digest != someDigest {
		t.Errorf("candidate %+v", v)
	}
	e.apply("staging")
	e.reconcile()
	e.want("2@"+someDigest, "2@"+someDigest)
}

// An OCIRepository whose URL changed has the artifact of the old one until it fetched.
func TestAnOCIRepositoryThatIsNotReadyHasNoVersion(t *testing.T) {
	e := newEnv(t, fromOCI)
	e.push("oci://registry/app", "2@"+someDigest)
	for name, tc := range map[string]struct {
		change func(*sourcev1.OCIRepository)
		want   string
	}{
		"it has not seen its spec": {func(o *sourcev1.OCIRepository) { o.Generation = 7 }, "is not Ready"},
		"it failed":                {func(o *sourcev1.OCIRepository) { o.Status.Conditions[0].Status = metav1.ConditionFalse }, "is not Ready"},
		"it has fetched nothing":   {func(o *sourcev1.OCIRepository) { o.Status.Artifact = nil }, "is not Ready"},
		"its revision is a commit": {func(o *sourcev1.OCIRepository) { o.Status.Artifact.Revision = "main@sha1:1234" }, "names no digest"},
	} {
		t.Run(name, func(t *testing.T) {
			var repo sourcev1.OCIRepository
			e.get("app", &repo)
			was := repo.DeepCopy()
			tc.change(&repo)
			e.update(&repo)
			var seen promotion.Observation
			err := artifacts{pipeline: e.pipeline, client: e.Client}.observe(t.Context(), &seen)
			if err != nil || !strings.Contains(seen.NotReady["app"], tc.want) {
				t.Errorf("%v, %v", seen.NotReady, err)
			}
			e.get("app", &repo)
			was.ResourceVersion = repo.ResourceVersion
			e.update(was)
		})
	}
}

func TestAnOCIRepositoryNeedsASetterInGit(t *testing.T) {
	err := validate(shop(fromOCI))
	if err == nil || !strings.Contains(err.Error(), "spec.stages[staging].write.setters: markers are of ImagePolicies: artifact app") {
		t.Errorf("got %v", err)
	}
}

func TestAnOCIRepositoryThatCannotBeReadIsAnError(t *testing.T) {
	away := errors.New("the API server is away")
	p := shop(fromOCI)
	seen := promotion.Observation{Newest: map[string]promotion.Newest{}, NotReady: map[string]string{}}
	err := artifacts{pipeline: p, client: readsNothing(t, refusing[*sourcev1.OCIRepository](away))}.observe(t.Context(), &seen)
	if !errors.Is(err, away) || !strings.Contains(err.Error(), "reading OCIRepository apps/app") {
		t.Errorf("got %v", err)
	}
}
