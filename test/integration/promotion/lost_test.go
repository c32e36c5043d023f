// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"fmt"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// What is left when objects or branches are deleted.

func TestDeletedObjectsAreAppliedAgainWithTheSameStatusAndNoWrite(t *testing.T) {
	s := newScenario(t, "deleted")
	s.begin(byCommits)
	s.push("1.1.0")
	s.stands("1.1.0", "1.1.0")
	production := client.ObjectKey{Namespace: s.namespace, Name: s.name + "-production"}
	s.must(s.p.Client.Patch(t.Context(), kustomizationOf(production), neverHealthy))
	s.push("1.2.0")
	s.pipelineBecomes("1.2.0 is in quarantine, and production has 1.1.0 again", func(p *sluicev1.Pipeline) bool {
		return len(p.Status.Quarantined) == 1 && statusOf(p, "production").Has.Versions[0].Tag == "1.1.0" && hasVerified(p, "staging", "1.2.0")
	})
	s.must(s.p.Client.Patch(t.Context(), kustomizationOf(production), healthyAgain))
	s.stands("1.2.0", "1.1.0")
	spec := s.pipeline().Spec
	before, main, state := s.look(), s.headOf("main"), s.headOf(s.state())

	s.deleteAll()
	s.apply(images, kustomizations)
	s.must(s.p.Client.Create(t.Context(), &sluicev1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name}, Spec: spec}))
	s.stands("1.2.0", "1.1.0")
	after := s.look()
	if diff := cmp.Diff(decided(before), decided(after)); diff != "" {
		t.Errorf("the status differs (-before +after):\n%s", diff)
	}
	if s.headOf("main") != main || s.headOf(s.state()) != state {
		t.Errorf("something was written: %q", s.subjects())
	}
}

// decided is what a status says that is not about the object itself.
func decided(p *sluicev1.Pipeline) sluicev1.PipelineStatus {
	status := *p.Status.DeepCopy()
	status.Conditions, status.ObservedGeneration, status.LastHandledReconcileAt = nil, 0, ""
	return status
}

// deleteAll deletes all objects of the scenario, and returns when they are gone.
func (s *scenario) deleteAll() {
	s.Helper()
	named := func(object client.Object, suffix string) client.Object {
		object.SetNamespace(s.namespace)
		object.SetName(s.name + suffix)
		return object
	}
	for _, object := range []client.Object{
		named(&sluicev1.Pipeline{}, ""), named(&kustomizev1.Kustomization{}, "-staging"), named(&kustomizev1.Kustomization{}, "-production"),
		named(&imagev1.ImagePolicy{}, ""), named(&imagev1.ImageRepository{}, ""), named(&sourcev1.GitRepository{}, ""),
	} {
		s.must(s.p.Client.Delete(s.Context(), object))
		_, err := harness.Eventually(s.Context(), fmt.Sprintf("%T is gone", object), harness.Patience, func(ctx context.Context) (bool, string) {
			err := s.p.Client.Get(ctx, client.ObjectKeyFromObject(object), object)
			return apierrors.IsNotFound(err), fmt.Sprint(err)
		})
		s.must(err)
	}
}

func TestWithoutItsStateBranchNothingIsPromotedByItself(t *testing.T) {
	s := newScenario(t, "lost")
	s.begin(byCommits)
	git, ok := s.git.(playgroundGit)
	if !ok {
		t.Fatal("the repository is elsewhere")
	}
	_, err := harness.Git(t.Context(), "-C", git.Bare, "update-ref", "-d", "refs/heads/"+s.state())
	s.must(err)
	s.push("1.1.0")
	s.pipelineBecomes("staging waits for a person", func(p *sluicev1.Pipeline) bool {
		return waits(p, "staging", sluicev1.GateState, "the state branch is gone")
	})
	s.look()
	s.want("main", "staging", "1.0.0")
	s.want("main", "production", "1.0.0")
}
